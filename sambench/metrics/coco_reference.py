"""Average precision by pycocotools' own code: what `instances.AveragePrecision` is measured against.

`COCOeval` as it is, fed with IoUs that were computed before (by pycocotools too), category by category, so that images which have
neither objects nor detections of a category cost nothing; and LVIS's rule of detections that match nothing.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from sambench.metrics.instances import AREAS, COCO_MAX_DETS, Batch, Evaluation, Group


@dataclass
class ByPycocotools:
    """As `instances.AveragePrecision`, in Python, with all detections in memory."""

    max_dets: Sequence[int] = COCO_MAX_DETS
    _groups: dict[int, dict[int, Group]] = field(default_factory=dict)  # by category and image

    def add(self, batch: Batch) -> None:
        """Keep the groups of a batch."""
        found, truth = _members(batch.image, batch.category), _members(batch.gt_image, batch.gt_category)
        for image, category in {**found, **truth}:
            d = np.array(found.get((image, category), []), np.int64)
            g = np.array(truth.get((image, category), []), np.int64)
            ious = batch.ious[batch.row_of[d][:, None] + batch.column_of[g][None, :]]
            exhaustive = bool(batch.exhaustive[d].all())
            group = Group(batch.scores[d], batch.areas[d], ious, batch.gt_areas[g], batch.gt_crowd[g], exhaustive)
            self._groups.setdefault(category, {})[image] = group

    def evaluation(self) -> Evaluation:
        """Of all that was added."""
        params = COCOeval(iouType="segm").params
        n_thresholds, n_recalls = len(params.iouThrs), len(params.recThrs)
        ids = sorted(c for c, of in self._groups.items() if any(len(g.gt_areas) for g in of.values()))
        precision = -np.ones((n_thresholds, n_recalls, len(ids), len(AREAS), len(self.max_dets)))
        recall = -np.ones((n_thresholds, len(ids), len(AREAS), len(self.max_dets)))
        for k, category in enumerate(ids):
            groups = [group for _, group in sorted(self._groups[category].items(), key=lambda item: item[0])]
            found = _CategoryEval(groups, self.max_dets).accumulated()
            precision[:, :, k], recall[:, k] = found["precision"][:, :, 0], found["recall"][:, 0]
        return Evaluation(precision, recall, np.asarray(params.iouThrs), tuple(ids), tuple(self.max_dets))


def _members(image: Any, category: Any) -> dict[tuple[int, int], list[int]]:
    out: dict[tuple[int, int], list[int]] = {}
    for i, key in enumerate(zip(image.tolist(), category.tolist(), strict=True)):
        out.setdefault(key, []).append(i)
    return out


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
