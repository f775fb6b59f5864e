"""The boundary benchmark: golden counts, an independent solver, the optimality certificate, and scores worked out by
hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat
from scipy.optimize import linear_sum_assignment
from skimage.morphology import thin as skimage_thin

from sambench.errors import DataError, SambenchError, UsageError
from sambench.metrics.edges import (
    NYUD_MAX_DIST,
    IncrementalMatcher,
    edge_counts,
    edge_counts_of_maps,
    edge_scores,
    max_distance_px,
    seg2bdry,
    thin,
    threshold_values,
)
from sambench.metrics.edges.matching import SCALE, gain, reach
from tests.helpers import edge_oracle
from tests.helpers.edge_certificate import matched_by_annotator, violations

GOLDEN_IDS = ["100007", "103029", "107045", "117025", "130014", "141012", "15062", "160067", "175083", "188025"]


def golden(shared: Path, image_id: str) -> tuple[np.ndarray, list[np.ndarray], dict[str, np.ndarray]]:
    with np.load(shared / "golden" / "edges" / f"{image_id}.npz") as z:
        arrays = dict(z)
    shape = arrays["gt_shape"]
    truth = np.unpackbits(arrays["gt_packed"])[: shape.prod()].reshape(shape) != 0
    return arrays["pb_values"][arrays["pb_index"]], list(truth), arrays


def swept(prob: np.ndarray, boundaries: list[np.ndarray], thresholds: np.ndarray, max_px: float):
    """(index, thinned map, matcher) at each threshold, from the highest down."""
    matcher = IncrementalMatcher(boundaries, prob >= thresholds[0], max_px)
    before = np.zeros(prob.shape, np.bool_)
    for k in range(len(thresholds) - 1, -1, -1):
        predicted = thin(prob >= thresholds[k])
        matcher.update(predicted, before)
        before = predicted
        yield k, predicted, matcher


def scaled_cost(matcher: IncrementalMatcher, annotator: int) -> int:
    """Cost of one annotator's matching with scale and tie-breaks, from pixel positions alone."""
    columns = np.flatnonzero((matcher.columns.mate >= 0) & (matcher.column_annotator == annotator))
    pixel, width = matcher.column_pixel[columns], matcher.shape[1]
    rows = matcher.row_pixel[matcher.columns.mate[columns]]
    ties = edge_oracle.tie_breaks(annotator, rows, pixel, len(matcher.n_matched))
    return int((edge_oracle.weight_of(rows, pixel, width) * SCALE + ties).sum())


# Golden counts


@pytest.mark.shared
@pytest.mark.parametrize("image_id", GOLDEN_IDS)
def test_golden_counts(shared: Path, image_id: str) -> None:
    prob, truth, expected = golden(shared, image_id)
    assert (threshold_values() == expected["thresholds"]).all()
    counts = edge_counts(prob, truth)
    assert (counts.cnt_r == expected["exact_cntR"]).all()
    assert (counts.sum_r == expected["ref_sumR"]).all()
    assert (counts.sum_p == expected["ref_sumP"]).all()
    assert (np.abs(counts.cnt_p - expected["exact_cntP_det"]) <= np.maximum(10, 0.005 * counts.sum_p)).all()


@pytest.mark.shared
@pytest.mark.parametrize("image_id", GOLDEN_IDS[:3])
def test_golden_matchings(shared: Path, image_id: str) -> None:
    """Number of matches and total distance of each annotator and threshold, and the certificate at each."""
    prob, truth, expected = golden(shared, image_id)
    for k, predicted, matcher in swept(prob, truth, threshold_values(), max_distance_px(*prob.shape)):
        n, weight = matched_by_annotator(matcher)
        assert (n == expected["exact_k"][k]).all()
        assert (weight == expected["exact_wsum"][k]).all()
        assert violations(matcher, predicted) == []


@pytest.mark.shared
def test_ground_truth_is_the_thinned_boundary_of_its_segmentation(shared: Path) -> None:
    n = 0
    for path in sorted((shared / "data/bsds500/data/groundTruth/test").glob("*.mat")):
        for annotation in loadmat(path)["groundTruth"][0]:
            boundary = annotation["Boundaries"][0, 0] != 0
            assert (thin(seg2bdry(annotation["Segmentation"][0, 0])) == boundary).all(), path.stem
            n += 1
    assert n == 1063


# Thresholds, boundaries, thinning


def test_thresholds() -> None:
    t = threshold_values()
    assert t.shape == (99,)
    assert (t[0], t[-1]) == (0.01, 0.99)
    assert threshold_values(1).tolist() == [0.5]
    # 51, 102, 153 and 204 of 255 are thresholds, and an 8-bit map's pixels at them count.
    eight_bit = np.array([51, 102, 153, 204]) / 255
    assert (eight_bit >= t[[19, 39, 59, 79]]).all()
    with pytest.raises(UsageError):
        threshold_values(0)


def test_tolerance() -> None:
    assert len(reach(max_distance_px(321, 481))[0]) == 61
    assert gain(max_distance_px(321, 481)) == 43371
    assert max_distance_px(425, 560, NYUD_MAX_DIST) == pytest.approx(7.733, abs=1e-3)


def test_seg2bdry_by_definition() -> None:
    rng = np.random.default_rng(0)
    for shape in ((7, 9), (1, 5), (5, 1), (1, 1), (2, 2)):
        s = rng.integers(0, 3, shape)
        last_i, last_j = shape[0] - 1, shape[1] - 1
        for i in range(shape[0]):
            for j in range(shape[1]):
                right = j < last_j and s[i, j] != s[i, j + 1]
                below = i < last_i and s[i, j] != s[i + 1, j]
                opposite = i < last_i and j < last_j
                across = opposite and s[i + 1, j] != s[i + 1, j + 1]
                down = opposite and s[i, j + 1] != s[i + 1, j + 1]
                assert seg2bdry(s)[i, j] == (right or below or across or down)
    with pytest.raises(DataError):
        seg2bdry(np.zeros((2, 3, 4)))


def disks(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    ring = np.hypot(y - 30, x - 40)
    return ((ring < 25) & (ring > 17)) | (np.hypot(y - 70, x - 20) < 12) | (abs(y - x) < 4) | (abs(y + x - 90) < 2)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
def test_thinning_equals_scikit_image_on_noise(density: float) -> None:
    rng = np.random.default_rng(int(density * 100))
    for shape in ((1, 40), (40, 1), (2, 2), (33, 47), (120, 90)):
        mask = rng.random(shape) < density
        assert (thin(mask) == skimage_thin(mask)).all()


def test_thinning_equals_scikit_image_on_shapes() -> None:
    prob, _ = edge_oracle.scene(90, 120, 1, seed=3)
    shapes = [disks((90, 100)), np.ones((21, 34), np.bool_), np.zeros((5, 5), np.bool_), ~disks((90, 100))]
    for mask in [*shapes, *(prob >= t for t in (0.01, 0.1, 0.3, 0.6))]:
        thinned = thin(mask)
        assert (thinned == skimage_thin(mask)).all()
        assert (thin(thinned) == thinned).all()
        assert not (thinned & ~mask).any()


# Matching


def assert_equals_slow_solver(prob: np.ndarray, boundaries: list[np.ndarray], thresholds: np.ndarray, max_px: float) -> None:
    for k, predicted, matcher in swept(prob, boundaries, thresholds, max_px):
        found = [edge_oracle.match(predicted, b, a, max_px) for a, b in enumerate(boundaries)]
        n, weight = matched_by_annotator(matcher)
        assert n.tolist() == [f.n for f in found], k
        assert weight.tolist() == [f.weight for f in found], k
        assert [scaled_cost(matcher, a) for a in range(len(boundaries))] == [f.cost for f in found], k
        assert violations(matcher, predicted) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_matching_equals_scipy_on_scenes(seed: int) -> None:
    """Number, distance and cost with ties of every matching."""
    prob, boundaries = edge_oracle.scene(60, 90, 3, seed)
    assert_equals_slow_solver(prob, boundaries, threshold_values(19), 4.337)


def test_matching_equals_scipy_on_noise() -> None:
    """Thinned maps that share few pixels from one threshold to the next: much is removed, and columns are contested."""
    rng = np.random.default_rng(5)
    prob = rng.random((40, 50))
    boundaries = [rng.random(prob.shape) < density for density in (0.02, 0.1, 0.35)]
    assert_equals_slow_solver(prob, boundaries, threshold_values(19), 3.0)


@pytest.mark.parametrize("max_dist", [0.0075, 0.02])
def test_counts_equal_scipy(max_dist: float) -> None:
    prob, boundaries = edge_oracle.scene(70, 100, 3, seed=2)
    thresholds = threshold_values(25)
    ours = edge_counts(prob, boundaries, max_dist=max_dist, thresholds=25).as_array()
    slow = edge_oracle.counts(prob, boundaries, thresholds, max_distance_px(70, 100, max_dist))
    assert (ours[:, [0, 1, 3]] == slow[:, [0, 1, 3]]).all()
    assert (np.abs(ours[:, 2] - slow[:, 2]) <= 2).all()  # ties that the hash leaves
    assert 0 < slow[:, 0].sum() < slow[:, 1].sum()


small_maps = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rng=small_maps, density=st.sampled_from([0.1, 0.3, 0.7]), max_px=st.sampled_from([0.5, 1.0, 1.5, 2.3, 4.337]))
def test_any_sequence_of_maps_stays_optimal(rng: np.random.Generator, density: float, max_px: float) -> None:
    """Arbitrary insertions and removals against a dense assignment from scratch; the certificate at every step."""
    height, width = rng.integers(2, 9, 2)
    boundaries = [rng.random((height, width)) < density for _ in range(2)]
    matcher = IncrementalMatcher(boundaries, np.ones((height, width), np.bool_), max_px)
    before = np.zeros((height, width), np.bool_)
    for _ in range(6):
        predicted = before ^ (rng.random(before.shape) < rng.choice([0.05, 0.3, 0.8]))
        matcher.update(predicted, before)
        before = predicted
        assert violations(matcher, predicted) == []
        n, _ = matched_by_annotator(matcher)
        for a, b in enumerate(boundaries):
            assert (n[a], scaled_cost(matcher, a)) == dense_optimum(predicted, b, a, max_px)


def dense_optimum(predicted: np.ndarray, truth: np.ndarray, annotator: int, max_px: float) -> tuple[int, int]:
    """(matches, cost with ties) by scipy's dense solver on the whole table of profits."""
    rows, columns = np.flatnonzero(predicted), np.flatnonzero(truth)
    profit = np.zeros((len(rows), len(columns)), np.int64)
    width, n_pixels = predicted.shape[1], predicted.size
    price = int(np.ceil(100 * 100 * max_px)) * SCALE
    for i, r in enumerate(rows.tolist()):
        for j, c in enumerate(columns.tolist()):
            squared = (r // width - c // width) ** 2 + (r % width - c % width) ** 2
            if squared <= max_px * max_px:
                cost = round(100 * squared**0.5) * SCALE + edge_oracle.tie_break(annotator, r, c, n_pixels)
                profit[i, j] = price - cost
    i, j = linear_sum_assignment(profit, maximize=True)
    used = profit[i, j] > 0
    return int(used.sum()), int((price - profit[i, j])[used].sum())


def test_certificate_finds_what_is_wrong() -> None:
    """The certificate is worth something only if it fails: one matched pair undone, one dual moved, one mate
    swapped."""
    prob, boundaries = edge_oracle.scene(40, 50, 1, seed=4)

    def solved() -> tuple[IncrementalMatcher, np.ndarray]:
        *_, (_, predicted, matcher) = swept(prob, boundaries, threshold_values(9), 4.337)
        assert violations(matcher, predicted) == []
        return matcher, predicted

    matcher, predicted = solved()
    row = np.flatnonzero(matcher.rows.mate >= 0)[0]
    matcher.columns.mate[matcher.rows.mate[row]] = -1
    matcher.rows.mate[row] = -1
    matcher.n_matched[matcher.row_pixel[row]] -= 1
    assert any("unmatched" in v for v in violations(matcher, predicted))

    matcher, predicted = solved()
    matcher.columns.dual[matcher.rows.mate[row]] -= 1
    assert "matched edges that are not tight" in violations(matcher, predicted)
    matcher.columns.dual[matcher.rows.mate[row]] += 2
    assert "infeasible edges" in violations(matcher, predicted)

    matcher, predicted = solved()
    a, b = np.flatnonzero(matcher.rows.mate >= 0)[:2]
    matcher.rows.mate[a], matcher.rows.mate[b] = matcher.rows.mate[b], matcher.rows.mate[a]
    assert "mates of rows and columns differ" in violations(matcher, predicted)


def test_the_hash_is_the_documented_one() -> None:
    from sambench.metrics.edges._match import tie_break

    rng = np.random.default_rng(0)
    cases = [(int(rng.integers(9)), *map(int, rng.integers(0, 154401, 2)), 154401) for _ in range(2000)]
    cases.append((7, 2**31, 2**31 - 5, 2**33))  # runs over 64 bits
    ours = [tie_break(*case) for case in cases]
    assert ours == [edge_oracle.tie_break(*case) for case in cases]
    assert np.bincount(ours, minlength=16).min() > 80  # 125 of each expected


def test_a_pixel_matches_once_and_two_annotators_count_once() -> None:
    """One annotated pixel between two predicted ones: R 1 / 1, P 1 / 2; a second annotator that agrees changes only
    R."""
    prob = np.zeros((9, 9))
    prob[4, [2, 6]] = 0.505
    truth = np.zeros((9, 9), np.bool_)
    truth[4, 4] = True
    one = edge_counts(prob, [truth], max_dist=0.2)
    assert [c[0] for c in one] == [1, 1, 1, 2]
    assert [c[50] for c in one] == [0, 1, 0, 0]  # at .51 nothing is left
    two = edge_counts(prob, [truth, truth], max_dist=0.2)
    assert [two.cnt_r[0], two.sum_r[0], two.sum_p[0]] == [2, 2, 2]
    assert two.cnt_p[0] in (1, 2)  # each annotator may choose either pixel
    assert [c[0] for c in edge_counts(prob, [truth], max_dist=0.1)] == [0, 1, 0, 2]  # out of reach


def test_distance_decides_between_equal_matchings() -> None:
    prob = np.zeros((9, 9))
    prob[4, [3, 6]] = 1.0
    truth = np.zeros((9, 9), np.bool_)
    truth[4, 4] = True
    matcher = IncrementalMatcher([truth], prob > 0, 3.0)
    matcher.update(prob > 0, np.zeros((9, 9), np.bool_))
    assert np.flatnonzero(matcher.n_matched).tolist() == [4 * 9 + 3]
    assert matched_by_annotator(matcher)[1].tolist() == [100]


def test_empty_maps_and_annotations() -> None:
    nothing, something = np.zeros((8, 9), np.bool_), np.eye(8, 9, dtype=np.bool_)
    assert edge_counts(np.zeros((8, 9)), [something]).as_array()[0].tolist() == [0, 8, 0, 0]
    assert edge_counts(something * 1.0, [nothing]).as_array()[-1].tolist() == [0, 0, 0, 8]
    assert edge_counts(something * 1.0, [nothing, something]).as_array()[-1].tolist() == [8, 8, 8, 8]


def test_counts_are_the_same_each_time_and_for_the_maps_themselves() -> None:
    """Thresholds between which nothing changes are skipped, at no effect."""
    prob, boundaries = edge_oracle.scene(50, 60, 3, seed=6)
    prob = np.round(prob * 12) / 12
    counts = edge_counts(prob, boundaries).as_array()
    assert (edge_counts(prob.copy(), [b.astype(np.uint8) for b in boundaries]).as_array() == counts).all()
    maps = [prob >= t for t in threshold_values()[::-1]]
    assert (edge_counts_of_maps(maps, boundaries).as_array()[::-1] == counts).all()
    assert (edge_counts(prob, boundaries, thresholds=threshold_values()).as_array() == counts).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prob": np.full((8, 9), np.nan)}, "NaN"),
        ({"prob": np.where(np.eye(8, 9) > 0, np.nan, 0.5)}, "8 NaN"),
        ({"prob": np.full((8, 9), 255.0)}, "divided by 255"),
        ({"prob": np.full((8, 9), -0.1)}, "-0.1"),
        ({"prob": np.zeros((8, 9), np.uint8)}, "uint8"),
        ({"prob": np.zeros((9, 8))}, "the annotation's size"),
        ({"prob": np.zeros((8, 9, 1))}, "[8, 9, 1]"),
        ({"boundaries": []}, "without annotations"),
        ({"thresholds": np.array([0.5, 0.5])}, "ascending"),
        ({"thresholds": 0}, "at least 1"),
    ],
)
def test_bad_input_is_named(change: dict, words: str) -> None:
    good = {"prob": np.zeros((8, 9)), "boundaries": [np.zeros((8, 9), np.bool_)], "thresholds": 99}
    edge_counts(**good)
    with pytest.raises(SambenchError) as e:
        edge_counts(**(good | change))
    assert words in str(e.value)


def test_bad_families_are_named() -> None:
    truth = [np.zeros((8, 9), np.bool_)]
    for maps in ([], [np.zeros((8, 9)), np.zeros((9, 8))], [np.zeros((9, 8))]):
        with pytest.raises(DataError):
            edge_counts_of_maps(maps, truth)
    with pytest.raises(DataError):
        thin(np.zeros((3, 3)))


# Scores


def test_scores_by_hand() -> None:
    """Two images, three thresholds; every number below is worked out on paper."""
    counts = np.array(
        [
            [[80, 100, 40, 100], [60, 100, 48, 60], [10, 100, 10, 10]],
            [[100, 100, 50, 200], [50, 100, 45, 90], [20, 100, 20, 20]],
        ]
    )
    s = edge_scores(counts, np.array([0.25, 0.5, 0.75]))
    assert s.recall.tolist() == [0.9, 0.55, 0.15]
    assert s.precision == pytest.approx([90 / 300, 93 / 150, 1.0])
    # Best per image: F(.6, .8) = .6857 at .5 and F(.5, .5) = .5 at .5 (against .4 at .25).
    assert s.image_f == pytest.approx([0.96 / 1.4, 0.5])
    assert s.image_threshold.tolist() == [0.5, 0.5]
    assert (s.ois_r, s.ois_p) == pytest.approx((110 / 200, 93 / 150))
    assert s.ois == pytest.approx(2 * 0.55 * 0.62 / 1.17)
    # ODS lies between the first two thresholds: the best of 100 points on the segment from (.9, .3) to (.55, .62).
    d = np.linspace(0, 1, 100)
    r, p = 0.9 - 0.35 * d, 0.3 + 0.32 * d
    k = (2 * r * p / (r + p)).argmax()
    assert 0 < k < 99
    assert (s.ods, s.ods_recall, s.ods_precision) == pytest.approx((2 * r[k] * p[k] / (r[k] + p[k]), r[k], p[k]))
    assert s.ods_threshold == pytest.approx(0.25 + 0.25 * d[k])
    # Precision on recalls .15, .16 ... .90: linear from 1 to .62 over 40 steps, to .3 over 35 more.
    assert s.ap == pytest.approx(0.01 * (41 * (1 + 0.62) / 2 + 35 * (0.62 + 0.3) / 2 - (0.62 - 0.3) / 2), abs=0.011)
    assert s.ap == pytest.approx(0.01 * sum(_line(x / 100) for x in range(15, 91)))
    # Precision .5 lies 20 / 32 of the way from .3 to .62.
    assert s.r50 == pytest.approx(0.9 - 0.35 * 20 / 32)


def _line(recall: float) -> float:
    """Precision at a recall on the curve of the test above."""
    if recall <= 0.55:
        return 1 - 0.38 * (recall - 0.15) / 0.4
    return 0.62 - 0.32 * (recall - 0.55) / 0.35


def test_scores_of_perfect_and_of_empty_maps() -> None:
    t = threshold_values()
    perfect = edge_scores(np.full((2, 99, 4), 7), t)
    assert (perfect.ods, perfect.ois, perfect.r50, perfect.ods_threshold) == (1, 1, 1, 0.01)
    assert perfect.ap == 0  # one point is no curve
    empty = edge_scores(np.tile([0, 5, 0, 0], (2, 99, 1)), t)
    assert (empty.ods, empty.ois, empty.ap, empty.r50) == (0, 0, 0, 0)
    never_half = np.zeros((1, 99, 4), np.int64)
    never_half[0] = np.stack([np.arange(99, 0, -1), np.full(99, 100), np.arange(99), np.full(99, 300)], axis=-1)
    assert edge_scores(never_half, t).r50 == 0


def test_r50_starts_at_the_lowest_precision() -> None:
    counts = np.array([[[90, 100, 60, 100], [50, 100, 80, 100]]])
    assert edge_scores(counts, np.array([0.3, 0.6])).r50 == 0.9


def test_first_of_equal_thresholds_is_an_image_s_best() -> None:
    counts = np.array([[[1, 4, 1, 4], [2, 4, 2, 4], [2, 4, 2, 4]]])
    s = edge_scores(counts, np.array([0.2, 0.4, 0.6]))
    assert s.image_threshold.tolist() == [0.4]
    assert s.ods_threshold == pytest.approx(0.4)


@pytest.mark.parametrize("shape", [(2, 98, 4), (99, 4), (0, 99, 4), (2, 99, 3)])
def test_counts_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        edge_scores(np.zeros(shape), threshold_values())


# Imports and compilation


def test_numba_loads_only_when_something_is_counted() -> None:
    code = (
        "import sys, numpy as np; import sambench.metrics.edges as e; from sambench.pixels import edge_maps as nms;"
        "e.edge_scores(np.ones((1, 99, 4)), e.threshold_values()); e.seg2bdry(np.eye(3));"
        "assert 'numba' not in sys.modules; e.thin(np.eye(3, dtype=bool)); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_compile_where_nothing_beside_them_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from numba.core import caching

    from sambench.pixels import jit as _jit

    def three(x: int) -> int:
        return 3 * x

    class Nowhere:
        @classmethod
        def from_function(cls, function: object, path: str) -> None:
            return None

    only_given = [caching.UserProvidedCacheLocator]
    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [Nowhere, *only_given])
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path))
    assert _jit.jit(three)(5) == 15
    assert list(tmp_path.rglob("*.nbc"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "file"))
    assert _jit.jit(three)(7) == 21
