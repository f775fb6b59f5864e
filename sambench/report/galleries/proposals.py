"""Runs of the proposal task: objects with the proposal that overlaps them most."""

from __future__ import annotations

from typing import Any

import numpy as np

from sambench.errors import UsageError
from sambench.metrics.proposals import mask_ious
from sambench.pixels.region import Region
from sambench.report import overlays
from sambench.report.galleries import COLOURS, DISAGREEMENT, Asked, Pick, View
from sambench.report.galleries._found import panels, ranked, region, with_samples
from sambench.results.measures import default_metric, object_values
from sambench.results.names import model_names
from sambench.store.views import CellView
from sambench.types import Sample

_KINDS = {
    "worst": "Lowest recall",
    "best": "Highest recall",
    DISAGREEMENT: "Largest disagreements",
}
_SAYS = (
    "Recall: the share of IoU thresholds at which the object is found; the proposal that overlaps it most is shown, whether or not "
    f"it was matched with another object. {COLOURS}"
)
_NOTES = {
    "worst": f"Worst first, of equal ones the largest. {_SAYS}",
    "best": f"Best first, of equal ones the largest. {_SAYS}",
    DISAGREEMENT: f"Largest difference of recall first; the first run's proposal, then the second's. {_SAYS}",
}


def _picks(cell: CellView, asked: Asked) -> list[Pick]:
    chosen = ranked(lambda c: object_values(c, default_metric([c])), cell, asked, "value", ["image_id", "object_id"], ["area_px"])
    if chosen.empty:
        return []
    runs, images = [c for c in (cell, asked.partner) if c], chosen["image_id"].unique().tolist()
    stored = [_proposals(c, images) for c in runs]
    names = model_names(runs)
    picks = [_of_object(row, sample, names, stored) for row, sample in with_samples(chosen, cell, asked)]
    return [p for p in picks if p is not None]


def _proposals(cell: CellView, images: list[str]) -> dict[str, list[bytes]]:
    """Masks by image, best first. Raises UsageError where the run kept none."""
    frame = cell.store.table(images, ["image_id", "rank", "mask_rle"], ("kind", "proposal")).to_pandas()
    if frame.empty and cell.scored(["n_proposals"], ("kind", "object"))["n_proposals"].max() > 0:
        remedy = "run it with --save-masks scored into another directory (--out)"
        raise UsageError("the run kept no proposals to show", where=cell.path, remedy=remedy)
    return {str(i): of.sort_values("rank")["mask_rle"].tolist() for i, of in frame.groupby("image_id")}


def _of_object(row: dict[str, Any], sample: Sample, names: list[str], stored: list[dict[str, list[bytes]]]) -> Pick | None:
    instance = overlays.instance_of(sample, str(row["object_id"]))
    if instance is None:
        return None
    truth, size = instance.region, [sample.height, sample.width]
    values = [float(row["value"]), *([float(row["value_other"])] if len(names) > 1 else [])]
    name = overlays.short(instance.category or f"object {instance.object_id}", 18)
    shown: list[tuple[str, Region | None]] = [(f"{overlays.short(sample.image_id)}\n{name}", None)]
    best: list[float | None] = []
    for named, value, of in zip(names, values, stored, strict=True):
        masks = of.get(sample.image_id, [])
        ious = mask_ious([{"size": size, "counts": m} for m in masks], [truth.rle()])[:, 0] if masks else np.zeros(1)
        at = int(np.argmax(ious))
        found = region(masks[at], sample) if ious[at] > 0 else Region.empty(*size)
        best.append(float(ious[at]))
        shown.append((f"{overlays.short(named)}\nrecall {100 * value:.0f} %, IoU {100 * ious[at]:.0f} %", found))
    other = (values[1], best[1]) if len(names) > 1 else (None, None)
    return Pick(panels(sample, truth, shown), (sample.image_id, instance.object_id, values[0], best[0], *other))


VIEW = View(
    kinds=_KINDS,
    usual=("worst", "best"),
    notes=_NOTES,
    header=("image_id", "object_id", "recall", "iou", "recall_other", "iou_other"),
    picks=_picks,
    across=lambda kind: 3 if kind == DISAGREEMENT else 2,
)
