"""Compiled: COCO's compressed RLE, many masks at a time, without a pixel of them. Runs are of columns, background first.

Strings as pycocotools' maskApi.c writes them (rleToString); boxes and overlaps as it counts them (rleToBbox, rleIou).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sambench.pixels.jit import jit

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
_MOST_DIGITS = 7


@jit
def decode(data: Bytes, starts: Ints, pixels: Ints, runs: Ints, runs_in: Ints, ok: npt.NDArray[np.bool_]) -> None:
    """Fill runs, those of mask n from runs_in[n] to runs_in[n + 1], and ok: whether its string can be read, no run is negative, and
    they add up to pixels[n]. data uint8: the strings one after another, that of mask n from starts[n] to starts[n + 1]; runs: as
    long as data."""
    at, value = 0, np.int64(0)
    for n in range(len(starts) - 1):
        runs_in[n] = at
        first, total, digits, value, fits = at, np.int64(0), 0, np.int64(0), True
        for i in range(starts[n], starts[n + 1]):
            bits = np.int64(data[i]) - 48
            if bits < 0 or bits > 63 or digits == _MOST_DIGITS:
                fits = False
                break
            value |= (bits & 31) << (5 * digits)
            digits += 1
            if bits & 32:
                continue
            if bits & 16:
                value -= 1 << (5 * digits)
            if at - first > 2:
                value += runs[at - 2]
            if value < 0:
                fits = False
                break
            runs[at] = value
            at += 1
            total += value
            value, digits = np.int64(0), 0
        ok[n] = fits and digits == 0 and at > first and total == pixels[n]
        if not ok[n]:
            at = first
    runs_in[len(starts) - 1] = at


@jit
def measure(runs: Ints, runs_in: Ints, heights: Ints, areas: Ints, boxes: Ints) -> None:
    """Fill areas [N] and boxes xywh [N, 4] (zeros without a pair of runs) of masks with those runs in frames of those heights."""
    for n in range(len(runs_in) - 1):
        first, m = runs_in[n], (runs_in[n + 1] - runs_in[n]) // 2 * 2
        h, column, row, before = heights[n], 0, 0, 0  # of the end of the run, the first pixel after it
        area, x0, y0, x1, y1 = 0, 1 << 62, h, 0, 0
        for j in range(m):
            row += runs[first + j]
            if row >= h:
                column += row // h
                row %= h
            x, y = column, row
            if j % 2 == 0:
                before = x
            else:
                area += runs[first + j]
                y -= 1  # its last pixel
                if y < 0:
                    x, y = x - 1, h - 1
                if before < x:  # a run that goes on in the next column touches the last row and the first
                    y0, y1 = 0, h - 1
            x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
        areas[n] = area
        if m:
            boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3] = x0, y0, x1 - x0 + 1, y1 - y0 + 1
        else:
            boxes[n] = 0


@jit
def overlaps(
    runs: Ints,
    runs_in: Ints,
    areas: Ints,
    boxes: Ints,
    gt_runs: Ints,
    gt_runs_in: Ints,
    gt_areas: Ints,
    gt_boxes: Ints,
    crowd: npt.NDArray[np.bool_],
    first: Ints,
    last: Ints,
    out: npt.NDArray[np.float64],
) -> None:
    """Fill out, IoU of mask n with objects first[n] .. last[n] - 1, one after another; of a crowd, the share of the mask inside."""
    at = 0
    for n in range(len(runs_in) - 1):
        for g in range(first[n], last[n]):
            apart = boxes[n, 0] >= gt_boxes[g, 0] + gt_boxes[g, 2] or gt_boxes[g, 0] >= boxes[n, 0] + boxes[n, 2]
            apart = apart or boxes[n, 1] >= gt_boxes[g, 1] + gt_boxes[g, 3] or gt_boxes[g, 1] >= boxes[n, 1] + boxes[n, 3]
            shared = 0
            if not apart:
                shared = _shared(runs, runs_in[n], runs_in[n + 1], gt_runs, gt_runs_in[g], gt_runs_in[g + 1])
            if shared == 0:
                out[at] = 0.0
            else:
                out[at] = shared / (areas[n] if crowd[g] else areas[n] + gt_areas[g] - shared)
            at += 1


@jit
def _shared(a: Ints, i: int, end_a: int, b: Ints, j: int, end_b: int) -> int:
    """Pixels that are foreground in both."""
    left_a, left_b, in_a, in_b, shared = a[i], b[j], False, False, 0
    while True:
        if left_a < left_b:
            step, left_b = left_a, left_b - left_a
            if in_a and in_b:
                shared += step
            i += 1
            if i == end_a:
                return shared
            left_a, in_a = a[i], not in_a
        else:
            step, left_a = left_b, left_a - left_b
            if in_a and in_b:
                shared += step
            j += 1
            if j == end_b:
                return shared
            left_b, in_b = b[j], not in_b
