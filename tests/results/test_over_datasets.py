"""Values over several datasets: the one mean, and the one interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sambench.results.over_datasets import coverage, interval_over_datasets, mean_over_datasets


def test_a_mean_is_a_suites_only_where_every_member_is_complete() -> None:
    here = coverage(("a", "b", "c", "d"), {"d": True, "b": False, "a": True, "x": True})
    assert here == (("a", "d"), ("b",), ("c",))
    assert (here.whole, here.wanted) == (False, 4)
    assert coverage(("a",), {"a": True}).whole
    assert not coverage(("a",), {"a": False}).whole


def test_the_mean_does_not_depend_on_the_order() -> None:
    values = [0.1, 1e16, -1e16, 0.2, 0.3]
    assert mean_over_datasets(values) == mean_over_datasets(values[::-1]) == pytest.approx(0.12)
    assert math.isnan(mean_over_datasets([0.5, math.nan]))


def test_the_interval_is_that_of_means_of_independent_draws() -> None:
    rng = np.random.default_rng(0)
    draws = [rng.normal(0.5, 0.01, 4000), rng.normal(0.7, 0.03, 4000)]
    low, high = interval_over_datasets([*draws], 0.95)
    half = 1.96 * math.sqrt(0.01**2 + 0.03**2) / 2
    assert (low, high) == pytest.approx((0.6 - half, 0.6 + half), abs=0.002)
    assert (low, high) == tuple(np.quantile(np.mean(draws, axis=0), [0.025, 0.975]))


def test_nothing_is_known_where_one_datasets_clusters_are_too_few() -> None:
    assert all(map(math.isnan, interval_over_datasets([np.ones(9), None], 0.95)))
    assert all(map(math.isnan, interval_over_datasets([], 0.95)))
