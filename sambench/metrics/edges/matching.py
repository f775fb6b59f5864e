"""Optimal one-to-one correspondence between predicted and annotated boundary pixels, kept optimal while the
prediction changes.

What is solved, for each annotator. A predicted pixel (row) and an annotated one (column) may be matched where their
squared distance is at most max_distance_px²; a match of distance d gains `ceil(100 * 100 * max_distance_px)` and
costs `round(100 * d)`, and what is left unmatched gains nothing. That is the minimum-cost assignment of the BSDS500
benchmark (Martin, Fowlkes and Malik, PAMI 2004), whose outlier cost is 100 times the tolerance, solved exactly; in
practice, maximum cardinality, then minimum total distance.

Ties. The number of matches and the total cost are unique, but not *which* predicted pixels are matched, and precision
counts pixels matched by any annotator. So that results are the same everywhere, and without the bias of a tie-break
by position, gains and costs are multiplied by 1024 and a hash of (edge, annotator) in 0..15 is added to each edge's
cost:

    x = (annotator * H * W + row pixel) * H * W + column pixel      (pixels as y * W + x; all modulo 2**64)
    x = x + 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    hash = (x ^ (x >> 31)) & 15

Method. Integer duals u (rows) and v (columns) certify the optimum: u, v <= 0; u + v <= cost - gain on every edge,
with equality on matched ones; 0 on unmatched nodes (`tests/helpers/edge_certificate.py` checks them). A pixel
that appears gets the largest feasible dual and one shortest-path search; it ends at an unmatched column, or at a row
that gives up its match (possibly the new one at once). A pixel that disappears leaves a column, for which the same
search runs with the sides exchanged. Searches are bounded by the source's own dual, and stay local.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sambench.types import BoolArray

COST_PER_PX = 100
OUTLIER_COST = 100  # in units of the tolerance
SCALE = 1024  # of weights, to make room for the tie-break below one unit

Int64Array = npt.NDArray[np.int64]


def reach(max_distance_px: float) -> tuple[Int64Array, Int64Array]:
    """Offsets within the tolerance, int64 [k, 2] as (dy, dx) in row-major order, and their weights round(100 d),
    int64 [k]."""
    r = math.floor(max_distance_px)
    dy, dx = np.mgrid[-r : r + 1, -r : r + 1].reshape(2, -1)
    squared = dy * dy + dx * dx
    near = squared <= max_distance_px * max_distance_px
    weights = np.rint(COST_PER_PX * np.sqrt(squared[near]))
    return np.stack([dy, dx], axis=1)[near].astype(np.int64), weights.astype(np.int64)


def gain(max_distance_px: float) -> int:
    """What a match is worth, in units of COST_PER_PX."""
    return math.ceil(OUTLIER_COST * max_distance_px * COST_PER_PX)


class IncrementalMatcher:
    """The optimal matchings of one image's prediction with each of its annotations.

    boundaries: A maps bool [H, W]. candidates: bool [H, W], every pixel that may ever be predicted. max_distance_px
    in pixels. The prediction is empty at first. n_matched int32 [H * W] is the number of annotators that match each
    predicted pixel. Memory: 24 bytes per pair of an annotated and a candidate pixel within reach (about 20 MB for an
    image of BSDS500).
    """

    def __init__(self, boundaries: Sequence[BoolArray], candidates: BoolArray, max_distance_px: float) -> None:
        from . import _match

        self.shape = candidates.shape
        n_pixels = candidates.size
        self.offsets_yx, self.weights = reach(max_distance_px)
        self.gain = gain(max_distance_px)
        columns = [np.flatnonzero(b) for b in boundaries]
        self.column_pixel = np.concatenate(columns).astype(np.int64)
        self.column_annotator = np.repeat(np.arange(len(columns)), [len(c) for c in columns]).astype(np.int64)
        self.row_of = _match.number_rows(
            np.ascontiguousarray(candidates), self.column_pixel, self.column_annotator, self.offsets_yx, len(columns)
        )
        self.row_pixel = np.nonzero(self.row_of >= 0)[1]
        edges = _match.build_edges(
            self.row_of,
            len(self.row_pixel),
            candidates.shape[1],
            self.column_pixel,
            self.column_annotator,
            self.offsets_yx,
            (self.weights - self.gain) * SCALE,
        )
        n_rows, n_columns = len(self.row_pixel), len(self.column_pixel)
        self.columns = _match.Side(*edges[:3], np.zeros(n_columns, np.int64), np.full(n_columns, -1, np.int32))
        self.rows = _match.Side(*edges[3:], np.full(n_rows, _match.ABSENT), np.full(n_rows, -1, np.int32))
        n = max(n_rows, n_columns)
        self.scratch = _match.Scratch(
            np.full(n, _match.FAR), np.empty(n, np.int32), np.empty(n, np.int32), np.empty(len(edges[1]) + 1, np.int64)
        )
        self.n_matched = np.zeros(n_pixels, np.int32)

    def update(self, predicted: BoolArray, before: BoolArray) -> None:
        """Go from the prediction `before` to `predicted`, both bool [H, W] and within `candidates`.

        New pixels first: a search for a replacement is short where one is there already.
        """
        from . import _match

        state = (self.row_of, self.row_pixel, self.rows, self.columns, self.scratch, self.n_matched)
        _match.insert_pixels(np.flatnonzero(predicted & ~before), *state)
        _match.remove_pixels(np.flatnonzero(before & ~predicted), *state)

    def matched_columns(self) -> int:
        """Annotated pixels that are matched, over all annotators."""
        return int(np.count_nonzero(self.columns.mate >= 0))

    def matched_pixels(self) -> int:
        """Predicted pixels that at least one annotator matches."""
        return int(np.count_nonzero(self.n_matched))
