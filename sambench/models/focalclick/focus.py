"""Which part of the image a click has changed: the focus crop, and the merging of masks (FocalClick, sections 3.2 and 3.3).

All arithmetic is the authors', with its roundings and quirks. Masks are regions, so that small objects of large images cost little.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from sambench.pixels.region import Region, cover
from sambench.types import BoolArray, Window

_FEWEST_PX = 10  # a mask of fewer pixels counts as "anywhere"
_SMALL = 3  # a changed part that is so many times smaller than the mask is looked at in a box around the click
_CLICK_BOX = 0.2  # half the side of that box, relative to the mask's longer side


class Box(NamedTuple):
    """Ends as the authors take them: inclusive indices of a mask, or 0 and the image's size."""

    y0: float
    y1: float
    x0: float
    x1: float


def focus_window(new: Region, old: Region, within: Window, click_yx: tuple[int, int], expansion: float = 1.4) -> Window:
    """The crop to refine, half-open; it may be empty if it lies outside `within`.

    new: the coarse logits above 0.49 (logits, not probabilities: a quirk of the authors' that is part of their numbers); old: the
    previous probabilities above 0.49; within: what the coarse network saw; click_yx: the last click's pixel.
    """
    size = new.height, new.width
    box = _box(new)
    if old.area:
        changed = _changed_box(new, old, click_yx)
        h, w = box.y1 - box.y0, box.x1 - box.x0
        if changed.y1 - changed.y0 < h / _SMALL or changed.x1 - changed.x0 < w / _SMALL:
            y, x = click_yx
            reach = _CLICK_BOX * max(h, w)
            box = Box(y - reach, y + reach, x - reach, x + reach)
        else:
            box = changed
    y0, y1 = _expanded(box.y0, box.y1, expansion, size[0])
    x0, x1 = _expanded(box.x0, box.x1, expansion, size[1])
    return Window(max(y0, within.y0), max(x0, within.x0), min(y1, within.y1), min(x1, within.x1))


def merged(new: Region, old: Region, click_yx: tuple[int, int]) -> Region:
    """Progressive merge: of all that differs from the old mask, only the connected part under the click is taken over."""
    y, x = click_yx
    was_object = bool(old.cut(Window(y, x, y + 1, x + 1))[0, 0])
    part, window = _part_at(new, old, click_yx)
    before = old.cut(window)
    after = before & ~part if was_object else before | part
    return Region.from_window(after, window.y0, window.x0, old.height, old.width)


def _part_at(new: Region, old: Region, click_yx: tuple[int, int]) -> tuple[BoolArray, Window]:
    """The 8-connected part of the difference under the click, bool on a window that covers both masks.

    A click on no difference has, as in the authors' code, all that is unchanged for its part: the whole frame is looked at then.
    """
    y, x = click_yx
    window = _hull(new, old, click_yx)
    differs = new.cut(window) ^ old.cut(window)
    if not differs[y - window.y0, x - window.x0]:
        window = Window(0, 0, old.height, old.width)
        return ~(new.full() ^ old.full()), window
    _, labels = cv2.connectedComponents(differs.view(np.uint8), connectivity=8)
    part: BoolArray = labels == labels[y - window.y0, x - window.x0]
    return part, window


def _hull(new: Region, old: Region, click_yx: tuple[int, int]) -> Window:
    y, x = click_yx
    window = Window(y, x, y + 1, x + 1)
    for region in (new, old):
        if region.area:
            window = cover(window, region.window)
    return window


def _changed_box(new: Region, old: Region, click_yx: tuple[int, int]) -> Box:
    part, window = _part_at(new, old, click_yx)
    return _box(Region.from_window(part, window.y0, window.x0, new.height, new.width))


def _box(region: Region) -> Box:
    if region.area < _FEWEST_PX:
        return Box(0, region.height, 0, region.width)
    y0, x0, y1, x1 = region.window
    return Box(y0, y1 - 1, x0, x1 - 1)


def _expanded(low: float, high: float, expansion: float, n: int) -> tuple[int, int]:
    """Truncated towards zero and clipped to 0..n."""
    centre, length = 0.5 * (low + high), expansion * (high - low + 1)
    return max(0, int(centre - length * 0.5)), min(n, int(centre + length * 0.5))
