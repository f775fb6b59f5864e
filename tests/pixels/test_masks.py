"""Binary masks against pycocotools, scipy, and the definitions written out."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from scipy import ndimage

from sambench.errors import DataError
from sambench.pixels.region import (
    Region,
    boundary,
    boundary_dilation,
    boundary_iou,
    components,
    cover,
    intersect,
    union,
)
from sambench.types import BoolArray, Window

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@st.composite
def same_frame(draw: st.DrawFn, n: int) -> list[BoolArray]:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
    return [draw(hnp.arrays(np.bool_, shape)) for _ in range(n)]


def random_masks(n: int, height: int = 61, width: int = 83, seed: int = 0) -> list[BoolArray]:
    """Of many kinds: empty, full, speckles, smooth blobs, columns of full height, rows, single pixels, corners."""
    rng = np.random.default_rng(seed)
    out = [np.zeros((height, width), np.bool_), np.ones((height, width), np.bool_)]
    for i in range(n):
        m = np.zeros((height, width), np.bool_)
        if i % 4 == 0:
            m = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 5) > 0.03
        elif i % 4 == 1:
            m = rng.random((height, width)) < rng.choice([0.01, 0.5, 0.99])
        elif i % 4 == 2:
            y0, y1 = sorted(rng.integers(0, height + 1, 2))
            x0, x1 = sorted(rng.integers(0, width + 1, 2))
            m[y0:y1, x0:x1] = rng.random((y1 - y0, x1 - x0)) < 0.8
        else:
            m[:, rng.integers(0, width)] = True
            m[rng.integers(0, height), :] ^= True
        out.append(m)
    return out


def coco_rle(mask: BoolArray) -> dict[str, object]:
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))


def assert_like_coco(mask: BoolArray) -> None:
    region, rle = Region.from_array(mask), coco_rle(mask)
    assert region.rle() == {"size": list(rle["size"]), "counts": rle["counts"]}  # type: ignore[call-overload]
    assert region.area == coco.area(rle)
    assert (region.full() == mask).all()
    assert (Region.from_rle(rle).full() == mask).all()
    if mask.any():
        x, y, w, h = coco.toBbox(rle)
        assert region.box_xyxy == (x, y, x + w - 1, y + h - 1)
        assert region.array[0].any()
        assert region.array[-1].any()
        assert region.array[:, 0].any()
        assert region.array[:, -1].any()
    else:
        assert region.box_xyxy == (0, 0, 0, 0)
        assert region.array.shape == (0, 0)


@given(MASKS)
@settings(max_examples=300, deadline=None)
def test_rle_area_and_box_are_cocos_on_small_masks(mask: BoolArray) -> None:
    assert_like_coco(mask)


def test_rle_area_and_box_are_cocos_on_larger_masks() -> None:
    for mask in random_masks(120):
        assert_like_coco(mask)


@given(same_frame(2))
@settings(max_examples=200, deadline=None)
def test_iou_is_cocos(pair: list[BoolArray]) -> None:
    a, b = map(Region.from_array, pair)
    inter = int((pair[0] & pair[1]).sum())
    assert a.intersection(b) == b.intersection(a) == inter
    expected = coco.iou([coco_rle(pair[0])], [coco_rle(pair[1])], [0])[0][0] if (pair[0] | pair[1]).any() else 0.0
    assert a.iou(b) == b.iou(a) == expected


@given(same_frame(3))
@settings(max_examples=200, deadline=None)
def test_ignored_pixels_count_nowhere(masks: list[BoolArray]) -> None:
    a, b, off = masks
    either = int(((a | b) & ~off).sum())
    expected = int((a & b & ~off).sum()) / either if either else 0.0
    ra, rb, roff = map(Region.from_array, masks)
    assert ra.iou(rb, roff) == rb.iou(ra, roff) == expected


def test_iou_of_empty_masks_is_zero() -> None:
    empty, some = Region.from_array(np.zeros((4, 5), np.bool_)), Region.from_array(np.eye(4, 5, dtype=np.bool_))
    assert empty.iou(empty) == empty.iou(some) == some.iou(empty) == 0.0
    assert some.iou(some) == 1.0
    assert some.iou(some, some) == 0.0
    assert some.iou(some, empty) == 1.0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.bool_])
def test_any_dtype_is_foreground_where_not_zero(dtype: type) -> None:
    raw = np.array([[0, 0, 0], [0, 7, 1]], dtype)
    assert Region.from_array(raw).box_xyxy == (1, 1, 2, 1)


def test_a_region_keeps_no_frame_alive_and_shares_nothing() -> None:
    frame = np.zeros((100, 100), np.bool_)
    frame[10:20, 0:100] = True
    for region in (Region.from_array(frame), Region.from_array(np.ones((3, 3), np.bool_))):
        assert region.array.base is None
    region = Region.from_array(frame)
    frame[:] = False
    assert region.area == 1000


def test_from_window_places_and_trims() -> None:
    window = np.zeros((5, 6), np.bool_)
    window[2, 3:5] = True
    region = Region.from_window(window, 10, 20, 40, 50)
    assert region.window == Window(12, 23, 13, 25)
    assert (region.height, region.width) == (40, 50)
    for y0, x0 in ((-1, 0), (0, -1), (36, 0), (0, 45)):
        with pytest.raises(ValueError, match="does not lie in"):
            Region.from_window(window, y0, x0, 40, 50)


@given(same_frame(1), st.integers(-5, 15), st.integers(-5, 15), st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_cut_reaches_beyond_the_frame(masks: list[BoolArray], y0: int, x0: int, h: int, w: int) -> None:
    (mask,) = masks
    padded = np.pad(mask, 40)
    cut = Region.from_array(mask).cut(Window(y0, x0, y0 + h, x0 + w))
    assert (cut == padded[40 + y0 : 40 + y0 + h, 40 + x0 : 40 + x0 + w]).all()


@pytest.mark.parametrize(
    "rle",
    [
        {},
        {"size": [3, 3]},
        {"size": [3, 3], "counts": 5},
        {"size": [3, 3], "counts": [4, 5]},
        {"size": [3], "counts": b"9"},
        {"size": "ab", "counts": b"9"},
        None,
    ],
)
def test_a_broken_rle_is_an_error_of_the_data(rle: dict[str, object]) -> None:
    with pytest.raises(DataError, match="does not decode"):
        Region.from_rle(rle)


@pytest.mark.parametrize("counts", [b"3", b"44", b"", b"0d5", b"Pooooo1", b"\xff\xff", b"9:", b"P", "\u00e9"])
def test_an_rle_of_another_length_is_an_error_of_the_data(counts: bytes) -> None:
    with pytest.raises(DataError):
        Region.from_rle({"size": [3, 3], "counts": counts})


@given(st.lists(st.integers(0, 300), min_size=1, max_size=9), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_runs_of_any_length_decode_if_and_only_if_they_fill_the_frame(runs: list[int], wrong: int) -> None:
    total = sum(runs)  # runs of no pixels among them: not how COCO writes, but what it reads
    if total == 0:
        return
    compressed = coco.frPyObjects({"size": [total, 1], "counts": runs}, total, 1)
    expected = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    for counts in (compressed["counts"], compressed["counts"].decode()):
        assert (Region.from_rle({"size": [total, 1], "counts": counts}).full()[:, 0] == expected).all()
        for size in (total + wrong, max(1, total - wrong)):
            if size != total:
                with pytest.raises(DataError):
                    Region.from_rle({"size": [size, 1], "counts": counts})


def test_windows() -> None:
    a, b, c, none = Window(0, 0, 4, 4), Window(2, 3, 6, 9), Window(4, 0, 5, 4), Window(1, 1, 1, 1)
    assert intersect(a, b) == Window(2, 3, 4, 4)
    assert intersect(a, c) is None
    assert intersect(a, none) is None
    assert cover(a, b) == Window(0, 0, 6, 9)
    assert cover(a, none) == cover(none, a) == a


def by_definition(mask: BoolArray, dilation: int) -> BoolArray:
    """Boundary IoU's region: a ring of background around the frame, then 3 x 3 erosions, one after the other."""
    padded = np.pad(mask, 1).astype(np.uint8)
    for _ in range(dilation):
        padded = cv2.erode(padded, np.ones((3, 3), np.uint8))
    return mask & (padded[1:-1, 1:-1] == 0)


@pytest.mark.parametrize("dilation", [1, 2, 5, 12])
def test_boundary_is_the_mask_less_its_repeated_erosion(dilation: int) -> None:
    for mask in random_masks(40, seed=3):
        assert (boundary(Region.from_array(mask), dilation).full() == by_definition(mask, dilation)).all()


@given(MASKS, st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_boundary_on_small_masks(mask: BoolArray, dilation: int) -> None:
    assert (boundary(Region.from_array(mask), dilation).full() == by_definition(mask, dilation)).all()


def test_boundary_iou_and_its_width() -> None:
    assert [boundary_dilation(480, 640, r) for r in (0.02, 0.01)] == [16, 8]
    assert boundary_dilation(10, 10, 0.02) == 1
    masks = random_masks(24, seed=4)
    for a, b in itertools.pairwise(masks):
        d = max(1, round(0.02 * math.hypot(*a.shape)))
        ba, bb = by_definition(a, d), by_definition(b, d)
        expected = (ba & bb).sum() / (ba | bb).sum() if (ba | bb).any() else 0.0
        assert boundary_iou(Region.from_array(a), Region.from_array(b)) == expected


@pytest.mark.parametrize(("connectivity", "structure"), [(4, 1), (8, 2)])
def test_components_are_scipys(connectivity: int, structure: int) -> None:
    for mask in random_masks(30, seed=5):
        labels, areas = components(mask, connectivity)
        expected, n = ndimage.label(mask, ndimage.generate_binary_structure(2, structure))
        assert labels.dtype == np.int32
        assert areas.dtype == np.int64
        assert len(areas) == n
        assert ((labels > 0) == mask).all()
        assert len({*zip(labels[mask].tolist(), expected[mask].tolist(), strict=True)}) == n  # a one-to-one renaming
        assert (np.bincount(labels.ravel(), minlength=n + 1)[1:] == areas).all()


def test_components_of_a_strided_view() -> None:
    mask = np.random.default_rng(6).random((40, 40)) < 0.4
    labels, areas = components(mask[::2, ::-1])
    same_labels, same_areas = components(mask[::2, ::-1].copy())
    assert (labels == same_labels).all()
    assert (areas == same_areas).all()


def test_union() -> None:
    masks = random_masks(8, seed=7)[2:]
    together = union([Region.from_array(m) for m in masks], *masks[0].shape)
    assert together is not None
    assert (together.full() == np.logical_or.reduce(masks)).all()
    assert union([], 4, 5) is None
    assert union([Region.from_array(np.zeros((4, 5), np.bool_))], 4, 5) is None
