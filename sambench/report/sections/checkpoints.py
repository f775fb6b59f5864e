"""Figure 13: a series of checkpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.layout import style
from sambench.paper.evidence import Entry, System
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import (
    Inputs,
    runs_of,
)
from sambench.report.suite_curves import Systems, curves_of, named_lines, shared_datasets

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST_NAMED = 6  # of more the names stand upright


def checkpoints(definition: Definition, inputs: Inputs) -> Section:
    """Figure 13: a series of checkpoints, mean mIoU at the fewest clicks with the oracle. options: series (model ids, in order)."""
    found, absent = _series(definition, inputs)
    if absent:
        return definition.filled(absent=(absent,))
    datasets, note = shared_datasets(found, inputs)
    if not datasets:
        return definition.filled(absent=(note,))
    curves = [curves_of([by[d] for d in datasets], inputs.bootstrap) for by in found.values()]
    at = min((k for top, _ in curves for k in top), default=1)
    named = named_lines([[by[d] for d in datasets] for by in found.values()], found)
    points = [(name, top.get(at), oracle.get(at)) for (_, name), (top, oracle) in zip(named, curves, strict=True)]
    rows = tuple(
        (label, variant, *(100 * v for v in value), len(datasets))
        for (label, _), (_, top, oracle) in zip(named, points, strict=True)
        for variant, value in (("top", top), ("oracle", oracle))
        if value is not None
    )
    picture = Picture(
        definition.id,
        f"mIoU {_prompted(found, at)} over a series of checkpoints",
        f"Chart of mIoU for {', '.join(s.name for s in found)}",
        lambda figure: _draw_series(figure, points, "checkpoint" if inputs.checkpoints else ""),
        ("model", "variant", "miou", "ci_low", "ci_high", "n_datasets"),
        rows,
        (max(4.7, min(9.0, 0.3 * len(points))), 3.3),
        (note,),
        runs_of(by[d] for by in found.values() for d in datasets),
    )
    return definition.filled(pictures=(picture,))


def _series(definition: Definition, inputs: Inputs) -> tuple[Systems, str]:
    """The checkpoints in order, each a system with its entries by dataset; or why there are none."""
    if inputs.checkpoints:
        steps: dict[System, dict[str, Entry]] = {}
        for label, cells in inputs.checkpoints:
            results = Counter(c.dataset for c in cells)
            several = ", ".join(f"{n} results on {d}" for d, n in results.items() if n > 1)
            if several:
                return {}, f"Not measured: {label} has {several}, which are not comparable."
            steps[System(label, cells[0].model, label, label)] = {entry.dataset: entry for entry in map(Entry, cells)}
        return steps, "" if len(steps) > 1 else "Not measured: fewer than two checkpoints of that watch were evaluated."
    series = inputs.series or tuple(definition.options.get("series", ()))
    systems: Systems = inputs.point("center")
    found = {s: by for name in series for s, by in systems.items() if s.model == name}
    if len(found) > 1:
        return found, ""
    have = ", ".join(s.model for s in systems) or "none"
    return {}, (
        f"Not measured: fewer than two of the series {', '.join(series)} are among the runs given "
        f"(there are: {have}; --series names others, in order, or the folder of a watch)."
    )


def _prompted(found: Systems, k: int) -> str:
    settings = next(entry for by in found.values() for entry in by.values()).cell.task.settings
    if not k:
        return "from boxes"
    kind = {"center": "centre"}.get(str(getattr(settings, "prompt", "")), str(getattr(settings, "prompt", "")))
    return f"at {'one' if k == 1 else k} {kind} click{'s' if k > 1 else ''}"


def _draw_series(figure: Figure, points: Sequence[tuple[str, Any, Any]], x_label: str) -> None:
    axes = figure.add_subplot()
    for i, (kind, at) in enumerate((("the model's own choice", 1), ("best of its masks (oracle)", 2))):
        if all(p[at] is None for p in points):
            continue
        x = np.arange(len(points))
        mean, low, high = (np.array([100 * p[at][j] if p[at] is not None else np.nan for p in points]) for j in range(3))
        fill = {} if i == 0 else {"mfc": "white", "mew": 1.3, "linestyle": "--"}
        axes.errorbar(x, mean, [mean - low, high - mean], **(style.series(i) | fill), label=kind, capsize=0, elinewidth=0.9)
    many = len(points) > MOST_NAMED
    axes.set_xticks(range(len(points)), [p[0].replace(" (", "\n(") for p in points], rotation=90 if many else 0)
    axes.set(xlabel=x_label, ylabel="mIoU, percent", xlim=(-0.4, len(points) - 0.6))
    axes.grid(axis="y")
    style.legend_above(axes)


SECTION = checkpoints
