"""A cell's score and its bootstrap draws, of whatever a task is compared by: means over objects, and scores of the set."""

from __future__ import annotations

import math

import numpy as np

from sambench.metrics.bootstrap import Float64Array, Seed, cluster_weights, resampled_means
from sambench.results.measures import object_values, set_measure_of
from sambench.store.metric_rows import StoredRows
from sambench.store.views import CellView
from sambench.tasks.set_measures import SetMeasure, SetScores
from sambench.tasks.summary import Bootstrap


def scored(cell: CellView, measure: SetMeasure) -> SetScores:
    """The scores of a cell's images that did not fail."""
    return measure.scored(StoredRows(cell.task, cell.store, cell.wanted))


def score_and_draws(
    cell: CellView, metric: str, k: int | None, bootstrap: Bootstrap, seed: Seed
) -> tuple[float | None, Float64Array | None]:
    """(the score, what it is in each draw of clusters [n_resamples]); None where nothing counts, and draws of a single cluster.

    metric: one of the task's measures; of a set's scores the headline. k: a click count, where the measure has several. Raises
    UsageError on a metric or k that the cell does not have.
    """
    measure = set_measure_of(cell, metric)
    if measure is not None:
        return _of_set(scored(cell, measure), bootstrap, seed)
    frame = object_values(cell, metric, k)
    if frame.empty:
        return None, None
    values, clusters = frame["value"].to_numpy(np.float64), frame["cluster_id"].to_numpy()
    mean = math.fsum(values) / len(values)
    if len(set(clusters)) < 2:  # nothing is known of how clusters vary
        return mean, None
    return mean, resampled_means(values[:, None], clusters, n_resamples=bootstrap.n_resamples, seed=seed)[:, 0]


def values_and_draws(found: SetScores, n_resamples: int, seed: Seed) -> tuple[Float64Array, Float64Array]:
    """(values [S], draws [n_resamples, S]) of all S scores of a set of images; NaN where there is none."""
    labels, codes = np.unique(np.asarray(found.cluster_ids), return_inverse=True)
    codes = codes.reshape(-1)
    values = found.of_draws(np.ones((1, len(codes))))[0]
    return values, np.concatenate([found.of_draws(w[:, codes]) for _, w in cluster_weights(len(labels), n_resamples, seed)])


def _of_set(found: SetScores, bootstrap: Bootstrap, seed: Seed) -> tuple[float | None, Float64Array | None]:
    if not found.image_ids or not found.scores:
        return None, None
    values, draws = values_and_draws(found, bootstrap.n_resamples, seed)
    score = float(values[0])
    if math.isnan(score):
        return None, None
    return score, draws[:, 0] if len(set(found.cluster_ids)) > 1 else None
