"""Pictures and lists of instance runs, from stored rows: precision over recall, and AP by category with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sambench.errors import RunError
from sambench.files.writing import write_aside, write_csv
from sambench.layout import style
from sambench.metrics.bootstrap import Float64Array, percentile_interval
from sambench.metrics.instances import RECALLS, THRESHOLDS
from sambench.results.draws import scored, values_and_draws
from sambench.results.names import line_names
from sambench.store.metric_rows import StoredRows
from sambench.store.views import CellView
from sambench.tasks.instance_measures import ApMeasure, matched
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 40  # categories in the picture; the list has all
_AT = {"IoU .50": 0.5, "IoU .75": 0.75, "mean of .50 to .95": None}
_LINES = ("--", ":", "-")

Curves = dict[str, Float64Array]  # precision [101] by name, over RECALLS


class _Category(NamedTuple):
    name: str
    n_objects: int
    ap: float
    low: float
    high: float


def precision_curves(cell: CellView) -> Curves:
    """Mean over categories of the precision of masks at each recall 0, .01, ..., 1, at IoU .50 and .75 and as the mean of all
    thresholds: the area under each is its AP. Raises RunError where there is no object."""
    found = matched(StoredRows(cell.task, cell.store, cell.wanted), cell.task.settings, "mask").counted.evaluation()
    precision = found.precision[:, :, :, 0, -1]  # [T, R, K]
    precision = precision[:, :, (precision > -1).all(axis=(0, 1))]
    if not precision.size:
        what, remedy = f"{cell.dataset}, {cell.label}: there is nothing to draw", "issue the run's command again"
        raise RunError(what, where=cell.path, found="no objects", remedy=remedy)
    by_threshold = precision.mean(axis=2)
    return {
        name: by_threshold[np.isclose(THRESHOLDS, t)][0] if t is not None else by_threshold.mean(axis=0) for name, t in _AT.items()
    }


def write_curve(cells: Sequence[CellView], folder: Path) -> list[Path]:
    """precision.png, a colour a run; precision.csv, a row per run, threshold and recall. Returns both."""
    curves = [precision_curves(cell) for cell in cells]
    png = write_aside(folder / "precision.png", lambda path: _draw_curves(cells, curves, path))
    header = ("model", "run", "dataset", "threshold", "recall", "precision")
    rows = [
        (cell.label, cell.run_name, cell.dataset, name, float(r), float(p))
        for cell, found in zip(cells, curves, strict=True)
        for name, precision in found.items()
        for r, p in zip(RECALLS, precision, strict=True)
    ]
    return [png, write_csv(folder / "precision.csv", header, rows)]


def _draw_curves(cells: Sequence[CellView], curves: Sequence[Curves], path: Path) -> None:
    from matplotlib.figure import Figure

    with style.styled():
        figure = Figure(figsize=(6.4, 5.0), layout="constrained")
        axes = figure.add_subplot()
        for i, (name, found) in enumerate(zip(line_names(cells), curves, strict=True)):
            for precision, line in zip(found.values(), _LINES, strict=True):
                label = f"{name}: AP {100 * precision.mean():.1f}" if line == "-" else None
                axes.plot(100 * RECALLS, 100 * precision, line, color=style.colour(i), label=label)
        for name, line in zip(_AT, _LINES, strict=True):
            axes.plot([], [], line, color=style.INK, label=name)
        axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="recall in %", ylabel="precision in %, mean over categories")
        axes.set_title(", ".join(dict.fromkeys(c.dataset for c in cells)))
        axes.grid()
        figure.legend(loc="outside lower left", alignment="left", ncols=2)
        path.write_bytes(style.saved(figure, "png", dpi=160))


def write_categories(cells: Sequence[CellView], folder: Path, bootstrap: Bootstrap = Bootstrap()) -> list[Path]:  # noqa: B008 - frozen
    """categories.png, AP of masks by category with intervals, those with most objects; categories.csv, all. Returns both."""
    found = [_categories(cell, bootstrap) for cell in cells]
    png = write_aside(folder / "categories.png", lambda path: _draw_categories(cells, found, path))
    header = ("model", "run", "dataset", "category", "n_objects", "ap", "ci_low", "ci_high")
    rows = [(c.label, c.run_name, c.dataset, *row) for c, of in zip(cells, found, strict=True) for row in of]
    return [png, write_csv(folder / "categories.csv", header, rows)]


def _categories(cell: CellView, bootstrap: Bootstrap) -> list[_Category]:
    """Most objects first. No interval where they are in one cluster: nothing is known then of how clusters vary."""
    found = scored(cell, ApMeasure(cell.task.settings, by_category=True))
    values, drawn = values_and_draws(found, bootstrap.n_resamples, bootstrap.seed)
    out = []
    for score, value, draws in zip(found.scores, values, drawn.T, strict=True):
        known = draws[~np.isnan(draws)]
        low, high = math.nan, math.nan
        if len(known) > 1:  # of a single draw nothing is known of how it varies
            low, high = percentile_interval(known, level=bootstrap.level, n_clusters=score.n_clusters or 0)
        out.append(_Category(score.name, score.n_objects or 0, float(value), low, high))
    return sorted(out, key=lambda c: (-c.n_objects, c.name))


def _draw_categories(cells: Sequence[CellView], found: Sequence[list[_Category]], path: Path) -> None:
    from matplotlib.figure import Figure

    of: dict[str, int] = {}
    for category in (c for one in found for c in one):
        of[category.name] = max(of.get(category.name, 0), category.n_objects)
    names = sorted(of, key=lambda name: (-of[name], name))[:SHOWN]
    with style.styled():
        figure = Figure(figsize=(6.4, 1.4 + 0.22 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        for i, (name, one) in enumerate(zip(line_names(cells), found, strict=True)):
            _dots(axes, one, names, (i - (len(cells) - 1) / 2) * min(0.3, 0.7 / len(cells)), i, name)
        axes.set_yticks(range(len(names)), [f"{name} ({of[name]:,})" for name in names])
        axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5), xlabel="AP of masks in %; lines: 95 % intervals")
        more = f", the {SHOWN} with most objects" if len(of) > SHOWN else ""
        axes.set_title(", ".join(dict.fromkeys(c.dataset for c in cells)) + f": categories (objects){more}")
        axes.grid(axis="x")
        figure.legend(loc="outside lower left", alignment="left")
        path.write_bytes(style.saved(figure, "png", dpi=160))


def _dots(axes: Axes, found: Sequence[_Category], names: Sequence[str], shift: float, i: int, label: str) -> None:
    here = {c.name: c for c in found}
    y: Any = [n + shift for n, name in enumerate(names) if name in here]
    shown = [here[name] for name in names if name in here]
    axes.plot([100 * c.ap for c in shown], y, "o", ms=4, clip_on=False, color=style.colour(i), label=label)
    for at, c in zip(y, shown, strict=True):
        if not math.isnan(c.low):
            axes.plot([100 * c.low, 100 * c.high], [at, at], "-", lw=1, color=style.colour(i))


