"""Scenes with objects and proposals, and what pycocotools says of them."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sambench.pixels.region import Region
from sambench.types import Annotated, Annotation, Instance, Sample

H, W = 120, 160
AREA_NAMES = {"all": 0, "small": 1, "medium": 2, "large": 3}


def rect(y: float, x: float, h: float, w: float) -> np.ndarray:
    mask = np.zeros((H, W), np.uint8)
    mask[int(y) : int(y + h), int(x) : int(x + w)] = 1
    return mask


def rle(mask: np.ndarray) -> dict[str, Any]:
    return coco_mask.encode(np.asfortranarray(mask))


def scene(rng: np.random.Generator, n_objects: int, n_proposals: int) -> tuple[list[Any], list[Any], list[float], np.ndarray]:
    """Objects, proposals by falling score, areas; some proposals are shifted objects, with ties of score and of IoU."""
    objects = []
    for k in range(n_objects):
        h, w = {0: (32, 32), 2: (110, 100)}.get(k, rng.integers(4, 80, 2))  # 32 x 32: on the border of small and medium
        y, x = rng.integers(0, H - 32), rng.integers(0, W - 32)
        objects.append(rect(min(y, H - h), min(x, W - w), h, w))
    if n_objects > 1:
        objects[1] = objects[0].copy()  # two objects of the same pixels: every IoU is a tie
    objects = [m for m in objects if m.any()]
    proposals = []
    for k in range(n_proposals):
        if k % 3:
            base = objects[rng.integers(len(objects))]
            proposals.append(np.roll(base, rng.integers(-6, 7, 2), axis=(0, 1)))
        else:
            proposals.append(rect(rng.integers(0, H - 4), rng.integers(0, W - 4), rng.integers(1, 60), rng.integers(1, 60)))
    scores = np.sort(np.round(rng.random(n_proposals), 2))[::-1]
    return [rle(m) for m in objects], [rle(m) for m in proposals], [float(m.sum()) for m in objects], scores


def official(
    images: list[tuple[list[Any], list[Any], list[float], np.ndarray]], max_dets: list[int]
) -> dict[tuple[str, int], float]:
    """pycocotools, class-agnostic: {(area, max_dets): AR}."""
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    results = []
    for i, (objects, proposals, areas, scores) in enumerate(images, 1):
        truth["images"].append({"id": i, "height": H, "width": W})
        for o, area in zip(objects, areas, strict=True):
            n = len(truth["annotations"]) + 1
            truth["annotations"].append({"id": n, "image_id": i, "category_id": 1, "iscrowd": 0, "area": area, "segmentation": o})
        results += [
            {"image_id": i, "category_id": 1, "segmentation": p, "score": float(s)} for p, s in zip(proposals, scores, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(results), "segm")
        evaluator.params.maxDets = max_dets
        evaluator.params.useCats = 0
        evaluator.evaluate()
        evaluator.accumulate()
    recall = evaluator.eval["recall"]  # [T, 1, areas, max_dets]
    return {(name, k): float(recall[:, 0, a, j].mean()) for name, a in AREA_NAMES.items() for j, k in enumerate(max_dets)}


def sample(*rects: tuple[int, int, int, int], frequencies: str = "", annotated: bool = False) -> Sample:
    regions = [Region.from_array(rect(*r)) for r in rects]
    instances = tuple(Instance(str(k), r, category="thing" if annotated else "") for k, r in enumerate(regions))
    told = Annotated(
        tuple(Annotation(str(k), 1, "thing", frequencies[k], r, False, 5000.0 + k, (0, 0, 1, 1)) for k, r in enumerate(regions))
        if annotated
        else (),
        {1: "thing"},
    )
    image = np.zeros((H, W, 3), np.uint8)
    return Sample("made", "one", H, W, instances, lambda: image, annotated=(lambda: told) if annotated else None)
