"""Zoom-in: from the second click on the network sees a window around the object, not the image (f-BRS, arXiv 2001.10331, 3.5).

Windows are half-open. All arithmetic is the authors', with its roundings; quirks are named where they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sambench.models.clicks.coding import Clicks
from sambench.types import Window


@dataclass(frozen=True)
class View:
    """What the network is to see of the image, and where its answer goes.

    window: the crop, or None for the whole image as it is. size: (h, w) that it is resized to. target: where the answer is
    put, or None for the whole image. stored: kept for the next click. The whole image is seen, yet the answer is squeezed into
    an old window, when the previous mask has become empty: the authors' code keeps the window then.
    """

    window: Window | None
    size: tuple[int, int]
    target: Window | None
    stored: Window | None


@dataclass(frozen=True)
class ZoomIn:
    """target: length in pixels of the longer side that a window is resized to, or (h, w), or None for no resizing.

    skip_clicks: so many first clicks see the whole image as it is; with -1 even the first is resized to the target. expansion:
    window's side relative to the object's; min_side: its least, in pixels. keep: the old window stays while it is that similar
    to the new one and holds all positive clicks; None: a new one at every click. cut: probability above which a pixel of the
    previous map is of the object.
    """

    target: int | tuple[int, int] | None = 400
    skip_clicks: int = 1
    expansion: float = 1.4
    min_side: int = 200
    keep: float | None = 0.5
    cut: float = 0.5

    def view(self, size: tuple[int, int], clicks: Clicks, mask_window: Window | None, stored: Window | None) -> View:
        """size: (height, width) of the image. mask_window: tight around the previous mask, None if that is empty or absent."""
        whole = Window(0, 0, *size)
        if len(clicks) <= self.skip_clicks:
            return View(None, size, stored, stored)
        if mask_window is not None:
            new = object_window(mask_window, clicks, size, self.expansion, self.min_side)
        elif self.skip_clicks >= 0:
            return View(None, size, stored, stored)
        else:
            new = whole
        if stored is not None and self.keep is not None and _holds(stored, clicks) and similarity(new, stored) >= self.keep:
            new = stored
        return View(new, self._resized(new), new, new)

    def _resized(self, window: Window) -> tuple[int, int]:
        height, width = window.y1 - window.y0, window.x1 - window.x0
        if self.target is None:
            return height, width
        if isinstance(self.target, tuple):
            return self.target
        return limited(height, width, self.target)


def limited(height: int, width: int, long_side: int) -> tuple[int, int]:
    """(h, w) with the longer side at `long_side`, the other one rounded, halves to even, and at least 1."""
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def object_window(mask_window: Window, clicks: Clicks, size: tuple[int, int], expansion: float, min_side: int | None) -> Window:
    """The window around a mask's and all positive clicks, expanded and clamped to an image of `size`."""
    at = clicks.yx[clicks.positive].astype(np.int64)
    ends = np.concatenate([at, [mask_window[:2], (mask_window.y1 - 1, mask_window.x1 - 1)]])
    rows, cols = (
        expanded(int(low), int(high), expansion, min_side, n)
        for low, high, n in zip(ends.min(axis=0), ends.max(axis=0), size, strict=True)
    )
    return Window(rows[0], cols[0], rows[1], cols[1])


def expanded(low: int, high: int, expansion: float, least: int | None, n: int) -> tuple[int, int]:
    """The inclusive interval low..high expanded about its centre and clamped to 0..n-1, half-open. Halves go to even."""
    centre, length = 0.5 * (low + high), expansion * (high - low + 1)
    if least is not None:
        length = max(length, least)
    return max(0, round(centre - 0.5 * length)), min(n - 1, round(centre + 0.5 * length)) + 1


def similarity(a: Window, b: Window) -> float:
    """IoU of the rows' intervals times that of the columns' (not that of the areas); the union of an interval is its hull."""
    out = 1.0
    for (a0, a1), (b0, b1) in (((a.y0, a.y1), (b.y0, b.y1)), ((a.x0, a.x1), (b.x0, b.x1))):
        out *= max(0, min(a1, b1) - max(a0, b0)) / max(1e-6, max(a1, b1) - min(a0, b0))
    return out


def _holds(window: Window, clicks: Clicks) -> bool:
    """Whether all positive clicks lie in the window; its last row and column do not count, as in the authors' code."""
    at = clicks.yx[clicks.positive]
    return bool(((at >= (window.y0, window.x0)) & (at < (window.y1 - 1, window.x1 - 1))).all())
