"""AP from the strings of masks: pycocotools' numbers, to the last bit, on crowds, ties and empty masks; and what it refuses."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sambench import metrics
from sambench.errors import UsageError
from sambench.metrics import coco
from sambench.pixels.rles import run_masks
from tests.helpers.detection_worlds import truth_and_results


def official(truth: dict[str, Any], results: list[dict[str, Any]]) -> tuple[Any, Any, list[int]]:
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = copy.deepcopy(truth)
        gt.createIndex()
        found = COCOeval(gt, gt.loadRes(copy.deepcopy(results)), "segm")
        found.evaluate()
        found.accumulate()
    return found.eval["precision"], found.eval["recall"], list(found.params.catIds)


def with_masks(results: list[dict[str, Any]], *, boxes: bool) -> list[dict[str, Any]]:
    kept = [d for d in results if isinstance(d.get("segmentation"), dict)]
    return [{k: v for k, v in d.items() if boxes or k != "bbox"} for d in kept]


@pytest.mark.parametrize(("seed", "boxes", "at_once"), [(0, True, 1 << 15), (1, False, 7), (2, False, 1 << 15)])
def test_the_numbers_are_pycocotools(seed: int, boxes: bool, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, results = truth_and_results(n_images=14, seed=seed)
    results = with_masks(results, boxes=boxes)
    monkeypatch.setattr(coco, "AT_ONCE", at_once)
    found = metrics.average_precision(truth, results)
    precision, recall, ids = official(truth, results)
    at = [ids.index(c) for c in found.category_ids]
    assert len(results) > 50
    assert np.array_equal(found.precision, precision[:, :, at])
    assert np.array_equal(found.recall, recall[:, at])
    rest = [k for k in range(len(ids)) if k not in at]  # categories without an object
    assert (precision[:, :, rest] == -1).all()


def test_files_are_read(tmp_path: Path) -> None:
    truth, results = truth_and_results(n_images=5, seed=3)
    results = with_masks(results, boxes=False)
    for name, content in (("truth", truth), ("found", results)):
        (tmp_path / name).write_text(json.dumps(content))
    of_files = metrics.average_precision(tmp_path / "truth", str(tmp_path / "found"))
    assert of_files.ap() == metrics.average_precision(truth, results).ap() > 0
    with pytest.raises(UsageError, match="cannot be read"):
        metrics.average_precision(tmp_path / "nowhere", results)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_areas_boxes_and_overlaps_are_cocos(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 9, 2))
    masks = rng.random((6, height, width)) < rng.choice([0.0, 0.2, 0.5, 1.0], (6, 1, 1))
    rles = [coco_mask.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks]
    read = run_masks([r["counts"] for r in rles], *(np.full(6, n, np.int64) for n in (height, width)))
    crowd = rng.random(6) < 0.5
    every, none = np.full(6, 6, np.int64), np.zeros(6, np.int64)
    assert read.ok.all()
    assert np.array_equal(read.areas, coco_mask.area(rles))
    assert np.array_equal(read.boxes, coco_mask.toBbox(rles))
    ious = np.asarray(coco_mask.iou(rles, rles, crowd.astype(np.uint8).tolist()))
    assert np.array_equal(read.overlaps(read, crowd, none, every).reshape(6, 6), ious)


@pytest.mark.parametrize("counts", [b"", b"!", b"0", b"`", b"aaaaaaaaaa1", b"5", b"1O", b"52N1"])
def test_broken_strings_are_seen(counts: bytes) -> None:
    whole = coco_mask.encode(np.asfortranarray(np.ones((2, 3), np.uint8)))["counts"]
    read = run_masks([whole, counts, whole], np.full(3, 2, np.int64), np.full(3, 3, np.int64))
    assert read.ok.tolist() == [True, False, True]
    assert read.areas.tolist() == [6, 0, 6]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_id": 999}, "image_id 999"),
        ({"category_id": 77}, "category_id 77"),
        ({"score": float("nan")}, "score nan"),
        ({"segmentation": None}, "segmentation None"),
        ({"segmentation": {"size": [3, 3], "counts": "9"}}, "a mask of size"),
    ],
)
def test_a_detection_that_does_not_fit_is_named(change: dict[str, Any], says: str) -> None:
    truth, results = truth_and_results(n_images=4, seed=4)
    results = with_masks(results, boxes=False)
    results[3] = results[3] | change
    with pytest.raises(UsageError) as e:
        metrics.average_precision(truth, results)
    assert e.value.where == "detection 3 (from 0)"
    assert says in str(e.value.found)


def test_broken_masks_are_named() -> None:
    truth, results = truth_and_results(n_images=4, seed=4)
    results = with_masks(results, boxes=False)
    size = results[2]["segmentation"]["size"]
    results[2] = results[2] | {"segmentation": {"size": size, "counts": "1"}}
    with pytest.raises(UsageError, match="a mask is broken") as e:
        metrics.average_precision(truth, results)
    assert e.value.where == "detection 2 (from 0)"
    with pytest.raises(UsageError, match="no images"):
        metrics.average_precision([], results)  # type: ignore[arg-type]
    assert np.isnan(metrics.average_precision({"images": [], "categories": [], "annotations": []}, []).ap())
