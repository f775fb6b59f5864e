"""Numbers of a rating study: means, differences, spread and agreement of scores from 1 to 10 (docs/protocol.md, rating study).

Arrays in, numbers out; scores are float64 [n], one rating (or one job's mean rating) a row. What the arrays hold, and whether
they may, is `sambench.rating.statistics`'s business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sambench.metrics.bootstrap import Float64Array, Seed
from sambench.metrics.paired import PairedTests, TTest, bootstrap_draws, paired_tests, t_test

LOWEST, HIGHEST = 1, 10
Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True)
class MeanRating:
    """Mean of n scores with a t-interval (low, high), NaN below two scores; sd with n - 1."""

    n: int
    mean: float
    low: float
    high: float
    sd: float


@dataclass(frozen=True)
class RatingDifference:
    """A minus B over n inputs rated for both: a row of table 8.

    low, high: percentile bootstrap of the mean difference over inputs, at `level`. tests: `t.p_greater` is the paper's p (one-sided
    in the direction "A is rated higher", a choice: the paper does not say), `t.p_two_sided` stands beside it. by_image: the t-test
    with images as clusters, None where images are not known.
    """

    n: int
    mean_a: float
    mean_b: float
    low: float
    high: float
    level: float
    tests: PairedTests
    by_image: TTest | None


@dataclass(frozen=True)
class Spread:
    """Several raters on one job. n_jobs: jobs with at least two ratings; mean_sd: mean over them of the standard deviation (n - 1)
    of their scores; mean_range: of highest less lowest. NaN where there is no such job. (The paper's mean deviation is 0.83.)
    """

    n_jobs: int
    n_ratings: int
    mean_sd: float
    mean_range: float


def mean_rating(scores: Float64Array, *, level: float = 0.95) -> MeanRating:
    """See `MeanRating`. scores float64 [n]; jobs that several raters saw must be averaged before."""
    scores = np.asarray(scores, np.float64)
    n = len(scores)
    if not n:
        return MeanRating(0, math.nan, math.nan, math.nan, math.nan)
    mean = math.fsum(scores) / n
    if n < 2:
        return MeanRating(n, mean, math.nan, math.nan, math.nan)
    from scipy import stats

    sd = float(np.std(scores, ddof=1))
    reach = float(stats.t.isf((1 - level) / 2, n - 1)) * sd / math.sqrt(n)
    return MeanRating(n, mean, mean - reach, mean + reach, sd)


def rating_difference(
    a: Float64Array,
    b: Float64Array,
    images: npt.ArrayLike | None = None,
    *,
    n_resamples: int = 10_000,
    level: float = 0.99,
    seed: Seed = 0,
) -> RatingDifference:
    """See `RatingDifference`. a, b float64 [n]: scores of the same inputs under both models; images [n]: a label each.

    Inputs are resampled one by one, as the paper does; `by_image` shows whether that is too kind. Raises ValueError on shapes that
    do not fit.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(f"a and b must be of one length, and not empty: {a.shape} and {b.shape}")
    difference = a - b
    draws = bootstrap_draws(difference, n_resamples=n_resamples, seed=seed)
    tests = paired_tests(difference, level=level, draws=draws)
    by_image = None if images is None else t_test(difference, images)
    return RatingDifference(len(a), math.fsum(a) / len(a), math.fsum(b) / len(b), *tests.percentile, level, tests, by_image)


def histogram(scores: Float64Array) -> npt.NDArray[np.int64]:
    """int64 [10]: how often each score from 1 to 10 was given. Raises ValueError on other scores."""
    scores = np.asarray(scores, np.float64)
    whole = scores.astype(np.int64)
    if (whole != scores).any() or (len(whole) and not LOWEST <= whole.min() <= whole.max() <= HIGHEST):
        raise ValueError(f"scores must be whole numbers from {LOWEST} to {HIGHEST}")
    return np.bincount(whole - LOWEST, minlength=HIGHEST).astype(np.int64)


def spread(scores: Float64Array, jobs: npt.ArrayLike) -> Spread:
    """See `Spread`. scores [n], jobs [n]: a label each."""
    scores = np.asarray(scores, np.float64)
    _, codes = np.unique(np.asarray(jobs), return_inverse=True)
    counts = np.bincount(codes)
    several = counts[codes] > 1
    if not several.any():
        return Spread(0, 0, math.nan, math.nan)
    kept, group = scores[several], np.unique(codes[several], return_inverse=True)[1]
    n = np.bincount(group)
    away = kept - (np.bincount(group, kept) / n)[group]
    deviations = np.sqrt(np.bincount(group, away**2) / (n - 1))
    highest, lowest = np.full(len(n), -np.inf), np.full(len(n), np.inf)
    np.maximum.at(highest, group, kept)
    np.minimum.at(lowest, group, kept)
    return Spread(len(n), len(kept), float(deviations.mean()), float((highest - lowest).mean()))


def krippendorff_alpha(scores: Float64Array, jobs: npt.ArrayLike, *, metric: Level = "ordinal") -> float:
    """Krippendorff's alpha of the agreement on jobs: 1 perfect, 0 as by chance, below 0 worse.

    scores float64 [n], jobs [n]; who rated does not matter, jobs rated once do not count. metric: the distance between two values
    (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability; "ordinal" takes the ranks in the data as steps). NaN where no
    job has two ratings, or all ratings are the same.
    """
    _, units = np.unique(np.asarray(jobs), return_inverse=True)
    values, codes = np.unique(np.asarray(scores, np.float64), return_inverse=True)
    if not len(values):
        return math.nan
    counts = np.zeros((units.max() + 1, len(values)))
    np.add.at(counts, (units, codes), 1)
    counts = counts[counts.sum(1) > 1]
    # Coincidences: every ordered pair of ratings of a job, weighted so that a job counts as often as it was rated.
    pairs = (counts / (counts.sum(1, keepdims=True) - 1)).T @ counts
    pairs -= np.diag((counts / (counts.sum(1, keepdims=True) - 1)).sum(0))
    totals = pairs.sum(0)
    distance = _distance(values, totals, metric)
    expected = float(totals @ distance @ totals)
    if not expected:
        return math.nan
    return 1 - float((totals.sum() - 1) * (pairs * distance).sum()) / expected


def _distance(values: Float64Array, totals: Float64Array, metric: Level) -> Float64Array:
    """Squared distances [V, V] between values that stand `totals` times among the pairs."""
    if metric == "nominal":
        return 1.0 - np.eye(len(values))
    if metric == "ordinal":
        rank = np.cumsum(totals) - totals / 2
        return np.asarray((rank[:, None] - rank[None, :]) ** 2, np.float64)
    if metric == "interval":
        return np.asarray((values[:, None] - values[None, :]) ** 2, np.float64)
    raise ValueError(f"metric must be nominal, ordinal or interval: {metric!r}")
