"""Counts of matched pixels at every threshold: what all scores of the edge task are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError, UsageError
from sambench.types import BoolArray

from .boundaries import BSDS_MAX_DIST, N_THRESHOLDS, Float64Array, max_distance_px, threshold_values
from .matching import IncrementalMatcher
from .thinning import thin

Int64Array = npt.NDArray[np.int64]


class EdgeCounts(NamedTuple):
    """Pixel counts of one image, int64 [T] each, by threshold in ascending order.

    cnt_r: annotated pixels matched, over annotators. sum_r: annotated pixels, over annotators (the same at each
    threshold). cnt_p: predicted pixels matched by at least one annotator. sum_p: predicted pixels after thinning.
    """

    cnt_r: Int64Array
    sum_r: Int64Array
    cnt_p: Int64Array
    sum_p: Int64Array

    def as_array(self) -> Int64Array:
        """int64 [T, 4], columns as the fields: what `edge_scores` takes, stacked over images."""
        return np.stack(self, axis=-1)


def edge_counts(
    prob: npt.NDArray[Any],
    boundaries: Sequence[npt.NDArray[Any]],
    *,
    max_dist: float = BSDS_MAX_DIST,
    thresholds: int | Float64Array = N_THRESHOLDS,
) -> EdgeCounts:
    """The counts of an edge map against all annotations of its image.

    prob: float [H, W] in [0, 1], compared in float64; not to be rounded to 8 bits on the way. boundaries: A >= 1 maps
    [H, W], bool or 0 / 1, already thin, as distributed. max_dist: tolerance as a share of the diagonal. thresholds:
    how many (:func:`threshold_values`), or ascending values; a pixel counts where prob >= t, and each thresholded map
    is thinned. Raises DataError for maps of other shapes, NaN, or values outside [0, 1].
    """
    prob = _checked_prob(prob)
    truth = _checked_boundaries(boundaries, prob.shape)
    values = threshold_values(thresholds) if isinstance(thresholds, int) else np.asarray(thresholds, np.float64)
    if values.ndim != 1 or not len(values) or (np.diff(values) <= 0).any():
        raise UsageError("thresholds are not ascending", expected="float [T], strictly ascending", found=values)
    # Where no pixel lies between two neighbouring thresholds the map, and so the counts, are the same.
    n_above = prob.size - np.searchsorted(np.sort(prob, axis=None), values)
    distinct = np.flatnonzero(np.diff(n_above, append=0) != 0)[::-1]
    counts = np.zeros((len(values), 4), np.int64)
    counts[:, 1] = sum(int(np.count_nonzero(b)) for b in truth)
    maps = (thin(prob >= values[k]) for k in distinct)
    tolerance = max_distance_px(prob.shape[0], prob.shape[1], max_dist)
    for k, row in zip(distinct, _sweep(maps, truth, prob >= values[0], tolerance), strict=True):
        same = slice(int(np.searchsorted(-n_above, -n_above[k])), k + 1)
        counts[same, 0], counts[same, 2], counts[same, 3] = row
    return EdgeCounts(*(np.ascontiguousarray(c) for c in counts.T))


def edge_counts_of_maps(
    maps: Sequence[npt.NDArray[Any]], boundaries: Sequence[npt.NDArray[Any]], *, max_dist: float = BSDS_MAX_DIST
) -> EdgeCounts:
    """The counts of a family of binary maps, as of segmentations at several scales; one "threshold" a map, in order.

    maps: T >= 1 maps [H, W], bool or 0 / 1; each is thinned. Otherwise as :func:`edge_counts`.
    """
    if not len(maps):
        raise DataError("a family without maps", expected="at least one map [H, W]", found=0)
    family = [np.asarray(m) != 0 for m in maps]
    if any(m.ndim != 2 or m.shape != family[0].shape for m in family):
        raise DataError("maps differ in shape", expected="T maps [H, W]", found=[list(m.shape) for m in family])
    truth = _checked_boundaries(boundaries, family[0].shape)
    tolerance = max_distance_px(family[0].shape[0], family[0].shape[1], max_dist)
    rows = np.array(list(_sweep((thin(m) for m in family), truth, np.logical_or.reduce(family), tolerance)), np.int64)
    sum_r = np.full(len(family), sum(int(np.count_nonzero(b)) for b in truth), np.int64)
    return EdgeCounts(rows[:, 0].copy(), sum_r, rows[:, 1].copy(), rows[:, 2].copy())


def _sweep(
    maps: Iterator[BoolArray], truth: Sequence[BoolArray], candidates: BoolArray, tolerance: float
) -> Iterator[tuple[int, int, int]]:
    """(cnt_r, cnt_p, sum_p) of each thinned map in turn."""
    matcher = IncrementalMatcher(truth, candidates, tolerance)
    before = np.zeros(candidates.shape, np.bool_)
    for predicted in maps:
        matcher.update(predicted, before)
        before = predicted
        yield matcher.matched_columns(), matcher.matched_pixels(), int(np.count_nonzero(predicted))


def _checked_prob(prob: npt.NDArray[Any]) -> Float64Array:
    if prob.ndim != 2 or not np.issubdtype(prob.dtype, np.floating):
        raise DataError("not an edge map", expected="float [H, W] in [0, 1]", found=f"{prob.dtype} {list(prob.shape)}")
    prob = np.asarray(prob, np.float64)
    low, high = (float(prob.min()), float(prob.max())) if prob.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):  # also where there is a NaN
        raise DataError(
            "an edge map has values that are not probabilities",
            expected="values in [0, 1]",
            found=f"{int(np.isnan(prob).sum())} NaN, the others in [{np.nanmin(prob):g}, {np.nanmax(prob):g}]"
            if not np.isnan(prob).all()
            else "NaN everywhere",
            remedy="scale the map to [0, 1] and write it again; 8-bit images are divided by 255",
        )
    return prob


def _checked_boundaries(boundaries: Sequence[npt.NDArray[Any]], shape: tuple[int, ...]) -> list[BoolArray]:
    if not len(boundaries):
        raise DataError("an image without annotations", expected="at least one boundary map", found=0)
    for i, b in enumerate(boundaries):
        if b.shape != shape:
            raise DataError(
                "an edge map and its annotation differ in size",
                where=f"annotator {i}",
                expected=f"an edge map of {list(b.shape)} [H, W], the annotation's size",
                found=list(shape),
                remedy="write the map at the image's own size, not transposed and not padded",
            )
    return [np.asarray(b) != 0 for b in boundaries]
