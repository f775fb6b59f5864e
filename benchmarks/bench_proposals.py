"""Class-agnostic average recall of 1000 proposals an image, against pycocotools' COCOeval. python -m benchmarks.run proposals

Both get the same RLEs; ours takes them image by image, and counts seven reference sets where pycocotools has four area ranges. The
row is equal if all of pycocotools' numbers agree to 1e-9 and the memory of ours does not grow with the number of images.
"""

from __future__ import annotations

import contextlib
import io
import time
import tracemalloc
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sambench.metrics.proposals import AverageRecall

N_IMAGES, N_PROPOSALS = 200, 1000
HEIGHT, WIDTH = 480, 640
MAX_DETS = [1, 10, 100, 1000]
AREAS = ("all", "small", "medium", "large")
BAR = 10.0
Image = tuple[list[Any], list[float], list[str], list[Any], np.ndarray]


def main(n_images: int = N_IMAGES) -> list[dict[str, Any]]:
    """One row: CPU time of one round each, after compilation."""
    images = [scene(np.random.default_rng(i)) for i in range(n_images)]
    ours(images[:1])
    start = time.process_time_ns()
    found = ours(images)
    ours_ms = (time.process_time_ns() - start) / 1e6
    peaks = [traced(images[: n_images // 4]), traced(images)]
    content, results = as_coco(images)
    start = time.process_time_ns()
    wanted = official(content, results)
    peer_ms = (time.process_time_ns() - start) / 1e6
    maxdiff = max(abs(found.value(a, k) - wanted[a, k]) for a in AREAS for k in MAX_DETS)
    flat = peaks[1] < peaks[0] + (1 << 20)
    memory = f"peak {peaks[0] / 1e6:.2f} MB at {n_images // 4} images and {peaks[1] / 1e6:.2f} MB at all"
    name = f"AR@1000, {n_images} images x {N_PROPOSALS} proposals, {memory}"
    equal = maxdiff <= 1e-9 and flat
    return [
        {
            "name": name,
            "ours_ms": ours_ms,
            "peer_ms": peer_ms,
            "ratio": peer_ms / ours_ms,
            "equal": equal,
            "maxdiff": maxdiff,
            "bar": BAR,
        }
    ]


def ours(images: list[Image]) -> AverageRecall:
    """Image by image."""
    counted = AverageRecall(MAX_DETS)
    for objects, areas, frequencies, proposals, _ in images:
        counted.add(proposals, objects, areas, frequencies)
    return counted


def traced(images: list[Image]) -> int:
    """Bytes at the peak of what ours allocates."""
    tracemalloc.start()
    ours(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def scene(rng: np.random.Generator) -> Image:
    """About a dozen blobs of all sizes; proposals are moved, grown and shrunk blobs, and others."""
    objects = [blob(rng, float(np.exp(rng.uniform(1.5, 5)))) for _ in range(int(rng.integers(5, 21)))]
    areas = [float(m.sum()) for m in objects]
    frequencies = [str(f) for f in rng.choice(list("fcr"), len(objects))]
    proposals = []
    for k in range(N_PROPOSALS):
        if k % 2:
            proposals.append(blob(rng, float(np.exp(rng.uniform(1.5, 5)))))
            continue
        shift = rng.integers(-5, 6, 2)
        mask = np.roll(objects[int(rng.integers(len(objects)))], shift, axis=(0, 1))
        side = int(rng.integers(1, 8))
        proposals.append((cv2.erode if k % 4 else cv2.dilate)(mask, np.ones((side, side), np.uint8)))
    scores = np.sort(rng.random(N_PROPOSALS))[::-1]
    return encoded(objects), areas, frequencies, encoded(proposals), scores


def blob(rng: np.random.Generator, radius: float) -> np.ndarray:
    """uint8 [H, W], a rotated ellipse."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    centre = (int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT)))
    axes = (max(2, int(radius)), max(2, int(radius * rng.uniform(0.3, 1))))
    return cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)


def encoded(masks: list[np.ndarray]) -> list[Any]:
    """COCO RLEs."""
    return [coco_mask.encode(np.asfortranarray(m)) for m in masks]


def as_coco(images: list[Image]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and results as pycocotools takes them."""
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    results = []
    for i, (objects, areas, _, proposals, scores) in enumerate(images, 1):
        content["images"].append({"id": i, "height": HEIGHT, "width": WIDTH})
        for o, area in zip(objects, areas, strict=True):
            n = len(content["annotations"]) + 1
            content["annotations"].append({"id": n, "image_id": i, "category_id": 1, "iscrowd": 0, "area": area, "segmentation": o})
        for p, s in zip(proposals, scores, strict=True):
            results.append({"image_id": i, "category_id": 1, "segmentation": p, "score": float(s)})
    return content, results


def official(content: dict[str, Any], results: list[dict[str, Any]]) -> dict[tuple[str, int], float]:
    """AR by area range and number of proposals."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "segm")
        evaluator.params.maxDets = MAX_DETS
        evaluator.params.useCats = 0
        evaluator.evaluate()
        evaluator.accumulate()
    recall = evaluator.eval["recall"]
    return {(a, k): float(recall[:, 0, i, j].mean()) for i, a in enumerate(AREAS) for j, k in enumerate(MAX_DETS)}
