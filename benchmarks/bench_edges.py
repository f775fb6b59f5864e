"""Boundary scoring against scipy's sparse assignment solver and scikit-image's thinning, on a made-up image.

python benchmarks/bench_edges.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from skimage.morphology import thin as skimage_thin

from sambench.metrics.edges import edge_counts, max_distance_px, thin, threshold_values
from tests.helpers import edge_oracle

# A quarter of a BSDS500 image, since the peer takes half a minute for a whole one, with the same tolerance in pixels.
HEIGHT, WIDTH, N_ANNOTATORS = 161, 241, 5
MAX_DIST = 0.015


def main(rounds: int = 3) -> list[dict[str, Any]]:
    """Rows of (name, ours_ms, peer_ms, ratio, equal, bar): CPU time, medians of interleaved rounds, compilation left
    out."""
    prob, boundaries = edge_oracle.scene(HEIGHT, WIDTH, N_ANNOTATORS, seed=0)
    thresholds = threshold_values()
    edge_counts(np.zeros((4, 4)), [np.ones((4, 4), np.bool_)])
    maps = [prob >= t for t in thresholds[::9]]
    return [
        _row(
            f"edge counts, {WIDTH} x {HEIGHT}, {N_ANNOTATORS} annotators, 99 thresholds, against scipy",
            lambda: edge_counts(prob, boundaries, max_dist=MAX_DIST).as_array(),
            lambda: edge_oracle.counts(prob, boundaries, thresholds, max_distance_px(HEIGHT, WIDTH, MAX_DIST)),
            # The third column, matched predicted pixels, depends on ties beyond the hash.
            lambda a, b: bool((a[:, [0, 1, 3]] == b[:, [0, 1, 3]]).all()) and _close(a[:, 2], b[:, 2], b[:, 3]),
            rounds,
            bar=20,
        ),
        _row(
            f"thinning, {WIDTH} x {HEIGHT}, {len(maps)} maps, against scikit-image",
            lambda: [thin(m) for m in maps],
            lambda: [skimage_thin(m) for m in maps],
            lambda a, b: all((x == y).all() for x, y in zip(a, b, strict=True)),
            rounds,
            bar=5,
        ),
    ]


def _close(ours: Any, peer: Any, n_predicted: Any) -> bool:
    """The edge task's tolerance for matched predicted pixels: 10, or half a percent of the predicted ones."""
    return bool((np.abs(ours - peer) <= np.maximum(10, 0.005 * n_predicted)).all())


def _row(
    name: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    same: Callable[[Any, Any], bool],
    rounds: int,
    *,
    bar: float,
) -> dict[str, Any]:
    taken: dict[str, list[float]] = {"ours": [], "peer": []}
    results = {}
    for _ in range(rounds):
        for key, run in (("ours", ours), ("peer", peer)):
            start = time.process_time()
            results[key] = run()
            taken[key].append(1000 * (time.process_time() - start))
    ours_ms, peer_ms = statistics.median(taken["ours"]), statistics.median(taken["peer"])
    return {
        "name": name,
        "ours_ms": ours_ms,
        "peer_ms": peer_ms,
        "ratio": peer_ms / ours_ms,
        "equal": same(results["ours"], results["peer"]),
        "bar": bar,
    }


if __name__ == "__main__":
    for row in main():
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
