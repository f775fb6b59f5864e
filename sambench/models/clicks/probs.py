"""A map of foreground probabilities that is zero outside a window, and the mask that it stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sambench.device.images import bilinear
from sambench.pixels.region import Region, intersect
from sambench.pixels.region_masks import RegionMasks
from sambench.types import FloatArray, Window


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """[B, C, h, w] -> [B, C, *size], bilinear with corners aligned, as all click models resize. `x` itself if it has that size."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return bilinear(x, size, align_corners=True)


@dataclass(frozen=True, eq=False)
class ProbMap:
    """values float32 [h, w] in [0, 1] on `window` of an image of (height, width) pixels; zero elsewhere."""

    values: Tensor
    window: Window
    height: int
    width: int

    @classmethod
    def placed(cls, values: Tensor, target: Window | None, size: tuple[int, int]) -> ProbMap:
        """A network's answer [h, w], resized to the window `target` (None: the whole image) of an image of `size`."""
        window = target or Window(0, 0, *size)
        full = resize(values[None, None], (window.y1 - window.y0, window.x1 - window.x0))[0, 0]
        return cls(full, window, *size)

    @classmethod
    def of_region(cls, region: Region, device: torch.device) -> ProbMap:
        """1 on the region."""
        return cls(torch.from_numpy(region.array).to(device, torch.float32), region.window, region.height, region.width)

    def crop(self, window: Window | None = None) -> Tensor:
        """float32 [h, w] on `window` (None: the whole image); zeros where the map has none."""
        window = window or Window(0, 0, self.height, self.width)
        if window == self.window:
            return self.values
        out = self.values.new_zeros(window.y1 - window.y0, window.x1 - window.x0)
        both = intersect(self.window, window)
        if both is not None:
            y0, x0, y1, x1 = both
            own = self.values[y0 - self.window.y0 : y1 - self.window.y0, x0 - self.window.x0 : x1 - self.window.x0]
            out[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0] = own
        return out

    def above(self, cut: float) -> Region:
        """The pixels whose probability is greater than `cut` (which is not negative)."""
        return regions_above([(self, cut)])[0]


def regions_above(asked: Sequence[tuple[ProbMap, float]]) -> list[Region]:
    """As `ProbMap.above` for each, at least one; from a GPU all come in one copy, for which is waited once."""
    masks = [probs.values > cut for probs, cut in asked]
    flat = masks[0].flatten() if len(masks) == 1 else torch.cat([m.flatten() for m in masks])
    ends = np.cumsum([m.numel() for m in masks])
    arrays = [f.reshape(m.shape) for f, m in zip(np.split(flat.cpu().numpy(), ends[:-1]), masks, strict=True)]
    return [
        Region.from_window(array, probs.window.y0, probs.window.x0, probs.height, probs.width)
        for array, (probs, _) in zip(arrays, asked, strict=True)
    ]


class ProbMasks(RegionMasks):
    """The one candidate of a click model: the pixels of a :class:`ProbMap` above `cut`, with its probabilities."""

    def __init__(self, probs: ProbMap, cut: float, region: Region) -> None:
        """region: the mask: `probs` above `cut`, or another that is made of it."""
        self._map, self._cut = probs, cut
        super().__init__([region], probs.height, probs.width)

    def area(self, threshold: float = 0.0) -> npt.NDArray[np.int64]:
        """int64 [1], pixels whose logit exceeds that of `cut` by more than `threshold`."""
        if threshold == 0:
            return super().area()
        odds = math.exp(threshold) * self._cut / (1 - self._cut)
        return np.array([int((self._map.values > odds / (1 + odds)).sum())], np.int64)

    def prob(self, i: int, window: Window | None = None) -> FloatArray:
        """float32 foreground probability on `window` (default: the whole frame)."""
        values: np.ndarray[Any, np.dtype[np.float32]] = self._map.crop(window).float().cpu().numpy()
        return values
