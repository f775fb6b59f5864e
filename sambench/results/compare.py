"""Two runs on the same objects or images: is the difference real? Paired, by dataset, clusters resampled whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sambench.errors import UsageError
from sambench.metrics.bootstrap import Float64Array, PairedDifference, resampled_means
from sambench.metrics.paired import PairedTests, holm, paired_tests
from sambench.results.compare_sets import set_differences
from sambench.results.comparison_notes import notes_of, subset_note
from sambench.results.comparison_table import ComparisonTable, Difference, MeanDifference
from sambench.results.measures import default_metric, measure_of, set_measure_of
from sambench.results.over_datasets import interval_over_datasets, mean_over_datasets
from sambench.results.pairing import by_dataset, pair_objects, refuse_unlike
from sambench.store.views import CellView, partial_notes
from sambench.tasks.set_measures import SetMeasure
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ComparisonTable", "Difference", "compare_cells"]

OF_OBJECTS = Bootstrap(n_resamples=10_000)
OF_SETS = Bootstrap(n_resamples=2_000)  # every draw is scored anew


def compare_cells(
    a: Sequence[CellView],
    b: Sequence[CellView],
    *,
    metric: str = "",
    k: int | None = None,
    per: Literal["object", "image"] = "object",
    bootstrap: Bootstrap | None = None,
    name_a: str | None = None,
    name_b: str | None = None,
) -> ComparisonTable:
    """A minus B on every dataset that both have, paired by (dataset, image, object, k, prompt), or by image.

    metric: one of the task's `object_measures`, as iou_top or `noc@80` (clicks to an IoU, of runs whose settings have that target),
    or of its `set_measures`, as `ap`; empty for the task's first. k: one click count; None for all that both have. per: whether the
    mean is one over objects, or over images of each image's mean. Means are over the paired objects alone; those in one run only
    are counted. p is that of `paired.t_test`, two-sided, alone and with Holm's correction over datasets; of a set's scores see
    `compare_sets`. bootstrap: 10,000 draws where None (2,000 of a set's scores). Partial runs and other subsets are said in the
    notes. Raises UsageError where the runs cannot be compared: another protocol or settings, other annotations, another ground
    truth, no dataset or object in common, several cells for one dataset, an unknown metric or k.
    """
    pairs = _pair_cells(a, b)
    metric = metric or default_metric(a)
    by_set = set_measure_of(pairs[0][0], metric)
    if by_set and (k is not None or per == "image"):
        expected = "a metric by object, as " + (next(iter(pairs[0][0].task.object_measures()), "") or "other tasks have")
        where, given = ("-k", str(k)) if k is not None else ("--per", per)
        raise UsageError(f"{metric} is a score of all images together", where=where, expected=expected, found=given)
    drawn = bootstrap or (OF_SETS if by_set else OF_OBJECTS)
    found = _of_sets(pairs, metric, by_set, drawn) if by_set else _of_objects(pairs, metric, k, per, drawn)
    notes = [*found.notes, *notes_of(a, b, pairs, found)]
    names = (name_a or _name(a), name_b or _name(b))
    warnings = partial_notes([c for pair in pairs for c in pair])
    return replace(found, name_a=names[0], name_b=names[1], notes=tuple(notes), warnings=tuple(warnings))


def _of_objects(
    pairs: Sequence[tuple[CellView, CellView]], metric: str, k: int | None, per: str, bootstrap: Bootstrap
) -> ComparisonTable:
    differences: list[Difference] = []
    notes: list[str] = []
    draws: dict[int | None, list[Any]] = {}
    unit = measure_of(pairs[0][0], metric).unit
    for i, (cell_a, cell_b) in enumerate(pairs):
        both = pair_objects(cell_a, cell_b, metric, k)
        notes += subset_note(cell_a, cell_b)
        rows = both.by_image() if per == "image" else both.rows
        for count, paired, tests, drawn in _by_clicks(rows, bootstrap, seed=[bootstrap.seed, i]):
            clicks = None if unit == "clicks" else count
            partial = _is_partial(cell_a, cell_b)
            differences.append(Difference(cell_a.dataset, clicks, paired, tests, math.nan, *both.alone(count), partial))
            draws.setdefault(clicks, []).append((paired, drawn))
    differences = _corrected(differences)
    means = [_mean(clicks, found, bootstrap.level) for clicks, found in draws.items() if 1 < len(pairs) == len(found)]
    images = per == "image" or pairs[0][0].task.object_measures()[metric].of_images
    title = f"{metric}, mean by image" if per == "image" else metric
    counted = "images" if images else "objects"
    return ComparisonTable("", "", title, unit, bootstrap.level, tuple(differences), tuple(means), tuple(notes), counted=counted)


def _of_sets(
    pairs: Sequence[tuple[CellView, CellView]], metric: str, measure: SetMeasure, bootstrap: Bootstrap
) -> ComparisonTable:
    differences: list[Difference] = []
    notes: list[str] = []
    draws: dict[str, list[Any]] = {}
    for i, (cell_a, cell_b) in enumerate(pairs):
        notes += subset_note(cell_a, cell_b)
        for found, drawn in set_differences(cell_a, cell_b, measure, bootstrap, seed=[bootstrap.seed, i]):
            differences.append(replace(found, partial=_is_partial(cell_a, cell_b)))
            draws.setdefault(found.score, []).append((found.paired, drawn))
    differences = _corrected(differences, together=measure.by_category)
    several = len(pairs) > 1 and not measure.by_category
    means = [_mean(None, of, bootstrap.level, name) for name, of in draws.items() if several and len(of) == len(pairs)]
    out = ComparisonTable("", "", metric, "fraction", bootstrap.level, tuple(differences), tuple(means), tuple(notes))
    return replace(out, counted=measure.counted, by_category=measure.by_category)


def _is_partial(a: CellView, b: CellView) -> bool:
    return bool(a.partial_reasons() or b.partial_reasons())


def _by_clicks(
    joined: pd.DataFrame, bootstrap: Bootstrap, *, seed: list[int]
) -> Iterator[tuple[int, PairedDifference, PairedTests, Float64Array]]:
    """(k, difference, tests, the bootstrap's means) of every click count, all with the same draws of clusters."""
    objects = ["image_id", "object_id"]
    wide = joined.assign(difference=joined["value_a"] - joined["value_b"]).pivot(index=objects, columns="k", values="difference")
    clusters = joined.groupby(objects)["cluster_id"].first().reindex(wide.index).to_numpy()
    drawn = resampled_means(wide.to_numpy(np.float64), clusters, n_resamples=bootstrap.n_resamples, seed=seed)
    for j, (count, rows) in enumerate(joined.groupby("k", sort=True)):
        va, vb = (rows[c].to_numpy(np.float64) for c in ("value_a", "value_b"))
        means = drawn[:, j]
        tests = paired_tests(va - vb, rows["cluster_id"].to_numpy(), level=bootstrap.level, draws=means[~np.isnan(means)])
        mean_a, mean_b = (math.fsum(v) / len(v) for v in (va, vb))
        t = tests.t
        paired = PairedDifference(
            t.mean, *tests.percentile, t.p_two_sided, mean_a, mean_b, t.std_error, n=len(rows), n_clusters=t.df + 1
        )
        yield int(str(count)), paired, tests, means


def _corrected(differences: Sequence[Difference], *, together: bool = False) -> list[Difference]:
    """With Holm's correction over the datasets at each click count or of each score, or over all of them together."""
    p = np.full(len(differences), np.nan)
    family = [None if together else (d.k, d.score) for d in differences]
    for one in set(family):
        at = [i for i, of in enumerate(family) if of == one]
        p[at] = holm([differences[i].paired.p_value for i in at])
    return [replace(d, p_holm=float(x)) for d, x in zip(differences, p, strict=True)]


def _mean(k: int | None, found: list[tuple[PairedDifference, Any]], level: float, score: str = "") -> MeanDifference:
    draws = [None if p.n_clusters < 2 else drawn for p, drawn in found]
    return MeanDifference(k, mean_over_datasets([p.mean for p, _ in found]), *interval_over_datasets(draws, level), score)


def _name(cells: Sequence[CellView]) -> str:
    return ", ".join(dict.fromkeys(c.run_name if c.label == c.model else f"{c.label} ({c.run_name})" for c in cells))


def _pair_cells(a: Sequence[CellView], b: Sequence[CellView]) -> list[tuple[CellView, CellView]]:
    """Cells of one dataset in both, in A's order."""
    by_a, by_b = by_dataset(a, "A"), by_dataset(b, "B")
    pairs = [(by_a[d], by_b[d]) for d in by_a if d in by_b]
    if not pairs:
        raise UsageError(
            "the two runs have no dataset in common",
            expected="the same dataset (and variant) in both",
            found=f"A: {', '.join(by_a)}; B: {', '.join(by_b)}",
        )
    for pair in pairs:
        refuse_unlike(*pair)
    return pairs
