"""The dynamic Hungarian method, compiled. Imported only when something is matched: it loads numba.

`sambench.metrics.edges.matching` says what is solved and why the steps are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sambench.pixels.jit import jit
from sambench.types import BoolArray

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

NONE = -1
FAR = np.int64(1) << 62  # a distance no search reaches
ABSENT = -(np.int64(1) << 40)  # dual of a pixel that is not predicted: its edges then cost more than any bound


class Side(NamedTuple):
    """One side of the graph: rows are predicted pixels, columns annotated ones. The other side's nodes are `adjacent`.

    start int64 [n + 1]: the edges of node i are start[i] : start[i + 1]. adjacent int32 [m], cost int64 [m] (weight
    less gain, negative). dual int64 [n] <= 0. mate int32 [n], or NONE.
    """

    start: Int64Array
    adjacent: Int32Array
    cost: Int64Array
    dual: Int64Array
    mate: Int32Array


class Scratch(NamedTuple):
    """Working memory of a search, for the nodes on the far side. distance is FAR between searches."""

    distance: Int64Array
    came_from: Int32Array
    reached: Int32Array
    heap: Int64Array


@jit
def tie_break(annotator: int, row_pixel: int, column_pixel: int, n_pixels: int) -> np.int64:
    """0..15, the hash that `matching` documents."""
    n = np.uint64(n_pixels)
    x = (np.uint64(annotator) * n + np.uint64(row_pixel)) * n + np.uint64(column_pixel)
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return np.int64(x & np.uint64(15))


@jit
def number_rows(
    candidates: BoolArray,
    column_pixel: Int64Array,
    column_annotator: Int64Array,
    offsets_yx: Int64Array,
    n_annotators: int,
) -> Int32Array:
    """int32 [annotators, H * W]: number of each candidate pixel that some annotated pixel can reach, or NONE."""
    height, width = candidates.shape
    row_of = np.full((n_annotators, height * width), NONE, np.int32)
    for j in range(column_pixel.size):
        y, x = divmod(column_pixel[j], width)
        for k in range(offsets_yx.shape[0]):
            yy, xx = y + offsets_yx[k, 0], x + offsets_yx[k, 1]
            if 0 <= yy < height and 0 <= xx < width and candidates[yy, xx]:
                row_of[column_annotator[j], yy * width + xx] = 0
    n = 0
    for a in range(n_annotators):
        for p in range(height * width):
            if row_of[a, p] != NONE:
                row_of[a, p] = n
                n += 1
    return row_of


@jit
def build_edges(
    row_of: Int32Array,
    n_rows: int,
    width: int,
    column_pixel: Int64Array,
    column_annotator: Int64Array,
    offsets_yx: Int64Array,
    costs: Int64Array,
) -> tuple[Int64Array, Int32Array, Int64Array, Int64Array, Int32Array, Int64Array]:
    """(start, adjacent, cost) of the columns, then of the rows. `costs` [offsets]: the cost of an edge before its
    tie-break."""
    n_columns, n_pixels = column_pixel.size, row_of.shape[1]
    height = n_pixels // width
    column_start = np.zeros(n_columns + 1, np.int64)
    column_adjacent = np.empty(n_columns * offsets_yx.shape[0], np.int32)
    column_cost = np.empty(column_adjacent.size, np.int64)
    row_start = np.zeros(n_rows + 1, np.int64)
    n = 0
    for j in range(n_columns):
        a = column_annotator[j]
        y, x = divmod(column_pixel[j], width)
        for k in range(offsets_yx.shape[0]):
            yy, xx = y + offsets_yx[k, 0], x + offsets_yx[k, 1]
            if not (0 <= yy < height and 0 <= xx < width):
                continue
            p = yy * width + xx
            row = row_of[a, p]
            if row != NONE:
                column_adjacent[n] = row
                column_cost[n] = costs[k] + tie_break(a, p, column_pixel[j], n_pixels)
                row_start[row + 1] += 1
                n += 1
        column_start[j + 1] = n
    row_start = np.cumsum(row_start)
    filled = row_start[:-1].copy()
    row_adjacent = np.empty(n, np.int32)
    row_cost = np.empty(n, np.int64)
    for j in range(n_columns):
        for e in range(column_start[j], column_start[j + 1]):
            row = column_adjacent[e]
            row_adjacent[filled[row]] = j
            row_cost[filled[row]] = column_cost[e]
            filled[row] += 1
    return column_start, column_adjacent[:n].copy(), column_cost[:n].copy(), row_start, row_adjacent, row_cost


@jit
def push(heap: Int64Array, n: int, key: int) -> int:
    """Put `key` in a binary heap of n keys; the new n."""
    i = n
    while i > 0 and heap[(i - 1) >> 1] > key:
        heap[i] = heap[(i - 1) >> 1]
        i = (i - 1) >> 1
    heap[i] = key
    return n + 1


@jit
def pop(heap: Int64Array, n: int) -> int:
    """Drop the smallest key, heap[0], of a binary heap of n keys; the new n."""
    n -= 1
    key = heap[n]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key
    return n


@jit
def augment(source: int, near: Side, far: Side, scratch: Scratch) -> tuple[int, int]:
    """Restore the optimum where `source`, unmatched and with a feasible dual, is the only node that may violate
    slackness.

    One bounded Dijkstra over reduced costs. It ends at the cheapest of three: an unmatched far node (reached at its
    distance, since its dual is 0); a near node that gives up its mate (at its distance less its dual); the source
    itself, left unmatched (at less its dual: the first bound). Returns (far node that got matched, near node that
    lost its mate), NONE where not so.
    """
    bound = -near.dual[source]
    end, loser = NONE, NONE
    n_heap, n_reached = 0, 0
    node, base = source, np.int64(0)
    while True:
        offset = base - near.dual[node]
        for e in range(near.start[node], near.start[node + 1]):
            b = near.adjacent[e]
            d = offset + near.cost[e] - far.dual[b]
            if d >= bound or d >= scratch.distance[b]:
                continue
            if scratch.distance[b] == FAR:
                scratch.reached[n_reached] = b
                n_reached += 1
            scratch.distance[b] = d
            scratch.came_from[b] = node
            if far.mate[b] == NONE:
                bound, end, loser = d, b, NONE
            else:
                n_heap = push(scratch.heap, n_heap, (d << 31) | b)
        node = NONE
        while n_heap > 0:
            d, b = scratch.heap[0] >> 31, scratch.heap[0] & 0x7FFFFFFF
            if d >= bound:
                break
            n_heap = pop(scratch.heap, n_heap)
            if d == scratch.distance[b]:  # else an older, longer way to b
                node, base = far.mate[b], d
                break
        if node == NONE:
            break
        if base - near.dual[node] < bound:
            bound, end, loser = base - near.dual[node], NONE, node
    move_duals(source, bound, n_reached, near, far, scratch)
    flip(source, end if loser == NONE else near.mate[loser], loser, near, far, scratch)
    return end, loser


@jit
def move_duals(source: int, bound: int, n_reached: int, near: Side, far: Side, scratch: Scratch) -> None:
    """Make the path of length `bound` tight and keep all else feasible; forget the search's distances."""
    near.dual[source] += bound
    for k in range(n_reached):
        b = scratch.reached[k]
        slack = bound - scratch.distance[b]
        scratch.distance[b] = FAR
        if slack > 0:
            far.dual[b] -= slack
            near.dual[far.mate[b]] += slack


@jit
def flip(source: int, b: int, loser: int, near: Side, far: Side, scratch: Scratch) -> None:
    """Exchange matched and unmatched edges on the way from far node `b` back to `source`; no way if b is NONE."""
    if loser != NONE:
        near.mate[loser] = NONE
    while b != NONE:
        node = scratch.came_from[b]
        next_b = near.mate[node]
        near.mate[node] = b
        far.mate[b] = node
        b = NONE if node == source else next_b


@jit
def insert_pixels(
    pixels: Int64Array,
    row_of: Int32Array,
    row_pixel: Int64Array,
    rows: Side,
    columns: Side,
    scratch: Scratch,
    n_matched: Int32Array,
) -> None:
    """Add predicted pixels, for every annotator. n_matched [H * W]: annotators that match each pixel, kept up to
    date."""
    for a in range(row_of.shape[0]):
        for p in pixels:
            row = row_of[a, p]
            if row == NONE:
                continue
            dual = np.int64(0)
            for e in range(rows.start[row], rows.start[row + 1]):
                dual = min(dual, rows.cost[e] - columns.dual[rows.adjacent[e]])
            rows.dual[row] = dual
            if dual < 0:
                _, loser = augment(row, rows, columns, scratch)
                if loser != NONE:
                    n_matched[row_pixel[loser]] -= 1
                if rows.mate[row] != NONE:
                    n_matched[p] += 1


@jit
def remove_pixels(
    pixels: Int64Array,
    row_of: Int32Array,
    row_pixel: Int64Array,
    rows: Side,
    columns: Side,
    scratch: Scratch,
    n_matched: Int32Array,
) -> None:
    """Take predicted pixels away, for every annotator; arguments as in :func:`insert_pixels`."""
    for a in range(row_of.shape[0]):
        for p in pixels:
            row = row_of[a, p]
            if row == NONE:
                continue
            rows.dual[row] = ABSENT
            column = rows.mate[row]
            if column == NONE:
                continue
            rows.mate[row] = NONE
            columns.mate[column] = NONE
            n_matched[p] -= 1
            if columns.dual[column] < 0:
                end, _ = augment(column, columns, rows, scratch)
                if end != NONE:
                    n_matched[row_pixel[end]] += 1
