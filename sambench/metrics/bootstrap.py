"""Intervals and paired differences of means over objects that come in clusters (images, videos, scenes).

Objects of one image are not independent, so whole clusters are drawn with replacement (the cluster bootstrap: Davison
and Hinkley 1997, section 3.8; Field and Welsh 2007), and the statistic of a draw is the ratio (sum of its values) /
(number of its objects): the mean over objects, whatever the clusters' sizes. The draws depend on the number of
clusters and the seed alone. Sums are taken by one thread in a fixed order, so that no number depends on how many
threads there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError

Float64Array = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Seed = int | Sequence[int]

MOST_RESAMPLES = 1_000_000  # by then the ends of an interval stand to their third digit, and no machine has been held for a day
_DRAWS_AT_ONCE = 1 << 18  # indices drawn at a time: 2 MB of them, and as much of weights


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over n objects in n_clusters clusters, with a bootstrap interval and a two-sided p-value.

    mean_a, mean_b: over the same n objects. std_error: cluster-robust, of `mean`. NaN where it cannot be known: all of
    them for no object; `low`, `high`, `std_error` and `p_value` for a single cluster.
    """

    mean: float
    low: float
    high: float
    p_value: float
    mean_a: float
    mean_b: float
    std_error: float
    n: int
    n_clusters: int


def check_wanted(n_resamples: int, level: float, seed: int) -> None:
    """Raise UsageError unless a person may ask for such a bootstrap: 1 to a million draws, a level in (0, 1), a seed of 63 bits."""
    wanted = (
        ("resamples", n_resamples, 1 <= n_resamples <= MOST_RESAMPLES, f"a whole number from 1 to {MOST_RESAMPLES:,}"),
        ("level", level, 0 < level < 1, "a number between 0 and 1, such as 0.95"),
        ("seed", seed, 0 <= seed < 1 << 63, "a whole number from 0 on, below 2^63"),
    )
    for name, value, fits, expected in wanted:
        if not fits:
            raise UsageError(f"a bootstrap cannot have such a {name}", where=f"--{name}", expected=expected, found=value)


def mean_intervals(
    values: Float64Array, clusters: npt.ArrayLike, *, n_resamples: int, level: float, seed: Seed
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Means of columns, and their percentile intervals by a bootstrap over clusters.

    values float64 [n, M], in any unit; a NaN is left out of its column alone. clusters [n]: a label for every row.
    n_resamples: draws of as many clusters as there are, the same ones for every column. level: of the interval, in
    (0, 1). seed: an int, or several. Returns (mean [M], low [M], high [M]), float64, in the unit of `values`. A column
    without values has NaN for all three; one whose values lie in one cluster has a mean and no interval (NaN), since
    nothing is known then of how clusters vary. A draw that holds no value of a column is left out of its interval.
    Raises ValueError on shapes or parameters that do not fit.
    """
    values = _columns(values, clusters)
    _check_parameters(n_resamples, level)
    means = np.array([_exact_mean(column) for column in values.T], np.float64)
    low, high = np.full_like(means, np.nan), np.full_like(means, np.nan)
    draws = resampled_means(values, clusters, n_resamples=n_resamples, seed=seed)
    many = _clusters_with_values(values, clusters) > 1
    for j in np.flatnonzero(many):
        drawn = draws[:, j]
        low[j], high[j] = percentile_interval(drawn[~np.isnan(drawn)], level=level)
    return means, low, high


def percentile_interval(draws: Float64Array, *, level: float, n_clusters: int = 2) -> tuple[float, float]:
    """(low, high) of a statistic's draws [R], in its unit.

    NaN for no draws, and for fewer than two clusters, of whose spread nothing is known. A draw that is NaN makes both NaN: who
    leaves out the draws that hold no value does so before.
    """
    if n_clusters < 2 or not len(draws):
        return math.nan, math.nan
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled_means(values: Float64Array, clusters: npt.ArrayLike, *, n_resamples: int, seed: Seed) -> Float64Array:
    """float64 [n_resamples, M]: the mean of every column in every draw; arguments as `mean_intervals` takes them.

    NaN where a draw holds no value of a column. For a statistic of several cells (a mean over datasets), whose draws
    must be independent, give each cell a seed of its own.
    """
    values = _columns(values, clusters)
    codes, n_clusters = _codes(clusters)
    out = np.full((n_resamples, values.shape[1]), np.nan)
    if not n_clusters:
        return out
    valid = ~np.isnan(values)
    sums = [_summed(codes, np.where(v, column, 0.0), n_clusters) for column, v in zip(values.T, valid.T, strict=True)]
    everywhere = _summed(codes, np.ones(len(codes)), n_clusters)
    counts = [everywhere if v.all() else _summed(codes, v.astype(np.float64), n_clusters) for v in valid.T]
    for start, weights in cluster_weights(n_clusters, n_resamples, seed):
        rows = slice(start, start + len(weights))
        n_everywhere = _weighted(weights, everywhere)
        for j, (s, c) in enumerate(zip(sums, counts, strict=True)):
            n = n_everywhere if c is everywhere else _weighted(weights, c)
            np.divide(_weighted(weights, s), n, out=out[rows, j], where=n > 0)
    return out


def resampled_sums(counts: Float64Array, clusters: npt.ArrayLike, *, n_resamples: int, seed: Seed) -> Float64Array:
    """float64 [n_resamples, K]: sums of rows counts [n, K] in every draw of clusters [n], for statistics that are made of sums. The
    draws are those of `resampled_means`."""
    counts = _columns(counts, clusters)
    codes, n_clusters = _codes(clusters)
    out = np.zeros((n_resamples, counts.shape[1]))
    by_cluster = np.stack([_summed(codes, column, n_clusters) for column in counts.T], axis=1)
    for start, weights in cluster_weights(n_clusters, n_resamples, seed) if n_clusters else ():
        for k in range(counts.shape[1]):
            out[start : start + len(weights), k] = _weighted(weights, by_cluster[:, k])
    return out


def paired_difference(
    a: Float64Array, b: Float64Array, clusters: npt.ArrayLike, *, n_resamples: int, level: float, seed: Seed
) -> PairedDifference:
    """The mean of a - b over objects measured twice. a, b float64 [n] in one unit, clusters [n]; NaNs are left out.

    The interval is `mean_intervals` of the differences. The p-value is that of the paired t-test with a cluster-robust
    standard error and n_clusters - 1 degrees of freedom (Liang and Zeger 1986; the correction G / (G - 1) as in Cameron
    and Miller 2015, section II), two-sided. It is not the bootstrap's own: R draws cannot tell apart p-values under
    about 1 / R, and with every object a cluster of its own this one *is* the ordinary paired t-test. Differences that
    are all zero have p = 1. Raises ValueError on shapes or parameters that do not fit.
    """
    a, b, labels = np.asarray(a, np.float64), np.asarray(b, np.float64), np.asarray(clusters)
    if a.ndim != 1 or a.shape != b.shape or labels.shape != a.shape:
        raise ValueError(f"a, b and clusters must be of one length: {a.shape}, {b.shape}, {labels.shape}")
    both = ~(np.isnan(a) | np.isnan(b))
    a, b, labels = a[both], b[both], labels[both]
    difference = a - b
    column = difference[:, None]
    (mean,), (low,), (high,) = mean_intervals(column, labels, n_resamples=n_resamples, level=level, seed=seed)
    codes, n_clusters = _codes(labels)
    std_error, p_value = _cluster_t_test(difference, float(mean), codes, n_clusters)
    return PairedDifference(
        float(mean), float(low), float(high), p_value, _exact_mean(a), _exact_mean(b), std_error, len(a), n_clusters
    )


def cluster_std_error(values: Float64Array, clusters: npt.ArrayLike) -> float:
    """Cluster-robust standard error of the mean of values [n]: Liang and Zeger (1986) with the factor G / (G - 1).

    With every row a cluster of its own, the standard deviation over sqrt(n). NaN for fewer than two clusters.
    """
    codes, n_clusters = _codes(clusters)
    return _std_error(np.asarray(values, np.float64), _exact_mean(values), codes, n_clusters)


def cluster_sums(values: Float64Array, clusters: npt.ArrayLike) -> Float64Array:
    """float64 [G]: sums of values [n] by cluster, in the order of the sorted labels."""
    codes, n_clusters = _codes(clusters)
    return _summed(codes, np.asarray(values, np.float64), n_clusters)


def _std_error(values: Float64Array, mean: float, codes: IndexArray, n_clusters: int) -> float:
    if n_clusters < 2:
        return math.nan
    residuals = _summed(codes, values - mean, n_clusters)
    return math.sqrt(n_clusters / (n_clusters - 1) * math.fsum(residuals**2) / len(values) ** 2)


def _cluster_t_test(difference: Float64Array, mean: float, codes: IndexArray, n_clusters: int) -> tuple[float, float]:
    """(standard error, two-sided p) of a mean of clustered values against zero; NaN for fewer than two clusters."""
    std_error = _std_error(difference, mean, codes, n_clusters)
    if n_clusters < 2:
        return std_error, math.nan
    from scipy import stats

    if mean == 0:
        return std_error, 1.0
    if std_error == 0:
        return 0.0, 0.0
    return std_error, float(2 * stats.t.sf(abs(mean) / std_error, n_clusters - 1))


def cluster_weights(n_clusters: int, n_resamples: int, seed: Seed) -> Iterator[tuple[int, Float64Array]]:
    """(number of the first draw, how often every cluster stands in each draw [draws, n_clusters]), some at a time."""
    rng = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, _DRAWS_AT_ONCE // n_clusters)
    for start in range(0, n_resamples, at_once):
        n = min(at_once, n_resamples - start)
        drawn = rng.integers(0, n_clusters, size=(n, n_clusters))
        drawn += np.arange(n)[:, None] * n_clusters
        yield start, np.bincount(drawn.ravel(), minlength=n * n_clusters).reshape(n, n_clusters).astype(np.float64)


def _weighted(weights: Float64Array, values: Float64Array) -> Float64Array:
    # einsum, not a matrix product: BLAS splits sums among threads, and the last bits would follow their number.
    out: Float64Array = np.einsum("rg,g->r", weights, values)
    return out


def _summed(codes: IndexArray, values: Float64Array, n_clusters: int) -> Float64Array:
    """float64 [n_clusters]: sums of values [n] by cluster."""
    return np.bincount(codes, values, n_clusters).astype(np.float64, copy=False)


def _codes(clusters: npt.ArrayLike) -> tuple[IndexArray, int]:
    """Labels as numbers 0 .. n_clusters - 1 in sorted order, so that the order of rows does not choose the draws."""
    labels, codes = np.unique(np.asarray(clusters), return_inverse=True)
    return codes.reshape(-1), len(labels)


def _clusters_with_values(values: Float64Array, clusters: npt.ArrayLike) -> npt.NDArray[np.int64]:
    codes, n_clusters = _codes(clusters)
    seen = [np.bincount(codes[~np.isnan(column)], minlength=n_clusters) for column in values.T]
    return np.array([np.count_nonzero(s) for s in seen], np.int64)


def _exact_mean(values: Float64Array) -> float:
    """The mean of what is not NaN, summed exactly: independent of order. NaN for none."""
    values = values[~np.isnan(values)]
    return math.fsum(values) / len(values) if len(values) else math.nan


def _columns(values: Float64Array, clusters: npt.ArrayLike) -> Float64Array:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or np.shape(clusters) != values.shape[:1]:
        raise ValueError(f"values [n, M] and clusters [n] do not fit: {values.shape} and {np.shape(clusters)}")
    return values


def _check_parameters(n_resamples: int, level: float) -> None:
    if n_resamples < 1 or not 0 < level < 1:
        raise ValueError(f"n_resamples must be at least 1 and level in (0, 1): {n_resamples} and {level}")
