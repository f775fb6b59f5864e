"""Boundaries of a segmentation, the benchmark's thresholds, and its distance tolerance. Pure numpy.

Source: the BSDS500 benchmark's definitions (Arbelaez et al., PAMI 2011), as restated in the edge task's protocol.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError, UsageError
from sambench.types import BoolArray

Float64Array = npt.NDArray[np.float64]

BSDS_MAX_DIST = 0.0075  # of the image's diagonal
NYUD_MAX_DIST = 0.011
N_THRESHOLDS = 99


def threshold_values(n: int = N_THRESHOLDS) -> Float64Array:
    """float64 [n], evenly spaced from 1 / (n + 1) to 1 - 1 / (n + 1), end points exact; a pixel counts where prob >= t.

    The order of operations is part of the definition: maps of 8 bits have values that *are* thresholds (51 / 255 =
    0.2), and `np.linspace` differs from these in the last bit at 28 of 99 places.
    """
    if n < 1:
        raise UsageError("no thresholds", expected="a number of thresholds of at least 1", found=n)
    first, last = 1 / (n + 1), 1 - 1 / (n + 1)
    values = first + np.arange(n) * (last - first) / max(n - 1, 1)
    values[-1] = last if n > 1 else first
    return values


def max_distance_px(height: int, width: int, max_dist: float = BSDS_MAX_DIST) -> float:
    """The largest distance in pixels at which two boundary pixels may correspond: `max_dist` times the diagonal."""
    return max_dist * math.sqrt(height * height + width * width)


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
