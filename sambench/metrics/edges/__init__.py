"""Boundary benchmark: edge map and annotations in, counts per threshold and ODS / OIS / AP / R50 out. Exact and fast.

`edge_counts` is one image's work (under a tenth of a second at 99 thresholds); `edge_scores` sums up a set. numba is
loaded at the first count, not at import.
"""

from __future__ import annotations

from sambench.pixels.edge_maps import seg2bdry

from .boundaries import BSDS_MAX_DIST, N_THRESHOLDS, NYUD_MAX_DIST, max_distance_px, threshold_values
from .counts import EdgeCounts, edge_counts, edge_counts_of_maps
from .matching import IncrementalMatcher
from .scores import EdgeScores, counts_to_draw, edge_intervals, edge_scores, f_measure, scores_of_draws
from .thinning import thin

__all__ = [
    "BSDS_MAX_DIST",
    "NYUD_MAX_DIST",
    "N_THRESHOLDS",
    "EdgeCounts",
    "EdgeScores",
    "IncrementalMatcher",
    "counts_to_draw",
    "edge_counts",
    "edge_counts_of_maps",
    "edge_intervals",
    "edge_scores",
    "f_measure",
    "max_distance_px",
    "scores_of_draws",
    "seg2bdry",
    "thin",
    "threshold_values",
]
