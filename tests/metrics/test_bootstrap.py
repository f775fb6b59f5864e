"""Cluster bootstrap and paired differences, against scipy and statsmodels' formulas, simulation, and hand-made cases."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from sambench.metrics.bootstrap import mean_intervals, paired_difference, resampled_means


def test_single_objects_agree_with_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(1).beta(2, 1, 60)
    ours = mean_intervals(values[:, None], np.arange(60), n_resamples=40_000, level=0.9, seed=3)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, confidence_level=0.9, method="percentile", rng=np.random.default_rng(4)
    )
    low, high = theirs.confidence_interval
    # The two draw different resamples: quantiles of 40,000 draws scatter by about 1 % of the standard error.
    tolerance = 0.04 * theirs.standard_error
    assert ours[0][0] == pytest.approx(values.mean(), abs=1e-15)
    assert ours[1][0] == pytest.approx(low, abs=tolerance)
    assert ours[2][0] == pytest.approx(high, abs=tolerance)


def test_draws_are_ratios_of_whole_clusters() -> None:
    values = np.array([0.1, 0.4, 0.9, 0.2, 0.3, 0.8])
    clusters = np.array(["b", "a", "a", "c", "c", "c"])
    drawn = resampled_means(values[:, None], clusters, n_resamples=500, seed=7)[:, 0]
    parts = [values[clusters == c] for c in "abc"]
    picks = np.random.Generator(np.random.PCG64(7)).integers(0, 3, size=(500, 3))
    expected = [np.concatenate([parts[i] for i in pick]).mean() for pick in picks]
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-15)


def test_every_column_has_the_same_draws_and_nan_is_left_out_of_its_column_alone() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(20), 3)
    full = rng.random(60)
    holed = np.where(rng.random(60) < 0.1, np.nan, full)
    both = mean_intervals(np.stack([full, holed, full], 1), clusters, n_resamples=800, level=0.95, seed=0)
    alone = mean_intervals(full[:, None], clusters, n_resamples=800, level=0.95, seed=0)
    kept = ~np.isnan(holed)
    dropped = mean_intervals(holed[kept, None], clusters[kept], n_resamples=800, level=0.95, seed=0)
    assert len(set(clusters[kept])) == 20  # else the draws would not be the same
    for got, one, without in zip(both, alone, dropped, strict=True):
        assert got[0] == got[2] == one[0]
        assert got[1] == pytest.approx(without[0], abs=1e-15)


@pytest.mark.parametrize(
    ("values", "clusters", "mean"),
    [
        ([], [], np.nan),
        ([np.nan, np.nan], ["a", "b"], np.nan),
        ([0.25, 0.75], ["a", "a"], 0.5),
        ([0.25, 0.75, np.nan], ["a", "a", "b"], 0.5),
    ],
)
def test_where_nothing_is_known_of_clusters_there_is_no_interval(values: list[float], clusters: list[str], mean: float) -> None:
    got = mean_intervals(np.array(values, float)[:, None], clusters, n_resamples=50, level=0.95, seed=0)
    np.testing.assert_array_equal(got[0], [mean])
    assert np.isnan(got[1:]).all()


def test_draws_without_a_value_are_left_out() -> None:
    values = np.array([0.2, 0.6, np.nan, np.nan, np.nan, np.nan])
    mean, low, high = mean_intervals(values[:, None], np.arange(6), n_resamples=400, level=0.95, seed=0)
    drawn = resampled_means(values[:, None], np.arange(6), n_resamples=400, seed=0)
    assert np.isnan(drawn).any()
    assert (mean[0], low[0], high[0]) == (0.4, 0.2, 0.6)


def test_the_same_bits_again_and_other_draws_for_another_seed() -> None:
    rng = np.random.default_rng(5)
    values, clusters = rng.random((500, 2)), rng.integers(0, 77, 500)
    options = {"n_resamples": 5000, "level": 0.95}
    first = mean_intervals(values, clusters, **options, seed=0)
    again = mean_intervals(values.copy(order="F"), [f"{c:03}" for c in clusters], **options, seed=0)
    other = mean_intervals(values, clusters, **options, seed=1)
    np.testing.assert_array_equal(first, again)
    assert (np.array(first[1:]) != np.array(other[1:])).all()


def test_the_number_of_draws_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, clusters = np.random.default_rng(6).random((90, 1)), np.arange(90) // 2
    whole = resampled_means(values, clusters, n_resamples=300, seed=0)
    monkeypatch.setattr("sambench.metrics.bootstrap._DRAWS_AT_ONCE", 100)
    np.testing.assert_array_equal(whole, resampled_means(values, clusters, n_resamples=300, seed=0))


def test_the_order_of_clusters_in_the_rows_does_not_choose_the_draws() -> None:
    rng = np.random.default_rng(8)
    values, clusters = rng.random((60, 1)), np.repeat(np.arange(20), 3)
    order = np.concatenate([np.flatnonzero(clusters == c) for c in rng.permutation(20)])
    straight = mean_intervals(values, clusters, n_resamples=500, level=0.95, seed=0)
    shuffled = mean_intervals(values[order], clusters[order], n_resamples=500, level=0.95, seed=0)
    np.testing.assert_array_equal(straight, shuffled)


def _clustered(rng: np.random.Generator, n_clusters: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of mean zero whose clusters, of one to nine objects, share most of their variance."""
    clusters = np.repeat(np.arange(n_clusters), rng.integers(1, 10, n_clusters))
    return effect * rng.normal(size=n_clusters)[clusters] + rng.normal(size=len(clusters)), clusters


def test_intervals_and_p_values_hold_what_they_promise_where_clusters_matter() -> None:
    rng = np.random.default_rng(9)
    n, covered, naive, rejected = 500, 0, 0, 0
    for _ in range(n):
        values, clusters = _clustered(rng, 80, 1.0)
        options = {"n_resamples": 600, "level": 0.95, "seed": int(rng.integers(1 << 30))}
        got = paired_difference(values, np.zeros(len(values)), clusters, **options)
        covered += got.low <= 0 <= got.high
        rejected += got.p_value < 0.05
        _, low, high = mean_intervals(values[:, None], np.arange(len(values)), **options)
        naive += bool(low[0] <= 0 <= high[0])
    # Four standard deviations of a binomial of .95 over 500 are .039; ignoring the clusters falls far below that.
    assert 0.95 - 0.039 < covered / n < 0.95 + 0.039
    assert 0.05 - 0.039 < rejected / n < 0.05 + 0.039
    assert naive / n < 0.85


def test_paired_p_is_the_paired_t_tests_with_single_objects() -> None:
    rng = np.random.default_rng(10)
    a = rng.random(40)
    b = a + rng.normal(0.02, 0.1, 40)
    got = paired_difference(a, b, np.arange(40), n_resamples=2000, level=0.95, seed=0)
    assert got.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
    assert got.std_error == pytest.approx(stats.sem(a - b), rel=1e-12)
    assert got.mean == pytest.approx(a.mean() - b.mean(), abs=1e-15)
    assert (got.mean_a, got.mean_b) == pytest.approx((a.mean(), b.mean()))
    assert (got.n, got.n_clusters) == (40, 40)
    swapped = paired_difference(b, a, np.arange(40), n_resamples=2000, level=0.95, seed=0)
    assert swapped.p_value == pytest.approx(got.p_value, rel=1e-12)
    assert (swapped.low, swapped.high) == pytest.approx((-got.high, -got.low), abs=1e-15)


def test_clusters_of_copies_count_once() -> None:
    a = np.random.default_rng(11).normal(0.1, 1, 30)
    once = paired_difference(a, np.zeros(30), np.arange(30), n_resamples=500, level=0.95, seed=0)
    copied = paired_difference(np.repeat(a, 5), np.zeros(150), np.repeat(np.arange(30), 5), n_resamples=500, level=0.95, seed=0)
    assert copied.p_value == pytest.approx(once.p_value, rel=1e-9)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert (copied.n, copied.n_clusters) == (150, 30)


def test_standard_error_of_unequal_clusters_by_the_sandwich() -> None:
    rng = np.random.default_rng(12)
    values, clusters = _clustered(rng, 12, 1.0)
    got = paired_difference(values, np.zeros(len(values)), clusters, n_resamples=10, level=0.95, seed=0)
    # (X'X)^-1 (sum of X_g' u_g u_g' X_g) (X'X)^-1 for a regression on a constant, written out with dense matrices.
    design, residuals = np.ones((len(values), 1)), values - values.mean()
    meat = sum(
        np.outer(design[clusters == g].T @ residuals[clusters == g], design[clusters == g].T @ residuals[clusters == g])
        for g in range(12)
    )
    bread = np.linalg.inv(design.T @ design)
    variance = (bread @ meat @ bread)[0, 0] * 12 / 11
    assert got.std_error == pytest.approx(variance**0.5, rel=1e-12)
    assert got.p_value == pytest.approx(2 * stats.t.sf(abs(values.mean()) / variance**0.5, 11), rel=1e-9)


def test_pairs_that_differ_nowhere_everywhere_alike_or_are_missing() -> None:
    options = {"n_resamples": 100, "level": 0.95, "seed": 0}
    same = paired_difference(np.array([0.1, 0.7, 0.3]), np.array([0.1, 0.7, 0.3]), [0, 1, 2], **options)
    assert (same.mean, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    alike = paired_difference(np.ones(3), np.full(3, 0.5), [0, 1, 2], **options)
    assert (alike.mean, alike.low, alike.high, alike.p_value) == (0.5, 0.5, 0.5, 0)
    holed = paired_difference(np.array([1, np.nan, 3.0]), np.array([0, 1, np.nan]), ["x", "y", "z"], **options)
    assert (holed.n, holed.n_clusters, holed.mean, holed.mean_a) == (1, 1, 1.0, 1.0)
    assert np.isnan([holed.low, holed.high, holed.p_value, holed.std_error]).all()
    none = paired_difference(np.zeros(0), np.zeros(0), [], **options)
    assert none.n == 0
    assert np.isnan([none.mean, none.low, none.p_value]).all()


def test_shapes_and_parameters_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        mean_intervals(np.zeros((3, 1)), [0, 1], n_resamples=10, level=0.95, seed=0)
    with pytest.raises(ValueError, match="do not fit"):
        mean_intervals(np.zeros(3), [0, 1, 2], n_resamples=10, level=0.95, seed=0)
    with pytest.raises(ValueError, match="level"):
        mean_intervals(np.zeros((2, 1)), [0, 1], n_resamples=10, level=95, seed=0)
    with pytest.raises(ValueError, match="n_resamples"):
        mean_intervals(np.zeros((2, 1)), [0, 1], n_resamples=0, level=0.95, seed=0)
    with pytest.raises(ValueError, match="one length"):
        paired_difference(np.zeros(2), np.zeros(3), [0, 1], n_resamples=10, level=0.95, seed=0)


def test_ten_thousand_draws_of_ten_thousand_clusters() -> None:
    import tracemalloc

    values = np.random.default_rng(0).random((10_000, 1))
    start = time.process_time()  # of this process alone: other work on the machine does not count
    mean_intervals(values, np.arange(10_000), n_resamples=10_000, level=0.95, seed=0)
    assert time.process_time() - start < 2
    tracemalloc.start()
    mean_intervals(values, np.arange(10_000), n_resamples=500, level=0.95, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6  # all the weights at once would take 40 MB a column even for these 500 draws, 800 MB for 10,000
