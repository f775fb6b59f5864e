"""Figure 6: masks per image, relative size, and concavity at one mix of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from sambench.layout import style
from sambench.metrics.properties import (
    Histogram,
    concavity_histogram,
    masks_per_image,
    size_histogram,
)
from sambench.report.dataset_properties import MAX_IMAGES, NOT_NAMED, Properties, measured, notes_on
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import (
    Inputs,
    shown_name,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sizes(definition: Definition, inputs: Inputs) -> Section:
    """Figure 6: masks per image, relative size, and concavity at one mix of sizes. options: reference (a dataset)."""
    found, why = measured(inputs, int(definition.options.get("max_images", MAX_IMAGES)))
    if not found:
        return definition.filled(absent=tuple(why) or (NOT_NAMED,))
    wanted = definition.options.get("reference", "")
    reference = next((p for p in found if p.dataset == wanted), found[0])
    kinds: list[tuple[str, list[tuple[Properties, Histogram]]]] = [
        ("masks per image", [(p, masks_per_image(p.counts)) for p in found]),
        ("relative size of a mask", [(p, size_histogram(p.masks.relative_size)) for p in found]),
        ("concavity", [(p, _concavity(p, reference)) for p in found]),
    ]
    rows = [
        (kind, p.dataset, float(h.edges[i]), float(h.edges[i + 1]), float(h.share[i]))
        for kind, held in kinds
        for p, h in held
        for i in range(len(h.share))
    ]
    notes = ["Relative size: square root of the mask's area over the image's. Concavity: 1 - area / area of the convex hull."]
    if len(found) > 1:
        notes.append(f"Concavity is weighted to the mix of relative sizes of {reference.dataset}.")
    picture = Picture(
        definition.id,
        "Masks per image, relative size of masks, and concavity",
        f"Distributions of {', '.join(p.dataset for p in found)}",
        lambda figure: _draw_sizes(figure, kinds),
        ("property", "dataset", "from", "to", "share"),
        tuple(rows),
        (8.4, 3.0),
        (*notes, *notes_on(found)),
    )
    return definition.filled(pictures=(picture,), absent=tuple(why))


def _concavity(p: Properties, reference: Properties) -> Histogram:
    if p is reference:
        return concavity_histogram(p.masks.concavity)
    return concavity_histogram(p.masks.concavity, p.masks.relative_size, like=reference.masks.relative_size)


def _draw_sizes(figure: Figure, kinds: Sequence[tuple[str, Sequence[tuple[Properties, Histogram]]]]) -> None:
    grid = figure.subplots(1, len(kinds))
    for axes, (label, held) in zip(grid, kinds, strict=True):
        for i, (properties, histogram) in enumerate(held):
            edges, share = np.asarray(histogram.edges, np.float64), 100 * np.asarray(histogram.share, np.float64)
            if not np.isfinite(edges[-1]):  # named bins: points joined by lines
                axes.plot(range(len(share)), share, **style.series(i), label=shown_name(properties.dataset))
            else:
                look = style.series(i) | {"marker": "none", "drawstyle": "steps-mid"}
                axes.plot((edges[:-1] + edges[1:]) / 2, share, **look, label=shown_name(properties.dataset))
        edges = np.asarray(held[0][1].edges, np.float64)
        if not np.isfinite(edges[-1]):
            names = [f"≥{a:g}" if np.isinf(b) else f"{a:g}–{b - 1:g}" for a, b in pairwise(edges)]
            axes.set_xticks(range(len(names)), names, fontsize=7.5)
        else:
            axes.set_yscale("log")
            axes.set_xlim(0, 1)
        axes.set(xlabel=label)
        axes.grid(axis="y")
    grid[0].set(ylabel="percent of images", ylim=(0, None))
    ranges = [axes.get_ylim() for axes in grid[1:]]
    for axes in grid[1:]:  # both are of masks: one scale
        axes.set(ylabel="percent of masks", ylim=(min(low for low, _ in ranges), max(high for _, high in ranges)))
    style.legend_above(grid[0])


SECTION = sizes
