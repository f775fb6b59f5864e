"""Properties of datasets: object centres (figure 5), masks per image, relative size and concavity (figure 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.errors import SambenchError
from sambench.metrics.properties import (
    Histogram,
    MaskProperties,
    center_heat_map,
    concavity_histogram,
    mask_properties,
    masks_per_image,
    size_histogram,
)
from sambench.provenance import keyed_order
from sambench.report import style
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import Inputs, shown_name
from sambench.sources.datasets import build, resolve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOT_NAMED = "Not measured: no dataset is named (--properties NAME,NAME)."
MAX_IMAGES = 2000
PANELS_ACROSS = 3


@dataclass(frozen=True)
class _Properties:
    dataset: str
    n_images: int
    n_all: int
    counts: Any
    masks: MaskProperties


def _measured(inputs: Inputs, most: int) -> tuple[list[_Properties], list[str]]:
    """The named datasets' properties, each read once a report; and why some have none."""
    held: dict[str, _Properties] = inputs.cache.setdefault("properties", {})
    why = []
    for name in inputs.masks:
        if name not in held:
            try:
                held[name] = _read(name, most)
            except SambenchError as e:
                why.append(f"{name}: {e.message}.")
    return [held[n] for n in inputs.masks if n in held], why


def _read(name: str, most: int) -> _Properties:
    found = resolve(name)
    dataset = build(found)
    ids = [r.image_id for r in dataset.index()]
    chosen = keyed_order(ids, found.card.id)[:most]
    counts, regions = [], []
    for image_id in chosen:
        sample = dataset.load(image_id)
        counts.append(len(sample.instances))
        regions += [o.region for o in sample.instances]
    return _Properties(name, len(chosen), len(ids), np.array(counts), mask_properties(regions))


def centers(definition: Definition, inputs: Inputs) -> Section:
    """Figure 5: where in the image the centres of objects are. options: bins."""
    found, why = _measured(inputs, int(definition.options.get("max_images", MAX_IMAGES)))
    if not found:
        return _section(definition, (), why or [NOT_NAMED])
    bins = int(definition.options.get("bins", 32))
    maps = [(p, center_heat_map(p.masks.center_xy, bins)) for p in found]
    across = min(PANELS_ACROSS, len(maps))
    down = -(-len(maps) // across)
    rows = [(p.dataset, i, j, float(m[i, j])) for p, m in maps for i in range(bins) for j in range(bins)]
    picture = Picture(
        definition.id,
        "Centres of objects, in fractions of the image",
        f"Heat maps of object centres of {', '.join(p.dataset for p in found)}",
        lambda figure: _draw_maps(figure, maps, across, down),
        ("dataset", "row", "column", "share"),
        tuple(rows),
        (1.9 * across + 0.3, 2.1 * down),
        ("Darker: more centres; each map is scaled to its own largest share.", *_notes(found)),
        raster=True,
    )
    return _section(definition, (picture,), why)


def _draw_maps(figure: Figure, maps: Sequence[tuple[_Properties, Any]], across: int, down: int) -> None:
    grid = figure.subplots(down, across, squeeze=False)
    for at, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if at < len(maps):
            properties, shares = maps[at]
            axes.imshow(shares, cmap="Blues", extent=(0, 1, 1, 0), interpolation="nearest", vmin=0)
            axes.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color=style.FAINT, lw=0.7)
            axes.set_title(f"{shown_name(properties.dataset)} ({len(properties.masks.relative_size):,})", fontsize=8)


def sizes(definition: Definition, inputs: Inputs) -> Section:
    """Figure 6: masks per image, relative size, and concavity at one mix of sizes. options: reference (a dataset)."""
    found, why = _measured(inputs, int(definition.options.get("max_images", MAX_IMAGES)))
    if not found:
        return _section(definition, (), why or [NOT_NAMED])
    wanted = definition.options.get("reference", "")
    reference = next((p for p in found if p.dataset == wanted), found[0])
    kinds: list[tuple[str, list[tuple[_Properties, Histogram]]]] = [
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
        (*notes, *_notes(found)),
    )
    return _section(definition, (picture,), why)


def _concavity(p: _Properties, reference: _Properties) -> Histogram:
    if p is reference:
        return concavity_histogram(p.masks.concavity)
    return concavity_histogram(p.masks.concavity, p.masks.relative_size, like=reference.masks.relative_size)


def _draw_sizes(figure: Figure, kinds: Sequence[tuple[str, Sequence[tuple[_Properties, Histogram]]]]) -> None:
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
    grid[1].set_ylabel("percent of masks")
    grid[2].set_ylabel("percent of masks")
    style.legend_above(grid[0])


def _notes(found: Sequence[_Properties]) -> list[str]:
    parts = [f"{p.dataset}: {p.n_images:,} of {p.n_all:,} images, in keyed-hash order" for p in found if p.n_images < p.n_all]
    counted = ", ".join(f"{len(p.masks.relative_size):,} masks in {p.n_images:,} images of {p.dataset}" for p in found)
    return [f"{counted}.", *(f"PARTIAL: {p}." for p in parts)]


def _section(definition: Definition, pictures: tuple[Picture, ...], why: Sequence[str]) -> Section:
    return Section(definition.id, definition.title, definition.source, definition.text, (), pictures, tuple(why))
