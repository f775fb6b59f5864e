"""From rows of the instance task to metric rows: AP of masks, boxes and boundaries, by size and by frequency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sambench.metrics.instances import AREAS, COCO_MAX_DETS, LVIS_MAX_DETS, Evaluation, Group, box_ious, evaluate

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}  # LVIS: up to 10 images, to 100, above
AP_AT = (0.5, 0.75)


def metric_rows(frame: pd.DataFrame, *, boundary: bool, max_dets: int | None) -> list[dict[str, Any]]:
    """Metric rows of rows (`schema.INSTANCE_COLUMNS`) with status `ok`; none where there is no object.

    `ap` by variant: `mask` (none where no detection came with a mask), `box` (the boxes of the file), `boundary`; at thresholds .5
    and .75, by area (all others at all of .5:.05:.95) and, where annotation is federated, by frequency of the category. `ar`:
    average recall with at most max_dets detections an image and category. max_dets: as the task's settings have it.
    """
    objects = frame[(frame["kind"] == "object") & (frame["is_crowd"] == 0)]
    if objects.empty:
        return []
    federated = objects["frequency"].notna().any()
    if max_dets is not None:
        limits: Sequence[int] = (max_dets,)
    else:
        limits = LVIS_MAX_DETS if federated else COCO_MAX_DETS
    here = frame[frame["kind"].notna()]
    shared = {
        "n_images": int(here["image_id"].nunique()),
        "n_objects": len(objects),
        "n_clusters": int(here["cluster_id"].nunique()),
        "n_candidates": int(here["n_candidates"].max()) if here["n_candidates"].notna().any() else 0,
        "unit": "fraction",
        "aggregate": "mean_over_categories",
        "higher_is_better": True,
        "source_kind": "measured",
    }
    answered = frame.loc[frame["kind"] == "detection", "n_candidates"]
    masked = answered.empty or answered.notna().any()  # a file of boxes alone says nothing of masks
    by_frequency = {f: set(of["category_id"].astype(int)) for f, of in objects.groupby("frequency")}
    out = []
    for variant, column in (("mask", "ious"), ("boundary", "boundary_ious"), ("box", None)):
        if variant == "box" or (masked and (variant == "mask" or boundary)):
            found = evaluate(groups_of(frame, column, federated=bool(federated)), max_dets=limits)
            rows = _ap_rows(found, {str(f): of for f, of in by_frequency.items()}) + _ar_rows(found)
            out += [{**shared, "variant": variant, "max_dets": limits[-1], **row} for row in rows]
    return out


def _ap_rows(found: Evaluation, by_frequency: dict[str, set[int]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"metric": "ap", "value": found.ap()}]
    rows += [{"metric": "ap", "threshold": t, "value": found.ap(threshold=t)} for t in AP_AT]
    rows += [{"metric": "ap", "group_by": "area", "group": a, "value": found.ap(area=a)} for a in AREAS[1:]]
    return rows + [
        {"metric": "ap", "group_by": "frequency", "group": name, "value": found.ap(categories=by_frequency[f])}
        for f, name in FREQUENCIES.items()
        if f in by_frequency
    ]


def _ar_rows(found: Evaluation) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"metric": "ar", "max_dets": m, "value": found.ar(max_dets=m)} for m in found.max_dets]
    return rows + [{"metric": "ar", "group_by": "area", "group": a, "value": found.ar(area=a)} for a in AREAS[1:]]


def groups_of(frame: pd.DataFrame, column: str | None, *, federated: bool) -> dict[int, list[Group]]:
    """The evaluator's groups by category, images in ascending order of their ids (as numbers where all are).

    Detections that are not judged are left out, and those of categories without objects. column: of the IoUs; None: boxes are
    compared. federated: objects and detections without area are left out, as LVIS's evaluator does and COCO's not. Areas are those
    of the columns `mask_sized_by` and `box_sized_by`; without these (instances@1) of masks the mask's, of boxes the box's.
    """
    order = {image_id: i for i, image_id in enumerate(in_order(frame["image_id"].unique().tolist()))}
    objects = _Table(frame[frame["kind"] == "object"], order)
    detections = _Table(frame[(frame["kind"] == "detection") & (frame["judged"] == 1)], order)
    boxes = column is None
    truth = objects.columns("area", "is_crowd", *(["box_xywh"] if boxes else []))
    sized_by = "box_sized_by" if boxes else "mask_sized_by"
    if sized_by not in frame:
        sized_by = "" if boxes else "area"
    found = detections.columns("score", "exhaustive", "box_xywh" if boxes else str(column), *([sized_by] if sized_by else []))
    of_objects, of_detections = dict(objects.runs()), dict(detections.runs())
    out: dict[int, list[Group]] = {category: [] for category, _ in of_objects}
    none = slice(0, 0)
    for key in sorted({*of_objects, *of_detections}):
        category = key[0]
        if category not in out:
            continue
        g, d = of_objects.get(key, none), of_detections.get(key, none)
        crowd = truth["is_crowd"][g].astype(bool)
        n_found, n_truth = d.stop - d.start, g.stop - g.start
        if boxes:
            xywh = _stacked(found["box_xywh"][d], 4)
            ious = box_ious(xywh, _stacked(truth["box_xywh"][g], 4), crowd.tolist())
        else:
            ious = _stacked(found[str(column)][d], n_truth) if n_truth else np.zeros((n_found, 0))
        areas = found[sized_by][d] if sized_by else xywh[:, 2] * xywh[:, 3]
        group = Group(found["score"][d], areas, ious, truth["area"][g], crowd, bool(found["exhaustive"][d].all()))
        out[category].append(_with_area(group) if federated else group)
    return out


def _with_area(group: Group) -> Group:
    found, truth = group.areas > 0, group.gt_areas > 0
    ious = group.ious[np.ix_(found, truth)]
    return Group(group.scores[found], group.areas[found], ious, group.gt_areas[truth], group.gt_crowd[truth], group.exhaustive)


class _Table:
    """Rows of one kind, sorted by category, image and place, and the run of each category on each image."""

    def __init__(self, frame: pd.DataFrame, order: dict[str, int]) -> None:
        category = frame["category_id"].to_numpy(np.int64)
        image = np.array([order[i] for i in frame["image_id"]], np.int64)
        self._at = np.lexsort((frame["index"].to_numpy(np.int64), image, category))
        self._frame = frame
        self._category, self._image = category[self._at], image[self._at]

    def columns(self, *names: str) -> dict[str, Any]:
        """Values in sorted order: float64, or objects (lists)."""
        out = {}
        for name in names:
            values = self._frame[name]
            out[name] = (values.to_numpy(object) if values.dtype == object else values.to_numpy(np.float64))[self._at]
        return out

    def runs(self) -> Iterator[tuple[tuple[int, int], slice]]:
        """((category, image), rows)."""
        if not len(self._at):
            return
        new = np.flatnonzero((np.diff(self._category) != 0) | (np.diff(self._image) != 0)) + 1
        for a, b in zip([0, *new.tolist()], [*new.tolist(), len(self._at)], strict=True):
            yield (int(self._category[a]), int(self._image[a])), slice(a, b)


def _stacked(lists: Any, width: int) -> Floats:
    return np.array([np.asarray(v, np.float64) for v in lists], np.float64).reshape(len(lists), width)


def in_order(image_ids: list[str]) -> list[str]:
    """As the official evaluators sort them."""
    return sorted(image_ids, key=int) if all(i.isdecimal() for i in image_ids) else sorted(image_ids)
