"""Boundary IoU of two masks at many boundary widths at once (Cheng et al. 2021, arXiv 2103.16562)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from sambench.pixels.region import Region, boundary_dilation, cover
from sambench.types import Window


def boundary_ious(
    a: Region, b: Region, ratios: Sequence[float], ignore: Region | None = None
) -> npt.NDArray[np.float64]:
    """[R] boundary IoU in [0, 1], for boundaries of every ratio's share of the image's diagonal; 0 for an empty union.

    Equal to `masks.boundary_iou` at each ratio. A pixel is in a mask's boundary of width d if its chessboard distance to the mask's
    outside is at most d, so that one distance map a mask and a histogram serve all widths.
    """
    if (a.height, a.width) != (b.height, b.width):
        raise ValueError(f"masks of different frames: {a.height} x {a.width} and {b.height} x {b.width}")
    widths = np.array([boundary_dilation(a.height, a.width, r) for r in ratios], np.int64)
    window = cover(a.window, b.window)
    deepest = int(widths.max(initial=1))
    of_a, of_b = (_depth(region, window, deepest) for region in (a, b))
    if ignore is not None:
        out = ignore.cut(window)
        of_a[out] = of_b[out] = 0
    both = np.where((of_a > 0) & (of_b > 0), np.maximum(of_a, of_b), 0)
    n_a, n_b, shared = (_at_most(depth, deepest)[widths] for depth in (of_a, of_b, both))
    union = n_a + n_b - shared
    iou = np.zeros(len(widths), np.float64)
    np.divide(shared, union, out=iou, where=union > 0)
    return iou


def _depth(region: Region, window: Window, deepest: int) -> npt.NDArray[np.uint16]:
    """Chessboard distance of a mask's pixels to its outside on `window`, from 1 at its rim, cut off at deepest + 1; 0 outside."""
    out = np.zeros((window.y1 - window.y0, window.x1 - window.x0), np.uint16)
    if not region.array.size:
        return out
    padded = np.pad(region.array.view(np.uint8), 1)  # beyond the image is outside as well
    distance = cv2.distanceTransform(padded, cv2.DIST_C, 3)[1:-1, 1:-1]
    y, x = region.y0 - window.y0, region.x0 - window.x0
    h, w = region.array.shape
    out[y : y + h, x : x + w] = np.minimum(distance, deepest + 1)
    return out


def _at_most(depth: npt.NDArray[np.uint16], deepest: int) -> npt.NDArray[np.int64]:
    """[deepest + 1] pixels with a depth of 1..d, by d."""
    counts = np.bincount(depth.reshape(-1), minlength=deepest + 2)[: deepest + 1]
    counts[0] = 0
    return np.cumsum(counts)
