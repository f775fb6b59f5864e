"""The five views in which a mask is rated: image, outline, filled overlay, cut-out on a plain ground, zoom to the box.

What the paper's views show is unpublished; these are a choice (protocol section 6). Every view carries the prompt. Nothing of the
ground truth is drawn, and the zoom follows the mask that is shown, so that no view tells which model made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sambench.pixels.region import Region, cover
from sambench.types import BoxXYXY, UInt8Array, Window

VIEWS = ("image", "outline", "overlay", "cutout", "zoom")
MASK_RGB = (255, 45, 160)  # a pink that natural scenes hardly have, and that colour-blind people tell from them by its lightness
GROUND_RGB = (236, 236, 236)
FILL = 0.55
MARGIN = 0.25  # of the box, on each side of the zoom
MIN_ZOOM_PX = 48  # smaller windows show pixels, not an object
MAX_ENLARGED = 10.0
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class ShownPrompt:
    """What the model was asked with: a foreground point (x, y), or a box xyxy with inclusive pixels; in the image's pixels."""

    point_xy: tuple[float, float] | None = None
    box_xyxy: BoxXYXY | None = None


def rating_views(image: UInt8Array, mask: Region, prompt: ShownPrompt, *, side_px: int = 1024) -> dict[str, UInt8Array]:
    """The VIEWS by name, uint8 [h, w, 3] RGB, the longer side `side_px` (small images are enlarged 10 times at most).

    image uint8 [H, W, 3]; mask of that size, may be empty. Raises ValueError on another size.
    """
    if image.shape[:2] != (mask.height, mask.width):
        raise ValueError(f"a mask of {mask.height} x {mask.width} for an image of {image.shape[:2]}")
    whole = Window(0, 0, mask.height, mask.width)
    frame = _Canvas.of(image, whole, side_px)
    outline = frame.outlined(mask)
    close = _Canvas.of(image, zoom_window(mask, prompt), side_px)
    return {
        "image": frame.prompted(frame.pixels, prompt),
        "outline": frame.prompted(outline, prompt),
        "overlay": frame.prompted(frame.filled(mask), prompt),
        "cutout": frame.prompted(frame.cut_out(mask), prompt),
        "zoom": close.prompted(close.outlined(mask), prompt),
    }


def zoom_window(mask: Region, prompt: ShownPrompt) -> Window:
    """The mask's box and the prompt with a margin, inside the image."""
    window = mask.window
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = (round(v) for v in prompt.box_xyxy)
        window = cover(window, Window(y0, x0, y1 + 1, x1 + 1))
    if prompt.point_xy is not None:
        x, y = (round(v) for v in prompt.point_xy)
        window = cover(window, Window(y, x, y + 1, x + 1))
    y0, y1 = _widened(window.y0, window.y1, mask.height)
    x0, x1 = _widened(window.x0, window.x1, mask.width)
    return Window(y0, x0, y1, x1)


def _widened(low: int, high: int, limit: int) -> tuple[int, int]:
    size = min(limit, max(MIN_ZOOM_PX, round((high - low) * (1 + 2 * MARGIN))))
    start = min(max(0, (low + high - size) // 2), limit - size)
    return start, start + size


@dataclass(frozen=True)
class _Canvas:
    """A window of the image, enlarged or reduced by `scale` for display."""

    window: Window
    scale: float
    pixels: UInt8Array

    @classmethod
    def of(cls, image: UInt8Array, window: Window, side_px: int) -> _Canvas:
        y0, x0, y1, x1 = window
        scale = min(MAX_ENLARGED, side_px / max(y1 - y0, x1 - x0))
        size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        return cls(window, scale, np.asarray(cv2.resize(image[y0:y1, x0:x1], size, interpolation=method), np.uint8))

    def covered(self, mask: Region) -> npt.NDArray[np.float32]:
        """float32 [h, w, 1] in [0, 1]: how much of each displayed pixel the mask covers; enlarged pixels keep their corners."""
        height, width = self.pixels.shape[:2]
        method = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_NEAREST
        share = cv2.resize(mask.cut(self.window).astype(np.float32), (width, height), interpolation=method)
        return np.asarray(share, np.float32)[:, :, None]

    def filled(self, mask: Region) -> UInt8Array:
        return self.outlined(mask, _blend(self.pixels, MASK_RGB, FILL * self.covered(mask)))

    def cut_out(self, mask: Region) -> UInt8Array:
        return _blend(self.pixels, GROUND_RGB, 1 - self.covered(mask))

    def outlined(self, mask: Region, under: UInt8Array | None = None) -> UInt8Array:
        """A bright line on a dark one just outside of the mask: what lies on its inner side stays visible."""
        out = (self.pixels if under is None else under).copy()
        inside = (self.covered(mask)[:, :, 0] >= 0.5).astype(np.uint8)
        line = _line_px(out)
        bright = _grown(inside, line) - inside
        dark = _grown(inside, line + max(1, line // 2)) - inside - bright
        out[dark > 0] = _DARK
        out[bright > 0] = MASK_RGB
        return out

    def prompted(self, under: UInt8Array, prompt: ShownPrompt) -> UInt8Array:
        """With the prompt drawn in white on black: a ring round the point, or a dashed box."""
        out, line = under.copy(), _line_px(under)
        if prompt.box_xyxy is not None:
            x0, y0, x1, y1 = prompt.box_xyxy
            corners = [
                self._at(x, y) for x, y in ((x0 - 0.5, y0 - 0.5), (x1 + 0.5, y0 - 0.5), (x1 + 0.5, y1 + 0.5), (x0 - 0.5, y1 + 0.5))
            ]
            for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
                _dashed(out, a, b, line)
        if prompt.point_xy is not None:
            at = self._at(*prompt.point_xy)
            cv2.circle(out, at, 3 * line, _DARK, line + 2, cv2.LINE_AA)
            cv2.circle(out, at, 3 * line, _LIGHT, line, cv2.LINE_AA)
        return out

    def _at(self, x: float, y: float) -> tuple[int, int]:
        """Displayed pixel of the image's point (x, y), pixel centres at whole numbers."""
        return round((x - self.window.x0 + 0.5) * self.scale - 0.5), round((y - self.window.y0 + 0.5) * self.scale - 0.5)


def _line_px(image: UInt8Array) -> int:
    return max(2, round(max(int(side) for side in image.shape[:2]) / 340))


def _grown(mask: UInt8Array, by: int) -> npt.NDArray[np.int16]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray(cv2.dilate(mask, kernel), np.int16)


def _blend(image: UInt8Array, colour: Sequence[int], alpha: npt.NDArray[np.float32]) -> UInt8Array:
    mixed = image + (np.asarray(colour, np.float32) - image) * alpha
    return np.asarray(np.rint(mixed), np.uint8)


def _dashed(image: UInt8Array, a: tuple[int, int], b: tuple[int, int], line: int) -> None:
    cv2.line(image, a, b, _DARK, line + 2, cv2.LINE_AA)
    length = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
    n = max(1, round(length / (8 * line)))
    ends = np.linspace(np.asarray(a, float), np.asarray(b, float), 2 * n)
    for start, end in zip(ends[::2], ends[1::2], strict=True):
        p, q = ((round(v[0]), round(v[1])) for v in (start, end))
        cv2.line(image, p, q, _LIGHT, line, cv2.LINE_AA)
