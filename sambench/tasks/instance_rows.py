"""Rows of one image of the instance task: every detection with its mask and IoUs, every annotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sambench.loaders.coco_results import Detections
from sambench.metrics.instances import mask_areas, mask_ious
from sambench.pixels import region as masks
from sambench.pixels.region import RLE, Region
from sambench.types import Annotated, Annotation, Sample

BOUNDARY_RATIO = 0.02  # of the image's diagonal (Cheng et al. 2021)


@dataclass(frozen=True)
class Answer:
    """A detection's mask."""

    rle: RLE
    model_score: float | None = None
    n_candidates: int = 1
    decode_ms: float | None = None


@dataclass
class ImageRows:
    """The detections of an image with their masks, against its ground truth."""

    sample: Sample
    truth: Annotated
    found: Detections
    boxes_xywh: Any
    answers: dict[int, Answer]
    boundary: bool
    keep: bool

    def rows(self) -> list[dict[str, Any]]:
        """Of detections, then of objects."""
        nothing = Region.empty(self.sample.height, self.sample.width).rle()
        rles = [self.answers[i].rle if i in self.answers else nothing for i in range(len(self.found))]
        truth_rles = [o.region.rle() for o in self.truth.objects]
        ious = self._ious(rles, truth_rles)
        boundary_ious: list[list[float] | None] = [None] * len(rles)
        if self.boundary:
            d = masks.boundary_dilation(self.sample.height, self.sample.width, BOUNDARY_RATIO)
            regions = (Region.from_rle(r) for r in rles)
            objects = (o.region for o in self.truth.objects)
            thin = self._ious([masks.boundary(r, d).rle() for r in regions], [masks.boundary(o, d).rle() for o in objects])
            boundary_ious = [np.minimum(a, b).tolist() if a and b else None for a, b in zip(ious, thin, strict=True)]
        # LVIS's evaluator does not see annotations without area: they make no category present.
        areas = mask_areas(rles)
        judged = {o.category_id for o in self.truth.objects if o.area > 0} | set(self.truth.negative_ids or ())
        out = []
        for i, rle in enumerate(rles):
            answer, category = self.answers.get(i), int(self.found.category_id[i])
            out.append(
                {
                    "kind": "detection",
                    "index": int(self.found.position[i]),
                    "category_id": category,
                    "category": self.truth.categories[category],
                    "score": float(self.found.score[i]),
                    "box_xywh": self.boxes_xywh[i].tolist(),
                    "area": areas[i],
                    "ious": ious[i],
                    "boundary_ious": boundary_ious[i],
                    "judged": int(self.truth.negative_ids is None or category in judged),
                    "exhaustive": int(category not in (self.truth.not_exhaustive_ids or ())),
                    "n_candidates": answer.n_candidates if answer else None,
                    "model_score": answer.model_score if answer else None,
                    "decode_ms": answer.decode_ms if answer else None,
                    "mask_rle": rle["counts"] if self.keep else None,
                }
            )
        best = self._best(ious)
        return out + [self._object(k, o, best[k], truth_rles[k]) for k, o in enumerate(self.truth.objects)]

    def _ious(self, found: list[RLE], truth: list[RLE]) -> list[list[float] | None]:
        """Of each detection with the objects of its category, in their order; None where there are none."""
        out: list[list[float] | None] = [None] * len(found)
        for category, members in self._members().items():
            which = np.flatnonzero(self.found.category_id == category).tolist()
            crowd = [self.truth.objects[k].is_crowd for k in members]
            values = mask_ious([found[i] for i in which], [truth[k] for k in members], crowd)
            for row, i in enumerate(which):
                out[i] = values[row].tolist()
        return out

    def _best(self, ious: list[list[float] | None]) -> dict[int, float | None]:
        """The best IoU of a detection by object, None of crowds."""
        best: dict[int, float | None] = {}
        for category, members in self._members().items():
            of = [ious[i] or [] for i in np.flatnonzero(self.found.category_id == category)]
            for column, k in enumerate(members):
                best[k] = None if self.truth.objects[k].is_crowd else max((v[column] for v in of), default=0.0)
        return best

    def _members(self) -> dict[int, list[int]]:
        out: dict[int, list[int]] = {}
        for k, o in enumerate(self.truth.objects):
            out.setdefault(o.category_id, []).append(k)
        return out

    def _object(self, k: int, o: Annotation, best: float | None, rle: RLE) -> dict[str, Any]:
        return {
            "kind": "object",
            "index": k,
            "object_id": o.object_id,
            "category_id": o.category_id,
            "category": o.category,
            "frequency": None if self.truth.negative_ids is None else o.frequency,
            "box_xywh": list(o.box_xywh),
            "area": o.area,
            "is_crowd": int(o.is_crowd),
            "iou_best": best,
            "mask_rle": rle["counts"] if self.keep else None,
        }
