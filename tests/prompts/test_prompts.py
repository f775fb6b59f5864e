"""Clicks, boxes and grids: against the reference clicker's table, and against whole-frame integer distance transforms."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from sambench.errors import DataError
from sambench.pixels import depth
from sambench.pixels.region import Region
from sambench.prompts import Click, box_prompt, center_click, next_click, point_grid, random_click
from tests.helpers import GOLDEN

KEYS = {"seed": 0, "dataset": "demo", "image_id": "scene_00", "object_id": "3"}
# The first random clicks that sambench ever made; a change of these changes published numbers.
PINNED = [(62, 38), (33, 12), (53, 29), (31, 15), (40, 24)]


def squared_depths(mask: np.ndarray) -> np.ndarray:
    """int64 [H, W]: squared distance to the nearest pixel outside, from the nearest pixel's *indices*, so nothing is rounded."""
    padded = np.pad(mask.astype(bool), 1)
    index = ndimage.distance_transform_edt(padded, return_distances=False, return_indices=True)
    y, x = np.indices(padded.shape)
    return ((index[0] - y) ** 2 + (index[1] - x) ** 2)[1:-1, 1:-1]


def naive_deepest(mask: np.ndarray, excluded: list[tuple[int, int]]) -> tuple[int, int, int] | None:
    squares = squared_depths(mask)
    for y, x in excluded:
        squares[y, x] = 0
    i = int(squares.argmax())  # the first of equals in row-major order
    best = int(squares.flat[i])
    return (best, *divmod(i, mask.shape[1])) if best else None


def naive_click(target: np.ndarray, prediction: np.ndarray, clicked: list[tuple[int, int]], ignore: np.ndarray) -> Click | None:
    excluded = [(y, x) for x, y in clicked]
    missed = naive_deepest(target & ~prediction & ~ignore, excluded) or (0, 0, 0)
    excess = naive_deepest(prediction & ~target & ~ignore, excluded) or (0, 0, 0)
    if not missed[0] and not excess[0]:
        return None
    positive = missed[0] > excess[0]
    _, y, x = missed if positive else excess
    return Click(x, y, positive)


shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def blobs(draw: st.DrawFn, shape: tuple[int, int]) -> np.ndarray:
    """Masks with thin, compact, noisy and full parts: some rectangles put and taken, some pixels flipped."""
    mask = np.zeros(shape, bool)
    for _ in range(draw(st.integers(0, 4))):
        y, x = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
        h, w = draw(st.integers(1, shape[0])), draw(st.integers(1, shape[1]))
        mask[y : y + h, x : x + w] = draw(st.sampled_from([True, True, False]))
    flips = draw(hnp.arrays(bool, shape, elements=st.booleans(), fill=st.just(False)))
    return mask ^ flips if draw(st.booleans()) else mask


@st.composite
def scenes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]:
    shape = draw(shapes)
    target, prediction, ignore = (draw(blobs(shape)) for _ in range(3))
    pixel = st.tuples(st.integers(0, shape[1] - 1), st.integers(0, shape[0] - 1))
    clicked = draw(st.lists(pixel, max_size=4))
    return target, prediction, ignore if draw(st.booleans()) else np.zeros(shape, bool), clicked


# --- the reference clicker's table ---


@pytest.fixture(scope="module")
def table() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "clicks" / "clicker_table.npz") as file:
        return dict(file)


PERFECT = 9  # the row whose prediction is perfect


def of_row(table: dict[str, np.ndarray], row: int) -> tuple[Region, Region, Region]:
    gt, prediction = table[f"gt_{row:02d}"], table[f"pred_{row:02d}"]
    return Region.from_array(gt == 1), Region.from_array(prediction), Region.from_array(gt == -1)


@pytest.mark.parametrize("row", [r for r in range(20) if r != PERFECT])
def test_four_clicks_of_the_reference_clicker(table: dict[str, np.ndarray], row: int) -> None:
    target, prediction, ignore = of_row(table, row)
    expected = [Click(int(x), int(y), bool(p)) for y, x, p in table["click_sequence_same_pred"][row]]
    assert expected[0] == Click(*(int(v) for v in table["next_click"][row][[1, 0]]), bool(table["next_click"][row][2]))
    found: list[Click | None] = []
    for _ in expected:
        found.append(next_click(target, prediction, clicked=[(c.x, c.y) for c in found if c], ignore=ignore))
    assert found == expected


def test_a_perfect_prediction_has_no_next_click(table: dict[str, np.ndarray]) -> None:
    # Our choice (protocol section 1); the reference clicks background at (0, 0), here four times.
    target, prediction, ignore = of_row(table, PERFECT)
    assert target.iou(prediction, ignore) == 1.0
    assert (table["click_sequence_same_pred"][PERFECT] == 0).all()
    for clicked in ([], [(0, 0)], [(0, 0)] * 3):
        assert next_click(target, prediction, clicked=clicked, ignore=ignore) is None


def test_the_table_has_ties_ignored_pixels_and_borders(table: dict[str, np.ndarray]) -> None:
    assert any((table[f"gt_{r:02d}"] == -1).any() for r in range(20))
    assert {True, False} == {bool(p) for p in table["next_click"][:, 2]}


# --- cropped integers equal the whole frame ---


@settings(max_examples=400, deadline=None)
@given(scenes())
def test_next_click_equals_the_whole_frame(scene: tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]) -> None:
    target, prediction, ignore, clicked = scene
    found = next_click(
        Region.from_array(target), Region.from_array(prediction), clicked=clicked, ignore=Region.from_array(ignore)
    )
    assert found == naive_click(target, prediction, clicked, ignore)


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_center_click_equals_the_whole_frame(scene: tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]) -> None:
    target, _, ignore, _ = scene
    expected = naive_deepest(target & ~ignore, [])
    if expected is None:
        with pytest.raises(DataError, match="no pixel of an object"):
            center_click(Region.from_array(target), Region.from_array(ignore))
        return
    found = center_click(Region.from_array(target), Region.from_array(ignore))
    assert found == Click(expected[2], expected[1], True)
    empty = Region.from_array(np.zeros_like(target))
    assert next_click(Region.from_array(target), empty, clicked=(), ignore=Region.from_array(ignore)) == found


@pytest.mark.parametrize(("lookups", "deep"), [(0, 2), (0, 16), (10**9, 16), (10**9, 10**9)])
def test_every_way_to_the_deepest_pixel_gives_the_same(monkeypatch: pytest.MonkeyPatch, lookups: int, deep: int) -> None:
    monkeypatch.setattr(depth, "_LOOKUPS", lookups)
    monkeypatch.setattr(depth, "_DEEP", deep)
    rng = np.random.default_rng(7)
    for _ in range(60):
        shape = tuple(rng.integers(1, 130, 2))
        smooth = ndimage.gaussian_filter(rng.random(shape), rng.uniform(1, 12))
        mask = smooth > np.quantile(smooth, rng.uniform(0, 0.9))
        excluded = [(int(rng.integers(shape[0])), int(rng.integers(shape[1]))) for _ in range(3)]
        first = naive_deepest(mask, [])
        if first is not None:
            excluded.append(first[1:])
        expected = naive_deepest(mask, excluded)
        found = depth.deepest(mask.view(np.uint8), excluded=excluded)
        assert found == expected
        if expected is not None:
            best = expected[0]
            assert depth.deepest(mask.view(np.uint8), excluded=excluded, at_least_sq=best) == expected
            assert depth.deepest(mask.view(np.uint8), excluded=excluded, at_least_sq=best + 1) is None


def test_distances_that_float32_cannot_tell_apart() -> None:
    # Depths of 3000 px and more: float32 roots of neighbouring integers fall together, and squares above 2^24 are not exact.
    height, width, radius_sq = 6300, 6400, 3100**2 + 1
    y, x = np.ogrid[:height, :width]
    mask = (y - 3150) ** 2 + (x - 3120) ** 2 < radius_sq
    found = depth.deepest(mask.view(np.uint8))
    assert found is not None
    rim_y, rim_x = np.nonzero(ndimage.binary_dilation(mask) & ~mask)
    exact = {
        (yy, xx): int(((rim_y - yy) ** 2 + (rim_x - xx) ** 2).min()) for yy in range(3146, 3155) for xx in range(3116, 3125)
    }
    best = max(exact.values())
    assert found == (best, *min(place for place, value in exact.items() if value == best))
    assert sum(np.float32(math.sqrt(v)) == np.float32(math.sqrt(best)) for v in (best - 1, best, best + 1)) > 1


# --- rules of the protocol ---


def rectangle(y0: int, x0: int, y1: int, x1: int, shape: tuple[int, int] = (60, 80)) -> Region:
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return Region.from_array(mask)


def test_equal_maxima_give_the_first_in_row_major_order() -> None:
    assert center_click(rectangle(10, 10, 14, 14)) == Click(11, 11, True)
    assert center_click(rectangle(10, 5, 13, 30)) == Click(6, 11, True)
    two = np.zeros((60, 80), bool)
    two[40:45, 2:7] = two[20:25, 60:65] = True
    assert center_click(Region.from_array(two)) == Click(62, 22, True)


def test_equal_depth_clicks_background_and_a_deeper_miss_the_object() -> None:
    missed, excess = rectangle(5, 5, 10, 10), rectangle(30, 30, 35, 35)
    assert next_click(missed, excess, clicked=()) == Click(32, 32, False)
    assert next_click(rectangle(5, 5, 12, 12), excess, clicked=()) == Click(8, 8, True)
    assert next_click(missed, rectangle(30, 30, 37, 37), clicked=()) == Click(33, 33, False)


def test_beyond_the_image_is_background() -> None:
    assert center_click(rectangle(0, 0, 60, 80)) == Click(29, 29, True)
    assert center_click(rectangle(0, 0, 9, 80)) == Click(4, 4, True)
    assert center_click(rectangle(59, 0, 60, 80)) == Click(0, 59, True)


def test_clicked_pixels_are_not_clicked_again_but_stay_in_their_region() -> None:
    target, empty = rectangle(10, 10, 15, 15), rectangle(0, 0, 0, 0)
    clicked: list[tuple[int, int]] = []
    for _ in range(25):
        click = next_click(target, empty, clicked=clicked)
        assert click is not None
        assert click.positive
        clicked.append((click.x, click.y))
    assert len(set(clicked)) == 25
    # From the middle outwards: had the clicked pixel become a hole, the second click would lie in a corner of the square.
    assert clicked[:2] == [(12, 12), (11, 11)]
    assert next_click(target, empty, clicked=clicked) is None
    assert next_click(target, rectangle(0, 0, 3, 3), clicked=clicked) == Click(1, 1, False)


def test_ignored_pixels_are_in_neither_region() -> None:
    target, prediction = rectangle(10, 10, 30, 30), rectangle(10, 10, 30, 50)
    assert next_click(target, prediction, clicked=(), ignore=rectangle(0, 30, 60, 80)) is None
    part = next_click(target, prediction, clicked=(), ignore=rectangle(0, 33, 60, 80))
    assert part == Click(31, 11, False)
    with pytest.raises(DataError, match="all of them ignored"):
        center_click(target, rectangle(0, 0, 60, 80))
    with pytest.raises(DataError, match="empty mask"):
        center_click(rectangle(0, 0, 0, 0))


def test_masks_of_two_images_are_refused() -> None:
    with pytest.raises(ValueError, match="60 x 80"):
        next_click(rectangle(1, 1, 9, 9), Region.from_array(np.ones((5, 5), bool)), clicked=())


# --- random clicks ---


def test_random_clicks_never_change() -> None:
    target = rectangle(10, 20, 40, 70)
    found = [random_click(target, **{**KEYS, "object_id": str(i)})[:2] for i in range(5)]
    assert found == PINNED


def test_random_clicks_depend_on_every_key_and_on_nothing_else() -> None:
    target = rectangle(10, 20, 40, 70)
    base = random_click(target, **KEYS)
    assert random_click(target, **KEYS) == base
    for key, value in (("seed", 1), ("dataset", "other"), ("image_id", "scene_01"), ("object_id", "4")):
        changed = [random_click(target, **{**KEYS, key: value, "object_id": f"{value}{i}"}) for i in range(8)]
        same = [random_click(target, **{**KEYS, "object_id": f"{value}{i}"}) for i in range(8)]
        assert key == "object_id" or changed != same
    glued = random_click(target, seed=0, dataset="a", image_id="bc", object_id="d")
    assert glued != random_click(target, seed=0, dataset="ab", image_id="c", object_id="d")


def test_random_clicks_are_uniform_over_the_object() -> None:
    mask = np.zeros((30, 30), bool)
    mask[3:7, 4:9] = True
    mask[20, 25] = True
    ignore = rectangle(3, 4, 4, 9, (30, 30))
    target = Region.from_array(mask)
    counts = Counter(random_click(target, **{**KEYS, "object_id": str(i)}, ignore=ignore)[:2] for i in range(3200))
    open_pixels = {(int(x), int(y)) for y, x in np.argwhere(mask & ~ignore.full())}
    assert set(counts) == open_pixels
    expected = 3200 / len(open_pixels)
    chi2 = sum((n - expected) ** 2 / expected for n in counts.values())
    assert chi2 < 37.7  # the 99.9 % point of chi-squared with 15 degrees of freedom; the draw is fixed, so is the outcome


# --- boxes and grids ---


def test_box_prompt_is_tight_and_inclusive() -> None:
    assert box_prompt(rectangle(10, 20, 40, 70)) == (20.0, 10.0, 69.0, 39.0)
    assert all(isinstance(v, float) for v in box_prompt(rectangle(3, 4, 4, 5)))


def test_point_grid_places_x_fastest_at_the_centres_of_equal_parts() -> None:
    grid = point_grid(2, 100, 400)
    assert grid.dtype == np.float32
    assert grid.tolist() == [[100, 25], [300, 25], [100, 75], [300, 75]]
    n = 32
    grid = point_grid(n, 375, 500)
    assert grid.shape == (n * n, 2)
    expected = [((i % n + 0.5) / n * 500, (i // n + 0.5) / n * 375) for i in range(n * n)]
    assert np.array_equal(grid, np.array(expected).astype(np.float32))
    assert point_grid(1, 7, 9).tolist() == [[4.5, 3.5]]
    with pytest.raises(ValueError, match="at least one"):
        point_grid(0, 10, 10)
