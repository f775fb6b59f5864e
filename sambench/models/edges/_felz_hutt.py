"""Felzenszwalb and Huttenlocher's merging, compiled. Imported only when it runs: it loads numba."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sambench.pixels.jit import jit

Int32Array = npt.NDArray[np.int32]


@jit
def find_root(root: Int32Array, i: int) -> int:
    """The representative of pixel i; halves the path to it."""
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


@jit
def grow_regions(
    weight: npt.NDArray[np.float64], one: Int32Array, other: Int32Array, n_pixels: int, k: float, min_size: int
) -> Int32Array:
    """int32 [n_pixels]: the region of every pixel, named by one of its pixels.

    weight, one, other [m]: the graph's edges, lightest first. Two regions merge across an edge lighter than both of their largest
    inner weights plus k / size (section 3.2 of the paper); then regions under min_size pixels across their lightest edge.
    """
    root = np.arange(n_pixels).astype(np.int32)
    size = np.ones(n_pixels, np.int32)
    inner = np.zeros(n_pixels, np.float64)
    for e in range(len(weight)):
        a, b = find_root(root, one[e]), find_root(root, other[e])
        if a != b and weight[e] < inner[a] + k / size[a] and weight[e] < inner[b] + k / size[b]:
            if size[a] < size[b]:
                a, b = b, a
            root[b] = a
            size[a] += size[b]
            inner[a] = weight[e]
    for e in range(len(weight)):
        a, b = find_root(root, one[e]), find_root(root, other[e])
        if a != b and (size[a] < min_size or size[b] < min_size):
            root[b] = a
            size[a] += size[b]
    for i in range(n_pixels):
        root[i] = find_root(root, i)
    return root
