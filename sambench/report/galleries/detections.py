"""Runs of the instance task: objects with their best detection, and detections of what is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.errors import UsageError
from sambench.pixels.region import Region, union
from sambench.report import overlays
from sambench.report.galleries import COLOURS, DISAGREEMENT, Asked, Pick, View
from sambench.report.galleries._found import panels, ranked, region, with_samples
from sambench.report.overlays import short
from sambench.results.names import model_names
from sambench.store.views import CellView
from sambench.types import Annotation, Sample

if TYPE_CHECKING:
    import pandas as pd

Truth = list[tuple[str, Region]]  # id and mask of annotations
WRONG = "false_positives"
_HIT = 0.5
_KEY = ["image_id", "object_id"]
_KINDS = {
    "worst": "Lowest IoU of an object's best detection",
    "best": "Highest IoU of an object's best detection",
    WRONG: "False positives of highest score",
    DISAGREEMENT: "Largest disagreements",
}
_BEST = "Of the detections of the object's category the one of highest IoU; no mask: there is none that overlaps."
_NOTES = {
    "worst": f"Worst first, of equal ones the largest. {_BEST} {COLOURS}",
    "best": f"Best first, of equal ones the largest. {_BEST} {COLOURS}",
    WRONG: "Highest score first; no object of the category, and no crowd of it, is overlapped by half; left all objects of the "
    f"category in the image. {COLOURS}",
    DISAGREEMENT: f"Largest difference of IoU first; the first run's mask, then the second's. {_BEST} {COLOURS}",
}


def _picks(cell: CellView, asked: Asked) -> list[Pick]:
    if asked.kind == WRONG:
        chosen, one = _wrong(cell).head(asked.n), _of_wrong
    else:
        chosen, one = ranked(_objects, cell, asked, "iou_best", _KEY, ["area"]), _of_object
    runs, images = [c for c in (cell, asked.partner) if c], chosen["image_id"].unique().tolist()
    stored = [_detections(c, images) for c in runs]
    names = model_names(runs)
    rows = list(with_samples(chosen, cell, asked))
    samples = {s.image_id: s for _, s in rows}
    truth = {i: s.annotated().objects if s.annotated else () for i, s in samples.items()}
    return [one(row, sample, _of_category(row, truth), names, stored) for row, sample in rows]


def _objects(cell: CellView) -> pd.DataFrame:
    columns = [*_KEY, "index", "category_id", "category", "area", "is_crowd", "iou_best"]
    frame = cell.scored(columns, ("kind", "object"))
    return frame[frame["is_crowd"] == 0]


def _wrong(cell: CellView) -> pd.DataFrame:
    columns = ["image_id", "index", "category_id", "category", "score", "ious", "judged", "exhaustive", "area"]
    frame = cell.scored(columns, ("kind", "detection"))
    frame = frame[(frame["judged"] == 1) & (frame["exhaustive"] == 1)]
    best = frame["ious"].map(lambda v: max(v, default=0.0) if v is not None else 0.0)
    frame = frame.assign(best=best, rank=frame["score"])[best < _HIT]
    return frame.sort_values(["score", "image_id", "index"], ascending=[False, True, True], kind="stable")


def _detections(cell: CellView, images: list[str]) -> pd.DataFrame:
    """Those of the images, whose masks must be there. Raises UsageError where the run kept none."""
    columns = ["image_id", "index", "category_id", "score", "ious", "mask_rle"]
    frame: pd.DataFrame = cell.store.table(images, columns, ("kind", "detection")).to_pandas()
    if len(frame) and frame["mask_rle"].isna().all():
        remedy = "run it with --save-masks scored into another directory (--out)"
        raise UsageError("the run kept no masks to show", where=cell.path, remedy=remedy)
    return frame


def _of_category(row: dict[str, Any], truth: Mapping[str, Sequence[Annotation]]) -> Truth:
    """Annotations of the row's image and category, in their order."""
    return [(o.object_id, o.region) for o in truth[row["image_id"]] if o.category_id == row["category_id"]]


def _of_object(row: dict[str, Any], sample: Sample, of: Truth, names: list[str], stored: list[pd.DataFrame]) -> Pick:
    place = next(n for n, (object_id, _) in enumerate(of) if object_id == row["object_id"])
    truth, values = of[place][1], [float(row["iou_best"])]
    values += [float(row["iou_best_other"])] if len(names) > 1 else []
    shown: list[tuple[str, Region | None]] = [(f"{short(sample.image_id)}\n{short(str(row['category']), 18)}", None)]
    for name, value, frame in zip(names, values, stored, strict=True):
        here = frame[(frame["image_id"] == sample.image_id) & (frame["category_id"] == row["category_id"])]
        ious = [float(v[place]) for v in here["ious"]]
        best = region(here["mask_rle"].iloc[int(np.argmax(ious))], sample) if ious and max(ious) > 0 else None
        caption = overlays.said_of(best, value) if best is not None else "not detected"
        shown.append((f"{short(name)}\n{caption}", best if best is not None else Region.empty(truth.height, truth.width)))
    data = (sample.image_id, row["object_id"], row["category"], None, values[0], values[1] if len(values) > 1 else None)
    return Pick(panels(sample, truth, shown), data)


def _of_wrong(row: dict[str, Any], sample: Sample, of: Truth, names: list[str], stored: list[pd.DataFrame]) -> Pick:
    frame = stored[0]
    here = frame[(frame["image_id"] == sample.image_id) & (frame["index"] == row["index"])]
    found = region(here["mask_rle"].iloc[0], sample)
    every = union([r for _, r in of], sample.height, sample.width)
    truth = every or Region.empty(sample.height, sample.width)
    around = [found] if found.area else [Region.from_array(np.ones((sample.height, sample.width), np.bool_))]
    shown = [
        (f"{short(sample.image_id)}\n{short(str(row['category']), 18)}", None),
        (f"{short(names[0])}\nscore {row['score']:.2f}, IoU {100 * row['best']:.0f} %", found),
    ]
    data = (sample.image_id, None, row["category"], float(row["score"]), float(row["best"]), None)
    return Pick(panels(sample, truth, shown, around=around), data)


VIEW = View(
    kinds=_KINDS,
    usual=("worst", WRONG),
    notes=_NOTES,
    header=("image_id", "object_id", "category", "score", "iou", "iou_other"),
    picks=_picks,
    across=lambda kind: 3 if kind == DISAGREEMENT else 2,
)
