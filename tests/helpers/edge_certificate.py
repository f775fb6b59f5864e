"""What tests ask of a matching: its matches by annotator, and the certificate that it is optimal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sambench.metrics.edges import IncrementalMatcher

Int64Array = npt.NDArray[np.int64]


def matched_by_annotator(matcher: IncrementalMatcher) -> tuple[Int64Array, Int64Array]:
    """Matches of each annotator, int64 [A], and their total weight in 1/100 px (before scaling and tie-break), int64 [A]."""
    columns = np.flatnonzero(matcher.columns.mate >= 0)
    width = matcher.shape[1]
    row, column = matcher.row_pixel[matcher.columns.mate[columns]], matcher.column_pixel[columns]
    dy, dx = row // width - column // width, row % width - column % width
    weight = np.rint(100 * np.sqrt(dy * dy + dx * dx)).astype(np.int64)
    annotator, n = matcher.column_annotator[columns], matcher.row_of.shape[0]
    total = np.zeros(n, np.int64)
    np.add.at(total, annotator, weight)
    return np.bincount(annotator, minlength=n), total


def violations(matcher: IncrementalMatcher, predicted: npt.NDArray[np.bool_]) -> list[str]:
    """What contradicts that the matching with `predicted` bool [H, W] is optimal: the certificate, empty if it holds.

    Checks that both sides agree on the mates, that only predicted pixels are matched, dual feasibility, and
    complementary slackness. By linear programming duality an empty list *proves* the optimum.
    """
    u, v = matcher.rows.dual, matcher.columns.dual
    present = predicted.reshape(-1)[matcher.row_pixel]
    row = np.repeat(np.arange(len(u)), np.diff(matcher.rows.start))
    reduced = matcher.rows.cost - u[row] - v[matcher.rows.adjacent]
    on_match = matcher.rows.mate[row] == matcher.rows.adjacent
    row_free, column_free = matcher.rows.mate < 0, matcher.columns.mate < 0
    mates = np.flatnonzero(~row_free)
    n_matched = np.bincount(matcher.row_pixel[mates], minlength=len(matcher.n_matched))
    tests = {
        "mates of rows and columns differ": (matcher.columns.mate[matcher.rows.mate[mates]] != mates).any()
        or len(mates) != np.count_nonzero(~column_free),
        "matched pairs without an edge": np.count_nonzero(on_match) != len(mates),
        "matched rows that are not predicted": (~present & ~row_free).any(),
        "positive duals": (u > 0).any() or (v > 0).any(),
        "infeasible edges": (reduced[present[row]] < 0).any(),
        "matched edges that are not tight": (reduced[on_match] != 0).any(),
        "unmatched rows with a dual": (u[present & row_free] != 0).any(),
        "unmatched columns with a dual": (v[column_free] != 0).any(),
        "wrong counts by pixel": (n_matched != matcher.n_matched).any(),
    }
    return [name for name, broken in tests.items() if broken]
