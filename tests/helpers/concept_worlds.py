"""Simulated annotations of phrases in the form of SAM 3's evaluator: COCO files whose images are pairs, one file an annotator."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

H, W = 40, 56


def world(seed: int, n_pairs: int = 60, annotators: int = 3) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(one ground-truth file an annotator, results). Misses, duplicates, absent phrases, pairs that an annotator sees nothing in or
    has not drawn whole, crowds, empty answers, scores of exactly .5, masks without a pixel."""
    rng = np.random.default_rng(seed)
    files: list[dict[str, Any]] = [{"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]} for _ in range(annotators)]
    results: list[dict[str, Any]] = []
    for pair in range(1, n_pairs + 1):
        boxes = [_box(rng) for _ in range(0 if rng.random() < 0.35 else rng.integers(1, 6))]
        for file in files:
            drawn = [b for b in boxes if rng.random() > 0.15] if rng.random() > 0.1 else []
            if rng.random() < 0.08:
                drawn = [*drawn, _box(rng)]
            file["images"].append({"id": pair, "height": H, "width": W, "is_instance_exhaustive": int(rng.random() > 0.06)})
            for box in drawn:
                crowd = int(rng.random() < 0.05)
                file["annotations"].append(_entry(len(file["annotations"]) + 1, pair, _moved(box, rng, 1), iscrowd=crowd))
        if rng.random() < 0.2:  # nothing is answered
            continue
        answers = [_moved(b, rng, 3) for b in boxes if rng.random() > 0.2]
        answers += [_moved(b, rng, 2) for b in boxes if rng.random() < 0.2]
        answers += [_box(rng) for _ in range(rng.integers(0, 2))]
        for k, box in enumerate(answers):
            score = 0.5 if rng.random() < 0.1 else float(np.float32(rng.random()))
            results.append({**_entry(k + 1, pair, box if rng.random() > 0.03 else (0, 0, 0, 0)), "score": score})
    return files, results


def _box(rng: np.random.Generator) -> tuple[int, int, int, int]:
    y, x = int(rng.integers(0, H - 8)), int(rng.integers(0, W - 8))
    return y, x, int(rng.integers(y + 4, min(y + 18, H) + 1)), int(rng.integers(x + 4, min(x + 18, W) + 1))


def _moved(box: tuple[int, int, int, int], rng: np.random.Generator, most: int) -> tuple[int, int, int, int]:
    y0, x0, y1, x1 = (int(v + rng.integers(-most, most + 1)) for v in box)
    y0, x0 = min(max(y0, 0), H - 1), min(max(x0, 0), W - 1)
    return y0, x0, min(max(y1, y0 + 1), H), min(max(x1, x0 + 1), W)


def _entry(number: int, pair: int, box: tuple[int, int, int, int], iscrowd: int = 0) -> dict[str, Any]:
    mask = np.zeros((H, W), np.uint8, order="F")
    mask[box[0] : box[2], box[1] : box[3]] = 1
    rle = coco_mask.encode(mask)
    segmentation = {"size": rle["size"], "counts": rle["counts"].decode()}
    bbox = [float(v) for v in coco_mask.toBbox(rle)]
    return {
        "id": number, "image_id": pair, "category_id": 1, "segmentation": segmentation, "bbox": bbox,
        "area": float(coco_mask.area(rle)), "iscrowd": iscrowd,
    }  # fmt: skip
