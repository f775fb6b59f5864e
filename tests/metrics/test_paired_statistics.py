"""Tests of differences against scipy, statsmodels and simulation; the same with clusters, against their definitions."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from sambench.layout import render_rich, to_frame
from sambench.metrics.bootstrap import percentile_interval
from sambench.metrics.paired import (
    bca_interval,
    bootstrap_draws,
    cohen_dz,
    detectable_difference,
    holm,
    paired_tests,
    t_test,
    wilcoxon,
)
from sambench.results.compare import compare_cells
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import Maker


def _pair(n: int, seed: int = 0, shift: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.beta(4, 2, n)
    return a, a - shift + rng.normal(0, 0.1, n)


@pytest.mark.parametrize(("n", "shift"), [(2, 0.1), (17, 0.0), (400, 0.02), (400, -0.2)])
def test_t_test_is_scipys_on_each_side(n: int, shift: float) -> None:
    a, b = _pair(n, shift=shift)
    ours = t_test(a - b)
    for side, p in (("two-sided", ours.p_two_sided), ("greater", ours.p_greater), ("less", ours.p_less)):
        theirs = stats.ttest_rel(a, b, alternative=side)
        assert p == pytest.approx(theirs.pvalue, rel=1e-8)
        assert (ours.t, ours.df) == (pytest.approx(theirs.statistic, rel=1e-9), theirs.df)
    assert t_test(a - b, np.arange(n)) == ours


def test_t_test_over_clusters_is_that_of_cluster_means_where_clusters_are_of_one_size() -> None:
    rng = np.random.default_rng(3)
    d = (rng.normal(0.1, 0.4, 30)[:, None] + rng.normal(0, 0.2, (30, 4))).ravel()
    labels = np.repeat([f"image {i}" for i in range(30)], 4)
    theirs = stats.ttest_1samp(d.reshape(30, 4).mean(1), 0)
    ours = t_test(d, labels)
    assert (ours.t, ours.df) == (pytest.approx(theirs.statistic, rel=1e-10), 29)
    assert ours.p_two_sided == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours.std_error > 1.5 * t_test(d).std_error  # objects of an image are alike here


def test_t_test_at_its_edges() -> None:
    assert math.isnan(t_test(np.array([0.3])).p_two_sided)
    assert math.isnan(t_test(np.array([])).mean)
    assert math.isnan(t_test(np.array([0.1, 0.4]), ["a", "a"]).p_greater)
    zero = t_test(np.zeros(5))
    assert (zero.t, zero.p_two_sided, zero.p_greater, zero.p_less) == (0, 1, 1, 1)
    same = t_test(np.full(5, -0.5))
    assert (same.p_two_sided, same.p_greater, same.p_less) == (0, 1, 0)
    with pytest.raises(ValueError, match="NaN"):
        t_test(np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="do not fit"):
        t_test(np.zeros(3), ["a", "b"])


@pytest.mark.parametrize("n", [12, 200])
def test_wilcoxon_is_scipys_for_single_rows(n: int) -> None:
    a, b = _pair(n, seed=5)
    assert wilcoxon(a - b) == pytest.approx(stats.wilcoxon(a, b).pvalue, rel=1e-12)


def test_wilcoxon_over_clusters_generalises_the_normal_approximation() -> None:
    d = np.round(_pair(90, seed=6, shift=0.01)[1] - 0.6, 1)  # with ties and zeros
    assert (d == 0).any()
    theirs = stats.wilcoxon(d, zero_method="wilcox", correction=False, method="asymptotic").pvalue
    pairs = np.arange(90)
    pairs[-1] = 0  # one cluster of two, so that the clustered formula is taken
    d[0], d[-1] = 0, 0
    theirs = stats.wilcoxon(d, zero_method="wilcox", correction=False, method="asymptotic").pvalue
    assert wilcoxon(d, pairs) == pytest.approx(theirs, rel=1e-10)
    # By definition: p of the signed sums when whole clusters change sign.
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 5)
    x = np.repeat(rng.normal(0.12, 0.4, 40), 5) + rng.normal(0, 0.3, 200)
    sums = np.bincount(labels, stats.rankdata(np.abs(x)) * np.sign(x))
    flipped = np.abs(rng.choice([-1, 1], (100_000, 40)) @ sums)
    assert wilcoxon(x, labels) == pytest.approx((flipped >= abs(sums.sum())).mean(), abs=0.005)
    assert wilcoxon(x) < wilcoxon(x, labels) / 3


def test_wilcoxon_at_its_edges() -> None:
    assert wilcoxon(np.zeros(4)) == 1
    assert math.isnan(wilcoxon(np.array([0.2, 0.3]), ["a", "a"]))
    assert wilcoxon(np.array([1.0, -1.0, 0.0, 2.0]), [0, 0, 1, 1]) <= 1


def test_cohens_dz_is_t_over_root_n() -> None:
    a, b = _pair(50)
    assert cohen_dz(a - b) == pytest.approx(stats.ttest_rel(a, b).statistic / math.sqrt(50), rel=1e-12)
    assert math.isnan(cohen_dz(np.array([0.4])))
    assert math.isnan(cohen_dz(np.full(9, 0.5)))


def test_holm_by_hand_against_statsmodels_and_with_holes() -> None:
    # 4 tests: .01 x 4, .03 x 3, .04 x 2 (not below the one before), .5
    assert holm([0.04, 0.01, 0.5, 0.03]) == pytest.approx([0.09, 0.04, 0.5, 0.09])
    p = np.random.default_rng(0).random(23) ** 4
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-14)
    holed = holm([0.04, np.nan, 0.01])
    assert holed[[0, 2]] == pytest.approx([0.04, 0.02])
    assert np.isnan(holed[1])
    assert np.isnan(holm([np.nan])).all()


@pytest.mark.parametrize("n", [2, 5, 30, 1000, 20_000])
def test_detectable_difference_is_statsmodels(n: int) -> None:
    ours = detectable_difference(1 / math.sqrt(n), n - 1)
    assert TTestPower().power(ours, n, 0.05) == pytest.approx(0.8, abs=2e-6)
    assert ours == pytest.approx(TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8), rel=1e-4)  # its solver ends early
    for power in (0.06, 0.3, 0.95):
        found = detectable_difference(1 / math.sqrt(n), n - 1, power=power)
        assert TTestPower().power(found, n, 0.05) == pytest.approx(power, abs=2e-6)
    assert math.isnan(detectable_difference(math.nan, 5))
    assert math.isnan(detectable_difference(0.1, 0))


def test_a_detectable_difference_is_found_in_four_of_five_experiments() -> None:
    rng = np.random.default_rng(8)
    size = detectable_difference(0.3 / math.sqrt(25), 24)
    found = [t_test(rng.normal(size, 0.3, 25)).p_two_sided < 0.05 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_bca_is_scipys_draw_for_draw(level: float) -> None:
    d = np.random.default_rng(1).exponential(0.2, 80) - 0.1  # skew, so that both corrections matter
    theirs = stats.bootstrap((d,), np.mean, n_resamples=9999, confidence_level=level, method="BCa", rng=np.random.default_rng(7))
    draws = bootstrap_draws(d, n_resamples=9999, seed=7)
    assert np.sort(draws) == pytest.approx(np.sort(theirs.bootstrap_distribution), abs=1e-14)
    ours = bca_interval(d, draws, level=level)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=1e-12)
    assert ours[0] > percentile_interval(draws, level=level)[0]  # moved towards the long tail


def test_bca_over_clusters_of_one_size_is_scipys_of_their_means() -> None:
    rng = np.random.default_rng(2)
    d = (rng.exponential(0.3, 40)[:, None] + rng.normal(0, 0.1, (40, 3))).ravel()
    labels = np.repeat(np.arange(40), 3)
    theirs = stats.bootstrap((d.reshape(40, 3).mean(1),), np.mean, n_resamples=5000, method="BCa", rng=np.random.default_rng(4))
    draws = bootstrap_draws(d, labels, n_resamples=5000, seed=4)
    assert bca_interval(d, draws, labels, level=0.95) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-12)


def test_intervals_at_their_edges() -> None:
    one = np.array([0.2, 0.4])
    assert all(math.isnan(v) for v in bca_interval(one, np.zeros(9), ["a", "a"], level=0.95))
    assert all(math.isnan(v) for v in percentile_interval(np.zeros(9), level=0.95, n_clusters=1))
    same = np.full(6, 0.25)
    assert bca_interval(same, bootstrap_draws(same, n_resamples=200, seed=0), level=0.95) == (0.25, 0.25)
    assert all(math.isnan(v) for v in bca_interval(one, np.array([0.5, 0.6]), level=0.95))


def test_all_tests_together_say_what_each_says() -> None:
    a, b = _pair(120)
    labels = np.repeat(np.arange(40), 3)
    got = paired_tests(a - b, labels, n_resamples=2000, seed=5)
    draws = bootstrap_draws(a - b, labels, n_resamples=2000, seed=5)
    assert got.t == t_test(a - b, labels)
    assert got.t_objects == t_test(a - b)
    assert got.bca == bca_interval(a - b, draws, labels, level=0.95)
    assert got.percentile == percentile_interval(draws, level=0.95)
    assert got == paired_tests(a - b, labels, draws=draws)
    assert got.detectable == detectable_difference(got.t.std_error, 39)
    # The order of rows chooses nothing.
    order = np.random.default_rng(0).permutation(120)
    again = paired_tests((a - b)[order], labels[order], n_resamples=2000, seed=5)
    assert again.bca == pytest.approx(got.bca, abs=1e-15)
    assert again.p_wilcoxon == pytest.approx(got.p_wilcoxon, rel=1e-12)


def _coverage(n_clusters: int, per_cluster: int, *, clustered: bool, n_simulations: int = 2000) -> dict[str, float]:
    """Share of simulations whose 95 % interval holds the true difference of 0.03, by method."""
    rng = np.random.default_rng(11)
    inside = {"percentile": 0, "bca": 0, "t": 0}
    labels = np.repeat(np.arange(n_clusters), per_cluster)
    for i in range(n_simulations):
        shared = np.repeat(rng.normal(0, 0.1, n_clusters), per_cluster) if per_cluster > 1 else 0.0
        d = 0.03 + shared + rng.gamma(2, 0.07, len(labels)) - 0.14
        used = labels if clustered else None
        draws = bootstrap_draws(d, used, n_resamples=999, seed=i)
        t = t_test(d, used)
        reach = stats.t.isf(0.025, t.df) * t.std_error
        for method, (low, high) in (
            ("percentile", percentile_interval(draws, level=0.95)),
            ("bca", bca_interval(d, draws, used, level=0.95)),
            ("t", (t.mean - reach, t.mean + reach)),
        ):
            inside[method] += low <= 0.03 <= high
    return {k: v / n_simulations for k, v in inside.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("n_clusters", "per_cluster"), [(150, 1), (100, 4)])
def test_intervals_hold_a_known_difference_in_95_of_100_experiments(n_clusters: int, per_cluster: int) -> None:
    for method, share in _coverage(n_clusters, per_cluster, clustered=True).items():
        assert 0.93 <= share <= 0.97, method


@pytest.mark.slow
def test_ignoring_clusters_makes_intervals_that_are_too_short() -> None:
    assert max(_coverage(100, 4, clustered=False).values()) < 0.9


def test_p_values_of_no_difference_are_uniform() -> None:
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(60), 3)
    p = []
    for _ in range(1500):
        d = np.repeat(rng.normal(0, 0.1, 60), 3) + rng.normal(0, 0.1, 180)
        p.append((t_test(d, labels).p_two_sided, wilcoxon(d, labels)))
    for column in np.array(p).T:
        assert stats.kstest(column, "uniform").pvalue > 0.001
        assert np.mean(column < 0.05) == pytest.approx(0.05, abs=0.017)  # three standard errors


# --- `sambench compare`


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "runs")


def test_compare_corrects_over_datasets_and_counts_wins(make: Maker) -> None:
    names = ("aa", "bb", "cc")
    a = [make.cell(d, seed=i) for i, d in enumerate(names)]
    b = [make.cell(d, run="q-otsu-1", model="otsu", seed=10 + i, bonus=0.1 if d != "cc" else -0.3) for i, d in enumerate(names)]
    found = compare_cells(a, b, bootstrap=Bootstrap(n_resamples=500))
    for k in {d.k for d in found.differences}:
        here = [d for d in found.differences if d.k == k]
        assert [d.p_holm for d in here] == pytest.approx(multipletests([d.paired.p_value for d in here], method="holm")[1])
        wins = sum(d.paired.mean > 0 for d in here)
        assert any(n.startswith(f"at {k} click") and f"A is ahead on {wins} of 3 datasets" in n for n in found.notes)
    row = next(r.values for r in found.table.rows if r.values["dataset"] == "bb" and r.values["k"] == 3)
    d = next(d for d in found.differences if d.dataset == "bb" and d.k == 3)
    assert (row["p_holm"], row["p_wilcoxon"], row["cohen_dz"]) == (d.p_holm, d.tests.p_wilcoxon, d.tests.cohen_dz)
    assert d.paired.p_value == d.tests.t.p_two_sided
    assert (d.paired.low, d.paired.high) == d.tests.percentile
    frame = to_frame(found.table)
    assert {"p_holm", "p_wilcoxon", "cohen_dz", "detectable", "ci_bca_low", "p_greater", "t_objects", "std_error"} <= set(frame)


def test_compare_of_one_dataset_has_no_correction_to_show(make: Maker) -> None:
    found = compare_cells([make.cell()], [make.cell(run="q-otsu-1", seed=1)], k=1, bootstrap=Bootstrap(n_resamples=200))
    assert found.differences[0].p_holm == found.differences[0].paired.p_value
    assert "p (Holm)" not in {c.label for c in found.table.shown}
    assert not any("Holm" in n for n in found.notes)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_a_wide_comparison_fits_its_terminal_and_keeps_what_matters(make: Maker, width: int) -> None:
    a, b = ([make.cell(d, run=r, seed=s) for d in ("aa", "bb")] for r, s in (("point-sam-1", 0), ("q-otsu-1", 1)))
    table = compare_cells(a, b, k=1, bootstrap=Bootstrap(n_resamples=200)).table
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(render_rich(table))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "A - B" in text
    if width >= 80:
        assert "95 % CI" in text
        assert "p (Holm)" in text
    assert ("d_z" in text.split("left out for width")[0]) == (width >= 120)
