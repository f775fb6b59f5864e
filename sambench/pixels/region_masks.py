"""Candidate masks kept as tight windows: for models whose masks are small beside the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.errors import ModelError
from sambench.pixels.region import Region
from sambench.types import BoolArray, FloatArray, Window


class RegionMasks:
    """The `Masks` of C regions of one image of (height, width) pixels; no frame is made unless `array` or `prob` asks
    for it.

    Probabilities are 0 and 1. Raises ValueError if a region is of another image size.
    """

    def __init__(self, regions: Sequence[Region], height: int, width: int) -> None:
        for i, r in enumerate(regions):
            if (r.height, r.width) != (height, width):
                raise ValueError(f"candidate {i} is of {r.height} x {r.width} pixels, the image of {height} x {width}")
        self.height = height
        self.width = width
        self._regions = tuple(regions)

    def __len__(self) -> int:
        return len(self._regions)

    def region(self, i: int) -> Region:
        return self._regions[i]

    def area(self, threshold: float = 0.0) -> npt.NDArray[np.int64]:
        """int64 [C] pixels. There are no logits: threshold must be 0, or ModelError is raised."""
        if threshold != 0:
            raise ModelError(
                "these masks have no logits to threshold",
                expected="a model that returns logits, or threshold 0",
                found=f"regions and threshold {threshold}",
            )
        return np.array([r.area for r in self._regions], np.int64)

    def box(self) -> npt.NDArray[np.int64]:
        """int64 [C, 4], xyxy inclusive; zeros where empty."""
        return np.array([r.box_xyxy for r in self._regions], np.int64).reshape(-1, 4)

    def iou(self, target: Region, ignore: Region | None = None) -> npt.NDArray[np.float64]:
        """float64 [C], in [0, 1]; 0 where the candidate is empty."""
        return np.array([r.iou(target, ignore) for r in self._regions], np.float64)

    def rle(self, i: int) -> dict[str, Any]:
        return self._regions[i].rle()

    def array(self, i: int) -> BoolArray:
        return self._regions[i].full()

    def prob(self, i: int, window: Window | None = None) -> FloatArray:
        whole = Window(0, 0, self.height, self.width)
        return self._regions[i].cut(window if window is not None else whole).astype(np.float32)
