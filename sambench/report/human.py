"""The human study: table 8, and figures 9b, 11 and 18."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.paper.published import PublishedValue, published
from sambench.report import style
from sambench.report.definitions import Definition
from sambench.report.document import Column, Picture, Row, Section, Table, Value
from sambench.report.inputs import Inputs, shown_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from sambench.rating.statistics import Ratings

NO_RATINGS = "no ratings given (--ratings FILE)"
NOT_RATED = "not among the ratings given"
PANELS_ACROSS = 3
GROUND_TRUTH = "ground_truth"


def _ratings(inputs: Inputs) -> list[Ratings]:
    """The files, each read and checked once a report."""
    from sambench.rating.statistics import read_ratings

    if "ratings" not in inputs.cache:
        inputs.cache["ratings"] = [read_ratings(path, key=inputs.key) for path in inputs.ratings]
    held: list[Ratings] = inputs.cache["ratings"]
    return held


def _scored(inputs: Inputs, prompt: str | None = None) -> pd.DataFrame:
    """The ratings of all files that count, of one kind of prompt if given."""
    import pandas as pd

    frame = pd.concat([r.scored for r in _ratings(inputs)], ignore_index=True)
    return frame if prompt is None else frame[frame["prompt"] == prompt]


def _notes(inputs: Inputs) -> tuple[str, ...]:
    names = ", ".join(p.name for p in inputs.ratings)
    return (f"Ratings: {names}.", *(n for r in _ratings(inputs) for n in r.notes))


def rating_table(definition: Definition, inputs: Inputs) -> Section:
    """Table 8: the difference of mean ratings with its 99 % interval and p-value. options: published (a table of published.toml),
    model, baseline, single_output (names in the ratings; --rated gives others)."""
    options = definition.options
    model, *others = inputs.rated or (options["model"], options["baseline"], options["single_output"])
    values = published(options["published"])
    variants = ("baseline", "single_output")
    measured, absent = {}, [] if inputs.ratings else [f"Not measured: {NO_RATINGS}."]
    for variant, other in zip(variants, others, strict=False):
        if inputs.ratings:
            measured[variant], why = _differences(inputs, model, other)
            absent += [f"{model} over {other}: {why}."] if why else []
    columns = [Column("dataset", "dataset")]
    for variant, label in zip(variants, ("the baseline", "the single output"), strict=True):
        columns.append(Column(f"published:{variant}", "99 % CI", "signed_interval", f"SAM over {label}, published"))
        columns.append(Column(f"published:{variant}_p", "p", "small_p", f"SAM over {label}, published"))
    for variant, other in zip(variants, others, strict=False):
        if measured.get(variant):
            columns.append(Column(f"{variant}:difference", "difference", "signed", f"{model} over {other}"))
            columns.append(Column(f"{variant}:ci", "99 % CI", "signed_interval", f"{model} over {other}"))
            columns.append(Column(f"{variant}:p", "p", "small_p", f"{model} over {other}"))
    datasets = dict.fromkeys([v.dataset for v in values] + [d for by in measured.values() for d in by])
    rows = [_row(d, [v for v in values if v.dataset == d], measured) for d in datasets]
    notes = [
        "p: paired t-test, one-sided in the direction that the first is rated higher.",
        *(_notes(inputs) if inputs.ratings else ()),
    ]
    table = Table(definition.id, definition.title, tuple(columns), tuple(rows), tuple(notes))
    return Section(definition.id, definition.title, definition.source, definition.text, (table,), absent=tuple(absent))


def _row(dataset: str, held: Sequence[PublishedValue], measured: dict[str, dict[str, Any]]) -> Row:
    row: dict[str, Value | str | None] = {"dataset": shown_name(dataset)}
    for variant in ("baseline", "single_output"):
        spans = [(v.low, v.high) for v in held if v.metric == "rating_difference" and v.variant == variant]
        ps = [v.value for v in held if v.metric == "p_value" and v.variant == variant]
        row[f"published:{variant}"] = Value(spans[0] if spans else None, reason="not published")
        row[f"published:{variant}_p"] = Value(ps[0] if ps else None, reason="not published")
        found = measured.get(variant, {}).get(dataset)
        gap = Value(reason=NOT_RATED)
        row[f"{variant}:difference"] = Value(found.mean_a - found.mean_b, detail=f"{found.n} inputs") if found else gap
        row[f"{variant}:ci"] = Value((found.low, found.high)) if found else gap
        row[f"{variant}:p"] = Value(found.tests.t.p_greater) if found else gap
    return Row(row, "measured" if any(dataset in by for by in measured.values()) else "published")


def _differences(inputs: Inputs, a: str, b: str) -> tuple[dict[str, Any], str]:
    """`metrics.ratings.RatingDifference` by dataset over all files, or why there is none."""
    from sambench.errors import UsageError
    from sambench.rating.tables import differences

    out: dict[str, Any] = {}
    why = ""
    for ratings in _ratings(inputs):
        try:
            out |= {dataset: pair for dataset, (pair, _) in differences(ratings, a, b).items()}
        except UsageError as e:
            why = e.message
    return out, "" if out else why


@dataclass(frozen=True)
class _Mean:
    dataset: str
    model: str
    mean: float
    low: float
    high: float
    n: int


def rating_means(definition: Definition, inputs: Inputs) -> Section:
    """Figure 9b: mean rating with its 95 % interval, by dataset and model."""
    from sambench.metrics.ratings import mean_rating

    if not inputs.ratings:
        return _no_ratings(definition)
    means = []
    for (dataset, model), group in _scored(inputs).groupby(["dataset", "model"], sort=False):
        found = mean_rating(group.groupby("job")["score"].mean().to_numpy(np.float64))
        means.append(_Mean(str(dataset), str(model), found.mean, found.low, found.high, found.n))
    datasets = list(dict.fromkeys(m.dataset for m in means))
    models = sorted({m.model for m in means}, key=lambda name: -float(np.mean([m.mean for m in means if m.model == name])))
    picture = Picture(
        definition.id,
        "Mean ratings of masks, from 1 to 10",
        f"Mean ratings of {', '.join(models)} on {len(datasets)} datasets",
        lambda figure: _draw_means(figure, means, datasets, models),
        ("dataset", "model", "mean", "ci_low", "ci_high", "n_masks"),
        tuple((m.dataset, m.model, m.mean, m.low, m.high, m.n) for m in means),
        (4.7, 0.9 + 0.2 * len(datasets) * (len(models) + 1) * 0.8),
        ("Points: mean over masks, several ratings of a mask averaged; lines: 95 % interval over masks.", *_notes(inputs)),
    )
    return Section(definition.id, definition.title, definition.source, definition.text, (), (picture,))


def _draw_means(figure: Figure, means: Sequence[_Mean], datasets: Sequence[str], models: Sequence[str]) -> None:
    axes = figure.add_subplot()
    step = 0.8 / len(models)
    for i, model in enumerate(models):
        held = [m for m in means if m.model == model]
        y = [-datasets.index(m.dataset) + 0.4 - step * (i + 0.5) for m in held]
        x = np.array([m.mean for m in held])
        spans = [x - [m.low for m in held], np.array([m.high for m in held]) - x]
        axes.errorbar(x, y, xerr=spans, **style.series(_place(i, model), line=False), label=model, elinewidth=1.1, capsize=0)
    axes.set_yticks([-i for i in range(len(datasets))], [shown_name(d) for d in datasets])
    axes.set(xlabel="mean rating", ylim=(-len(datasets) + 0.4, 0.6))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for edge in range(len(datasets) - 1):
        axes.axhline(-edge - 0.5, color=style.GRID, lw=0.7)
    axes.grid(axis="x")
    style.legend_above(axes)


def rating_histograms(definition: Definition, inputs: Inputs) -> Section:
    """Figures 11 and 18: the share of each score, a panel a dataset. options: prompt (point or box)."""
    from sambench.metrics.ratings import histogram

    if not inputs.ratings:
        return _no_ratings(definition)
    prompt = definition.options["prompt"]
    frame = _scored(inputs, prompt)
    if frame.empty:
        return _absent(definition, f"Not measured: no ratings of masks from a {prompt} are among those given.")
    datasets = list(dict.fromkeys(frame["dataset"]))
    models = sorted(set(frame["model"]), key=lambda m: (m == GROUND_TRUTH, m))
    counts = {
        (str(d), str(m)): histogram(g["score"].to_numpy(np.float64))
        for (d, m), g in frame.groupby(["dataset", "model"], sort=False)
    }
    shares = {key: n / n.sum() for key, n in counts.items()}
    across = min(PANELS_ACROSS, len(datasets))
    down = -(-len(datasets) // across)
    picture = Picture(
        definition.id,
        f"Ratings of masks from a {prompt}: share of each score",
        f"Histograms of ratings of {', '.join(models)} on {len(datasets)} datasets",
        lambda figure: _draw_histograms(figure, shares, datasets, models, across, down),
        ("dataset", "model", "score", "n", "share"),
        tuple((d, m, s + 1, int(counts[d, m][s]), float(shares[d, m][s])) for d, m in counts for s in range(10)),
        (max(4.7, 2.4 * across), 0.5 + 1.7 * down),
        _notes(inputs),
    )
    return Section(definition.id, definition.title, definition.source, definition.text, (), (picture,))


def _draw_histograms(
    figure: Figure, shares: dict[tuple[str, str], Any], datasets: Sequence[str], models: Sequence[str], across: int, down: int
) -> None:
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    width = 0.84 / len(models)
    scores = np.arange(1, 11)
    for at, axes in enumerate(grid.flat):
        if at >= len(datasets):
            axes.set_visible(False)
            continue
        for i, model in enumerate(models):
            held = shares.get((datasets[at], model))
            if held is not None:
                axes.bar(scores - 0.42 + width * (i + 0.5), 100 * held, width, color=style.colour(_place(i, model)), label=model)
        axes.set_title(shown_name(datasets[at]))
        axes.set_xticks(scores)
        axes.tick_params(labelbottom=True)
        axes.grid(axis="y")
    for row in grid:
        row[0].set_ylabel("percent")
    style.legend_above(grid[0][0], handle=1.0)


def _place(i: int, model: str) -> int:
    """A model's place in the palette: ground truth is grey, whatever stands beside it."""
    return len(style.COLOURS) - 1 if model == GROUND_TRUTH else i


def _no_ratings(definition: Definition) -> Section:
    return _absent(definition, f"Not measured: {NO_RATINGS}.")


def _absent(definition: Definition, why: str) -> Section:
    return Section(definition.id, definition.title, definition.source, definition.text, absent=(why,))
