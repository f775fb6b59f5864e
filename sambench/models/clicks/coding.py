"""Clicks as the networks take them: disks in a positive and a negative map (Sofiiuk et al., RITM, arXiv 2102.06583, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sambench.errors import ModelError
from sambench.types import BoolArray, FloatArray, Prompt, Window


@dataclass(frozen=True)
class Clicks:
    """The clicks on one object, in order. yx float64 [N, 2] pixels (row, column); positive bool [N].

    Coordinates may be fractional and lie outside the frame, as those of a crop do.
    """

    yx: npt.NDArray[np.float64]
    positive: BoolArray

    @classmethod
    def of(cls, prompt: Prompt, *, model: str) -> Clicks:
        """The prompt's points. Raises ModelError for a box, or no point at all."""
        if prompt.box_xyxy is not None or not len(prompt.labels):
            found = "no point" if prompt.box_xyxy is None else "a box"
            raise ModelError(
                f"{model} takes only clicks",
                expected="one point or more",
                found=found,
                remedy="use the point task: sambench run point",
            )
        return cls(np.asarray(prompt.points_xy, np.float64)[:, ::-1].copy(), np.asarray(prompt.labels) == 1)

    def __len__(self) -> int:
        return len(self.positive)

    def into(self, window: Window, size: tuple[int, int]) -> Clicks:
        """In the pixels of `window` resized to `size` (h, w). No half-pixel term: (y - y0) * h / height of the window."""
        height, width = window.y1 - window.y0, window.x1 - window.x0
        moved = np.array(size) * (self.yx - (window.y0, window.x0)) / (height, width)
        return Clicks(moved, self.positive)

    def scaled(self, size: tuple[int, int], to: tuple[int, int]) -> Clicks:
        """From a frame of `size` (h, w) to one of `to`."""
        return Clicks(self.yx * (to[0] / size[0], to[1] / size[1]), self.positive)

    def flipped(self, width: int) -> Clicks:
        """Left and right exchanged in a frame of that width."""
        return Clicks(np.stack([self.yx[:, 0], width - self.yx[:, 1] - 1], axis=1), self.positive)


def disk_maps(clicks: Sequence[Clicks], size: tuple[int, int], radius: int) -> FloatArray:
    """float32 [B, 2, h, w]: 1 within `radius` pixels of a positive (channel 0) or negative (channel 1) click, else 0.

    A click above and left of the frame, both coordinates negative, is taken for absent, as the authors' code does; others
    outside may still paint a part of their disk. Distances are in float32.
    """
    height, width = size
    out = np.zeros((len(clicks), 2, height, width), np.float32)
    for maps, one in zip(out, clicks, strict=True):
        for (y, x), positive in zip(one.yx.astype(np.float32), one.positive, strict=True):
            if max(y, x) < 0:
                continue
            y0, y1 = max(0, math.floor(y) - radius), min(height, math.floor(y) + radius + 2)
            x0, x1 = max(0, math.floor(x) - radius), min(width, math.floor(x) + radius + 2)
            if y0 >= y1 or x0 >= x1:
                continue
            dy, dx = np.arange(y0, y1, dtype=np.float32) - y, np.arange(x0, x1, dtype=np.float32) - x
            near = (dy * dy)[:, None] + (dx * dx)[None, :] <= radius * radius
            maps[0 if positive else 1, y0:y1, x0:x1][near] = 1
    return out
