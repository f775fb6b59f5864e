"""Overlapping crops of an image, and masks that end where their crop does: geometry of automatic mask generation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

EDGE_PX = 20  # a box side as near to its crop's counts as touching it


class Crop(NamedTuple):
    """Columns x0..x1-1 and rows y0..y1-1 of the image. layer: 0 for the whole image."""

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0


class _Boxed(Protocol):
    @property
    def box_xyxy(self) -> tuple[int, int, int, int]: ...


def crops_of(height: int, width: int, layers: int, overlap: float) -> list[Crop]:
    """The whole image, then for each layer i its 2^i x 2^i crops, column by column.

    overlap: of neighbours in the first layer, as a share of the short side; half as much in each further one.
    """
    crops = [Crop(0, 0, width, height, 0)]
    for layer in range(1, layers + 1):
        a_side = 2**layer
        shared = int(overlap * min(height, width) * (2 / a_side))
        crop_w, crop_h = (math.ceil((shared * (a_side - 1) + side) / a_side) for side in (width, height))
        for i in range(a_side):
            x0 = int((crop_w - shared) * i)
            for j in range(a_side):
                y0 = int((crop_h - shared) * j)
                crops.append(Crop(x0, y0, min(x0 + crop_w, width), min(y0 + crop_h, height), layer))
    return crops


def touches_crop(box_xyxy: tuple[int, int, int, int], crop: Crop, height: int, width: int) -> bool:
    """Whether a box, in the image's pixels, ends at an inner border of its crop: within EDGE_PX of it, not of the image's own."""
    ends = zip(box_xyxy, crop[:4], (0, 0, width, height), strict=True)
    return any(abs(side - inner) <= EDGE_PX < abs(side - outer) for side, inner, outer in ends)


def boxes_of(found: Sequence[_Boxed]) -> npt.NDArray[Any]:
    """float32 [N, 4]."""
    return np.array([c.box_xyxy for c in found], np.float32).reshape(-1, 4)
