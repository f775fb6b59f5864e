"""Simulated annotations of phrases in the form of SAM 3's evaluator: COCO files whose images are pairs, one file an annotator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask

from sambench.concepts import ConceptAnnotation, ConceptInstance, ConceptPrediction, ConceptTruth
from sambench.pixels.region import Region
from sambench.pixels.region_masks import RegionMasks
from sambench.tasks.concepts import ConceptTask
from sambench.tasks.prompted import Context
from sambench.tasks.settings.concepts import ConceptSettings
from sambench.tasks.summary import Bootstrap
from sambench.types import Sample

H, W = 40, 56


def world(seed: int, n_pairs: int = 60, annotators: int = 3) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(one ground-truth file an annotator, results). Misses, duplicates, absent phrases, pairs that an annotator sees nothing in or
    has not drawn whole, crowds, empty answers, scores of exactly .5, masks without a pixel."""
    rng = np.random.default_rng(seed)
    files: list[dict[str, Any]] = [
        {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]} for _ in range(annotators)
    ]
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


def samples(files: list[dict[str, Any]]) -> list[Sample]:
    """The same annotations as the concept task takes them: an image a pair, whose phrase is one of five."""
    by_file = [defaultdict(list) for _ in files]
    for lists, file in zip(by_file, files, strict=True):
        for a in file["annotations"]:
            if not a["iscrowd"]:
                region = Region.from_rle({**a["segmentation"], "counts": a["segmentation"]["counts"].encode()})
                lists[a["image_id"]].append(ConceptInstance.of(region))
    out = []
    for n, image in enumerate(files[0]["images"]):
        given = tuple(
            ConceptAnnotation(tuple(lists[image["id"]]), bool(file["images"][n]["is_instance_exhaustive"]))
            for lists, file in zip(by_file, files, strict=True)
        )
        truth = ConceptTruth(str(image["id"]), f"phrase {image['id'] % 5}", given)
        out.append(Sample("world", f"{image['id']:04d}", H, W, (), lambda: np.zeros((H, W, 3), np.uint8), concepts=(truth,)))
    return out


class Answers:
    """Results of a world as a `sambench.concepts.ConceptSource`."""

    def __init__(self, results: list[dict[str, Any]]) -> None:
        self.results = results

    def answers(self, image_id: str, size: tuple[int, int], concepts: Sequence[ConceptTruth]) -> list[ConceptPrediction]:
        """Of the pair whose number the image has."""
        mine = [r for r in self.results if r["image_id"] == int(image_id)]
        rles = [{**r["segmentation"], "counts": r["segmentation"]["counts"].encode()} for r in mine]
        masks = RegionMasks([Region.from_rle(r) for r in rles], *size)
        return [ConceptPrediction(masks, np.array([r["score"] for r in mine], np.float64))]


def scored(files: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[tuple[str, float | None], float]:
    """(metric, IoU threshold) -> value, as the task makes them of its rows; those of people are left out."""
    task = ConceptTask(ConceptSettings())
    rows = [row for s in samples(files) for row in task.rows(s, Answers(results), Context())]
    found = task.reduce(pd.DataFrame([{**dict.fromkeys(task.columns), **r} for r in rows]), Bootstrap(n_resamples=20))
    return {(r["metric"], r.get("threshold")): r["value"] for r in found if r["variant"] == ""}


# Names of the reference's metrics, by ours.
REFERENCE = {
    "cgf1": "cgF1",
    "pmf1": "positive_micro_F1",
    "positive_precision": "positive_micro_precision",
    "positive_macro_f1": "positive_macro_F1",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "il_precision": "IL_precision",
    "il_recall": "IL_recall",
    "il_f1": "IL_F1",
    "il_fpr": "IL_FPR",
    "il_mcc": "IL_MCC",
}


def reference_names() -> dict[tuple[str, float | None], str]:
    """(metric, IoU threshold) -> the reference's name, of all that it has."""
    out: dict[tuple[str, float | None], str] = {}
    for ours, theirs in REFERENCE.items():
        out[ours, None] = f"cgF1_eval_segm_{theirs}"
        if not ours.startswith("il_"):
            out |= {(ours, t): f"cgF1_eval_segm_{theirs}@{t}" for t in (0.5, 0.75)}
    return out
