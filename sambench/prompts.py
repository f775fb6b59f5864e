"""Prompts made from the ground truth: clicks, boxes and grids.

Clicks are exact and hold for ever: distances are compared as integers (see :mod:`sambench.pixels.depth`), equal ones are
resolved in row-major order, and random clicks come from a keyed hash, not from a library's generator. Everything
beyond the image counts as background. Pixels of `ignore` belong to no region and are never clicked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError
from sambench.pixels.depth import Deepest, deepest
from sambench.pixels.region import Region, intersect
from sambench.types import BoolArray, BoxXYXY, FloatArray, Window

XY = tuple[int, int]


class Click(NamedTuple):
    """x, y: the pixel, in the original image. positive: on the object (label 1), or on background (label 0)."""

    x: int
    y: int
    positive: bool


def center_click(target: Region, ignore: Region | None = None) -> Click:
    """The pixel of `target` farthest from its boundary (Euclidean), the first in row-major order of equals.

    Raises DataError if no pixel of the object can be clicked.
    """
    found = deepest(_clickable(target, ignore).view(np.uint8))
    if found is None:
        raise _nothing_to_click(target)
    return Click(target.x0 + found.x, target.y0 + found.y, True)


def random_click(
    target: Region, *, seed: int, dataset: str, image_id: str, object_id: str, ignore: Region | None = None
) -> Click:
    """A pixel drawn uniformly from `target`'s, decided by the four keys alone: whatever the order, the shard or the
    machine.

    The SHA-256 of the keys, as a fraction of 1, times the number of pixels gives the pixel's rank in row-major order.
    (A draw of 256 bits is uniform to far beyond what any number of clicks could show.) Raises DataError as
    center_click does.
    """
    pixels = _clickable(target, ignore)
    n = int(np.count_nonzero(pixels))
    if not n:
        raise _nothing_to_click(target)
    keys = (str(int(seed)), dataset, image_id, object_id)
    # Each key after its length in bytes, so that ("ab", "c") and ("a", "bc") differ.
    message = b"".join(len(k.encode()).to_bytes(8, "big") + k.encode() for k in ("sambench random click 1", *keys))
    rank = int.from_bytes(hashlib.sha256(message).digest(), "big") * n >> 256
    y, x = divmod(int(np.flatnonzero(pixels)[rank]), pixels.shape[1])
    return Click(target.x0 + x, target.y0 + y, True)


def next_click(
    target: Region, prediction: Region, *, clicked: Collection[XY], ignore: Region | None = None
) -> Click | None:
    """The deepest pixel of the deeper error region: what the prediction misses (positive) or has too much (negative).

    Equal depth: negative. clicked: pixels (x, y) already clicked; they can't be clicked again, but do not shrink
    their region. None if no error pixel is left to click. Raises ValueError if the two masks are of different images.
    """
    if (target.height, target.width) != (prediction.height, prediction.width):
        raise ValueError(
            f"prediction of {prediction.height} x {prediction.width} for a target of {target.height} x {target.width}"
        )
    missed = _deepest_in(_difference(target, prediction, ignore), target, clicked)
    # A negative click needs the depth of the positive one; less need not be searched.
    excess = _deepest_in(
        _difference(prediction, target, ignore), prediction, clicked, missed.depth_sq if missed is not None else 1
    )
    if excess is not None:
        return Click(prediction.x0 + excess.x, prediction.y0 + excess.y, False)
    if missed is not None:
        return Click(target.x0 + missed.x, target.y0 + missed.y, True)
    return None


def box_prompt(target: Region) -> BoxXYXY:
    """The tight box of the object: (x_min, y_min, x_max, y_max), inclusive pixel indices (docs/protocol.md, `box@1`)."""
    x0, y0, x1, y1 = target.box_xyxy
    return (float(x0), float(y0), float(x1), float(y1))



def point_grid(n_per_side: int, height: int, width: int) -> FloatArray:
    """float32 [n * n, 2], (x, y) in pixels: the centres of n x n equal parts of the image, x varying fastest.

    Coordinates are (k + 0.5) / n of the image's width and height, as SAM's mask generator places them; the products are
    taken in float64 and rounded once. Raises ValueError for n < 1.
    """
    if n_per_side < 1:
        raise ValueError(f"a grid needs at least one point a side, got {n_per_side}")
    fraction = (np.arange(n_per_side) + 0.5) / n_per_side
    grid = np.empty((n_per_side, n_per_side, 2), np.float32)
    grid[..., 0] = (fraction * width)[None, :]
    grid[..., 1] = (fraction * height)[:, None]
    return grid.reshape(-1, 2)


def _clickable(target: Region, ignore: Region | None) -> BoolArray:
    """The target's window less the ignored pixels; not a copy if there are none."""
    return target.array if ignore is None else _less(target, ignore)


def _less(a: Region, b: Region) -> BoolArray:
    """a and not b, bool on a's window."""
    out = a.array.copy()
    both = intersect(a.window, b.window)
    if both is not None:
        part = _part(out, a, both)
        np.greater(part, _part(b.array, b, both), out=part)
    return out


def _difference(a: Region, b: Region, ignore: Region | None) -> BoolArray:
    """a and not b and not ignored, bool on a's window."""
    out = _less(a, b)
    both = intersect(a.window, ignore.window) if ignore is not None else None
    if ignore is not None and both is not None:
        part = _part(out, a, both)
        np.greater(part, _part(ignore.array, ignore, both), out=part)
    return out


def _part(array: BoolArray, region: Region, window: Window) -> BoolArray:
    """The view of an array on the region's window that `window` (inside it) covers."""
    return array[
        window.y0 - region.y0 : window.y1 - region.y0,
        window.x0 - region.x0 : window.x1 - region.x0,
    ]


def _deepest_in(
    errors: npt.NDArray[np.bool_], region: Region, clicked: Collection[XY], at_least_sq: int = 1
) -> Deepest | None:
    excluded = [(y - region.y0, x - region.x0) for x, y in clicked]
    return deepest(errors.view(np.uint8), excluded=excluded, at_least_sq=at_least_sq)


def _nothing_to_click(target: Region) -> DataError:
    return DataError(
        "no pixel of an object can be clicked",
        expected="at least one pixel of the object that is not marked to be ignored",
        found=f"{target.area} pixels, all of them ignored" if target.area else "an empty mask",
        remedy="drop such objects when the dataset is loaded",
    )
