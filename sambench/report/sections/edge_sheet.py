"""Figures 10 and 15: images with the edge maps of several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import SambenchError
from sambench.paper.evidence import System
from sambench.provenance import keyed_order
from sambench.report import edges
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import (
    Inputs,
    runs_of,
)
from sambench.results.stored_masks import dataset_of
from sambench.types import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PANEL_IN = 1.35
MAX_SYSTEMS = 5
HEAD_CHARACTERS = 19  # of a heading's line, that it fits above a panel
_WIDE_PX = 300
_SCALED = "Each map is scaled to its own strongest edges, for looking at only."


def edge_sheet(definition: Definition, inputs: Inputs) -> Section:
    """Figures 10 and 15: images, the annotators' mean, and the edge map of every model. options: dataset ("": the first that
    there is), n, skip (images)."""
    systems = inputs.evidence.of("edge")
    measured = dict.fromkeys(d for by in systems.values() for d in by)
    dataset = definition.options.get("dataset", "bsds500") or next(iter(measured), "any dataset")
    found = {s: by[dataset] for s, by in systems.items() if dataset in by}
    if not found:
        return definition.filled(absent=(inputs.none("edge", f"the edge task on {dataset}"),))
    n, skip = int(definition.options.get("n", inputs.n_shown)), int(definition.options.get("skip", 0))
    shared = set.intersection(*(set(e.cell.wanted) for e in found.values()))
    ids = keyed_order(shared, dataset)[skip : skip + n]
    notes, maps = [], {}
    for system, entry in found.items():
        try:
            maps[system] = edges.stored_maps(entry.cell, ids)
        except SambenchError as e:
            notes.append(f"{system.name} is not shown: {e.message}.")
    try:
        data = dataset_of(next(iter(found.values())).cell, inputs.root)
        samples = [data.load(i) for i in ids]
    except SambenchError as e:
        return definition.filled(absent=(f"No pictures: {e.message}.",))
    if not maps or not samples:
        return definition.filled(absent=("No pictures: " + (" ".join(notes) or "too few images."),))
    shown = dict(list(maps.items())[:MAX_SYSTEMS])
    picture = Picture(
        definition.id,
        definition.title,
        f"{len(samples)} photographs with annotated boundaries and the edge maps of {', '.join(s.name for s in shown)}",
        lambda figure: _draw_edges(figure, samples, shown),
        ("image_id", *(f"{s.label}: mean strength" for s in shown)),
        tuple((s.image_id, *(float(np.mean(m[s.image_id])) for m in shown.values())) for s in samples),
        (PANEL_IN * (2 + len(shown)), 0.4 + PANEL_IN * 0.72 * len(samples)),
        (f"Images in keyed-hash order, not chosen by hand{f', after the first {skip}' if skip else ''}.", _SCALED, *notes),
        runs_of(found.values()),
        raster=True,
    )
    return definition.filled(pictures=(picture,))


def _draw_edges(figure: Figure, samples: Sequence[Sample], maps: Mapping[System, Mapping[str, npt.NDArray[Any]]]) -> None:
    heads = ["image", "ground truth", *(s.name for s in maps)]
    grid = figure.subplots(len(samples), len(heads), squeeze=False)
    for r, sample in enumerate(samples):
        truth = np.mean(np.stack(sample.boundaries), axis=0)
        pictures = [_fitted(sample.image), edges.ink(_fitted(truth))]
        for held in maps.values():
            found = held[sample.image_id]
            strength = _fitted(np.asarray(found.mean(axis=0) if found.ndim == 3 else found, np.float64))
            pictures.append(edges.ink(edges.scaled(strength)))
        for c, picture in enumerate(pictures):
            axes = grid[r][c]
            axes.imshow(picture, interpolation="antialiased")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_anchor("N")
            if r == 0:
                axes.set_title("\n".join(wrap(heads[c], HEAD_CHARACTERS)), fontsize=8, loc="center")  # a tall picture is narrower


def _fitted(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """No larger than a panel shows."""
    scale = min(1.0, _WIDE_PX / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), picture.dtype)


SECTION = edge_sheet
