"""Lazy candidates against interpolating whole frames."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from sambench.errors import ModelError
from sambench.pixels.candidates import DenseMasks, Geometry, LogitMasks, as_masks
from sambench.pixels.region import Region
from sambench.types import Window

# (low, square, crop, size): SAM's sizes with and without a second resize, one step, odd sizes, shrinking in both steps.
GEOMETRIES = {
    "1024 wide": ((256, 256), (1024, 1024), (768, 1024), (768, 1024)),
    "1024 high": ((256, 256), (1024, 1024), (1024, 683), (1024, 683)),
    "enlarged": ((256, 256), (1024, 1024), (768, 1024), (900, 1200)),
    "reduced": ((256, 256), (1024, 1024), (768, 1024), (375, 500)),
    "one side reduced to a stripe": ((256, 256), (1024, 1024), (102, 1024), (50, 500)),
    "thumbnail": ((256, 256), (1024, 1024), (1024, 1024), (20, 20)),
    "nano": ((128, 128), (512, 512), (512, 379), (1000, 741)),
    "nano, identity": ((128, 128), (512, 512), (512, 379), (512, 379)),
    "odd": ((37, 53), (101, 211), (97, 150), (83, 301)),
    "first step reduces": ((64, 64), (40, 40), (33, 40), (70, 90)),
    "direct": ((60, 80), None, None, (481, 643)),
    "direct by four": ((60, 80), None, None, (240, 320)),
    "direct by three": ((60, 80), None, None, (180, 240)),
    "direct, reduced": ((60, 80), None, None, (21, 33)),
    "same": ((60, 80), None, None, (60, 80)),
}


def geometry(name: str) -> Geometry:
    low, square, crop, size = GEOMETRIES[name]
    return Geometry(low=low, square=square, crop=crop, size=size)


@lru_cache(maxsize=2)
def case(name: str, seed: int) -> tuple[Geometry, np.ndarray, np.ndarray]:
    """A geometry, low-resolution logits, and the logits of the whole frame."""
    g = geometry(name)
    low = blobs(g.low, seed)
    return g, low, full_frame(low, g)


def full_frame(logits: np.ndarray, g: Geometry) -> np.ndarray:
    """The official post-processing: float32 [C, H, W]."""
    x = torch.from_numpy(logits)[None]
    if g.square and g.crop:
        x = F.interpolate(x, g.square, mode="bilinear", align_corners=False)[..., : g.crop[0], : g.crop[1]]
    return F.interpolate(x, g.size, mode="bilinear", align_corners=False)[0].numpy()


def blobs(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """float32 [6, h, w]: an ellipse inside, one at a corner, two objects, noise, a full and an empty one."""
    rng = np.random.default_rng(seed)
    h, w = shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)

    def ellipse(cy: float, cx: float, a: float, b: float) -> np.ndarray:
        return 8 * (1 - ((y - cy * h) / (a * h)) ** 2 - ((x - cx * w) / (b * w)) ** 2)

    noise = rng.standard_normal((2, h, w)).astype(np.float32)
    out = [
        ellipse(0.4, 0.5, 0.2, 0.3) + 0.3 * noise[0],
        ellipse(0.0, 0.05, 0.3, 0.1),
        np.maximum(ellipse(0.1, 0.1, 0.05, 0.05), ellipse(0.6, 0.55, 0.1, 0.04)),
        noise[1] - 1.5,
        np.full((h, w), 3.0) + 0.1 * noise[0],
        -np.full((h, w), 3.0) + 0.1 * noise[1],
    ]
    return np.clip(np.stack(out), -30, 30).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0])  # varies fastest: the whole frames are made once a geometry
@pytest.mark.parametrize("name", GEOMETRIES)
def test_everything_equals_the_whole_frame(name: str, threshold: float) -> None:
    g, low, full = case(name, 0)
    masks = LogitMasks(low, g)
    expected = full > threshold
    assert (masks.height, masks.width, len(masks)) == (*g.size, len(low))
    assert np.abs(np.stack([masks.logits(i) for i in range(len(low))]) - full).max() < 2e-5
    for i, mask in enumerate(expected):
        region = masks.region(i, threshold)
        off = region.full() != mask
        assert not off[np.abs(full[i] - threshold) > 2e-5].any()
        if not off.any():
            same = Region.from_array(mask)
            assert region.window == same.window
            assert region.rle() == coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            assert masks.area(threshold)[i] == mask.sum()
    assert masks.region(0, threshold) is masks.region(0, threshold)
    if threshold == 0:
        # What is true of these candidates, so that the above is not about six empty masks.
        assert masks.area()[4] == g.size[0] * g.size[1]
        assert masks.area()[5] == 0
        target = Region.from_array(expected[0] ^ expected[3])
        ignore = Region.from_array(np.indices(g.size).sum(0) % 7 == 0)
        assert np.array_equal(masks.iou(target), [Region.from_array(m).iou(target) for m in expected])
        assert np.array_equal(masks.iou(target, ignore), [Region.from_array(m).iou(target, ignore) for m in expected])
        assert np.array_equal(masks.box(), [Region.from_array(m).box_xyxy for m in expected])
        assert masks.rle(1) == masks.region(1).rle()
        assert np.array_equal(masks.array(1), expected[1])


@pytest.mark.parametrize("name", GEOMETRIES)
def test_windows_are_cut_from_the_whole_frame(name: str) -> None:
    g, low, full = case(name, 1)
    masks = LogitMasks(low, g)
    rng = np.random.default_rng(0)
    height, width = g.size
    for _ in range(12):
        y0, x0 = int(rng.integers(0, height)), int(rng.integers(0, width))
        window = Window(y0, x0, int(rng.integers(y0 + 1, height + 1)), int(rng.integers(x0 + 1, width + 1)))
        expected = full[3, window.y0 : window.y1, window.x0 : window.x1]
        assert np.abs(masks.logits(3, window) - expected).max() < 2e-5
        probability = 1 / (1 + np.exp(-expected.astype(np.float64)))
        assert np.abs(masks.prob(3, window) - probability).max() < 1e-5


@settings(max_examples=60, deadline=None)
@given(
    low=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    square=st.none() | st.integers(2, 80),
    seed=st.integers(0, 1000),
)
def test_any_geometry(low: tuple[int, int], size: tuple[int, int], square: int | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    crop = None if square is None else (int(rng.integers(1, square + 1)), int(rng.integers(1, square + 1)))
    g = Geometry(low=low, size=size, square=square and (square, square), crop=crop)
    logits = np.where(rng.random((2, *low)) < 0.1, 1, -1).astype(np.float32) * rng.random((2, *low), np.float32)
    full = full_frame(logits, g)
    masks = LogitMasks(logits, g)
    for i in range(2):
        off = masks.array(i) != (full[i] > 0)
        assert not off[np.abs(full[i]) > 1e-6].any()


def test_probabilities_of_extreme_logits() -> None:
    low = np.array([[[-500.0, 500.0], [-500.0, 500.0]]], np.float32)
    masks = LogitMasks(low, Geometry(low=(2, 2), size=(2, 2)))
    with np.errstate(all="raise"):
        assert np.array_equal(masks.prob(0), [[0, 1], [0, 1]])


def test_logits_of_the_wrong_form_are_our_bug() -> None:
    with pytest.raises(ValueError, match="float32"):
        LogitMasks(np.zeros((1, 4, 5), np.float64), Geometry(low=(4, 5), size=(8, 8)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="float32"):
        LogitMasks(np.zeros((1, 5, 4), np.float32), Geometry(low=(4, 5), size=(8, 8)))
    with pytest.raises(ValueError, match="larger"):
        Geometry(low=(4, 4), size=(8, 8), square=(16, 16), crop=(17, 16))
    with pytest.raises(ValueError, match="together"):
        Geometry(low=(4, 4), size=(8, 8), square=(16, 16))


def test_dense_masks() -> None:
    rng = np.random.default_rng(0)
    array = np.zeros((3, 40, 50), np.bool_)
    array[0, 10:20, 5:30] = rng.random((10, 25)) < 0.7
    array[1] = True
    masks = DenseMasks(array)
    target = Region.from_array(array[0])
    assert masks.area().tolist() == [int(array[0].sum()), 2000, 0]
    assert masks.iou(target).tolist() == [1.0, array[0].sum() / 2000, 0.0]
    assert masks.box()[1:].tolist() == [[0, 0, 49, 39], [0, 0, 0, 0]]
    assert np.array_equal(masks.array(0), array[0])
    assert masks.rle(0) == coco_mask.encode(np.asfortranarray(array[0].astype(np.uint8)))
    assert np.array_equal(masks.prob(0, Window(10, 5, 20, 30)), array[0, 10:20, 5:30])
    assert masks.prob(0).dtype == np.float32
    with pytest.raises(ModelError, match="no logits"):
        masks.area(1.0)
    probs = rng.random(array.shape, np.float32)
    assert np.array_equal(DenseMasks(array, probs).prob(2, Window(3, 4, 9, 8)), probs[2, 3:9, 4:8])


BINARY = np.indices((2, 6, 9)).sum(0) % 2


@pytest.mark.parametrize(
    "given",
    [
        BINARY.astype(np.bool_),
        BINARY.astype(np.uint8),
        BINARY.astype(np.uint8) * 255,
        BINARY.astype(np.int64),
        BINARY.astype(np.float32),
        torch.from_numpy(BINARY.astype(np.bool_)),
        torch.from_numpy(BINARY).to(torch.bfloat16).requires_grad_(),
        [m.astype(np.bool_) for m in BINARY],
        np.zeros((1, 6, 9), np.float32),
    ],
    ids=["bool", "uint8", "0 and 255", "int64", "float", "torch bool", "torch bfloat16", "list", "all zero"],
)
def test_as_masks_takes(given: Any) -> None:
    masks = as_masks(given, 6, 9)
    expected = BINARY.astype(bool) if len(given) == 2 else np.zeros((1, 6, 9), bool)
    assert len(masks) == len(expected)
    assert all(np.array_equal(masks.array(i), m) for i, m in enumerate(expected))
    assert as_masks(masks, 6, 9) is masks


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (np.zeros((6, 9), bool), "masks[None]"),
        (np.zeros((2, 9, 6), bool), "height comes before width"),
        (np.zeros((6, 9, 2), bool), "candidates come first"),
        (np.zeros((0, 6, 9), bool), "C >= 1"),
        (np.zeros((2, 5, 9), bool), "[C, 6, 9]"),
        (np.linspace(-3, 3, 108, dtype=np.float32).reshape(2, 6, 9), "logits > 0"),
        (np.full((1, 6, 9), 0.5, np.float32), "probabilities > 0.5"),
        (np.full((1, 6, 9), np.nan, np.float32), "threshold"),
        (-np.ones((1, 6, 9), np.int64), "threshold"),
        (np.full((1, 6, 9), 3, np.uint8), "threshold"),
        (np.full((1, 6, 9), "x"), "expected"),
        ([np.zeros((6, 9), bool), np.zeros((5, 9), bool)], "no array"),
        (None, "expected"),
        (DenseMasks(np.zeros((1, 9, 6), bool)), "9 x 6"),
    ],
)
def test_as_masks_refuses(given: Any, word: str) -> None:
    with pytest.raises(ModelError) as e:
        as_masks(given, 6, 9)
    assert word in str(e.value)
