"""Properties of annotated masks: where objects lie, how many an image has, how large and how concave they are (Segment Anything,
section 5, figures 5 and 6; protocol section 8). Arrays in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sambench.pixels.region import Region
from sambench.types import BoolArray

Float64Array = npt.NDArray[np.float64]
MASKS_PER_IMAGE_EDGES = (1, 11, 51, 101, 201)  # figure 6's groups: 1-10, 11-50, 51-100, 101-200, more
RELATIVE_SIZE_BINS = 50
CONCAVITY_BINS = 50


@dataclass(frozen=True)
class MaskProperties:
    """One value a mask, float64 [n], in the order given.

    center_xy [n, 2]: centre of mass, as fractions of the image's width and height, in (0, 1). relative_size: sqrt(mask area / image
    area), in (0, 1]. concavity: 1 - area / area of the convex hull, in [0, 1).
    """

    center_xy: Float64Array
    relative_size: Float64Array
    concavity: Float64Array


@dataclass(frozen=True)
class Histogram:
    """edges float64 [B + 1], ascending; share float64 [B]: of the values in each bin, the last one closed. n: values. NaN for
    none.
    """

    edges: Float64Array
    share: Float64Array
    n: int


def mask_properties(regions: Iterable[Region]) -> MaskProperties:
    """See `MaskProperties`; regions of any images, none empty."""
    rows = [
        (
            *center_xy(r.array, r.x0, r.y0, height=r.height, width=r.width),
            relative_size(r.area, r.height, r.width),
            concavity(r.array),
        )
        for r in regions
    ]
    values = np.array(rows, np.float64).reshape(-1, 4)
    return MaskProperties(values[:, :2], values[:, 2], values[:, 3])


def center_xy(mask: BoolArray, x0: int = 0, y0: int = 0, *, height: int, width: int) -> tuple[float, float]:
    """Centre of mass of a mask, bool [h, w] at (y0, x0) of an image, as fractions of (width, height); pixels count at their
    middles.

    NaN for an empty mask.
    """
    n = int(np.count_nonzero(mask))
    if not n:
        return math.nan, math.nan
    y = float(mask.sum(1, dtype=np.int64) @ np.arange(mask.shape[0])) / n
    x = float(mask.sum(0, dtype=np.int64) @ np.arange(mask.shape[1])) / n
    return (x0 + x + 0.5) / width, (y0 + y + 0.5) / height


def relative_size(area_px: int, height: int, width: int) -> float:
    """sqrt(mask area / image area), in [0, 1]; 0 for an empty mask."""
    return math.sqrt(area_px / (height * width))


def concavity(mask: BoolArray) -> float:
    """1 - mask area / area of its convex hull, in [0, 1), of a mask bool [h, w]; NaN if it is empty.

    The hull is that of the pixels as unit squares, so that a rectangle of pixels, and a single pixel, have exactly 0 (choice: the
    paper does not say how the hull of pixels is taken). All components count as one shape.
    """
    area = int(np.count_nonzero(mask))
    if not area:
        return math.nan
    padded = np.pad(mask, ((0, 0), (1, 1)))
    rows = np.flatnonzero(mask.any(1))
    # The outermost pixels of each row are enough: every corner of the hull is a corner of one of them.
    left = padded[rows].argmax(1) - 1
    right = padded.shape[1] - padded[rows, ::-1].argmax(1) - 1
    corners = np.concatenate([np.stack([x, rows + dy], 1) for x in (left, right) for dy in (0, 1)])
    hull = cv2.convexHull(corners.astype(np.int32))
    return max(0.0, 1 - area / float(cv2.contourArea(hull)))


def center_heat_map(center_xy: Float64Array, bins: int = 64) -> Float64Array:
    """float64 [bins, bins], rows first: the share of centres [n, 2] (fractions, x first) in each part of the image; sums to 1, or
    is 0
    for no centre. Aspect ratios are not kept: every image is squeezed into the square, as in figure 5.
    """
    found = np.asarray(center_xy, np.float64).reshape(-1, 2)
    found = found[~np.isnan(found).any(1)]
    counts = np.histogram2d(found[:, 1], found[:, 0], bins=bins, range=((0, 1), (0, 1)))[0]
    return counts / max(1, len(found))


def masks_per_image(counts: npt.ArrayLike, edges: tuple[int, ...] = MASKS_PER_IMAGE_EDGES) -> Histogram:
    """Shares of images by their number of masks, int [n]. edges: the first number of each group; the last group is open (its
    upper edge
    is inf). Images with fewer than edges[0] masks count in no group, but in n.
    """
    counts = np.asarray(counts, np.int64)
    bounds = np.append(np.asarray(edges, np.float64), np.inf)
    inside = np.searchsorted(bounds, counts, side="right") - 1
    return _shares(np.bincount(inside[inside >= 0], minlength=len(edges))[: len(edges)], bounds, len(counts))


def size_histogram(relative_sizes: Float64Array, bins: int = RELATIVE_SIZE_BINS) -> Histogram:
    """Shares of masks by relative size, in equal steps of [0, 1]."""
    return _histogram(relative_sizes, bins)


def concavity_histogram(
    concavities: Float64Array,
    relative_sizes: Float64Array | None = None,
    *,
    like: Float64Array | None = None,
    bins: int = CONCAVITY_BINS,
    strata: int = 10,
) -> Histogram:
    """Shares of masks by concavity, in equal steps of [0, 1].

    like: relative sizes of another dataset, whose mix of sizes this one's masks are weighted to ("stratified by relative size",
    so that a set of small masks is not called convex for that): strata with the same number of `like`'s masks each, weighted by
    how many it has; strata without a mask here are left out. Needs relative_sizes [n] beside concavities [n].
    """
    values = np.asarray(concavities, np.float64)
    if like is None:
        return _histogram(values, bins)
    if relative_sizes is None or np.shape(relative_sizes) != values.shape:
        raise ValueError(
            f"stratifying needs a relative size for each of {values.shape} concavities, got {np.shape(relative_sizes or ())}"
        )
    weights = stratum_weights(np.asarray(relative_sizes, np.float64), like, strata)
    return _histogram(values, bins, weights)


def stratum_weights(relative_sizes: Float64Array, like: Float64Array, strata: int = 10) -> Float64Array:
    """float64 [n], sum 1 (0 where there is nothing to weight): weights that give masks of these sizes the mix of sizes `like`."""
    cuts = np.quantile(np.asarray(like, np.float64), np.linspace(0, 1, strata + 1)[1:-1])
    here, there = (np.searchsorted(cuts, x, side="right") for x in (relative_sizes, np.asarray(like, np.float64)))
    have, want = np.bincount(here, minlength=strata), np.bincount(there, minlength=strata).astype(np.float64)
    want[have == 0] = 0
    total = want.sum()
    per_mask = np.divide(want, have * total, out=np.zeros(strata), where=(have > 0) & (total > 0))
    return np.asarray(per_mask[here], np.float64)


def _histogram(values: npt.ArrayLike, bins: int, weights: Float64Array | None = None) -> Histogram:
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    counts, edges = np.histogram(values[known], bins=bins, range=(0, 1), weights=None if weights is None else weights[known])
    return _shares(counts, edges, int(known.sum()), None if weights is None else float(weights[known].sum()))


def _shares(counts: npt.NDArray[np.generic], edges: Float64Array, n: int, total: float | None = None) -> Histogram:
    whole = float(n) if total is None else total
    share = np.asarray(counts, np.float64)
    return Histogram(edges, share / whole if whole else np.full(len(share), np.nan), n)
