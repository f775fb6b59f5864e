"""AP from the strings of masks: pycocotools' numbers, to the last bit, on crowds, ties and empty masks; and what it refuses."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sambench import metrics
from sambench.errors import UsageError
from sambench.metrics import coco
from sambench.metrics.instances import Evaluation
from sambench.pixels.rles import run_masks
from tests.helpers.detection_worlds import encoded, truth_and_results


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


def sparse_world(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Images of which many have no detection, or no object, or neither; ids in no order, crowds, sizes of all classes, areas unlike
    the pixels', annotations of images and categories that the file does not have."""
    rng = np.random.default_rng(seed)
    ids = [int(i) for i in rng.permutation(np.arange(-3, 40))[: rng.integers(1, 9)]]
    categories = [int(c) for c in rng.permutation([0, 2, 5, 90])[: rng.integers(1, 4)]]
    images = [{"id": i, "height": int(rng.integers(8, 140)), "width": int(rng.integers(8, 140))} for i in ids]
    truth: dict[str, Any] = {"images": images, "categories": [{"id": c} for c in categories], "annotations": []}
    results: list[dict[str, Any]] = []
    share = rng.choice([0.2, 0.5, 0.9])  # of the images with objects, and of those with detections
    for image in images:
        height, width = image["height"], image["width"]
        drawn = [box_in(height, width, rng) for _ in range(rng.integers(1, 5) if rng.random() < share else 0)]
        for mask in drawn:
            area = float(mask.sum()) * float(rng.choice([1, 1, 0.5, 2]))
            crowd = {"iscrowd": int(rng.random() < 0.2)} if rng.random() < 0.8 else {"iscrowd": 0}
            entry = {"id": len(truth["annotations"]) + 1, "image_id": image["id"], "area": area, **crowd}
            truth["annotations"].append({**entry, "category_id": int(rng.choice(categories)), "segmentation": encoded(mask)})
        for mask in [*drawn, box_in(height, width, rng)] if rng.random() < share else []:
            for _ in range(rng.integers(0, 4)):
                near = np.roll(mask, int(rng.integers(0, 3)), 1)
                entry = {"image_id": image["id"], "score": float(rng.choice([0.1, 0.5, 0.9])), "segmentation": encoded(near)}
                results.append({**entry, "category_id": int(rng.choice(categories))})
    one = {"id": 999, "area": 9.0, "iscrowd": 0, "segmentation": encoded(np.ones((3, 3), np.bool_))}
    truth["annotations"] += [{**one, "image_id": 77, "category_id": categories[0]}, {**one, "image_id": ids[0], "category_id": 77}]
    rng.shuffle(truth["annotations"])
    rng.shuffle(results)  # type: ignore[arg-type]
    return truth, results


def box_in(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((height, width), np.bool_)
    y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
    mask[y : y + int(rng.integers(1, height + 1)), x : x + int(rng.integers(1, width + 1))] = True
    return mask


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 1 << 15]))
@example(0, 1)
@settings(max_examples=80, deadline=None)
def test_of_sparse_detections_too(seed: int, at_once: int) -> None:
    truth, results = sparse_world(seed)
    assume(results)  # loadRes takes no empty list
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco, "AT_ONCE", at_once)
        found = metrics.average_precision(truth, results)
    precision, recall, ids = official(truth, results)
    at = [ids.index(c) for c in found.category_ids]
    assert np.array_equal(found.precision, precision[:, :, at])
    assert np.array_equal(found.recall, recall[:, at])
    assert (np.delete(precision, at, axis=2) == -1).all()


def test_objects_of_an_image_without_detections_count_once() -> None:
    # By ids it lies between two that have some.
    square = encoded(np.ones((4, 4), np.bool_))
    images = [{"id": i, "height": 4, "width": 4} for i in (1, 2, 3)]
    one = {"category_id": 1, "area": 16, "iscrowd": 0, "segmentation": square}
    truth = {"images": images, "categories": [{"id": 1}], "annotations": [{**one, "id": i, "image_id": i} for i in (1, 2)]}
    results = [{"image_id": i, "category_id": 1, "score": 0.5, "segmentation": square} for i in (1, 3)]
    found = metrics.average_precision(truth, results)
    assert found.ar() == 0.5
    assert np.array_equal(found.precision, official(truth, results)[0])


def test_an_absent_area_is_the_masks_and_id_0_is_an_id() -> None:
    truth, results = truth_and_results(n_images=5, seed=3)
    results = with_masks(results, boxes=False)
    measured = coco_mask.area([{**a["segmentation"], "counts": a["segmentation"]["counts"].encode()} for a in truth["annotations"]])
    of_masks = [{**a, "area": float(n)} for a, n in zip(truth["annotations"], measured, strict=True)]
    expected = official(truth | {"annotations": of_masks}, results)[0]
    for absent in ({}, {"area": None}, {"area": float("nan")}):
        bare = [{**{k: v for k, v in a.items() if k != "area"}, **absent} for a in truth["annotations"]]
        bare = [{**a, "id": n} for n, a in enumerate(bare)]
        found = metrics.average_precision(truth | {"annotations": bare}, results)
        assert np.array_equal(found.precision, expected[:, :, [c - 1 for c in found.category_ids]])


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


SQUARE = {"size": [5, 5], "counts": "0i0"}
OBJECT = {"id": 1, "image_id": 1, "category_id": 1, "area": 25, "iscrowd": 0, "segmentation": SQUARE}
FOUND = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": SQUARE}
TRUTH = {"images": [{"id": 1, "height": 5, "width": 5}], "categories": [{"id": 1}], "annotations": [OBJECT]}


def test_the_small_world_is_right() -> None:
    assert metrics.average_precision(TRUTH, [FOUND]).ap() == pytest.approx(1)
    assert metrics.average_precision(TRUTH, [FOUND | {"category_id": 1.0}]).ap() == pytest.approx(1), "as pandas writes it"
    assert metrics.average_precision(TRUTH, []).ap() == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"annotations": None}, "no annotations"),
        ({"annotations": {}}, "no annotations"),
        ({"categories": None}, "no categories"),
        ({"categories": [{"id": 1.5}]}, "category 0"),
        ({"categories": [1]}, "category 0"),
        ({"images": None}, "no images"),
        ({"images": [{"id": 1, "height": 5, "width": -5}]}, "a side of -5"),
        ({"images": [{"id": 1, "height": float("inf"), "width": 5}]}, "no images"),
        ({"annotations": [3]}, "annotation 0"),
        *(
            ({"annotations": [OBJECT | wrong]}, says)
            for wrong, says in (
                ({"category_id": 1.7}, "category_id"),
                ({"category_id": "1"}, "category_id"),
                ({"category_id": [1]}, "category_id"),
                ({"image_id": [1]}, "image_id"),
                ({"iscrowd": "0"}, "iscrowd"),
                ({"iscrowd": 2}, "iscrowd"),
                ({"area": -1}, "area"),
                ({"area": "25"}, "area"),
                ({"area": [25]}, "area"),
                ({"segmentation": None}, "a mask is broken"),
                ({"segmentation": {"size": [25, 1], "counts": "0i0"}}, "of size"),
                ({"segmentation": {"size": [5, 5], "counts": 10**12}}, "a mask is broken"),
                ({"segmentation": {"size": [5, 5], "counts": [-1, 26]}}, "a mask is broken"),
                ({"segmentation": []}, "a mask is broken"),
                ({"segmentation": [[]]}, "a mask is broken"),
                ({"segmentation": ["01"]}, "a mask is broken"),
                ({"segmentation": [[0, 0, float("nan"), 4, 4, 4]]}, "a mask is broken"),
                ({"segmentation": [[0, 0, 1e12, 4, 4, 4]]}, "a mask is broken"),
            )
        ),
    ],
)
def test_annotations_that_cannot_be_counted_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as e:
        metrics.average_precision(TRUTH | change, [FOUND])
    assert says in str(e.value)


@pytest.mark.parametrize(
    "results",
    [
        None,
        7,
        {"annotations": [FOUND]},
        [None],
        [3],
        *(
            [FOUND, FOUND | wrong]
            for wrong in (
                {"category_id": 1.7},
                {"category_id": "1"},
                {"category_id": [1]},
                {"category_id": 2**70},
                {"image_id": [1]},
                {"score": "0.5"},
                {"score": None},
                {"segmentation": {"size": [5, 5], "counts": [0, 25]}},
                {"segmentation": {"size": [5], "counts": "0i0"}},
                {"segmentation": {"size": "55", "counts": "0i0"}},
                {"segmentation": {"size": None, "counts": "0i0"}},
                {"segmentation": [[0, 0, 4, 0, 4, 4]]},
            )
        ),
        [FOUND | {"bbox": [0, 0, 5, 5]}, FOUND],
        [FOUND | {"bbox": [0, 0, float("nan"), 5]}],
        [FOUND | {"bbox": [0, 0, 5]}],
        [FOUND | {"bbox": 5}],
    ],
)
def test_results_that_cannot_be_counted_are_refused(results: Any) -> None:
    with pytest.raises(UsageError):
        metrics.average_precision(TRUTH, results)


@pytest.mark.parametrize("max_dets", [(), (100, 1), (1, 1), (0, 10), (1.5,), ("a",), "100", 100, None])
def test_numbers_of_detections_ascend(max_dets: Any) -> None:
    with pytest.raises(UsageError, match="argument"):
        metrics.average_precision(TRUTH, [FOUND], max_dets=max_dets)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda e: e.ap(threshold=0.33), "0.5, 0.55"),
        (lambda e: e.ap(threshold="0.5"), "an IoU"),
        (lambda e: e.ap(threshold=float("nan")), "an IoU"),
        (lambda e: e.ap(area="huge"), "all, small, medium, large"),
        (lambda e: e.ap(area=["all"]), "all, small, medium, large"),
        (lambda e: e.ap(categories=1), "ids"),
        (lambda e: e.ap(categories=["1"]), "a whole number"),
        (lambda e: e.ar(max_dets=7), "1, 10, 100"),
        (lambda e: e.ar(max_dets=[1]), "1, 10, 100"),
        (lambda e: e.ar(area=None), "all, small, medium, large"),
    ],
)
def test_what_an_evaluation_does_not_have_is_refused(ask: Callable[[Evaluation], float], says: str) -> None:
    with pytest.raises(UsageError) as e:
        ask(metrics.average_precision(TRUTH, [FOUND]))
    assert says in str(e.value)


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
