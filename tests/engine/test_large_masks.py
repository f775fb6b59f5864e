"""What is made quick for large masks is the same to the bit: packed erosion, boundary IoU near an object, shared answers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sambench.models.otsu import otsu
from sambench.pixels import erosion
from sambench.pixels import region as masks
from sambench.pixels.region import Region
from sambench.tasks.point import PointSettings, PointTask
from sambench.tasks.prompted import Context
from sambench.types import Instance, Prompt, Sample


def by_definition(mask: np.ndarray, by: int) -> np.ndarray:
    padded = np.pad(mask.astype(np.uint8), by)
    return cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=by)[by:-by, by:-by]


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (7, 5), (33, 40), (64, 17), (120, 131)])
@pytest.mark.parametrize("by", [1, 2, 3, 4, 7, 8, 15, 31])
def test_erosion_on_packed_bits(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], by: int) -> None:
    rng = np.random.default_rng(by)
    for share in (0.5, 0.97, 0.999, 1.0):
        mask = rng.random(shape) < share
        wanted = by_definition(mask, by)
        for pixels in (0, 1 << 30):
            monkeypatch.setattr(erosion, "_PACKED_FROM", pixels)
            got = erosion.eroded(mask, by)
            assert got.dtype == np.uint8
            assert (got == wanted).all()
            assert erosion.eroded_px(mask, by) == wanted.sum()


def test_boundary_iou_near_an_object() -> None:
    rng = np.random.default_rng(0)
    large = Region.from_array(rng.random((200, 300)) < 0.995)
    for y0, x0 in ((0, 0), (50, 70), (190, 285), (188, 0)):
        edge = masks.boundary(Region.from_window(np.ones((10, 12), np.bool_), y0, x0, 200, 300), 2)
        for dilation in (1, 3, 6):
            assert masks.boundary_overlap(large, edge, dilation) == masks.boundary(large, dilation).iou(edge)


def test_iou_with_ignored_pixels_is_that_of_whole_frames() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        a, b, off = (rng.random((20, 24)) < p for p in rng.random(3))
        a[: rng.integers(20)] = off[:, : rng.integers(24)] = False
        inter, union = (a & b & ~off).sum(), ((a | b) & ~off).sum()
        got = Region.from_array(a).iou(Region.from_array(b), Region.from_array(off))
        assert got == (inter / union if union else 0.0)


def ground_and_discs() -> tuple[np.ndarray, Sample]:
    image = np.full((120, 160, 3), 60, np.uint8)
    instances = []
    for i, (y, x, value) in enumerate([(30, 30, 200), (30, 100, 60), (90, 60, 60), (90, 130, 220)]):
        disc = np.hypot(*np.ogrid[-y : 120 - y, -x : 160 - x]) <= 12
        image[disc] = value
        instances.append(Instance(str(i), Region.from_array(disc)))
    return image, Sample("made", "image", 120, 160, tuple(instances), read=lambda: image)


def test_the_ground_is_made_once_for_all_prompts_that_choose_it() -> None:
    image, _ = ground_and_discs()
    model = otsu()
    state = model.encode(image)
    on_ground = [Prompt(np.array([[x, y]], np.float32), np.ones(1, np.int8)) for x, y in ((100, 30), (60, 90))]
    on_disc = Prompt(np.array([[30, 30]], np.float32), np.ones(1, np.int8))
    split = Prompt(np.array([[100, 30], [60, 90]], np.float32), np.array([1, 0], np.int8))
    first, second = (p.masks.region(0) for p in model.decode(state, on_ground))
    assert first is second
    disc, half = (p.masks.region(0) for p in model.decode(state, [on_disc, split]))
    assert disc.area < half.area < first.area
    assert model.decode(state, on_ground[:1])[0].masks.region(0) is first


def test_no_click_is_sought_after_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from sambench.tasks import point

    calls: list[int] = []
    seek = point.prompts.next_click
    monkeypatch.setattr(point.prompts, "next_click", lambda *a, **k: calls.append(1) or seek(*a, **k))
    _, sample = ground_and_discs()
    rows = PointTask(PointSettings(clicks=(1,))).rows(sample, otsu(), Context())
    assert len(rows) == 4
    assert not calls
    PointTask(PointSettings(clicks=(1, 2))).rows(sample, otsu(), Context())
    assert len(calls) == 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 4), (40, 33)])
def test_a_mask_from_rle_is_its_window_alone(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    for share in (0.0, 0.02, 0.1, 0.5, 0.9, 1.0):
        for _ in range(20):
            mask = np.asfortranarray(rng.random(shape) < share)
            mask[: rng.integers(shape[0] + 1)] = False
            wanted, got = Region.from_array(mask), Region.from_rle(coco_mask.encode(mask.view(np.uint8)))
            assert got.window == wanted.window
            assert got.array.flags.c_contiguous
            assert got.array.base is None or got.array.base.size == got.array.size
            assert (got.array == wanted.array).all()


def test_empty_runs_within_a_mask_part_nothing() -> None:
    rle = coco_mask.frPyObjects({"size": [4, 3], "counts": [1, 2, 0, 1, 3, 0, 2, 3]}, 4, 3)
    assert (Region.from_rle(rle).full() == coco_mask.decode(rle)).all()


def test_a_small_mask_of_a_huge_frame_is_quick() -> None:
    rle = coco_mask.frPyObjects({"size": [20_000, 40_000], "counts": [600_000_000, 50, 200_000_000 - 50]}, 20_000, 40_000)
    region = Region.from_rle(rle)
    assert region.area == 50
    assert region.rle()["counts"] == rle["counts"]
