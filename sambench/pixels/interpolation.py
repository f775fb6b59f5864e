"""Bilinear interpolation of low-resolution maps on a window of the full image, one axis at a time. Pure numpy.

Bilinear interpolation is separable and linear: one or two resizes of an axis are one banded matrix. The grid is always that of the
full frame, and sampling positions are rounded as float32 kernels round them, so that the weights are bit for bit those of
`torch.nn.functional.interpolate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sambench.types import FloatArray

_STRIP = 64  # output rows or columns that one matrix product makes


@dataclass(frozen=True)
class Geometry:
    """How low-resolution logits lie on the image. All sizes are (height, width).

    low -> bilinear to `square` -> the corner [:crop] of it -> bilinear to `size`, both without antialiasing and with
    align_corners off. Without square and crop there is one bilinear step from low to size.
    """

    low: tuple[int, int]
    size: tuple[int, int]
    square: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.square is None) != (self.crop is None):
            raise ValueError("square and crop go together")
        if self.square and self.crop and (self.crop[0] > self.square[0] or self.crop[1] > self.square[1]):
            raise ValueError(f"the crop {self.crop} is larger than the square {self.square}")

    def axis(self, i: int) -> Axis:
        """The interpolation along rows (0) or columns (1)."""
        if self.square is None or self.crop is None:
            return _axis(self.low[i], None, None, self.size[i])
        return _axis(self.low[i], self.square[i], self.crop[i], self.size[i])


@dataclass(frozen=True)
class Strip:
    """Outputs start..stop-1 = matrix [stop - start, hi - lo] @ inputs lo..hi-1."""

    start: int
    stop: int
    lo: int
    hi: int
    matrix: FloatArray


class Axis:
    """One axis of the interpolation, as banded matrix: output k is a weighted mean of inputs lo[k]..hi[k]-1, none further.

    factor: 2, 4, 8, ... where this is one enlargement by it (of which the outputs may be cut off), else 0.
    """

    def __init__(self, index: npt.NDArray[np.int64], weight: npt.NDArray[np.float64], factor: int = 0) -> None:
        """index and weight [n outputs, taps]."""
        self.factor = factor
        self.index, self.weight = index, weight
        self.lo = np.where(weight > 0, index, index.max() + 1).min(axis=1)
        self.hi = np.where(weight > 0, index, -1).max(axis=1) + 1
        self._strips = []
        for start in range(0, len(index), _STRIP):
            part = slice(start, min(start + _STRIP, len(index)))
            lo, hi = int(self.lo[start]), int(self.hi[part][-1])
            matrix = np.zeros((part.stop - start, hi - lo), np.float64)
            row = np.arange(part.stop - start)[:, None]
            np.add.at(matrix, (row, np.clip(index[part] - lo, 0, hi - lo - 1)), weight[part])
            self._strips.append(Strip(start, part.stop, lo, hi, matrix.astype(np.float32)))

    def band(self) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """The matrix's band: output k is the sum over j of weight[k, j] times input index[k, j]; both [n outputs, width].

        The weights are those of `strips`; places of the band that lie beyond the inputs have weight 0.
        """
        width = int((self.hi - self.lo).max())
        weight = np.zeros((len(self.lo), width), np.float64)
        np.add.at(weight, (np.arange(len(self.lo))[:, None], np.clip(self.index - self.lo[:, None], 0, width - 1)), self.weight)
        index = np.minimum(self.lo[:, None] + np.arange(width), self.hi.max() - 1)
        return index, weight.astype(np.float32)

    def reached(self, lo: int, hi: int) -> tuple[int, int]:
        """The outputs start..stop-1 that see any of the inputs lo..hi-1."""
        return int(np.searchsorted(self.hi, lo, side="right")), int(np.searchsorted(self.lo, hi, side="left"))

    def support(self, start: int, stop: int) -> tuple[int, int]:
        """The inputs lo..hi-1 that the outputs start..stop-1 see."""
        return int(self.lo[start]), int(self.hi[stop - 1])

    def strips(self, start: int, stop: int) -> list[Strip]:
        """The outputs start..stop-1 in strips."""
        out = []
        for s in self._strips[start // _STRIP : -(-stop // _STRIP)]:
            if s.start >= start and s.stop <= stop:
                out.append(s)
                continue
            a, b = max(s.start, start), min(s.stop, stop)
            lo, hi = self.support(a, b)
            out.append(Strip(a, b, lo, hi, s.matrix[a - s.start : b - s.start, lo - s.lo : hi - s.lo]))
        return out

    def across(self, low: FloatArray, start: int, stop: int) -> FloatArray:
        """The outputs start..stop-1 along the last axis of low [h, w] -> [h, stop - start]."""
        out = np.empty((len(low), stop - start), np.float32)
        for s in self.strips(start, stop):
            np.matmul(low[:, s.lo : s.hi], s.matrix.T, out=out[:, s.start - start : s.stop - start])
        return out


@lru_cache(maxsize=64)
def _axis(low: int, square: int | None, crop: int | None, size: int) -> Axis:
    if square is None or crop is None:
        square = crop = size
    index, weight = _bilinear(low, square)
    if crop == size:
        whole, rest = divmod(square, low)  # powers of two: weights that any two implementations round alike
        return Axis(index[:crop], weight[:crop], whole if not rest and whole > 1 and whole & (whole - 1) == 0 else 0)
    outer, outer_weight = _bilinear(crop, size)
    # Output k sees the positions outer[k] of the square, and each of them its own two inputs.
    return Axis(index[outer].reshape(size, -1), (weight[outer] * outer_weight[..., None]).reshape(size, -1))


def _bilinear(n_in: int, n_out: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Inputs and weights [n_out, 2] of a bilinear resize with align_corners off.

    The position is a fused multiply-add rounded once to float32, as the compiled kernels compute it: float64 holds it exactly.
    """
    scale = float(np.float32(n_in) / np.float32(n_out))
    position = np.maximum(scale * (np.arange(n_out) + 0.5) - 0.5, 0).astype(np.float32)
    first = np.minimum(position.astype(np.int64), n_in - 1)
    second = np.minimum(first + 1, n_in - 1)
    fraction = np.minimum(position - first.astype(np.float32), np.float32(1))
    weight = np.stack([np.float32(1) - fraction, fraction], axis=1)
    return np.stack([first, second], axis=1), weight.astype(np.float64)
