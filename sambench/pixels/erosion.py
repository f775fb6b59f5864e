"""Erosion by squares, exact at every size: OpenCV's for small masks, and one on packed bits for large ones.

OpenCV looks at every pixel of a square's row and column, 600 for the boundary of a 100-megapixel image. Here a window of n pixels
is made of two of n / 2, and a byte holds eight pixels: 20 times less work there.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

_PACKED_FROM = 1 << 20  # pixels; decides the speed alone


def eroded(mask: npt.NDArray[Any], by: int) -> UInt8Array:
    """uint8 [H, W] of 0 and 1: the pixels of `mask` whose chessboard distance to the outside is above `by`.

    mask: bool, or uint8 of 0 and 1. Equal to `by` erosions by a 3 x 3 square. Beyond the array is outside.
    """
    side = 2 * by + 1
    if min(mask.shape) < side:
        return np.zeros(mask.shape, np.uint8)
    if mask.size < _PACKED_FROM:
        return _by_opencv(mask, side)
    out = np.zeros(mask.shape, np.uint8)
    inner = np.unpackbits(_packed(mask, side), axis=1, count=mask.shape[1])
    out[by : by + len(inner), by:] = inner[:, : mask.shape[1] - by]
    return out


def eroded_px(mask: npt.NDArray[Any], by: int) -> int:
    """How many pixels `eroded` leaves."""
    side = 2 * by + 1
    if min(mask.shape) < side:
        return 0
    if mask.size < _PACKED_FROM:
        return cv2.countNonZero(_by_opencv(mask, side))
    return int(np.bitwise_count(_packed(mask, side)).sum(dtype=np.int64))


def _by_opencv(mask: npt.NDArray[Any], side: int) -> UInt8Array:
    # OpenCV takes a rectangle in two passes.
    square = np.ones((side, side), np.uint8)
    inner = cv2.erode(mask.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return inner.astype(np.uint8, copy=False)


def _packed(mask: npt.NDArray[Any], side: int) -> UInt8Array:
    """Bit (y, x), big-endian in bytes of 8 columns: whether the square of `side` pixels that begins at (y, x) lies in the mask."""
    bits = np.packbits(mask, axis=1)
    done = 1  # the window that a bit stands for; two of them, side by side or overlapping, make the next
    while done < side:
        step = min(done, side - done)
        bits = bits[:-step] & bits[step:]
        done += step
    done = 1
    while done < side:
        step = min(done, side - done)
        bits &= _from_right(bits, step)
        done += step
    return bits


def _from_right(bits: UInt8Array, by: int) -> UInt8Array:
    """Every column's bit replaced by that of the column `by` to its right, 0 beyond the last."""
    whole, rest = divmod(by, 8)
    n = bits.shape[1]
    out = np.zeros_like(bits)
    if whole >= n:
        return out
    out[:, : n - whole] = bits[:, whole:] << rest
    if rest:
        out[:, : n - whole - 1] |= bits[:, whole + 1 :] >> (8 - rest)
    return out
