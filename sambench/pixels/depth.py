"""The deepest pixel of a mask: the maximum of its Euclidean distance transform, in exact integers and without the
transform.

What counts is the *squared* distance from a pixel to the nearest pixel outside the mask, an integer; everything
beyond the given window is outside. Float transforms can't decide this: OpenCV's exact one (float32) merges
neighbouring distances from 2048 px on, works on squares that float32 can't hold from 4097 px on, and rounds
differently on a crop than on the full frame, so that ties, which are common, fall elsewhere. Here nothing is rounded,
at any size.

How: erosions by squares give the chessboard depth d8, and d8 <= d <= sqrt(2) d8 leaves few pixels that can be the
deepest. These are decided by looking at their surroundings (shallow masks), or by branch and bound over square cells
with the nearest boundary pixel from a k-d tree (deep masks: distance is 1-Lipschitz, so a cell's centre bounds its
pixels).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sambench.pixels.erosion import eroded
from sambench.types import UInt8Array, Window

# These three decide the speed alone, never the result.
_DEEP = 16  # chessboard depth from which on erosions cost more than the k-d tree
_LOOKUPS = 300_000  # pixels looked at around all candidates, above which the k-d tree is cheaper
_CELLS = 256  # cells that branch and bound begins with, about

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


class Deepest(NamedTuple):
    """depth_sq: squared distance in pixels to the nearest pixel outside the mask, at least 1. y, x: where."""

    depth_sq: int
    y: int
    x: int


class _Layer(NamedTuple):
    """The pixels of a mask whose chessboard depth is above `level`: uint8 [h, w] at (y0, x0), trimmed."""

    level: int
    array: UInt8Array
    y0: int
    x0: int


def deepest(mask: UInt8Array, *, excluded: Iterable[tuple[int, int]] = (), at_least_sq: int = 1) -> Deepest | None:
    """The pixel of `mask`, uint8 [H, W] of 0 and 1, farthest from all pixels outside it; the first in row-major order
    of equals.

    excluded: pixels (y, x) that can't be chosen; they remain part of the mask. None if no pixel is left, or none
    whose squared depth is at least `at_least_sq` (at least 1).
    """
    closed = frozenset(excluded)
    ground = _trim(mask, 0, 0, 0)
    # d^2 >= at_least_sq needs 2 d8^2 >= at_least_sq: whatever is shallower need not be looked at.
    first = _eroded(ground, math.isqrt((at_least_sq - 1) // 2)) if ground is not None else None
    if first is None or _free(first, closed) is None:
        return None
    layers, above = _layers(first, closed)
    if above == 1:
        best = _of_depth_one(first, closed)
    else:
        # A pixel of chessboard depth d8 = lowest exists, so the deepest has sqrt(2) d8 >= lowest.
        lowest = layers[-1].level + 1
        level = max(first.level, _ceil_over_sqrt2(lowest) - 1)
        base = next(layer for layer in reversed(layers) if layer.level <= level)
        # Neither fallback is ever taken: the pixel of depth `lowest` is free and in every layer below.
        candidates = _free(_eroded(base, level - base.level) or base, closed) or base
        best = _decide(mask, candidates, above, lowest)
    return best if best.depth_sq >= at_least_sq else None


def _ceil_over_sqrt2(n: int) -> int:
    """The smallest integer j with 2 j^2 >= n^2."""
    j = math.isqrt(n * n // 2)
    return j if 2 * j * j >= n * n else j + 1


def _trim(array: UInt8Array, level: int, y0: int, x0: int) -> _Layer | None:
    """`array` at (y0, x0) cut to its non-zero pixels; None if there are none."""
    if not array.size:
        return None
    x, y, w, h = cv2.boundingRect(array)
    return _Layer(level, array[y : y + h, x : x + w], y0 + y, x0 + x) if w else None


def _eroded(layer: _Layer, by: int) -> _Layer | None:
    """The layer `by` levels deeper; None if it is empty."""
    if by == 0:
        return layer
    if min(layer.array.shape) <= 2 * by:
        return None
    return _trim(eroded(layer.array, by), layer.level + by, layer.y0, layer.x0)


def _free(layer: _Layer, closed: frozenset[tuple[int, int]]) -> _Layer | None:
    """The layer less the excluded pixels; None if nothing is left. Never erode the result: the excluded are part of
    the mask.
    """
    h, w = layer.array.shape
    inside = [(y - layer.y0, x - layer.x0) for y, x in closed if 0 <= y - layer.y0 < h and 0 <= x - layer.x0 < w]
    if not inside:
        return layer
    array = layer.array.copy()
    for y, x in inside:
        array[y, x] = 0
    return layer._replace(array=array) if array.any() else None


def _layers(first: _Layer, closed: frozenset[tuple[int, int]]) -> tuple[list[_Layer], int | None]:
    """Layers with a free pixel, ascending from `first`, and the least level known to have none (None: not looked for).

    The level doubles until nothing is left, then the interval is halved; from _DEEP on neither is worth its time.
    """
    layers: list[_Layer] = [first]
    above: int | None = None
    while (low := layers[-1].level) < _DEEP and (above is None or above - low > 1):
        middle = (low + above) // 2 if above is not None else max(low + 1, 2 * low)
        deeper = _eroded(layers[-1], middle - low)
        if deeper is not None and _free(deeper, closed) is not None:
            layers.append(deeper)
        else:
            above = middle
    return layers, above


def _of_depth_one(ground: _Layer, closed: frozenset[tuple[int, int]]) -> Deepest:
    """The deepest free pixel where every one has a pixel outside among its eight neighbours: 2 if only diagonally, or
    else 1.
    """
    cross = cv2.erode(ground.array, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    inner = _trim(cross.astype(np.uint8, copy=False), 0, ground.y0, ground.x0)
    free = _free(inner, closed) if inner is not None else None
    layer = free or _free(ground, closed) or ground
    y, x = divmod(int(np.argmax(layer.array)), layer.array.shape[1])
    return Deepest(2 if free is not None else 1, layer.y0 + y, layer.x0 + x)


def _decide(mask: UInt8Array, candidates: _Layer, above: int | None, lowest: int) -> Deepest:
    """The deepest of the candidates: one of the two ways, whichever is cheaper.

    above: no candidate has a greater chessboard depth, if known. lowest: some candidate is at least that deep.
    """
    if above is not None:
        dy, dx, squares = _ring(candidates.level, above)
        if cv2.countNonZero(candidates.array) * len(squares) <= _LOOKUPS or above <= 4:
            return _by_lookup(mask, candidates, dy, dx, squares, above)
    return _by_cells(mask, candidates, above, lowest)


@lru_cache(maxsize=256)
def _ring(level: int, above: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Offsets (dy, dx) at which the nearest outside pixel can lie, by ascending squared distance, if level < d8 <=
    above.
    """
    reach = math.isqrt(2 * above * above)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    squares = dy * dy + dx * dx
    possible = (np.maximum(abs(dy), abs(dx)) > level) & (squares <= 2 * above * above)
    order = np.argsort(squares[possible], kind="stable")
    return dy[possible][order], dx[possible][order], squares[possible][order].astype(np.int64)


def _cut(mask: UInt8Array, window: Window) -> UInt8Array:
    """`mask` on any rectangle; zeros beyond its frame."""
    y0, x0, y1, x1 = window
    out = np.zeros((y1 - y0, x1 - x0), np.uint8)
    top, left, bottom, right = max(y0, 0), max(x0, 0), min(y1, mask.shape[0]), min(x1, mask.shape[1])
    out[top - y0 : bottom - y0, left - x0 : right - x0] = mask[top:bottom, left:right]
    return out


def _by_lookup(
    mask: UInt8Array,
    candidates: _Layer,
    dy: npt.NDArray[np.intp],
    dx: npt.NDArray[np.intp],
    squares: npt.NDArray[np.int64],
    above: int,
) -> Deepest:
    """Each candidate's first outside pixel in the order of distance."""
    reach = math.isqrt(2 * above * above)
    y0, x0, (h, w) = candidates.y0, candidates.x0, candidates.array.shape
    crop = _cut(mask, Window(y0 - reach, x0 - reach, y0 + h + reach, x0 + w + reach))
    flat, width = crop.ravel(), crop.shape[1]
    y, x = _pixels(candidates.array)
    at = (y + reach) * width + x + reach
    offsets = dy * width + dx
    best, where = 0, 0
    step = max(1, 1_000_000 // len(offsets))
    for start in range(0, len(at), step):
        nearest = squares[np.argmin(flat[at[start : start + step, None] + offsets], axis=1)]
        i = int(np.argmax(nearest))
        if nearest[i] > best:
            best, where = int(nearest[i]), start + i
    return Deepest(best, y0 + int(y[where]), x0 + int(x[where]))


def _pixels(array: UInt8Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(y, x) of the non-zero pixels in row-major order."""
    found = cv2.findNonZero(array)
    points = found.reshape(-1, 2).astype(np.intp) if found is not None else np.zeros((0, 2), np.intp)
    return points[:, 1], points[:, 0]


def _by_cells(mask: UInt8Array, candidates: _Layer, above: int | None, lowest: int) -> Deepest:
    """Branch and bound over square cells of a power of two pixels, halved until they are single pixels."""
    reach = math.isqrt(2 * above * above) if above is not None else max(mask.shape)
    y0, x0, (h, w) = candidates.y0, candidates.x0, candidates.array.shape
    # The frame and its ring of zeros hold every outside pixel that can be the nearest.
    around = Window(
        max(y0 - reach, -1),
        max(x0 - reach, -1),
        min(y0 + h + reach, mask.shape[0] + 1),
        min(x0 + w + reach, mask.shape[1] + 1),
    )
    crop = _cut(mask, around)
    outline = cv2.dilate(crop, _CROSS) > crop  # the nearest outside pixel always touches the mask by a side
    tree_yx = np.stack(_pixels(outline.view(np.uint8)), axis=1)
    tree = cKDTree(tree_yx, leafsize=32, compact_nodes=False, balanced_tree=False)
    inside = candidates.array
    shift = np.array([y0 - around.y0, x0 - around.x0])
    side = 1
    while (h // side + 1) * (w // side + 1) > _CELLS and side < lowest:
        side *= 2
    corners = side * _occupied(inside, side)
    bound = float(lowest)
    while True:
        centres = np.minimum(corners + side // 2, (h - 1, w - 1))
        _, nearest = tree.query(centres + shift)
        squares = ((centres + shift - tree_yx[nearest]) ** 2).sum(axis=1)
        if side == 1:
            break
        member = inside[centres[:, 0], centres[:, 1]] != 0
        bound = max(bound, math.sqrt(squares[member].max(initial=0)))
        # No pixel of a cell is farther than side / sqrt(2) from its centre; the margin covers float rounding.
        keep = np.sqrt(squares) + side * 0.7072 + 1e-3 >= bound
        side //= 2
        corners = (corners[keep][:, None] + side * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])).reshape(-1, 2)
        corners = corners[(corners[:, 0] < h) & (corners[:, 1] < w)]
    squares = np.where(inside[corners[:, 0], corners[:, 1]] != 0, squares, 0)
    best = int(squares.max())
    y, x = min((int(y), int(x)) for y, x in corners[squares == best])
    return Deepest(best, y0 + y, x0 + x)


def _occupied(array: UInt8Array, side: int) -> npt.NDArray[np.intp]:
    """[n, 2] (row, column) of the side x side cells of `array` [h, w] that hold a non-zero pixel."""
    h, w = array.shape
    padded = np.zeros((-(-h // side) * side, -(-w // side) * side), np.uint8)
    padded[:h, :w] = array
    rows = padded.reshape(-1, side, padded.shape[1]).max(axis=1)
    cells = rows.reshape(len(rows), -1, side).max(axis=2)
    return np.argwhere(cells)
