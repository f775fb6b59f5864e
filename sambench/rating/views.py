"""The five views in which a mask is rated: image, outline, filled overlay, cut-out on a plain ground, zoom to the box.

What the paper's views show is unpublished; these are a choice (protocol section 6). Every view carries the prompt. Nothing of the
ground truth is drawn, and the zoom follows the mask that is shown, so that no view tells which model made it. All views of an image
have one size, the zoom too, so that the size of a picture says nothing of its mask. A sixth picture, the zoom without the mask, is
what a page blinks to.
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
ALL_VIEWS = (*VIEWS, "plain")  # as files; the last is for blinking alone
REVISION = 2  # raised when what the views show changes
MASK_RGB = (255, 45, 160)  # a pink that natural scenes hardly have, and that colour-blind people tell from them by its lightness
GROUND_RGB = (236, 236, 236)  # a grey
FILL = 0.55
_OF_THE_FRAME = VIEWS[:4]
MARGIN = 0.25  # of the box, on each side of the zoom
MIN_ZOOM_PX = 48  # smaller windows show pixels, not an object
MAX_ENLARGED = 10.0
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)

Share = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ShownPrompt:
    """What the model was asked with: a foreground point (x, y), or a box xyxy with inclusive pixels; in the image's pixels."""

    point_xy: tuple[float, float] | None = None
    box_xyxy: BoxXYXY | None = None


@dataclass(frozen=True)
class Scene:
    """An image on which any number of masks are shown; what they share is drawn once."""

    image: UInt8Array
    frame: _Canvas

    @classmethod
    def of(cls, image: UInt8Array, side_px: int) -> Scene:
        """image uint8 [H, W, 3]; side_px: the longer side of the views (small images are enlarged 10 times at most)."""
        height, width = image.shape[:2]
        enlarged = min(MAX_ENLARGED, side_px / max(height, width))
        size = (max(1, round(width * enlarged)), max(1, round(height * enlarged)))
        return cls(image, _Canvas.of(image, Window(0, 0, height, width), size))

    def views(self, mask: Region, prompt: ShownPrompt) -> dict[str, UInt8Array]:
        """ALL_VIEWS by name, uint8 [h, w, 3] RGB, of one size.

        mask: of the image's size, may be empty. Raises ValueError on another size.
        """
        if self.image.shape[:2] != (mask.height, mask.width):
            raise ValueError(f"a mask of {mask.height} x {mask.width} for an image of {self.image.shape[:2]}")
        frame, size = self.frame, self.frame.pixels.shape[1::-1]
        close = _Canvas.of(self.image, zoom_window(mask, prompt), (size[0], size[1]))
        share, near = frame.covered(mask), close.covered(mask)
        drawn = {
            "image": frame.pixels.copy(),
            "outline": _outlined(frame.pixels.copy(), share),
            "overlay": _outlined(_filled(frame.pixels, share), share),
            "cutout": _cut_out(frame.pixels, share),
            "zoom": _outlined(close.pixels.copy(), near),
            "plain": close.pixels.copy(),
        }
        return {name: (frame if name in _OF_THE_FRAME else close).prompted(view, prompt) for name, view in drawn.items()}


def zoom_window(mask: Region, prompt: ShownPrompt) -> Window:
    """The mask's box and the prompt with a margin, widened to the image's own aspect, inside the image."""
    window = mask.window
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = (round(v) for v in prompt.box_xyxy)
        window = cover(window, Window(y0, x0, y1 + 1, x1 + 1))
    if prompt.point_xy is not None:
        x, y = (round(v) for v in prompt.point_xy)
        window = cover(window, Window(y, x, y + 1, x + 1))
    wide = 1 + 2 * MARGIN
    shares = ((window.y1 - window.y0) * wide / mask.height, (window.x1 - window.x0) * wide / mask.width)
    share = min(1.0, max(*shares, MIN_ZOOM_PX / max(mask.height, mask.width)))
    y0, y1 = _widened(window.y0, window.y1, share, mask.height)
    x0, x1 = _widened(window.x0, window.x1, share, mask.width)
    return Window(y0, x0, y1, x1)


def _widened(low: int, high: int, share: float, limit: int) -> tuple[int, int]:
    size = min(limit, max(high - low, round(share * limit), 1))
    start = min(max(0, (low + high - size) // 2), limit - size)
    return start, start + size


@dataclass(frozen=True)
class _Canvas:
    """A window of the image, enlarged or reduced by `scale_x` and `scale_y` for display; they differ by rounding alone."""

    window: Window
    scale_x: float
    scale_y: float
    pixels: UInt8Array

    @classmethod
    def of(cls, image: UInt8Array, window: Window, size: tuple[int, int]) -> _Canvas:
        """size: (width, height) in displayed pixels."""
        y0, x0, y1, x1 = window
        scale_x, scale_y = size[0] / (x1 - x0), size[1] / (y1 - y0)
        method = cv2.INTER_AREA if scale_x < 1 else cv2.INTER_CUBIC
        return cls(window, scale_x, scale_y, np.asarray(cv2.resize(image[y0:y1, x0:x1], size, interpolation=method), np.uint8))

    def covered(self, mask: Region) -> Share:
        """float32 [h, w] in [0, 1]: how much of each displayed pixel the mask covers; enlarged pixels keep their corners."""
        height, width = self.pixels.shape[:2]
        method = cv2.INTER_AREA if self.scale_x < 1 else cv2.INTER_NEAREST
        share = cv2.resize(mask.cut(self.window).astype(np.float32), (width, height), interpolation=method)
        return np.asarray(share, np.float32)

    def prompted(self, out: UInt8Array, prompt: ShownPrompt) -> UInt8Array:
        """`out` with the prompt drawn into it in white on black: a ring round the point, or a dashed box."""
        line = _line_px(out)
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
        return round((x - self.window.x0 + 0.5) * self.scale_x - 0.5), round((y - self.window.y0 + 0.5) * self.scale_y - 0.5)


def _line_px(image: UInt8Array) -> int:
    return max(2, round(max(int(side) for side in image.shape[:2]) / 340))


def _grown(mask: UInt8Array, by: int) -> UInt8Array:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray(cv2.dilate(mask, kernel), np.uint8)


def _box(inside: UInt8Array, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of what is not 0, with a margin: all drawing happens there. None of either for an empty mask."""
    x, y, width, height = cv2.boundingRect(inside)
    if not width:
        return slice(0, 0), slice(0, 0)
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)


def _outlined(out: UInt8Array, share: Share) -> UInt8Array:
    """`out` with a bright line on a dark one just outside of the mask: what lies on its inner side stays visible."""
    line = _line_px(out)
    inside = (share >= 0.5).astype(np.uint8)
    part = _box(inside, 2 * line + 2)
    if part[0].stop:
        held, mask = out[part], np.ascontiguousarray(inside[part])
        bright = _grown(mask, line)
        held[(_grown(mask, line + max(1, line // 2)) > 0) & (bright == 0)] = _DARK
        held[(bright > 0) & (mask == 0)] = MASK_RGB
    return out


def _filled(under: UInt8Array, share: Share) -> UInt8Array:
    out = under.copy()
    part = _box((share > 0).astype(np.uint8))
    out[part] = _blend(under[part], MASK_RGB, FILL * share[part])
    return out


def _cut_out(under: UInt8Array, share: Share) -> UInt8Array:
    out = np.full_like(under, GROUND_RGB[0])
    part = _box((share > 0).astype(np.uint8))
    out[part] = _blend(under[part], GROUND_RGB, 1 - share[part])
    return out


def _blend(image: UInt8Array, colour: Sequence[int], alpha: Share) -> UInt8Array:
    mixed = image + (np.asarray(colour, np.float32) - image) * alpha[:, :, None]
    return np.asarray(np.rint(mixed), np.uint8)


def _dashed(image: UInt8Array, a: tuple[int, int], b: tuple[int, int], line: int) -> None:
    cv2.line(image, a, b, _DARK, line + 2, cv2.LINE_AA)
    length = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
    n = max(1, round(length / (8 * line)))
    ends = np.linspace(np.asarray(a, float), np.asarray(b, float), 2 * n)
    for start, end in zip(ends[::2], ends[1::2], strict=True):
        p, q = ((round(v[0]), round(v[1])) for v in (start, end))
        cv2.line(image, p, q, _LIGHT, line, cv2.LINE_AA)
