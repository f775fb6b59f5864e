"""What edge maps are made with: non-maximum suppression, and the boundaries of a segmentation. Numpy and OpenCV.

Suppression thins a soft map to the crests of its ridges, keeping their values. There are two flavours, since it is not
public which one stood behind published zero-shot edges. They differ in where the direction across an edge comes from,
and in how strict the comparison is. Both return maps of the input's size with 0 off the crests.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from sambench.errors import DataError
from sambench.types import BoolArray, FloatArray

RIDGE_SMOOTHING_PX = 4  # radius of the triangle filter before second derivatives are taken
CURVATURE_FLOOR = 1e-5  # keeps the direction finite where a map is flat


def canny_nms(strength: npt.NDArray[Any], grad_x: npt.NDArray[Any], grad_y: npt.NDArray[Any]) -> FloatArray:
    """Canny's suppression along a given gradient (Canny, PAMI 1986, section VIII).

    strength: float [H, W] >= 0. grad_x, grad_y: float [H, W], the direction across the edge; their sign and length
    don't matter but for ties. For a map without a gradient pass cosine and sine of :func:`ridge_direction`.
    Returns float32 [H, W]. Raises DataError where shapes differ.

    Each pixel is compared with the strength one step ahead and one step behind along the gradient, on the ring of its
    eight neighbours, linear between the two that enclose the direction; pixels beyond the image repeat its border.
    Kept: at least the one behind and more than the one ahead, so that a crest two pixels wide keeps one.
    """
    _check_maps(strength, grad_x, grad_y)
    e = cv2.copyMakeBorder(np.asarray(strength, np.float32), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    height, width = strength.shape

    def shifted(dy: int, dx: int) -> npt.NDArray[Any]:
        return e[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    ahead = np.empty(strength.shape, np.float32)
    behind = np.empty(strength.shape, np.float32)
    abs_x, abs_y = (np.abs(np.asarray(g, np.float32)) for g in (grad_x, grad_y))
    long, short = np.maximum(abs_x, abs_y), np.minimum(abs_x, abs_y)
    share = np.divide(short, long, out=np.zeros(long.shape, np.float32), where=long > 0)
    along_x = abs_x >= abs_y
    for octant in range(8):
        sx, sy, x_long = 1 - 2 * (octant & 1), 1 - (octant & 2), not octant & 4
        here = _sign_is(grad_x, sx) & _sign_is(grad_y, sy) & (along_x if x_long else ~along_x)
        w = share[here]
        straight = (0, sx) if x_long else (sy, 0)
        ahead[here] = (1 - w) * shifted(*straight)[here] + w * shifted(sy, sx)[here]
        behind[here] = (1 - w) * shifted(-straight[0], -straight[1])[here] + w * shifted(-sy, -sx)[here]
    centre = shifted(0, 0)
    crests: FloatArray = np.where((centre >= behind) & (centre > ahead), centre, np.float32(0))
    return crests


def dollar_nms(
    strength: npt.NDArray[Any], *, radius_px: int = 1, multiplier: float = 1.01, suppress_border_px: int = 5
) -> FloatArray:
    """Suppression as in structured forests (Dollár and Zitnick, PAMI 2015): for any edge map, no gradient needed.

    strength: float [H, W] >= 0. Returns float32 [H, W]. Raises DataError where it is not a map.

    The direction across the edge is that of the ridge: from the second derivatives of the map smoothed by a triangle
    filter of radius 4 (:func:`ridge_direction`). A pixel is kept unless, at one of the distances 1 ... radius_px to
    either side, the map (bilinear, clamped to the image) is more than `multiplier` times its value: near-equal
    neighbours all stay, and crests may be two pixels wide. What is left fades linearly to 0 over the outer
    `suppress_border_px` pixels of each side.
    """
    _check_maps(strength)
    e = np.ascontiguousarray(strength, np.float32)
    angle = ridge_direction(e)
    y, x = np.mgrid[: e.shape[0], : e.shape[1]].astype(np.float32)
    step_x, step_y = np.cos(angle), np.sin(angle)
    keep = e > 0
    for d in range(1, radius_px + 1):
        for side in (-d, d):
            # Not OpenCV's remap: it rounds positions to 1/32 px, which is as much as the multiplier decides.
            beside = map_coordinates(e, [y + side * step_y, x + side * step_x], order=1, mode="nearest")
            keep &= multiplier * e >= beside
    fade = np.outer(_fade(e.shape[0], suppress_border_px), _fade(e.shape[1], suppress_border_px))
    crests: FloatArray = np.where(keep, e * fade, np.float32(0))
    return crests


def ridge_direction(strength: FloatArray) -> FloatArray:
    """float32 [H, W], the angle across ridges in [0, pi) radians, from x (right) towards y (down).

    tan(angle) = |Oyy| / |Oxx| in size, with the quadrant's sign from Oxy, of the map smoothed by a triangle filter;
    Oxx, Oxy, Oyy by central differences (one-sided at the border). That is the true direction at multiples of 45
    degrees, and up to 10 degrees off between them: part of the flavour. Where Oxy is exactly 0 the sign does not
    matter and counts as +.
    """
    smooth = _triangle(strength, RIDGE_SMOOTHING_PX)
    d_y, d_x = np.gradient(smooth)
    d_xy, d_xx = np.gradient(d_x)
    d_yy = np.gradient(d_y, axis=0)
    sign = np.where(d_xy > 0, np.float32(-1), np.float32(1))
    angle: FloatArray = np.mod(np.arctan(d_yy * sign / (d_xx + CURVATURE_FLOOR)), math.pi).astype(np.float32)
    return angle


def seg2bdry(segmentation: npt.NDArray[Any]) -> BoolArray:
    """bool [H, W]: the boundary pixels of a label map [H, W] of any dtype, at the map's own size.

    Pixel (i, j) is a boundary where any two side-by-side labels of the 2 x 2 block with corner (i, j) differ; on the
    last row only the difference along the row counts, on the last column only the one along the column, and the last
    pixel is never one. The result is up to two pixels wide: thin it before use as ground truth.
    """
    if segmentation.ndim != 2:
        raise DataError("a segmentation is not a map", expected="a label map [H, W]", found=f"shape {segmentation.shape}")
    s = segmentation
    boundary = np.zeros(s.shape, np.bool_)
    across = s[:, :-1] != s[:, 1:]  # (i, j) against (i, j + 1)
    down = s[:-1, :] != s[1:, :]  # (i, j) against (i + 1, j)
    boundary[:-1, :-1] = across[:-1] | across[1:] | down[:, :-1] | down[:, 1:]
    boundary[-1, :-1] = across[-1]
    boundary[:-1, -1] = down[:, -1]
    return boundary


def _fade(n: int, margin: int) -> FloatArray:
    """float32 [n]: 0, 1 / margin, 2 / margin ... up to 1 from either end."""
    from_end = np.minimum(np.arange(n), np.arange(n)[::-1])
    return np.minimum(from_end / max(margin, 1), 1).astype(np.float32) if margin else np.ones(n, np.float32)


def _triangle(image: FloatArray, radius_px: int) -> FloatArray:
    """Convolution with the triangle 1 ... radius + 1 ... 1 along both axes, sum 1, borders mirrored."""
    ramp = np.arange(1, radius_px + 2, dtype=np.float32)
    kernel = np.concatenate([ramp, ramp[-2::-1]]) / (radius_px + 1) ** 2
    return np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def _sign_is(values: npt.NDArray[Any], sign: int) -> BoolArray:
    """Where `values` have the sign; 0 counts as +."""
    result: BoolArray = values >= 0 if sign > 0 else values < 0
    return result


def _check_maps(strength: npt.NDArray[Any], *gradients: npt.NDArray[Any]) -> None:
    if strength.ndim != 2 or min(strength.shape, default=0) < 2 or any(g.shape != strength.shape for g in gradients):
        raise DataError(
            "edge maps do not fit",
            expected="maps [H, W] of one shape, at least 2 x 2",
            found=[list(m.shape) for m in (strength, *gradients)],
        )
