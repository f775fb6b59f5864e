"""A candidate mask between its prediction and suppression: what it depends on, and no more.

Held are low-resolution logits, cut to the window that decides about the mask and its stability; models without logits give masks,
held as RLE. A grid of 64 x 64 points has 12,288 candidates: 3 GB of SAM's logits, a few hundred MB of these.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import cv2
import numpy as np

from sambench.errors import ModelError
from sambench.pixels.candidates import LogitMasks
from sambench.pixels.interpolation import Geometry
from sambench.pixels.region import RLE, Region
from sambench.types import FloatArray, Masks, Window


class Measured(NamedTuple):
    """region: the mask. stability: IoU of the masks at logits of plus and minus the offset.

    NaN where both are empty, None where it was not asked for.
    """

    region: Region
    stability: float | None


def hold(masks: Masks, i: int, offset: float) -> Held:
    """Candidate i of a prompt. offset: the logit at which, and at minus which, masks are compared for stability."""
    return HeldLogits(masks, i, offset) if isinstance(masks, LogitMasks) else HeldMask(masks, i, offset)


class HeldLogits:
    """Low-resolution logits of one mask, where they or their neighbours are above minus the offset."""

    def __init__(self, masks: LogitMasks, i: int, offset: float) -> None:
        self.geometry: Geometry = masks.geometry
        self.offset = offset
        low = masks.low_res[i]
        x, y, w, h = cv2.boundingRect((low > -offset).view(np.uint8))
        rows, cols = self.geometry.axis(0), self.geometry.axis(1)
        y0, y1 = rows.reached(y, y + h)
        x0, x1 = cols.reached(x, x + w)
        self.window: Window | None = None
        if w and y0 < y1 and x0 < x1:  # else nothing of it lies on the image
            # Outputs beyond the window see no logit above minus the offset, and are not above it either.
            self.window = Window(y0, x0, y1, x1)
            (self.top, bottom), (self.left, right) = rows.support(y0, y1), cols.support(x0, x1)
            self.low: FloatArray = low[self.top : bottom, self.left : right].copy()

    def _masks(self) -> LogitMasks:
        # At full size again, so that every interpolated value is that of the whole map, bit for bit.
        low = np.full(self.geometry.low, -self.offset - 1, np.float32)
        if self.window:
            low[self.top : self.top + self.low.shape[0], self.left : self.left + self.low.shape[1]] = self.low
        return LogitMasks(low[None], self.geometry)

    def box_xyxy(self) -> tuple[int, int, int, int]:
        """Inclusive pixels; zeros where empty."""
        x0, y0, x1, y1 = (int(v) for v in self._masks().box()[0])
        return (x0, y0, x1, y1)

    def measure(self, *, with_stability: bool) -> Measured:
        """Interpolates once."""
        height, width = self.geometry.size
        if self.window is None:
            empty = Region(0, 0, np.zeros((0, 0), np.bool_), height, width)
            return Measured(empty, float("nan") if with_stability else None)
        if not with_stability:
            return Measured(self._masks().region(0), None)
        logits = self._masks().logits(0, self.window)
        inner, outer = (np.count_nonzero(logits > edge) for edge in (self.offset, -self.offset))
        stability = float(np.float32(inner) / np.float32(outer)) if outer else float("nan")
        return Measured(Region.from_window(logits > 0, self.window.y0, self.window.x0, height, width), stability)


class HeldMask:
    """A mask of a model that gives no logits to interpolate."""

    def __init__(self, masks: Masks, i: int, offset: float) -> None:
        region = masks.region(i)
        self.box = region.box_xyxy
        self.rle: RLE = region.rle()
        self.stability: float | None = None
        with suppress(ModelError):  # masks without logits have none
            inner, outer = (float(masks.area(edge)[i]) for edge in (offset, -offset))
            self.stability = inner / outer if outer else float("nan")

    def box_xyxy(self) -> tuple[int, int, int, int]:
        """Inclusive pixels; zeros where empty."""
        return self.box

    def measure(self, *, with_stability: bool) -> Measured:
        """Raises ModelError where stability is asked for and the model has no logits."""
        if with_stability and self.stability is None:
            raise _no_logits()
        return Measured(Region.from_rle(self.rle), self.stability if with_stability else None)


Held = HeldLogits | HeldMask


def check_logits(masks: Masks) -> None:
    """Raise ModelError where masks have no logits to measure stability by."""
    try:
        masks.area(1.0)
    except ModelError as e:
        raise _no_logits() from e


def _no_logits() -> ModelError:
    return ModelError(
        "stability is the model's logits' to tell, and this model gives masks without them",
        expected="a model that returns logits (sambench.pixels.candidates.LogitMasks)",
        found="boolean masks",
        remedy="leave it out: --stability 0, and for `sambench run proposals` --rank iou",
    )
