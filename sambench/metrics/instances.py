"""Average precision of detections, by pycocotools' own matching and accumulation. Arrays in, numbers out.

COCO: `COCOeval` as it is, fed with IoUs that were computed before (by pycocotools too), category by category, so that images which
have neither objects nor detections of a category cost nothing, and only what one category needs is in memory.

LVIS (Gupta et al. 2019, section 3): the same class with the two rules of federated annotation. A detection of a category that is
neither annotated on its image nor listed there as absent is not judged (the caller leaves it out); one that matches nothing, of a
category listed as not exhaustively annotated, is ignored. Why not the `lvis` package: its PyPI release (0.5.3) uses `np.float`,
which numpy removed, and depends on opencv-python, which unpacks into the folder of the opencv-python-headless that sambench needs.
Its git version is the reference of our tests; the numbers agree to 1e-9.

Everything is in [0, 1]; NaN where there is nothing to average (no object of that size, frequency or category).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import COCOeval

from sambench.pixels.region import RLE

Floats = npt.NDArray[np.float64]

AREAS = ("all", "small", "medium", "large")  # pixels: below 32 squared, to 96 squared, above; both ends count to both
COCO_MAX_DETS = (1, 10, 100)
LVIS_MAX_DETS = (300,)


@dataclass(frozen=True)
class Group:
    """Detections and objects of one image and category, both in the dataset's order.

    scores [D]; areas [D]: pixels of the mask (or the box, where boxes are compared). ious [D, G]: of a detection with a crowd it is
    the share of the detection inside. gt_areas [G]: as the annotations say. gt_crowd bool [G]. exhaustive: see the module.
    """

    scores: Floats
    areas: Floats
    ious: Floats
    gt_areas: Floats
    gt_crowd: npt.NDArray[np.bool_]
    exhaustive: bool = True


@dataclass(frozen=True)
class Evaluation:
    """precision float64 [T, R, K, A, M] and recall [T, K, A, M] as pycocotools has them (-1: no object): IoU thresholds
    .5:.05:.95, recalls 0:.01:1, categories, AREAS, max_dets."""

    precision: Floats
    recall: Floats
    thresholds: Floats
    category_ids: tuple[int, ...]
    max_dets: tuple[int, ...]

    def ap(self, *, threshold: float | None = None, area: str = "all", categories: Iterable[int] | None = None) -> float:
        """Mean of the precision over thresholds (or at one), recalls and categories, with all detections that count."""
        values = self.precision[self._at(threshold), :, :, AREAS.index(area), -1]
        return _mean(values[:, :, self._of(categories)])

    def ar(self, *, max_dets: int | None = None, area: str = "all", categories: Iterable[int] | None = None) -> float:
        """Mean of the recall over thresholds and categories, with at most max_dets detections an image and category."""
        m = len(self.max_dets) - 1 if max_dets is None else self.max_dets.index(max_dets)
        return _mean(self.recall[:, :, AREAS.index(area), m][:, self._of(categories)])

    def _at(self, threshold: float | None) -> Any:
        if threshold is None:
            return slice(None)
        return np.flatnonzero(np.isclose(self.thresholds, threshold))

    def _of(self, categories: Iterable[int] | None) -> Any:
        if categories is None:
            return slice(None)
        wanted = set(categories)
        return np.array([k for k, c in enumerate(self.category_ids) if c in wanted], np.int64)


def evaluate(groups: Mapping[int, Sequence[Group]], *, max_dets: Sequence[int] = COCO_MAX_DETS) -> Evaluation:
    """groups: by category, one an image that has objects or detections of it, images in ascending order of their ids (of equal
    scores, those of earlier images come first). max_dets: ascending, detections an image and category; the last is the one of AP.
    """
    empty = COCOeval(iouType="segm").params
    n_thresholds, n_recalls = len(empty.iouThrs), len(empty.recThrs)
    ids = tuple(sorted(groups))
    precision = -np.ones((n_thresholds, n_recalls, len(ids), len(AREAS), len(max_dets)))
    recall = -np.ones((n_thresholds, len(ids), len(AREAS), len(max_dets)))
    for k, category in enumerate(ids):
        if any(len(g.gt_areas) for g in groups[category]):  # else -1 throughout
            found = _CategoryEval(groups[category], max_dets).accumulated()
            precision[:, :, k], recall[:, k] = found["precision"][:, :, 0], found["recall"][:, 0]
    return Evaluation(precision, recall, np.asarray(empty.iouThrs), ids, tuple(max_dets))


class _CategoryEval(COCOeval):  # type: ignore[misc]
    """pycocotools' evaluator on the images of one category, with IoUs that are known and LVIS's rule of unmatched detections."""

    def __init__(self, groups: Sequence[Group], max_dets: Sequence[int]) -> None:
        super().__init__(iouType="segm")
        self.groups = groups
        self.params.imgIds = list(range(len(groups)))
        self.params.catIds = [0]
        self.params.maxDets = list(max_dets)

    def accumulated(self) -> dict[str, Any]:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            self.evaluate()
            self.accumulate()
        found: dict[str, Any] = self.eval
        return found

    def _prepare(self) -> None:
        # Ids from 1 on: the evaluator takes the id of a match for its truth value.
        for i, g in enumerate(self.groups):
            self._gts[i, 0] = [
                {"id": j, "ignore": int(crowd), "iscrowd": int(crowd), "area": area}
                for j, (area, crowd) in enumerate(zip(g.gt_areas.tolist(), g.gt_crowd.tolist(), strict=True), 1)
            ]
            self._dts[i, 0] = [
                {"id": j, "score": score, "area": area}
                for j, (score, area) in enumerate(zip(g.scores.tolist(), g.areas.tolist(), strict=True), 1)
            ]

    def computeIoU(self, imgId: int, catId: int) -> Any:
        group = self.groups[imgId]
        if not group.ious.size:
            return []
        return group.ious[np.argsort(-group.scores, kind="mergesort")[: self.params.maxDets[-1]]]

    def evaluateImg(self, imgId: int, catId: int, aRng: Any, maxDet: int) -> Any:
        found = super().evaluateImg(imgId, catId, aRng, maxDet)
        if found is not None and not self.groups[imgId].exhaustive:
            found["dtIgnore"] = np.logical_or(found["dtIgnore"], found["dtMatches"] == 0)
        return found


def mask_ious(found: Sequence[RLE], truth: Sequence[RLE], crowd: Sequence[bool]) -> Floats:
    """float64 [D, G] IoU of compressed RLEs, as COCO counts it: with a crowd, the share of the detection inside."""
    return _ious(coco_mask.iou, list(found), list(truth), crowd)


def rle_area(rle: RLE) -> float:
    """Pixels of a compressed RLE."""
    return float(coco_mask.area(rle))


def box_ious(found: Floats, truth: Floats, crowd: Sequence[bool]) -> Floats:
    """float64 [D, G] of boxes xywh [D, 4] and [G, 4], as `mask_ious`."""
    return _ious(coco_mask.iou, np.ascontiguousarray(found), np.ascontiguousarray(truth), crowd)


def _ious(iou: Callable[..., Any], found: Any, truth: Any, crowd: Sequence[bool]) -> Floats:
    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    return np.asarray(iou(found, truth, [int(c) for c in crowd]), np.float64)


def _mean(values: Floats) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else float("nan")
