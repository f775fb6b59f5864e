"""Sheets of pictures: edge maps (figures 10 and 15), and the masks of several models side by side (figure 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import SambenchError
from sambench.paper.evidence import Entry, System
from sambench.provenance import keyed_order
from sambench.report import edges, overlays
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import Inputs, runs_of
from sambench.results.stored_masks import dataset_of
from sambench.types import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_IN = 1.35
MAX_SYSTEMS = 5
_WIDE_PX = 300
_SCALED = "Each map is scaled to its own strongest edges, for the eye alone."


def edge_sheet(definition: Definition, inputs: Inputs) -> Section:
    """Figures 10 and 15: images, the annotators' mean, and the edge map of every model. options: dataset, n, skip (images)."""
    dataset = definition.options.get("dataset", "bsds500")
    systems = inputs.evidence.of("edge")
    found = {s: by[dataset] for s, by in systems.items() if dataset in by}
    if not found:
        return _absent(definition, inputs.none("edge", f"the edge task on {dataset}"))
    n, skip = int(definition.options.get("n", inputs.n_shown)), int(definition.options.get("skip", 0))
    shared = set.intersection(*(set(e.cell.wanted) for e in found.values()))
    ids = keyed_order(shared, dataset)[skip : skip + n]
    notes, maps = [], {}
    for system, entry in found.items():
        try:
            maps[system] = edges.stored_maps(entry.cell, ids)
        except SambenchError as e:
            notes.append(f"{system.label} is not shown: {e.message}.")
    try:
        data = dataset_of(next(iter(found.values())).cell, inputs.root)
        samples = [data.load(i) for i in ids]
    except SambenchError as e:
        return _absent(definition, f"No pictures: {e.message}.")
    if not maps or not samples:
        return _absent(definition, "No pictures: " + (" ".join(notes) or "too few images."))
    shown = dict(list(maps.items())[:MAX_SYSTEMS])
    picture = Picture(
        definition.id,
        definition.title,
        f"{len(samples)} photographs with annotated boundaries and the edge maps of {', '.join(s.label for s in shown)}",
        lambda figure: _draw_edges(figure, samples, shown),
        ("image_id", *(f"{s.label}: mean strength" for s in shown)),
        tuple((s.image_id, *(float(np.mean(m[s.image_id])) for m in shown.values())) for s in samples),
        (PANEL_IN * (2 + len(shown)), 0.25 + PANEL_IN * 0.72 * len(samples)),
        (f"Images in keyed-hash order, not chosen by hand{f', after the first {skip}' if skip else ''}.", _SCALED, *notes),
        runs_of(found.values()),
        raster=True,
    )
    return Section(definition.id, definition.title, definition.source, definition.text, (), (picture,))


def _draw_edges(figure: Figure, samples: Sequence[Sample], maps: Mapping[System, Mapping[str, npt.NDArray[Any]]]) -> None:
    heads = ["image", "ground truth", *(s.label for s in maps)]
    grid = figure.subplots(len(samples), len(heads), squeeze=False)
    for r, sample in enumerate(samples):
        truth = np.mean(np.stack(sample.boundaries), axis=0)
        pictures = [_fitted(sample.image), edges.ink(_fitted(truth))]
        for held in maps.values():
            found = held[sample.image_id]
            strength = _fitted(np.asarray(found.mean(axis=0) if found.ndim == 3 else found, np.float64))
            pictures.append(edges.ink(strength / max(float(np.quantile(strength, 0.995)), 1e-9)))
        for c, picture in enumerate(pictures):
            axes = grid[r][c]
            axes.imshow(picture, interpolation="antialiased")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_anchor("N")
            if r == 0:
                axes.set_title(heads[c], fontsize=8)


def _fitted(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """No larger than a panel shows."""
    scale = min(1.0, _WIDE_PX / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), picture.dtype)


@dataclass(frozen=True)
class _Pick:
    sample: Sample
    object_id: str
    rows: dict[System, dict[str, Any]]


def mask_sheet(definition: Definition, inputs: Inputs) -> Section:
    """Figure 16: objects from the best to the worst, with the mask of every model. options: dataset, k, prompt, n."""
    options = definition.options
    systems = inputs.point(options.get("prompt", "center"))
    k = int(options.get("k", 1))
    dataset, why = _dataset_of(systems, options.get("dataset"), inputs)
    if dataset is None:
        return _absent(definition, why)
    found = dict([(s, by[dataset]) for s, by in systems.items() if dataset in by][:MAX_SYSTEMS])
    try:
        picks = _picks(found, k, int(options.get("n", inputs.n_shown)), inputs)
    except SambenchError as e:
        return _absent(definition, f"No pictures: {e.message}.")
    if not picks:
        return _absent(definition, f"No pictures: the runs on {dataset} kept no masks of the same objects (--save-masks scored).")
    picture = Picture(
        definition.id,
        f"{definition.title}: {dataset}, {k} click{'s' if k > 1 else ''}",
        f"{len(picks)} objects with their ground truth and the masks of {', '.join(s.label for s in found)}",
        lambda figure: _draw_masks(figure, picks, list(found)),
        ("image_id", "object_id", *(f"{s.label}: iou" for s in found)),
        tuple((p.sample.image_id, p.object_id, *(float(p.rows[s]["iou_top"]) for s in found)) for p in picks),
        (PANEL_IN * (1 + len(found)), (PANEL_IN + 0.12) * len(picks)),
        (
            "Objects evenly spread from the best mean IoU to the worst, one an image.",
            "Green: ground truth; orange: the model's mask.",
        ),
        runs_of(found.values()),
        raster=True,
    )
    return Section(definition.id, definition.title, definition.source, definition.text, (), (picture,))


def _dataset_of(systems: Mapping[System, Mapping[str, Entry]], wanted: str | None, inputs: Inputs) -> tuple[str | None, str]:
    """The dataset that most systems have; members of the suite first."""
    counts: dict[str, int] = {}
    for by in systems.values():
        for d, entry in by.items():
            if wanted in (None, d) and entry.cell.record.save_masks != "none":
                counts[d] = counts.get(d, 0) + 1
    if not counts:
        return None, inputs.none("point", "the point task with stored masks" + (f" on {wanted}" if wanted else ""))
    best = max(counts, key=lambda d: (counts[d], d in inputs.members))
    return best, ""


def _picks(found: Mapping[System, Entry], k: int, n: int, inputs: Inputs) -> list[_Pick]:
    frames = {s: overlays.object_rows(e.cell, k).set_index(["image_id", "object_id"]) for s, e in found.items()}
    keys = set.intersection(*(set(f.index) for f in frames.values()))
    if not keys:
        return []
    mean = {key: float(np.mean([f.loc[key, "iou_top"] for f in frames.values()])) for key in sorted(keys)}
    best_of_image: dict[str, tuple[str, str]] = {}
    named = {f"{i}\0{o}": (i, o) for i, o in mean}
    for name in keyed_order(named, "figure 16"):
        best_of_image.setdefault(named[name][0], named[name])
    ranked = sorted(best_of_image.values(), key=lambda key: (-mean[key], key))
    at = np.unique(np.linspace(0, len(ranked) - 1, min(n, len(ranked))).round().astype(int))
    data = dataset_of(next(iter(found.values())).cell, inputs.root)
    out = []
    for image_id, object_id in (ranked[i] for i in at):
        rows = {s: {str(c): v for c, v in f.loc[(image_id, object_id)].items()} for s, f in frames.items()}
        out.append(_Pick(data.load(image_id), object_id, rows))
    return out


def _draw_masks(figure: Figure, picks: Sequence[_Pick], systems: Sequence[System]) -> None:
    grid = figure.subplots(len(picks), 1 + len(systems), squeeze=False)
    for r, pick in enumerate(picks):
        instance = overlays.instance_of(pick.sample, pick.object_id)
        if instance is None:
            continue
        window = overlays.window_of(pick.sample, [instance.region])
        clicks, labels = overlays.clicks_of(pick.rows[systems[0]])
        shown = [overlays.Shown("ground truth" if r == 0 else "", None, clicks[:1], labels[:1])]
        for system in systems:
            row = pick.rows[system]
            clicks, labels = overlays.clicks_of(row)
            head = f"{system.label}  " if r == 0 else ""
            shown.append(overlays.Shown(f"{head}{100 * row['iou_top']:.0f}", overlays.mask_of(row), clicks, labels))
        for axes, panel in zip(grid[r], shown, strict=True):
            overlays.draw_panel(axes, pick.sample.image, window, instance.region, panel)


def _absent(definition: Definition, why: str) -> Section:
    return Section(definition.id, definition.title, definition.source, definition.text, absent=(why,))
