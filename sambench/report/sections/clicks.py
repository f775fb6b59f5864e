"""Figures 9c and 9d: mIoU over the number of clicks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sambench.layout import style
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import (
    Inputs,
    runs_of,
)
from sambench.report.suite_curves import Curve, Systems, curves_of, named_lines, shared_datasets

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def clicks(definition: Definition, inputs: Inputs) -> Section:
    """Figures 9c and 9d: mIoU over the number of clicks. options: prompt (center or random)."""
    prompt = definition.options["prompt"]
    systems: Systems = inputs.point(prompt)
    measured = {s: by for s, by in systems.items() if any(e.row("miou", variant="top") for e in by.values())}
    if not measured:
        absent = inputs.none("point", f"the point task with {prompt} clicks")
        return definition.filled(absent=(absent,))
    datasets, note = shared_datasets(measured, inputs)
    if not datasets:
        return definition.filled(absent=(note,))
    entries = [[by[d] for d in datasets] for by in measured.values()]
    named = named_lines(entries, measured)
    curves = [curves_of(of, inputs.bootstrap) for of in entries]
    lines = [(name, *found) for (_, name), found in zip(named, curves, strict=True)]
    header = ("model", "clicks", "variant", "miou", "ci_low", "ci_high", "n_datasets")
    rows = [
        (label, k, variant, *(100 * v for v in value), len(datasets))
        for (label, _), (top, oracle) in zip(named, curves, strict=True)
        for variant, curve in (("top", top), ("oracle", oracle))
        for k, value in curve.items()
    ]
    picture = Picture(
        definition.id,
        f"mIoU over the number of clicks, first click {'in the centre' if prompt == 'center' else 'at random'}",
        f"Line chart of mIoU over clicks for {', '.join(s.name for s in measured)}",
        lambda figure: _draw_curves(figure, lines),
        header,
        tuple(rows),
        (4.7, 3.5),
        (
            note,
            "Lines: the mask that the model ranks first, bands the 95 % interval. Hollow marks: the best of its masks (oracle).",
        ),
        runs_of(e for of in entries for e in of),
    )
    return definition.filled(pictures=(picture,))


def _draw_curves(figure: Figure, lines: Sequence[tuple[str, Curve, Curve]]) -> None:
    axes = figure.add_subplot()
    counts = sorted({k for _, top, _ in lines for k in top})
    for i, (label, top, oracle) in enumerate(lines):
        ks = sorted(top)
        x = [counts.index(k) for k in ks]
        axes.fill_between(x, [100 * top[k][1] for k in ks], [100 * top[k][2] for k in ks], color=style.colour(i), alpha=0.13, lw=0)
        axes.plot(x, [100 * top[k][0] for k in ks], **style.series(i), label=label, zorder=3)
        hollow: dict[str, Any] = {"mfc": "white", "mec": style.colour(i), "mew": 1.3, "zorder": 4}
        points = [(counts.index(k), 100 * v[0]) for k, v in oracle.items() if k in counts]
        axes.plot(*zip(*points, strict=True), style.MARKERS[i % len(style.MARKERS)], **hollow) if points else None
    if any(oracle for _, _, oracle in lines):
        axes.plot([], [], "o", mfc="white", mec=style.INK, mew=1.3, label="hollow: best of its masks (oracle)")
    axes.set_xticks(range(len(counts)), [str(k) for k in counts])
    axes.set(xlabel="clicks", ylabel="mIoU, percent", xlim=(-0.25, len(counts) - 0.75))
    axes.grid(axis="y")
    style.legend_above(axes)


SECTION = clicks
