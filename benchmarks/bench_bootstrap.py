"""10,000 resamples of 10,000 paired differences, with the BCa interval, one thread: `metrics.paired` against
`scipy.stats.bootstrap`.

Both draw the same indices from the same generator, so that the intervals must be the same; scipy works in batches of 100 resamples,
as all at once would take gigabytes. A second row has the objects in 1,000 clusters, which scipy cannot do: its peer is the same
call on the clusters' means, for scale. The promise is under 2 seconds for the first; the absolute time is printed in `ours ms`.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.peers import interleaved_ms
from sambench.metrics.paired import bca_interval, bootstrap_draws

N = 10_000
PROMISED_MS = 2000.0
ROUNDS = 2


def measure(
    name: str, values: np.ndarray, clusters: np.ndarray | None, peer_values: np.ndarray, bar: float | None
) -> dict[str, Any]:
    """One row."""

    def ours() -> tuple[float, float]:
        draws = bootstrap_draws(values, clusters, n_resamples=N, seed=3)
        return bca_interval(values, draws, clusters, level=0.95)

    def peer() -> tuple[float, float]:
        rng = np.random.default_rng(3)
        found = stats.bootstrap((peer_values,), np.mean, n_resamples=N, batch=100, method="BCa", rng=rng, vectorized=True)
        return found.confidence_interval.low, found.confidence_interval.high

    maxdiff = float(np.abs(np.array(ours()) - np.array(peer())).max())
    times = interleaved_ms(ours, peer, ROUNDS)
    return {"name": name, **times, "maxdiff": maxdiff, "equal": maxdiff < 1e-12, "bar": bar}


def main() -> list[dict[str, Any]]:
    """Two rows."""
    rng = np.random.default_rng(0)
    differences = rng.beta(2, 5, N) - 0.3
    labels = np.repeat(np.arange(1000), 10)
    rows = [
        measure("bootstrap, 10,000 resamples of 10,000 objects", differences, None, differences, 1.0),
        measure("bootstrap, the same in 1,000 clusters", differences, labels, differences.reshape(1000, 10).mean(1), None),
    ]
    rows[0]["equal"] = rows[0]["equal"] and rows[0]["ours_ms"] < PROMISED_MS
    return rows


if __name__ == "__main__":
    for line in main():
        print(json.dumps(line))
