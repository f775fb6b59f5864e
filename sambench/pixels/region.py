"""Binary masks: windows, RLE, areas, boxes, IoU, boundary IoU, components. Pure numpy and OpenCV.

A :class:`Region` is a mask kept as its tight window, so that an object of 40 x 40 pixels costs 1600 bytes in a
16-megapixel image, and IoU touches only the pixels that two windows share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sambench.errors import DataError
from sambench.pixels.erosion import eroded, eroded_px
from sambench.types import BoolArray, Window

RLE = dict[str, Any]  # {'size': [H, W], 'counts': bytes}, COCO's compressed form
MAX_PIXELS = 1 << 30  # of a frame in which a mask is drawn; pycocotools counts pixels in 32 bits and does not look


def check_pixels(height: int, width: int, where: object) -> None:
    """Raises DataError naming `where` if a frame is larger than any mask is drawn in, or has no pixel: asked before drawing."""
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise DataError(
            "a size is not one of an image",
            where=where,
            expected=f"width x height of 1 to {MAX_PIXELS:,} pixels",
            found=f"{width} x {height}",
            remedy="mend the size in the file; the image itself says what it is",
        )


@dataclass(frozen=True, eq=False)
class Region:
    """A mask of an image of (height, width) pixels, kept as the window `array` bool [h, w] whose corner is at (y0, x0).

    The window is tight (every side touches a foreground pixel); an empty mask has a window of 0 x 0.
    Build one with :meth:`from_array`, :meth:`from_window` or :meth:`from_rle`.
    """

    y0: int
    x0: int
    array: BoolArray
    height: int
    width: int

    @classmethod
    def empty(cls, height: int, width: int) -> Region:
        """A mask without a pixel."""
        return cls(0, 0, np.zeros((0, 0), np.bool_), height, width)

    @classmethod
    def from_array(cls, mask: npt.NDArray[Any]) -> Region:
        """mask [H, W] of any dtype; non-zero is foreground."""
        return cls.from_window(mask, 0, 0, *mask.shape)

    @classmethod
    def from_window(cls, window: npt.NDArray[Any], y0: int, x0: int, height: int, width: int) -> Region:
        """The mask that is `window` [h, w] at (y0, x0) and background elsewhere; trimmed to its foreground and copied."""
        if y0 < 0 or x0 < 0 or y0 + window.shape[0] > height or x0 + window.shape[1] > width:
            raise ValueError(f"window {window.shape} at ({y0}, {x0}) does not lie in {height} x {width}")
        mask = window if window.dtype == np.bool_ else window != 0
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            return cls(0, 0, np.zeros((0, 0), np.bool_), height, width)
        mask = mask[rows[0] : rows[-1] + 1]
        cols = np.flatnonzero(mask.any(axis=0))
        tight = np.ascontiguousarray(mask[:, cols[0] : cols[-1] + 1])
        if tight.base is not None:  # a copy always: a view would keep the whole frame alive
            tight = tight.copy()
        return cls(y0 + int(rows[0]), x0 + int(cols[0]), tight, height, width)

    @classmethod
    def from_rle(cls, rle: RLE) -> Region:
        """From COCO RLE, compressed. Raises DataError if it does not decode, or does not cover the frame exactly."""
        try:
            height, width = (int(n) for n in rle["size"])
            runs = rle_runs(rle["counts"])
            if runs.min() < 0 or runs.sum() != height * width:
                raise ValueError(f"runs of another length than {height} x {width} pixels")
            return _of_runs(runs, height, width)
        except (ValueError, TypeError, KeyError, IndexError) as e:
            raise DataError("an RLE mask does not decode", expected="COCO compressed RLE", found=repr(e)) from e

    @property
    def window(self) -> Window:
        return Window(self.y0, self.x0, self.y0 + self.array.shape[0], self.x0 + self.array.shape[1])

    @cached_property
    def area(self) -> int:
        return int(np.count_nonzero(self.array))

    @property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        """Inclusive pixel indices; zeros if empty."""
        if not self.array.size:
            return (0, 0, 0, 0)
        y0, x0, y1, x1 = self.window
        return (x0, y0, x1 - 1, y1 - 1)

    def full(self) -> BoolArray:
        """bool [height, width]."""
        out = np.zeros((self.height, self.width), np.bool_)
        y0, x0, y1, x1 = self.window
        out[y0:y1, x0:x1] = self.array
        return out

    def cut(self, window: Window) -> BoolArray:
        """bool, what of the mask lies in `window` (any rectangle, also beyond the frame: background there)."""
        out = np.zeros((window.y1 - window.y0, window.x1 - window.x0), np.bool_)
        both = intersect(self.window, window)
        if both is not None:
            y0, x0, y1, x1 = both
            out[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0] = self._view(both)
        return out

    def rle(self) -> RLE:
        """COCO compressed RLE, {'size': [H, W], 'counts': bytes}; the same bytes as encoding the full frame."""
        return {"size": [self.height, self.width], "counts": self._counts}

    @cached_property
    def _counts(self) -> bytes:
        if not self.array.size:
            return counts_of_changes(np.zeros(0, np.int64), self.height, self.width)
        # Column-major runs of the window; a closing zero row parts the columns unless the window has full height.
        tall = self.array if len(self.array) == self.height else np.pad(self.array, ((0, 1), (0, 0)))
        flat = np.concatenate(([False], tall.ravel(order="F"), [False]))
        edges = np.flatnonzero(flat[1:] != flat[:-1])
        col, row = np.divmod(edges, tall.shape[0])
        return counts_of_changes((col + self.x0) * self.height + row + self.y0, self.height, self.width)

    def intersection(self, other: Region) -> int:
        """Pixels in both."""
        return _common(self, other)

    def iou(self, other: Region, ignore: Region | None = None) -> float:
        """Intersection over union in [0, 1], pixels of `ignore` counted in neither; 0 if the union is empty."""
        inter = _common(self, other)
        union = self.area + other.area - inter
        if ignore is not None and ignore.area:
            off = _common(self, other, ignore)
            union -= _common(self, ignore) + _common(other, ignore) - off
            inter -= off
        return inter / union if union else 0.0

    @cached_property
    def _boundary_px(self) -> dict[int, int]:
        return {}

    def boundary_area(self, dilation: int) -> int:
        """Pixels of `boundary(self, dilation)`, without making it. Remembered: one mask may answer many prompts."""
        if dilation not in self._boundary_px:
            self._boundary_px[dilation] = self.area - eroded_px(self.array, dilation)
        return self._boundary_px[dilation]

    def _view(self, w: Window) -> BoolArray:
        return self.array[w.y0 - self.y0 : w.y1 - self.y0, w.x0 - self.x0 : w.x1 - self.x0]


def _common(*regions: Region) -> int:
    """Pixels in all of them."""
    window: Window | None = regions[0].window
    for region in regions[1:]:
        window = intersect(window, region.window) if window is not None else None
    if window is None:
        return 0
    first, *others = (r._view(window) for r in regions)
    for view in others:
        first = first & view
    return int(np.count_nonzero(first))


def counts_of_changes(at: npt.NDArray[np.int64], height: int, width: int) -> bytes:
    """COCO's compressed counts of a mask, from the column-major places in its frame where it changes, ascending."""
    counts = np.diff(at, prepend=0, append=height * width)
    runs = (counts[:-1] if len(at) and counts[-1] == 0 else counts).tolist()  # COCO's encoder writes no empty last run
    return bytes(coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)["counts"])


def _of_runs(runs: npt.NDArray[np.int64], height: int, width: int) -> Region:
    """The mask whose column-major runs these are, background first; only its window is ever made."""
    ends = np.cumsum(runs)
    full = runs[1::2] > 0
    end = ends[1::2][full]
    start = end - runs[1::2][full]
    if not len(start):
        return Region.empty(height, width)
    first, last = start // height, (end - 1) // height  # columns
    x0, x1 = int(first[0]), int(last[-1]) + 1
    if (first == last).all():
        y0, y1 = int((start - first * height).min()), int((end - 1 - last * height).max()) + 1
    else:  # a run that goes on in the next column touches the last row and the first
        y0, y1 = 0, height
    h = y1 - y0
    changes = np.zeros(h * (x1 - x0) + 1, np.int8)
    changes[(first - x0) * h + start - first * height - y0] += 1
    changes[(last - x0) * h + end - last * height - y0] -= 1
    columns = np.cumsum(changes[:-1], dtype=np.int8).view(np.bool_).reshape(x1 - x0, h)
    return Region(y0, x0, np.ascontiguousarray(columns.T), height, width)


def rle_pixels(counts: bytes | str) -> int:
    """The sum of all runs of a compressed RLE, -1 if one is negative. Raises ValueError on characters that it never has."""
    runs = rle_runs(counts)
    return int(runs.sum()) if runs.min() >= 0 else -1


def rle_runs(counts: bytes | str) -> npt.NDArray[np.int64]:
    """The runs of a compressed RLE, negative ones too. Raises ValueError on characters that it never has.

    Five bits a character from 48 on, the sixth says that more follow, the last one's highest is the sign; from the fourth run on
    the difference to the run before the last is written (pycocotools' maskApi.c, rleToString).
    """
    code = np.frombuffer(counts.encode() if isinstance(counts, str) else counts, np.uint8).astype(np.int64) - 48
    if not len(code) or code.min() < 0 or code.max() > 63 or code[-1] & 32:
        raise ValueError("not a compressed RLE string")
    ends = np.flatnonzero(code & 32 == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    digit = np.arange(len(code)) - np.repeat(starts, ends - starts + 1)
    if digit.max() > 6:
        raise ValueError("a run that is longer than any image")
    steps = np.add.reduceat((code & 31) << (5 * digit), starts)
    steps -= np.where(code[ends] & 16, 1 << (5 * (ends - starts + 1)), 0)
    runs = steps.copy()
    for chain in (slice(1, None, 2), slice(2, None, 2)):
        runs[chain] = np.cumsum(steps[chain])
    return runs


def intersect(a: Window, b: Window) -> Window | None:
    """The rectangle that both share, or None."""
    w = Window(max(a.y0, b.y0), max(a.x0, b.x0), min(a.y1, b.y1), min(a.x1, b.x1))
    return w if w.y0 < w.y1 and w.x0 < w.x1 else None


def cover(a: Window, b: Window) -> Window:
    """The smallest rectangle that holds both; an empty one does not count."""
    if a.y0 == a.y1 or a.x0 == a.x1:
        return b
    if b.y0 == b.y1 or b.x0 == b.x1:
        return a
    return Window(min(a.y0, b.y0), min(a.x0, b.x0), max(a.y1, b.y1), max(a.x1, b.x1))


def boundary_dilation(height: int, width: int, ratio: float) -> int:
    """Boundary width in pixels: `ratio` of the image's diagonal, rounded, at least 1 (Cheng et al. 2021, section 4)."""
    return max(1, round(ratio * math.hypot(height, width)))


def boundary(region: Region, dilation: int) -> Region:
    """The pixels of a mask within `dilation` (chessboard distance) of its outside; beyond the image counts as outside.

    Equal to the mask less its erosion by a 3 x 3 square applied `dilation` times, as Boundary IoU defines it.
    """
    if not region.array.size:
        return region
    if min(region.array.shape) <= 2 * dilation:  # nothing lies that deep
        return region
    inner = eroded(region.array, dilation)
    return Region.from_window(region.array & (inner == 0), region.y0, region.x0, region.height, region.width)


def boundary_overlap(a: Region, edge: Region, dilation: int, ignore: Region | None = None) -> float:
    """As `boundary(a, dilation).iou(edge, ignore)`: `edge` is the boundary of another mask of the image.

    Of a mask that is large beside the other only the part near it is looked at, and the rest counted.
    """
    near = _widened(edge.window, dilation)
    if a.array.size <= 4 * (near.y1 - near.y0) * (near.x1 - near.x0) or (ignore is not None and ignore.area):
        return boundary(a, dilation).iou(edge, ignore)
    part = a.cut(near)
    rim = (part & (eroded(part, dilation) == 0))[dilation:-dilation, dilation:-dilation]
    inter = int(np.count_nonzero(rim & edge.array))
    union = a.boundary_area(dilation) + edge.area - inter
    return inter / union if union else 0.0


def _widened(w: Window, by: int) -> Window:
    return Window(w.y0 - by, w.x0 - by, w.y1 + by, w.x1 + by)


def boundary_iou(a: Region, b: Region, ratio: float = 0.02, ignore: Region | None = None) -> float:
    """Boundary IoU (Cheng et al. 2021, arXiv 2103.16562) in [0, 1]; ratio is of the image diagonal (HQ-SAM's strict one is .01)."""
    d = boundary_dilation(a.height, a.width, ratio)
    return boundary(a, d).iou(boundary(b, d), ignore)


def components(mask: BoolArray, connectivity: int = 8) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Connected components of mask [H, W]: labels int32 [H, W] (0 background) and areas int64 [n], area of label k at k - 1."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    return labels.astype(np.int32, copy=False), stats[1:n, cv2.CC_STAT_AREA].astype(np.int64)


def union(regions: Sequence[Region], height: int, width: int) -> Region | None:
    """All regions of one image as one, or None if they are empty."""
    full = np.zeros((height, width), np.bool_)
    for r in regions:
        y0, x0, y1, x1 = r.window
        full[y0:y1, x0:x1] |= r.array
    out = Region.from_array(full)
    return out if out.area else None
