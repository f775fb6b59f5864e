"""The benchmark's thresholds and its distance tolerance. Pure numpy.

Source: the BSDS500 benchmark's definitions (Arbelaez et al., PAMI 2011), as restated in the edge task's protocol.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError

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
