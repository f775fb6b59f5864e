"""Two runs by a number of their whole sets (cgF1) that is no mean over objects: computed anew of every resample of both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sambench.metrics.bootstrap import Float64Array, PairedDifference, resampled_sums
from sambench.metrics.paired import PairedTests, TTest, detectable_difference, percentile_interval
from sambench.results.measures import PAIR, completed_rows
from sambench.results.pairing import Paired, paired_frames
from sambench.store.views import CellView
from sambench.tasks.object_measures import SetMeasure
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    import pandas as pd


class SetDifference(NamedTuple):
    """A minus B on the rows that both have. draws [n_resamples]: the difference in each."""

    paired: PairedDifference
    tests: PairedTests
    draws: Float64Array
    rows: Paired


def set_difference(a: CellView, b: CellView, measure: SetMeasure, bootstrap: Bootstrap, *, seed: list[int]) -> SetDifference:
    """The difference with a percentile interval by a bootstrap over clusters, the same draws for both.

    p is the bootstrap's: twice the share of draws on the other side of zero, (1 + n) / (1 + draws), so never below 2 / (1 + draws).
    Raises as `pair_objects`.
    """
    both = paired_frames(a, b, *(_rows(c, measure) for c in (a, b)))
    sides = [both.rows[[f"{c}_{side}" for c in measure.columns]] for side in "ab"]
    counts = [measure.counts(s.set_axis(list(measure.columns), axis=1)) for s in sides]
    clusters = both.rows["cluster_id"].to_numpy()
    wide = np.concatenate(counts, axis=1)
    drawn = resampled_sums(wide, clusters, n_resamples=bootstrap.n_resamples, seed=seed)
    n = counts[0].shape[1]
    draws = measure.value(drawn[:, :n]) - measure.value(drawn[:, n:])
    value_a, value_b = (float(measure.value(c.sum(axis=0))) for c in counts)
    n_clusters = len(set(clusters))
    known = draws[~np.isnan(draws)] if n_clusters > 1 else np.zeros(0)
    low, high = percentile_interval(known, level=bootstrap.level, n_clusters=n_clusters) if len(known) else (math.nan, math.nan)
    error = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
    p, nothing = _p_value(known), math.nan
    difference = value_a - value_b
    paired = PairedDifference(difference, low, high, p, value_a, value_b, error, len(both.rows), n_clusters)
    no_test = TTest(difference, nothing, n_clusters - 1, nothing, nothing, nothing, nothing)
    detectable = detectable_difference(error, n_clusters - 1)
    tests = PairedTests(no_test, no_test, nothing, nothing, (low, high), (nothing, nothing), detectable)
    return SetDifference(paired, tests, draws, both)


def _rows(cell: CellView, measure: SetMeasure) -> pd.DataFrame:
    frame = completed_rows(cell, measure.columns)
    return frame[[*PAIR, "cluster_id", "area_px", *measure.columns]]


def _p_value(draws: Float64Array) -> float:
    if not len(draws):
        return math.nan
    other = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (1 + other) / (1 + len(draws)))
