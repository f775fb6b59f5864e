"""Figure 16: the masks of several models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.errors import SambenchError
from sambench.paper.evidence import Entry, System
from sambench.provenance import keyed_order
from sambench.report import overlays
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import Inputs, runs_of
from sambench.results.stored_masks import dataset_of
from sambench.text import counted
from sambench.types import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PANEL_IN = 1.35
MAX_SYSTEMS = 5


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
        return definition.filled(absent=(why,))
    found = dict([(s, by[dataset]) for s, by in systems.items() if dataset in by][:MAX_SYSTEMS])
    try:
        picks = _picks(found, k, int(options.get("n", inputs.n_shown)), inputs)
    except SambenchError as e:
        return definition.filled(absent=(f"No pictures: {e.message}.",))
    if not picks:
        return definition.filled(
            absent=(f"No pictures: the runs on {dataset} kept no masks of the same objects (--save-masks scored).",)
        )
    picture = Picture(
        definition.id,
        f"{definition.title}: {dataset}, {counted(k, 'click')}",
        f"{len(picks)} objects with their ground truth and the masks of {', '.join(s.name for s in found)}",
        lambda figure: _draw_masks(figure, picks, list(found)),
        ("image_id", "object_id", *(f"{s.label}: iou" for s in found)),
        tuple((p.sample.image_id, p.object_id, *(float(p.rows[s]["iou_top"]) for s in found)) for p in picks),
        (PANEL_IN * (1 + len(found)), (PANEL_IN + 0.3) * len(picks)),
        (
            "Objects evenly spread from the best mean IoU to the worst, one per image.",
            "Green: ground truth; orange: the model's mask.",
        ),
        runs_of(found.values()),
        raster=True,
    )
    return definition.filled(pictures=(picture,))


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
        shown = [overlays.Shown(f"ground truth\n{overlays.short(pick.sample.image_id)}", None, clicks[:1], labels[:1])]
        for system in systems:
            row = pick.rows[system]
            clicks, labels = overlays.clicks_of(row)
            caption = f"{overlays.short(system.name)}\nIoU {100 * row['iou_top']:.0f} %"
            shown.append(overlays.Shown(caption, overlays.mask_of(row), clicks, labels))
        for axes, panel in zip(grid[r], shown, strict=True):
            overlays.draw_panel(axes, pick.sample.image, window, instance.region, panel)


SECTION = mask_sheet
