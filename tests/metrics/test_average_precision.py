"""The compiled evaluator of AP against pycocotools' own, to the last bit, on worlds full of ties and edges."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import Params

from sambench.metrics.coco_reference import ByPycocotools
from sambench.metrics.instances import (
    AREA_RANGES,
    COCO_MAX_DETS,
    LVIS_MAX_DETS,
    RECALLS,
    THRESHOLDS,
    AveragePrecision,
    Batch,
    Evaluation,
    Group,
    batch_of,
    evaluate,
)

# On thresholds, just beside them, and between.
IOUS = [0.0, 0.3, 0.5, np.nextafter(0.5, 0), 0.55, 0.6, float(THRESHOLDS[2]), 0.7, 0.75, 0.9, 0.95, 1 - 1e-11, 1.0]
SIZES = [0.0, 1.0, 1023.0, 1024.0, 1025.0, 9215.5, 9216.0, 9217.0, 1e5**2, 1e5**2 + 1]
FOUND = [f.name for f in fields(Batch) if not f.name.startswith("gt_") and f.name not in ("ious", "column_of")]
TRUTH = [f.name for f in fields(Batch) if f.name.startswith("gt_") or f.name == "column_of"]


def same(a: Evaluation, b: Evaluation) -> None:
    assert a.category_ids == b.category_ids
    assert a.precision.shape == b.precision.shape
    assert np.array_equal(a.precision, b.precision)
    assert np.array_equal(a.recall, b.recall)


def group(n_found: int, n_truth: int, rng: np.random.Generator, *, exhaustive: bool = True) -> Group:
    return Group(
        scores=rng.choice([0.1, 0.5, 0.5000001, 0.9, 1.0], n_found),
        areas=rng.choice(SIZES, n_found),
        ious=rng.choice(IOUS, (n_found, n_truth)),
        gt_areas=rng.choice(SIZES, n_truth),
        gt_crowd=rng.random(n_truth) < 0.25,
        exhaustive=exhaustive,
    )


@st.composite
def worlds(draw: st.DrawFn) -> dict[int, list[Group]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return {
        category: [
            group(draw(st.integers(0, 6)), draw(st.integers(0, 5)), rng, exhaustive=draw(st.booleans()))
            for _ in range(draw(st.integers(0, 4)))
        ]
        for category in draw(st.lists(st.sampled_from([1, 2, 7, 2**40]), unique=True, max_size=3))
    }


@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from([(1,), (1, 2, 4), COCO_MAX_DETS, LVIS_MAX_DETS]))
def test_small_worlds(groups: dict[int, list[Group]], max_dets: Sequence[int]) -> None:
    same(evaluate(groups, max_dets=max_dets), evaluate(groups, max_dets=max_dets, evaluator=ByPycocotools))


@pytest.mark.parametrize("max_dets", [COCO_MAX_DETS, (5, 20), LVIS_MAX_DETS])
def test_more_detections_than_count(max_dets: Sequence[int]) -> None:
    rng = np.random.default_rng(3)
    groups = {c: [group(int(rng.integers(80, 350)), int(rng.integers(0, 12)), rng) for _ in range(4)] for c in (1, 2)}
    ours, theirs = evaluate(groups, max_dets=max_dets), evaluate(groups, max_dets=max_dets, evaluator=ByPycocotools)
    same(ours, theirs)
    assert 0.02 < ours.ap() < 0.98
    assert len({ours.ar(max_dets=m) for m in max_dets}) == len(max_dets)


def test_constants_are_those_of_pycocotools() -> None:
    params = Params(iouType="segm")
    assert THRESHOLDS.tolist() == params.iouThrs.tolist()
    assert RECALLS.tolist() == params.recThrs.tolist()
    assert AREA_RANGES.tolist() == params.areaRng
    assert list(COCO_MAX_DETS) == params.maxDets


def part_of(batch: Batch, images: list[int]) -> Batch:
    """Some images of a batch."""
    found, truth = np.isin(batch.image, images), np.isin(batch.gt_image, images)
    kept: dict[str, Any] = {name: getattr(batch, name)[found] for name in FOUND}
    return replace(batch, **kept, **{name: getattr(batch, name)[truth] for name in TRUTH})


def test_images_in_parts_in_any_order() -> None:
    rng = np.random.default_rng(5)
    groups = {c: [group(int(rng.integers(0, 30)), int(rng.integers(0, 5)), rng) for _ in range(9)] for c in (4, 2, 9)}
    whole = batch_of(groups)
    for evaluator in (AveragePrecision, ByPycocotools):
        counted = evaluator(COCO_MAX_DETS)
        for images in ([7, 2], [0, 8, 4], [1], [3, 5, 6]):
            counted.add(part_of(whole, images))
        same(counted.evaluation(), evaluate(groups))


def test_of_a_batch_stays_what_matched_alone() -> None:
    rng = np.random.default_rng(6)
    counted = AveragePrecision()
    batch = batch_of({c: [group(40, 4, rng) for _ in range(3)] for c in range(20)})
    gone = [weakref.ref(batch.ious), weakref.ref(batch.scores), weakref.ref(batch)]
    n = len(batch.scores)
    counted.add(batch)
    del batch
    assert [ref() for ref in gone] == [None] * 3
    assert sum(values.nbytes for part in counted._parts for values in part) <= 64 * n


def test_the_rule_of_categories_that_are_not_exhaustive_reaches_unmatched_detections_alone() -> None:
    one = Group(np.array([0.9, 0.8]), np.full(2, 50.0), np.array([[0.2], [0.8]]), np.full(1, 50.0), np.zeros(1, bool))
    strict, loose = evaluate({1: [one]}), evaluate({1: [replace(one, exhaustive=False)]})
    assert strict.ap(threshold=0.75) == pytest.approx(0.5)
    assert loose.ap(threshold=0.75) == pytest.approx(1)
    assert loose.ap(threshold=0.9) == 0  # nothing is found, and nothing is false
    same(loose, evaluate({1: [replace(one, exhaustive=False)]}, evaluator=ByPycocotools))
