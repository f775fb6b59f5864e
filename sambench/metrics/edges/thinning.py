"""Thinning of binary maps, bit for bit MATLAB's `bwmorph(map, 'thin', Inf)`.

Guo and Hall, "Parallel thinning with two-subiteration algorithms", CACM 1989, algorithm A1: two sub-iterations in
turn, each deleting all its pixels at once, with zeros outside the image, until a whole pass deletes nothing.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from sambench.errors import DataError
from sambench.types import BoolArray, UInt8Array

# Neighbour i of a pixel as (dy, dx), counter-clockwise from the east: Guo and Hall's x1 ... x8.
NEIGHBOURS_YX = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def thin(mask: BoolArray) -> BoolArray:
    """The thinned map, bool [H, W], of a bool map [H, W]. Idempotent; an empty map stays empty."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise DataError("can't thin", expected="bool [H, W]", found=f"{mask.dtype} {list(mask.shape)}")
    from ._thin import thin_kernel

    height, width = mask.shape
    padded = np.zeros((height + 2, width + 2), np.uint8)
    padded[1:-1, 1:-1] = mask
    stride = width + 2
    steps = np.array([dy * stride + dx for dy, dx in NEIGHBOURS_YX], np.int64)
    thin_kernel(padded.reshape(-1), steps, _deletable())
    return np.ascontiguousarray(padded[1:-1, 1:-1]).view(np.bool_)


@cache
def _deletable() -> UInt8Array:
    """uint8 [256] by neighbourhood code (bit i: neighbour i is set): bit 0 deletable in the first sub-iteration, bit
    1 in the second."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        x = [(code >> i) & 1 for i in range(8)]
        crossings = sum((not x[i]) and (x[i + 1] or x[(i + 2) % 8]) for i in (0, 2, 4, 6))
        pairs_from_x1 = sum(x[i] or x[i + 1] for i in (0, 2, 4, 6))
        pairs_from_x8 = sum(x[i - 1] or x[i] for i in (0, 2, 4, 6))
        if crossings != 1 or not 2 <= min(pairs_from_x1, pairs_from_x8) <= 3:
            continue
        first = not ((x[1] or x[2] or not x[7]) and x[0])
        second = not ((x[5] or x[6] or not x[3]) and x[4])
        table[code] = first + 2 * second
    return table
