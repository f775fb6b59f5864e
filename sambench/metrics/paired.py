"""Is a difference real? Tests, intervals, effect size and power of differences between two models on the same objects.

Everything works on the differences a - b of one pair a row, in any unit, and takes `clusters`: rows of one label (the
objects of an image, the frames of a video) are not independent. Without clusters every row stands for itself, and the
tests are the textbook ones of scipy. Sums are taken by one thread in a fixed order (see `bootstrap`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sambench.metrics.bootstrap import Float64Array, Seed, cluster_std_error, cluster_sums, percentile_interval, resampled_means

Clusters = npt.ArrayLike | None
ALPHA = 0.05
POWER = 0.8


@dataclass(frozen=True)
class TTest:
    """The paired t-test of mean(a - b) against zero, its standard error cluster-robust where clusters are given.

    df: number of clusters - 1. p_greater: one-sided, of "A is higher than B"; p_less: of the opposite. NaN for fewer than two
    clusters. Differences that are all zero have p = 1; all the same and not zero, p = 0 on their side.
    """

    mean: float
    std_error: float
    df: int
    t: float
    p_two_sided: float
    p_greater: float
    p_less: float


@dataclass(frozen=True)
class PairedTests:
    """What is known of a difference beside its interval.

    t: with cluster-robust error. t_objects: the textbook paired t-test, as if objects were independent. p_wilcoxon: two-sided
    signed-rank test (over clusters, see `wilcoxon`). cohen_dz: mean difference in standard deviations of the differences.
    percentile, bca: bootstrap intervals (low, high) over clusters. detectable: the true difference that a test at 5 % finds in
    80 % of such experiments; the same unit as the differences.
    """

    t: TTest
    t_objects: TTest
    p_wilcoxon: float
    cohen_dz: float
    percentile: tuple[float, float]
    bca: tuple[float, float]
    detectable: float


def paired_tests(
    difference: Float64Array,
    clusters: Clusters = None,
    *,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: Seed = 0,
    draws: Float64Array | None = None,
) -> PairedTests:
    """All of `PairedTests` for differences float64 [n], no NaN. draws: the bootstrap's means [R], if they are there already
    (`bootstrap.resampled_means` of the same rows). Raises ValueError on shapes that do not fit, or NaN.
    """
    difference = _checked(difference, clusters)
    if draws is None:
        draws = bootstrap_draws(difference, clusters, n_resamples=n_resamples, seed=seed)
    t = t_test(difference, clusters)
    return PairedTests(
        t=t,
        t_objects=t_test(difference),
        p_wilcoxon=wilcoxon(difference, clusters),
        cohen_dz=cohen_dz(difference),
        percentile=percentile_interval(draws, level=level, n_clusters=t.df + 1),
        bca=bca_interval(difference, draws, clusters, level=level),
        detectable=detectable_difference(t.std_error, t.df),
    )


def t_test(difference: Float64Array, clusters: Clusters = None) -> TTest:
    """See `TTest`. difference float64 [n]. The error is Liang and Zeger's (1986) with the factor G / (G - 1); with every
    row a cluster of its own, or none given, the result is `scipy.stats.ttest_rel`'s.
    """
    difference = _checked(difference, clusters)
    n_clusters = _n_clusters(difference, clusters)
    mean = math.fsum(difference) / len(difference) if len(difference) else math.nan
    if n_clusters < 2:
        return TTest(mean, math.nan, n_clusters - 1, math.nan, math.nan, math.nan, math.nan)
    from scipy import stats

    std_error = cluster_std_error(difference, _labels(difference, clusters))
    df = n_clusters - 1
    if std_error == 0:
        t = math.copysign(math.inf, mean) if mean else 0.0
        sides = (float(mean <= 0), float(mean >= 0))
        return TTest(mean, 0.0, df, t, float(mean == 0), *sides)
    t = mean / std_error
    return TTest(mean, std_error, df, t, float(2 * stats.t.sf(abs(t), df)), float(stats.t.sf(t, df)), float(stats.t.cdf(t, df)))


def wilcoxon(difference: Float64Array, clusters: Clusters = None) -> float:
    """Two-sided p of the signed-rank test that the differences lie symmetrically about zero; zeros are left out.

    Rows that stand for themselves: scipy's (exact for up to 50 without ties, else the normal approximation). Clusters of
    several rows: ranks are given over all rows, and their signed sums of each cluster are what is independent (Rosner, Glynn
    and Lee 2006, Biometrics 62:185), normal approximation. NaN for no rows or a single cluster, 1 where all are zero.
    """
    difference = _checked(difference, clusters)
    n_clusters = _n_clusters(difference, clusters)
    if n_clusters < 2:
        return math.nan
    from scipy import stats

    kept = difference != 0
    if not kept.any():
        return 1.0
    if n_clusters == len(difference):
        return float(stats.wilcoxon(difference[kept]).pvalue)
    ranks = stats.rankdata(np.abs(difference[kept])) * np.sign(difference[kept])
    sums = cluster_sums(ranks, _labels(difference, clusters)[kept])
    total, variance = math.fsum(sums), math.fsum(sums**2)
    return float(2 * stats.norm.sf(abs(total) / math.sqrt(variance))) if variance else 1.0


def cohen_dz(difference: Float64Array) -> float:
    """Cohen's d_z: the mean difference over the standard deviation of the differences (n - 1). Any sign; NaN for fewer than two
    rows, or where all differences are the same. (Cohen 1988, section 2.3.5; no correction for clusters.)
    """
    difference = _checked(difference, None)
    if len(difference) < 2:
        return math.nan
    deviation = float(np.std(difference, ddof=1))
    return math.fsum(difference) / len(difference) / deviation if deviation else math.nan


def holm(p_values: Sequence[float] | Float64Array) -> Float64Array:
    """Holm's step-down adjusted p-values, float64 of the same length; NaN stays NaN and counts as no test."""
    p = np.asarray(p_values, np.float64)
    out = np.full_like(p, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        from statsmodels.stats.multitest import multipletests

        out[tested] = multipletests(p[tested], method="holm")[1]
    return out


def detectable_difference(std_error: float, df: int, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The true mean difference that a two-sided t-test at `alpha` finds with probability `power`, in the unit of std_error.

    Exact, by the noncentral t distribution. NaN for df < 1 or a standard error that is not known.
    """
    if df < 1 or math.isnan(std_error):
        return math.nan
    return std_error * _noncentrality(df, alpha, power)


def _power(noncentrality: float, df: int, alpha: float) -> float:
    from scipy import stats

    critical = stats.t.isf(alpha / 2, df)
    far_side = float(stats.nct.cdf(-critical, df, noncentrality))  # scipy has NaN for some that are too small to tell from 0
    return float(stats.nct.sf(critical, df, noncentrality)) + (0.0 if math.isnan(far_side) else far_side)


@lru_cache(maxsize=4096)
def _noncentrality(df: int, alpha: float, power: float) -> float:
    from scipy import optimize

    high = 4.0
    while _power(high, df, alpha) < power:
        high *= 2
    return float(optimize.brentq(lambda x: _power(x, df, alpha) - power, 0.0, high, xtol=1e-9))


def bootstrap_draws(values: Float64Array, clusters: Clusters = None, *, n_resamples: int, seed: Seed) -> Float64Array:
    """float64 [n_resamples]: means of values [n] over resampled clusters (rows without clusters)."""
    values = _checked(values, clusters)
    return resampled_means(values[:, None], _labels(values, clusters), n_resamples=n_resamples, seed=seed)[:, 0]


def bca_interval(values: Float64Array, draws: Float64Array, clusters: Clusters = None, *, level: float) -> tuple[float, float]:
    """(low, high): the bias-corrected and accelerated interval (Efron 1987) of the mean of values [n], from its draws [R].

    The acceleration is that of the jackknife over clusters. With every row a cluster this is `scipy.stats.bootstrap(method="BCa")`.
    NaN for fewer than two clusters; the mean itself, twice, where all draws are the same; NaN where the correction is infinite
    (every draw on one side of the mean).
    """
    values = _checked(values, clusters)
    if _n_clusters(values, clusters) < 2:
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    if draws.min() == draws.max():
        return mean, mean
    from scipy import special

    bias = special.ndtri((np.count_nonzero(draws < mean) + np.count_nonzero(draws <= mean)) / (2 * len(draws)))
    if not math.isfinite(bias):
        return math.nan, math.nan
    z = bias + special.ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    at = special.ndtr(bias + z / (1 - _acceleration(values, clusters) * z))
    low, high = np.quantile(draws, at)
    return float(low), float(high)


def _acceleration(values: Float64Array, clusters: Clusters) -> float:
    labels = _labels(values, clusters)
    sums, counts = cluster_sums(values, labels), cluster_sums(np.ones(len(values)), labels)
    left_out = (math.fsum(values) - sums) / (len(values) - counts)
    away = left_out.mean() - left_out
    spread = math.fsum(away**2)
    return math.fsum(away**3) / (6 * spread**1.5) if spread else 0.0


def _checked(values: Float64Array, clusters: Clusters) -> Float64Array:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or (clusters is not None and np.shape(clusters) != values.shape):
        raise ValueError(f"values [n] and clusters [n] do not fit: {values.shape} and {np.shape(clusters or ())}")
    if np.isnan(values).any():
        raise ValueError("NaN among paired differences: leave those pairs out")
    return values


def _labels(values: Float64Array, clusters: Clusters) -> npt.NDArray[np.generic]:
    return np.arange(len(values)) if clusters is None else np.asarray(clusters)


def _n_clusters(values: Float64Array, clusters: Clusters) -> int:
    return len(values) if clusters is None else len(np.unique(np.asarray(clusters)))
