"""Hysteresis at every threshold at once, compiled. Imported only when Canny runs: it loads numba."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.pixels.jit import jit


@jit
def highest_survived(
    values: npt.NDArray[Any], order: npt.NDArray[np.int64], stride: int, low_ratio: float, lower: bool
) -> None:
    """Replace each value by the highest threshold that the pixel survives, in place. lower: by the lower of the two.

    values: float64, a flat image with rows of `stride` pixels and a border of zeros; order int64 [n]: the pixels above 0, highest
    first. Components of {values >= l} grow and merge as l falls; that makes a tree in which every pixel is the node of the
    component that it completes. A node with level l and largest value m lets its pixels survive up to min(l / low_ratio, m), as
    the higher threshold; up to min(l, low_ratio * m) as the lower one, and up to l where m is 1, beyond which the higher one does
    not go. A pixel belongs to all nodes above its own, so the best of them counts.
    """
    n = len(order)
    rank = np.full(len(values), -1, np.int64)
    root = np.arange(n)  # union-find over ranks, paths halved
    above = np.full(n, -1, np.int64)
    largest = np.empty(n, np.float64)
    steps = (-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1)
    for i in range(n):
        rank[order[i]] = i
        largest[i] = values[order[i]]
        for step in steps:
            j = rank[order[i] + step]
            if j < 0:
                continue
            while root[j] != j:
                root[j] = root[root[j]]
                j = root[j]
            if j != i:
                root[j] = i
                above[j] = i
                largest[i] = max(largest[i], largest[j])
    survived = np.empty(n, np.float64)
    for i in range(n - 1, -1, -1):  # a node's parent was completed after it
        level = values[order[i]]
        if not lower:
            survived[i] = min(level / low_ratio, largest[i])
        else:
            survived[i] = level if largest[i] >= 1 else min(level, low_ratio * largest[i])
        if above[i] >= 0:
            survived[i] = max(survived[i], survived[above[i]])
    for i in range(n):
        values[order[i]] = survived[i]
