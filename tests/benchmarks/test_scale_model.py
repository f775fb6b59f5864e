"""The model of the scheduler, where its answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.scale import Cell, Costs, simulate

FREE = Costs(lease=0.0, write=0.0, skip=0.0, finish=0.0, start=0.0, fetch=0.0, spread=0.0, slow_share=0.0)
CELLS = [Cell("a", 64, 0.5), Cell("b", 30, 1.0)]  # 16 shards of 2 s, 7 of 4 s and one of 2 s


def test_alone_it_takes_all_the_time() -> None:
    found = simulate(CELLS, 1, FREE)
    assert found.total == pytest.approx(62.0)
    assert found.efficiency == pytest.approx(1.0)
    costly = simulate(CELLS, 1, dataclasses.replace(FREE, lease=0.1, write=0.2, finish=0.01, start=5.0))
    assert costly.total == pytest.approx(62.0 + 24 * 0.3 + 94 * 0.01 + 5.0)


def test_many_share_it_and_end_with_the_last_shard() -> None:
    assert simulate(CELLS, 2, FREE).total == pytest.approx(32.0)  # 16, then 7 shards of 4 s and one of 2 s for two
    assert simulate(CELLS, 1000, FREE).total == pytest.approx(4.0)


def test_images_of_a_lost_device_are_taken_by_others_once_its_lease_is_stale() -> None:
    lost = dataclasses.replace(FREE, lost=1, stale=100.0)
    found = simulate(CELLS, 2, lost)
    assert found.failed == 1
    assert found.busy == pytest.approx(62.0)  # every image counted once
    assert found.total > 100.0
    assert simulate(CELLS, 2, dataclasses.replace(lost, stale=1.0)).total < found.total


def test_a_slow_device_takes_fewer_shards() -> None:
    slow = simulate(CELLS, 8, dataclasses.replace(FREE, slow_share=0.5, slow_times=3.0), seed=1)
    assert slow.busy == pytest.approx(62.0)
    assert simulate(CELLS, 8, FREE).total < slow.total < 3 * simulate(CELLS, 8, FREE).total
    assert np.isfinite(slow.total)
