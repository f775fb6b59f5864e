"""The boundary benchmark the slow way, for tests and benchmarks: scikit-image thins, and scipy solves every pair anew.

Nothing here calls `sambench`: definitions, ties included, are restated from the documentation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from skimage.morphology import thin

SCALE = 1024
MASK64 = (1 << 64) - 1


def tie_break(annotator: int, row: int, column: int, n_pixels: int) -> int:
    """The documented hash, in Python's integers."""
    x = ((annotator * n_pixels + row) * n_pixels + column + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return (x ^ (x >> 31)) & 15


def tie_breaks(annotator: int, rows: np.ndarray, columns: np.ndarray, n_pixels: int) -> np.ndarray:
    """The same for arrays of pixel indices."""
    n = np.uint64(n_pixels)
    with np.errstate(over="ignore"):
        x = (np.uint64(annotator) * n + rows.astype(np.uint64)) * n + columns.astype(np.uint64)
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) & np.uint64(15)).astype(np.int64)


@dataclass(frozen=True)
class Matched:
    """rows: bool [H, W] predicted pixels that are matched. n, weight (1/100 px) and cost (scaled, with ties) of the
    matching."""

    rows: np.ndarray
    n: int
    weight: int
    cost: int


def pairs_within(predicted: np.ndarray, truth: np.ndarray, max_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(predicted pixel, annotated pixel, squared distance) of all pairs within reach, pixels as flat indices."""
    height, width = predicted.shape
    y, x = np.nonzero(predicted)
    found = []
    r = math.ceil(max_px)
    for dy in range(-r, r + 1):
        for dx in range(-r, r + 1):
            if dy * dy + dx * dx > max_px * max_px:
                continue
            inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
            yy, xx = y[inside], x[inside]
            hit = truth[yy + dy, xx + dx]
            yy, xx = yy[hit], xx[hit]
            found.append((yy * width + xx, (yy + dy) * width + xx + dx, np.full(len(yy), dy * dy + dx * dx)))
    rows, columns, squared = (np.concatenate(part) for part in zip(*found, strict=True))
    return rows, columns, squared


def match(predicted: np.ndarray, truth: np.ndarray, annotator: int, max_px: float) -> Matched:
    """The optimal correspondence, by one sparse full matching: each row has a dummy column at the price of a gain."""
    rows, columns, squared = pairs_within(predicted, truth, max_px)
    matched = np.zeros(predicted.size, np.bool_)
    if not len(rows):
        return Matched(matched.reshape(predicted.shape), 0, 0, 0)
    weight = np.rint(100 * np.sqrt(squared)).astype(np.int64)
    cost = weight * SCALE + tie_breaks(annotator, rows, columns, predicted.size)
    row_pixel, i = np.unique(rows, return_inverse=True)
    column_pixel, j = np.unique(columns, return_inverse=True)
    n_rows, n_columns = len(row_pixel), len(column_pixel)
    gain = math.ceil(100 * 100 * max_px) * SCALE
    # One more on every edge, since a sparse matrix has no zeros; all full matchings have the same number of edges.
    data = np.concatenate([cost, np.full(n_rows, gain)]) + 1
    at = (np.concatenate([i, np.arange(n_rows)]), np.concatenate([j, n_columns + np.arange(n_rows)]))
    graph = csr_matrix((data.astype(np.float64), at), shape=(n_rows, n_columns + n_rows))
    row, column = min_weight_full_bipartite_matching(graph)
    real = column < n_columns
    matched[row_pixel[row[real]]] = True
    paired = row_pixel[row[real]], column_pixel[column[real]]
    matched_weight = weight_of(*paired, predicted.shape[1])
    cost = matched_weight * SCALE + tie_breaks(annotator, *paired, predicted.size)
    return Matched(matched.reshape(predicted.shape), int(real.sum()), int(matched_weight.sum()), int(cost.sum()))


def weight_of(rows: np.ndarray, columns: np.ndarray, width: int) -> np.ndarray:
    """int64, round(100 d) of pairs of pixels given as flat indices."""
    dy, dx = rows // width - columns // width, rows % width - columns % width
    return np.rint(100 * np.hypot(dy, dx)).astype(np.int64)


def counts(prob: np.ndarray, boundaries: list[np.ndarray], thresholds: np.ndarray, max_px: float) -> np.ndarray:
    """int64 [T, 4]: cnt_r, sum_r, cnt_p, sum_p, every threshold and annotator from scratch."""
    out = []
    for t in thresholds:
        predicted = thin(prob >= t)
        found = [match(predicted, b, a, max_px) for a, b in enumerate(boundaries)]
        any_annotator = np.logical_or.reduce([f.rows for f in found])
        out.append((sum(f.n for f in found), sum(b.sum() for b in boundaries), any_annotator.sum(), predicted.sum()))
    return np.array(out, np.int64)


def boundary_of(labels: np.ndarray) -> np.ndarray:
    """Where a label differs from its right or lower neighbour, bool [H, W]."""
    edge = np.zeros(labels.shape, np.bool_)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def scene(height: int, width: int, n_annotators: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A soft edge map float64 [H, W] in [0, 1] and thin annotations of it, all made up.

    Wavy cells at three scales. Each annotator draws the coarse ones and some of the finer, a pixel or so off; the map
    has all of them at strengths that vary along the lines, and clutter besides.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(float)

    def waves(size_px: float, amount_px: float) -> np.ndarray:
        noise = gaussian_filter(rng.standard_normal((height, width)), size_px)
        return noise * (amount_px / max(noise.std(), 1e-12))

    def cells(n: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.uniform(0, height, n), rng.uniform(0, width, n)

    def labels(centres: tuple[np.ndarray, np.ndarray], y: np.ndarray, x: np.ndarray) -> np.ndarray:
        nearest = np.full(y.shape, np.inf)
        label = np.zeros(y.shape, np.int64)
        for k, (cy, cx) in enumerate(zip(*centres, strict=True)):
            d = (y - cy) ** 2 + (x - cx) ** 2
            label = np.where(d < nearest, k, label)
            nearest = np.minimum(nearest, d)
        return label

    area = height * width
    levels = [cells(max(2, round(area / per_cell))) for per_cell in (12000, 3000, 700)]
    wavy = (y + waves(6, 2.5), x + waves(6, 2.5))
    prob = np.zeros((height, width))
    for strength, centres in zip((0.9, 0.5, 0.25), levels, strict=True):
        along = np.clip(strength + waves(10, 0.15), 0.005, 1)
        prob = np.maximum(prob, along * boundary_of(labels(centres, *wavy)))
    prob = np.maximum(prob, 0.2 * rng.random((height, width)) * (rng.random((height, width)) < 0.03))
    boundaries = []
    for a in range(n_annotators):
        own = (wavy[0] + waves(12, 1.0), wavy[1] + waves(12, 1.0))
        edge = boundary_of(labels(levels[0], *own))
        if a % 2:
            edge |= boundary_of(labels(levels[1], *own)) & (waves(20, 1.0) > 0)
        boundaries.append(thin(edge))
    return prob, boundaries
