"""What ratings say, as tables: means, differences (table 8), histograms, agreement, raters (docs/protocol.md, rating study)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.errors import UsageError, unknown_name
from sambench.layout import Column, Row, Table
from sambench.metrics.bootstrap import check_wanted
from sambench.metrics.mixed import MixedDifference, mixed_difference
from sambench.metrics.paired import holm
from sambench.metrics.ratings import (
    HIGHEST,
    LOWEST,
    RatingDifference,
    histogram,
    krippendorff_alpha,
    mean_rating,
    rating_difference,
    spread,
)
from sambench.rating.scale import PASSES
from sambench.rating.statistics import Ratings

if TYPE_CHECKING:
    import pandas as pd

ALL = "all datasets"


def means_table(ratings: Ratings, *, level: float = 0.95) -> Table:
    """Mean rating of every dataset and model, with a t-interval over jobs; highest first within a dataset (figure 9b)."""
    rows = []
    for dataset, frame in _by_dataset(ratings):
        found: list[dict[str, Any]] = []
        for model, group in frame.groupby("model", sort=False):
            mean = mean_rating(group.groupby("job")["score"].mean().to_numpy(np.float64), level=level)
            values = {"dataset": dataset, "model": str(model), "mean": mean.mean, "ci": (mean.low, mean.high), "sd": mean.sd}
            found.append(values | {"n": mean.n, "n_ratings": len(group), "seconds": _median(group["seconds"])})
        rows += [Row(values) for values in sorted(found, key=lambda v: -v["mean"])]
    columns = (
        Column("dataset", "dataset"),
        Column("model", "model"),
        Column("mean", "mean rating", "number"),
        Column("ci", f"{100 * level:g} % CI", "number_interval"),
        Column("sd", "sd", "number", minor=True),
        Column("n", "masks", "count"),
        Column("n_ratings", "ratings", "count", hidden=all(r.values["n"] == r.values["n_ratings"] for r in rows)),
        Column("seconds", "median s", "number", minor=True, hidden=all(math.isnan(r.values["seconds"]) for r in rows)),
    )
    note = "Scores from 1 (no object) to 10 (no visible error); control items do not count; several ratings of a mask are averaged."
    return Table("mean ratings", columns, tuple(rows), (*ratings.notes, note))


def differences(
    ratings: Ratings, a: str, b: str, *, level: float = 0.99, n_resamples: int = 10_000, seed: int = 0
) -> dict[str, tuple[RatingDifference, MixedDifference]]:
    """A minus B on every dataset where both were rated, paired by input: (table 8's numbers, the mixed model's).

    Raises UsageError where a model is not in the ratings, or no input has both, and for a bootstrap that takes days.
    """
    check_wanted(n_resamples, level, seed)
    known = sorted(set(ratings.scored["model"]))
    for flag, name in (("--a", a), ("--b", b)):
        if name not in known:
            raise unknown_name("model", name, known, where=flag)
    if a == b:
        raise UsageError("a model cannot be compared with itself", where="--a and --b", found=repr(a))
    out = {}
    for dataset, frame in _by_dataset(ratings):
        both = frame[frame["model"].isin([a, b])]
        wide = both.groupby(["item", "model"])["score"].mean().unstack("model")
        wide = wide.dropna() if {a, b} <= set(wide.columns) else wide.iloc[:0]
        if wide.empty:
            continue
        images = both.groupby("item")["image_id"].first().reindex(wide.index)
        known_images = bool((images != "").all())
        scores = [wide[m].to_numpy(np.float64) for m in (a, b)]
        pair = rating_difference(
            scores[0], scores[1], images.to_numpy() if known_images else None, n_resamples=n_resamples, level=level, seed=seed
        )
        columns = (both["score"].to_numpy(np.float64), (both["model"] == a).to_numpy(), both["item"].to_numpy())
        out[dataset] = (pair, mixed_difference(*columns, both["rater"].to_numpy(), level=level))
    if not out:
        raise UsageError("no input is rated for both models", where="--a and --b", found=f"{a} and {b}")
    return out


def differences_table(ratings: Ratings, a: str, b: str, *, level: float = 0.99, n_resamples: int = 10_000, seed: int = 0) -> Table:
    """Table 8: A minus B by dataset, its paired t-test and bootstrap interval, and beside them the mixed model."""
    found = differences(ratings, a, b, level=level, n_resamples=n_resamples, seed=seed)
    corrected = holm([pair.tests.t.p_greater for pair, _ in found.values()])
    rows = [_difference_row(d, *both, float(p)) for (d, both), p in zip(found.items(), corrected, strict=True)]
    columns = (
        Column("dataset", "dataset"),
        Column("n", "inputs", "count"),
        Column("mean_a", "A", "number", minor=True),
        Column("mean_b", "B", "number", minor=True),
        Column("difference", "A - B", "signed"),
        Column("ci", f"{100 * level:g} % CI", "signed_interval"),
        Column("p_greater", "p (A > B)", "small_p"),
        Column("p_two_sided", "p two-sided", "small_p"),
        Column("p_holm", "p (A > B, Holm)", "small_p", minor=True, hidden=len(rows) == 1),
        Column("mixed", "mixed model", "signed"),
        Column("mixed_p_greater", "its p (A > B)", "small_p"),
        Column("mixed_ci", f"its {100 * level:g} % CI", "signed_interval", minor=True),
        Column("p_wilcoxon", "p Wilcoxon", "small_p", minor=True),
        Column("cohen_dz", "d_z", "signed", minor=True),
        Column("detectable", "detectable", "number", minor=True),
        *(
            Column(k, k, "number", hidden=True)
            for k in ("std_error", "t", "rater_sd", "input_sd", "residual_sd", "mixed_p_two_sided")
        ),
        Column("p_by_image", "p two-sided, by image", "small_p", hidden=True),
        Column("ci_bca", "BCa CI", "signed_interval", hidden=True),
        Column("n_raters", "raters", "count", hidden=True),
        Column("note", "note", hidden=True),
    )
    return Table(f"ratings: A = {a}, B = {b}", columns, tuple(rows), (*ratings.notes, *_difference_notes(found)))


def _difference_row(dataset: str, pair: RatingDifference, mixed: MixedDifference, p_holm: float) -> Row:
    t = pair.tests.t
    values: dict[str, Any] = {
        "dataset": dataset,
        "n": pair.n,
        "mean_a": pair.mean_a,
        "mean_b": pair.mean_b,
        "difference": t.mean,
        "ci": (pair.low, pair.high),
        "p_greater": t.p_greater,
        "p_two_sided": t.p_two_sided,
        "p_holm": p_holm,
        "mixed": mixed.mean,
        "mixed_p_greater": mixed.p_greater,
        "mixed_ci": (mixed.low, mixed.high),
        "mixed_p_two_sided": mixed.p_two_sided,
        "p_wilcoxon": pair.tests.p_wilcoxon,
        "cohen_dz": pair.tests.cohen_dz,
        "detectable": pair.tests.detectable,
        "std_error": t.std_error,
        "t": t.t,
        "rater_sd": mixed.rater_sd,
        "input_sd": mixed.input_sd,
        "residual_sd": mixed.residual_sd,
        "p_by_image": pair.by_image.p_two_sided if pair.by_image else None,
        "ci_bca": pair.tests.bca,
        "n_raters": mixed.n_raters,
        "note": mixed.note,
    }
    return Row(values)


def _difference_notes(found: dict[str, tuple[RatingDifference, MixedDifference]]) -> list[str]:
    by_note: dict[str, list[str]] = {}
    for dataset, (_, mixed) in found.items():
        if mixed.note:
            by_note.setdefault(mixed.note if mixed.fitted else f"no mixed model: {mixed.note}", []).append(dataset)
    pair = next(iter(found.values()))[0]
    return [
        *(f"{', '.join(datasets)}: {note}" for note, datasets in by_note.items()),
        f"Paired by input; p by a paired t-test, one-sided and two-sided; {100 * pair.level:g} % interval by a bootstrap over "
        "inputs (percentile); the mixed model has an effect of every input and of every rater.",
        "detectable: the true difference that a two-sided test at 5 % would find in 80 of 100 studies of this size.",
    ]


def histogram_table(ratings: Ratings) -> Table:
    """How often each score was given, by dataset and model, in shares of its ratings (figures 11 and 18)."""
    rows = []
    for dataset, frame in _by_dataset(ratings):
        for model, group in frame.groupby("model", sort=False):
            counts = histogram(group["score"].to_numpy(np.float64))
            shares = {f"share_{s}": float(c / len(group)) for s, c in enumerate(counts, LOWEST)}
            raw = {f"n_{s}": int(c) for s, c in enumerate(counts, LOWEST)}
            rows.append(Row({"dataset": dataset, "model": str(model), "n": len(group), **shares, **raw}))
    steps = range(LOWEST, HIGHEST + 1)
    columns = (
        Column("dataset", "dataset"),
        Column("model", "model"),
        Column("n", "ratings", "count"),
        *(Column(f"share_{s}", str(s), "percent") for s in steps),
        *(Column(f"n_{s}", f"n of {s}", "count", hidden=True) for s in steps),
    )
    return Table("share of each score, in percent", columns, tuple(rows), ratings.notes)


def agreement_table(ratings: Ratings) -> Table:
    """How far raters agree on jobs that several of them rated: deviation within jobs, Krippendorff's alpha (ordinal)."""
    rows = []
    parts = [*_by_dataset(ratings)]
    if len(parts) > 1:
        parts.append((ALL, ratings.scored))
    for dataset, frame in parts:
        scores, jobs = frame["score"].to_numpy(np.float64), frame["job"].to_numpy()
        found = spread(scores, jobs)
        values = {"dataset": dataset, "n_jobs": found.n_jobs, "n_ratings": found.n_ratings, "mean_sd": found.mean_sd}
        values |= {"mean_range": found.mean_range, "alpha": krippendorff_alpha(scores, jobs)}
        rows.append(Row(values, kind="summary" if dataset == ALL else "measured"))
    columns = (
        Column("dataset", "dataset"),
        Column("n_jobs", "jobs of several", "count"),
        Column("n_ratings", "their ratings", "count"),
        Column("mean_sd", "mean sd", "number"),
        Column("mean_range", "mean range", "number"),
        Column("alpha", "alpha", "number"),
    )
    none = (
        () if any(r.values["n_jobs"] for r in rows) else ("No job has ratings of several raters: nothing is known of agreement.",)
    )
    note = "Standard deviation within a job (n - 1), mean over jobs; alpha is Krippendorff's, ordinal: 1 perfect, 0 as by chance."
    return Table("agreement between raters", columns, tuple(rows), (*ratings.notes, *none, note))


def raters_table(ratings: Ratings) -> Table:
    """Every rater: how many, how high, how fast, and the control items, which are wrong masks and should get at most 4."""
    rows = []
    for rater, frame in ratings.frame.groupby("rater", sort=True):
        scored, control = frame[~frame["is_control"]], frame[frame["is_control"]]
        values = {"rater": str(rater), "n": len(scored), "mean": _mean(scored["score"]), "sd": _sd(scored["score"])}
        values |= {"seconds": _median(frame["seconds"]), "n_control": len(control), "control_mean": _mean(control["score"])}
        values |= {"passed": _mean(control["score"] <= PASSES)}
        rows.append(Row(values))
    controls = bool(ratings.frame["is_control"].any())
    columns = (
        Column("rater", "rater"),
        Column("n", "ratings", "count"),
        Column("mean", "mean", "number"),
        Column("sd", "sd", "number"),
        Column("seconds", "median s", "number", hidden=bool(ratings.frame["seconds"].isna().all())),
        Column("n_control", "controls", "count", hidden=not controls),
        Column("control_mean", "their mean", "number", hidden=not controls),
        Column("passed", "passed %", "percent", hidden=not controls),
    )
    note = (f"Control items are wrong masks: passed with a score of at most {PASSES}.",) if controls else ("No control items.",)
    return Table("raters", columns, tuple(rows), (*ratings.notes, *note))


TABLES: dict[str, Callable[[Ratings], Table]] = {
    "means": means_table,
    "histogram": histogram_table,
    "agreement": agreement_table,
    "raters": raters_table,
}


def _by_dataset(ratings: Ratings) -> Iterator[tuple[str, pd.DataFrame]]:
    for dataset, frame in ratings.scored.groupby("dataset", sort=False):
        yield str(dataset), frame


def _mean(values: pd.Series[Any]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _sd(values: pd.Series[Any]) -> float:
    return float(values.std()) if len(values) > 1 else math.nan


def _median(values: pd.Series[Any]) -> float:
    known = values.dropna()
    return float(known.median()) if len(known) else math.nan
