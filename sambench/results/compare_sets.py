"""Scores of a whole set of images (ODS, AP) of two runs: differences, by a bootstrap with the same draws of images for both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sambench.errors import UsageError
from sambench.metrics.bootstrap import Float64Array, PairedDifference, Seed, cluster_weights, percentile_interval
from sambench.results.comparison_table import Difference
from sambench.results.draws import scored
from sambench.store.views import CellView
from sambench.tasks.set_measures import SetMeasure, SetScores
from sambench.tasks.summary import Bootstrap


class Shared(NamedTuple):
    """The images of two cells. columns: of each cell's images those that both have, in one order; clusters: of these."""

    columns_a: list[int]
    columns_b: list[int]
    clusters: list[str]


def set_differences(
    a: CellView, b: CellView, measure: SetMeasure, bootstrap: Bootstrap, *, seed: Seed
) -> Iterator[tuple[Difference, Float64Array]]:
    """A minus B of each score that both have, and its draws [R].

    Of the images that both evaluated. The interval is the percentile one of the draws' differences. std_error: their standard
    deviation; p: two-sided, of the difference over it, by Student's t with a degree of freedom fewer than there are clusters (those
    with an object, of a category), as for a mean over objects. NaN with a single cluster. Raises UsageError where the cells have no
    image in common.
    """
    left, right = scored(a, measure), scored(b, measure)
    shared = _shared(a, left, right)
    labels, codes = np.unique(np.asarray(shared.clusters), return_inverse=True)
    codes = codes.reshape(-1)
    names_b = [s.name for s in right.scores]
    both = [(i, names_b.index(s.name)) for i, s in enumerate(left.scores) if s.name in names_b]
    values = [_of(found, columns, np.ones((1, len(codes))))[0] for found, columns in _sides(left, right, shared)]
    drawn: list[list[Float64Array]] = [[], []]
    for _, weights in cluster_weights(len(labels), bootstrap.n_resamples, seed):
        for side, (found, columns) in zip(drawn, _sides(left, right, shared), strict=True):
            side.append(_of(found, columns, weights[:, codes]))
    draws_a, draws_b = (np.concatenate(side) for side in drawn)
    alone = (len(left.image_ids) - len(codes), len(right.image_ids) - len(codes))
    for i, j in both:
        score, of_draws = left.scores[i], draws_a[:, i] - draws_b[:, j]
        n = len(codes) if score.n_objects is None else score.n_objects
        n_clusters = len(labels) if score.n_clusters is None else score.n_clusters
        paired = _paired(float(values[0][i]), float(values[1][j]), of_draws, bootstrap.level, n, n_clusters)
        yield Difference(a.dataset, None, paired, None, math.nan, *alone, False, score.name), of_draws


def _sides(left: SetScores, right: SetScores, shared: Shared) -> tuple[tuple[SetScores, list[int]], tuple[SetScores, list[int]]]:
    return (left, shared.columns_a), (right, shared.columns_b)


def _shared(cell: CellView, left: SetScores, right: SetScores) -> Shared:
    at = {image_id: i for i, image_id in enumerate(right.image_ids)}
    pairs = [(i, at[image_id]) for i, image_id in enumerate(left.image_ids) if image_id in at]
    if not pairs:
        raise UsageError(
            f"the two runs on {cell.dataset} have no image in common",
            expected="results on the same images",
            found=f"{len(left.image_ids)} images in A, {len(right.image_ids)} in B",
        )
    return Shared([i for i, _ in pairs], [j for _, j in pairs], [left.cluster_ids[i] for i, _ in pairs])


def _of(found: SetScores, columns: list[int], weights: Float64Array) -> Float64Array:
    every = np.zeros((len(weights), len(found.image_ids)))
    every[:, columns] = weights
    return found.of_draws(every)


def _paired(a: float, b: float, draws: Float64Array, level: float, n: int, n_clusters: int) -> PairedDifference:
    known, mean = draws[~np.isnan(draws)], a - b
    if n_clusters < 2 or len(known) < 2:
        return PairedDifference(mean, math.nan, math.nan, math.nan, a, b, math.nan, n, n_clusters)
    std_error, interval = float(known.std(ddof=1)), percentile_interval(known, level=level)
    return PairedDifference(mean, *interval, _p_value(mean, std_error, n_clusters), a, b, std_error, n, n_clusters)


def _p_value(mean: float, std_error: float, n_clusters: int) -> float:
    from scipy import stats

    if mean == 0:
        return 1.0
    return float(2 * stats.t.sf(abs(mean) / std_error, n_clusters - 1)) if std_error else 0.0
