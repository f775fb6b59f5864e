"""Human agreement on edges: each annotator against the others, beside the models and never taken for one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sambench.errors import DataError, ModelError
from sambench.metrics.edges import edge_counts_of_maps
from sambench.metrics.edges.scores import edge_scores
from sambench.models.edges.annotators import annotators
from sambench.tasks.edge import BY_PEOPLE, EdgeTask
from sambench.tasks.prompted import Context
from sambench.tasks.summary import Bootstrap
from sambench.types import Sample


def _line(x: int) -> np.ndarray:
    out = np.zeros((60, 60), bool)
    out[5:55, x] = True
    return out


def _sample(name: str, *maps: np.ndarray) -> Sample:
    return Sample("d", name, 60, 60, (), lambda: np.zeros((60, 60, 3), np.uint8), boundaries=maps, boundary_max_dist=0.02)


def _by_hand(maps: list[np.ndarray]) -> np.ndarray:
    """Counts summed over annotators, by the metric itself on each against the others."""
    held = []
    for i, one in enumerate(maps):
        held.append(edge_counts_of_maps([one], [m for j, m in enumerate(maps) if j != i], max_dist=0.02).as_array()[0])
    return np.sum(held, axis=0)


def test_each_annotator_is_compared_with_the_others() -> None:
    # The second draws the same line a pixel off, within the tolerance of 1.7 pixels; the third another line.
    maps = [_line(20), _line(21), _line(45)]
    (row,) = EdgeTask().rows(_sample("a", *maps), annotators(), Context())
    assert row["t"] == BY_PEOPLE
    assert [row[c] for c in ("cnt_r", "sum_r", "cnt_p", "sum_p")] == _by_hand(maps).tolist() == [100, 300, 100, 150]
    assert "edge_map" not in row
    (same,) = EdgeTask().rows(_sample("b", maps[0], maps[0]), annotators(), Context())
    assert same["cnt_r"] == same["sum_r"]
    frame_rows = [row, same]
    counts = np.array([[[r[c] for c in ("cnt_r", "sum_r", "cnt_p", "sum_p")]] for r in frame_rows])
    wanted = edge_scores(counts, np.array([BY_PEOPLE])).ods


    reduced = EdgeTask().reduce(pd.DataFrame(frame_rows), Bootstrap(n_resamples=50))
    assert [r["metric"] for r in reduced] == ["ods", "ods_recall", "ods_precision"]  # no curve: no AP, no R50
    assert reduced[0]["value"] == pytest.approx(wanted)
    assert reduced[0]["ci_low"] <= wanted <= reduced[0]["ci_high"]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="too few annotators"):
        EdgeTask().rows(_sample("a", _line(3)), annotators(), Context())
    with pytest.raises(ModelError, match="annotators' edges are in the dataset"):
        annotators().edges(np.zeros((4, 4, 3), np.uint8))
