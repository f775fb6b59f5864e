"""Properties of masks: shapes whose answer is known, skimage's convex hull, and histograms by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.morphology import convex_hull_image

from sambench.metrics.properties import (
    center_heat_map,
    center_xy,
    concavity,
    concavity_histogram,
    mask_properties,
    masks_per_image,
    relative_size,
    size_histogram,
    stratum_weights,
)
from sambench.pixels.region import Region


def _disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius


def test_concavity_of_known_shapes() -> None:
    assert concavity(np.ones((7, 11), bool)) == 0
    assert concavity(np.ones((1, 1), bool)) == 0
    ring = np.ones((10, 10), bool)
    ring[2:8, 2:8] = False
    assert concavity(ring) == pytest.approx(0.36)
    corners = np.zeros((10, 10), bool)
    corners[0, 0] = corners[9, 9] = True
    # The hull of two unit squares a diagonal apart: a hexagon of 100 - 2 * 81 / 2.
    assert concavity(corners) == pytest.approx(1 - 2 / 19)
    triangle = np.tril(np.ones((40, 40), bool))
    assert concavity(triangle) == pytest.approx(1 - 820 / (1600 - 39 * 39 / 2))
    assert concavity(_disc(60)) < 0.02
    assert math.isnan(concavity(np.zeros((4, 4), bool)))
    # It moves and turns with the shape.
    odd = np.random.default_rng(0).random((30, 20)) > 0.7
    assert concavity(np.pad(odd, 9)) == pytest.approx(concavity(odd))
    assert concavity(odd.T) == concavity(odd[::-1]) == pytest.approx(concavity(odd))


def test_concavity_is_near_skimages_hull_of_pixels() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        y, x = np.mgrid[0:120, 0:120]
        shape = np.zeros((120, 120), bool)
        for _ in range(4):
            cy, cx, r = *rng.uniform(30, 90, 2), rng.uniform(8, 25)
            shape |= (y - cy) ** 2 + (x - cx) ** 2 <= r * r
        theirs = 1 - shape.sum() / convex_hull_image(shape).sum()  # counts pixels, where we take the polygon's area
        assert concavity(shape) == pytest.approx(theirs, abs=0.02)


def test_centers_and_sizes() -> None:
    mask = np.zeros((50, 100), bool)
    mask[10:20, 40:60] = True
    assert center_xy(mask, height=50, width=100) == (0.5, 0.3)
    region = Region.from_array(mask)
    found = mask_properties([region, Region.from_array(np.ones((3, 3), bool))])
    assert found.center_xy.tolist() == [[0.5, 0.3], [0.5, 0.5]]
    assert found.relative_size.tolist() == [pytest.approx(math.sqrt(200 / 5000)), 1]
    assert found.concavity.tolist() == [0, 0]
    assert mask_properties([]).center_xy.shape == (0, 2)
    assert relative_size(0, 5, 5) == 0
    assert math.isnan(center_xy(np.zeros((2, 2), bool), height=2, width=2)[0])


def test_heat_map_has_rows_first_and_sums_to_one() -> None:
    found = center_heat_map(np.array([[0.9, 0.1], [0.95, 0.05], [0.1, 0.9], [np.nan, np.nan]]), bins=4)
    assert found[0, 3] == pytest.approx(2 / 3)
    assert found[3, 0] == pytest.approx(1 / 3)
    assert found.sum() == pytest.approx(1)
    assert center_heat_map(np.zeros((0, 2)), bins=4).sum() == 0
    assert center_heat_map(np.array([[1.0, 1.0]]), bins=4)[3, 3] == 1


def test_masks_per_image_by_hand() -> None:
    got = masks_per_image([1, 10, 11, 50, 51, 200, 201, 5000])
    assert got.share.tolist() == [0.25, 0.25, 0.125, 0.125, 0.25]
    assert (got.n, got.edges[-1]) == (8, math.inf)
    assert masks_per_image([0, 4]).share.tolist() == [0.5, 0, 0, 0, 0]
    assert np.isnan(masks_per_image([]).share).all()


def test_histograms_are_shares() -> None:
    got = size_histogram(np.array([0.0, 0.05, 0.999, 1.0]), bins=10)
    assert (got.share[0], got.share[-1], got.n) == (0.5, 0.5, 4)
    plain = concavity_histogram(np.array([0.05, 0.15, np.nan]), bins=10)
    assert (plain.share[:2].tolist(), plain.n) == ([0.5, 0.5], 2)


def test_stratifying_takes_the_other_sets_sizes() -> None:
    rng = np.random.default_rng(0)
    small, large = rng.uniform(0.0, 0.2, 9000), rng.uniform(0.5, 0.9, 1000)
    sizes = np.concatenate([small, large])
    concavities = np.where(sizes > 0.4, 0.75, 0.25)  # large masks are the concave ones here
    like = np.concatenate([rng.uniform(0.0, 0.2, 500), rng.uniform(0.5, 0.9, 500)])  # a set of which half is large
    assert concavity_histogram(concavities, bins=2).share.tolist() == [0.9, 0.1]
    even = concavity_histogram(concavities, sizes, like=like, bins=2)
    assert even.share.tolist() == [pytest.approx(0.5, abs=0.01), pytest.approx(0.5, abs=0.01)]
    assert stratum_weights(sizes, like).sum() == pytest.approx(1)
    same = concavity_histogram(concavities, sizes, like=sizes, bins=2)
    assert same.share.tolist() == [pytest.approx(0.9), pytest.approx(0.1)]
    only_small = concavity_histogram(concavities[:9000], small, like=like, bins=2)  # no large mask to weight: left out
    assert only_small.share.tolist() == [pytest.approx(1), 0]
    with pytest.raises(ValueError, match="relative size"):
        concavity_histogram(concavities, like=like)
