"""Many candidate masks of one image at once, each brought to the window of the image that matters, on the device.

Masks of about one size lie in one stack of windows [n, h, w]; several stacks are less work than one as large as the largest mask.
A stack's windows are moved so that they lie in the image. The values are those of `LogitMasks`, up to the order of float32 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sambench.device.copies import to_device
from sambench.device.masks import TensorMasks
from sambench.pixels.interpolation import Axis, Geometry

_WASTE = {"cpu": 1 << 15}  # pixels that a further stack costs, about, in launches
_WASTE_ON_GPU = 1 << 20
MOST_PIXELS = 1 << 25  # of a stack; one mask alone may have more
_MOST_TAPS = 1 << 26  # weighed values at once


@dataclass(frozen=True, eq=False)
class Stack:
    """Windows of one size. members: which of all masks; y0, x0: their corners; int64 [n] on the host. device: where masks lie."""

    members: npt.NDArray[np.int64]
    y0: npt.NDArray[np.int64]
    x0: npt.NDArray[np.int64]
    height: int
    width: int
    device: torch.device

    def only(self, which: npt.NDArray[np.int64]) -> Stack:
        """Windows number `which` alone."""
        return replace(self, members=self.members[which], y0=self.y0[which], x0=self.x0[which])

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """int64 [n, h], rows of the image."""
        return self.y0[:, None] + np.arange(self.height)

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """int64 [n, w], columns of the image."""
        return self.x0[:, None] + np.arange(self.width)

    @cached_property
    def places(self) -> tuple[Tensor, Tensor]:
        """Rows [n, h] and columns [n, w] on the device."""
        there = to_device(np.concatenate([self.rows, self.columns], axis=1), self.device)
        return there[:, : self.height], there[:, self.height :]


def stacks(windows: npt.NDArray[np.int64], size: tuple[int, int], device: torch.device) -> list[Stack]:
    """Windows int64 [N, 4] (y0, x0, y1, x1) of an image of (height, width), in stacks; empty ones are in none."""
    sides = windows[:, 2:] - windows[:, :2]
    pixels = sides.prod(axis=1)
    order = np.argsort(-pixels, kind="stable")
    waste = _WASTE.get(device.type, _WASTE_ON_GPU)
    out = []
    for members in _groups(sides[order[: np.count_nonzero(pixels)]].tolist(), waste):
        held = order[members]
        height, width = (int(v) for v in sides[held].max(axis=0))
        y0, x0 = np.minimum(windows[held, :2], (size[0] - height, size[1] - width)).T
        out.append(Stack(held, y0, x0, height, width, device))
    return out


@dataclass
class _Group:
    height: int
    width: int
    pixels: int  # of the windows themselves
    members: list[int]

    def takes(self, height: int, width: int, waste: int) -> bool:
        """Add a window, if padding then costs no more than the windows themselves, or than another stack; whether it did."""
        tall, wide, pixels = max(self.height, height), max(self.width, width), self.pixels + height * width
        whole = tall * wide * (len(self.members) + 1)
        if whole > MOST_PIXELS or whole - pixels > max(waste, pixels):
            return False
        self.height, self.width, self.pixels = tall, wide, pixels
        return True


def _groups(sides: Sequence[tuple[int, int]], waste: int) -> list[list[int]]:
    """Which windows, (height, width) of falling size, lie together: each in the first group that takes it."""
    groups: list[_Group] = []
    for k, (height, width) in enumerate(sides):
        group = next((g for g in groups if g.takes(height, width, waste)), None)
        if group is None:
            groups.append(_Group(height, width, height * width, [k]))
        else:
            group.members.append(k)
    return [g.members for g in groups]


def low_res_of(asked: Sequence[tuple[TensorMasks, int]]) -> Tensor:
    """The logits float32 [N, h, w] of candidates of one image, by (masks, candidate), in order."""
    batches = list({id(m.batch): m.batch for m, _ in asked}.values())
    first = np.cumsum([0, *(b.logits.shape[0] * b.logits.shape[1] for b in batches)])
    start = {id(b): int(n) for b, n in zip(batches, first[:-1], strict=True)}
    flat = [b.logits.flatten(0, 1) for b in batches]
    index = np.array([start[id(m.batch)] + m.index * len(m) + i for m, i in asked], np.int64)
    whole = flat[0] if len(flat) == 1 else torch.cat(flat)
    if np.array_equal(index, np.arange(len(whole))):
        return whole
    return whole[to_device(index, whole.device)]


def windows_above(low: Tensor, geometry: Geometry, threshold: float) -> npt.NDArray[np.int64]:
    """int64 [N, 4] (y0, x0, y1, x1): where maps float32 [N, h, w] can be above the threshold on the image; zeros: nowhere.

    A weighted mean of values that are not above it is not either: only outputs that see one that is matter.
    """
    above = low > threshold
    rows, cols = above.any(dim=2), above.any(dim=1)
    both = torch.cat([rows, cols], dim=1).cpu().numpy()
    out = np.zeros((len(low), 4), np.int64)
    for i, seen in enumerate((both[:, : low.shape[1]], both[:, low.shape[1] :])):
        first, last = seen.argmax(axis=1), seen.shape[1] - seen[:, ::-1].argmax(axis=1)
        axis = geometry.axis(i)
        out[:, i] = np.searchsorted(axis.hi, first, side="right")
        out[:, 2 + i] = np.searchsorted(axis.lo, last, side="left")
    nowhere = ~both.any(axis=1) | (out[:, 0] >= out[:, 2]) | (out[:, 1] >= out[:, 3])
    out[nowhere] = 0
    return out


def logits_on(low: Tensor, stack: Stack, geometry: Geometry) -> Tensor:
    """Interpolated logits float32 [n, h, w] on a stack's windows; low float32 [N, h, w], of all masks."""
    down, across = geometry.axis(0), geometry.axis(1)
    rows_at, rows_by = _band(down, low.device)
    cols_at, cols_by = _band(across, low.device)
    rows, cols = stack.places
    # Of the low-resolution rows only those that the windows see, as many for all.
    n_rows = min(_span(down, stack.height), low.shape[1])
    top = np.minimum(down.lo[stack.y0], low.shape[1] - n_rows)
    seen = to_device(np.concatenate([stack.members[:, None], top[:, None] + np.arange(n_rows)], axis=1), low.device)
    wide = _weighted(low[seen[:, :1], seen[:, 1:]], 2, cols_at[cols], cols_by[cols])
    return _weighted(wide, 1, rows_at[rows] - seen[:, 1:2, None], rows_by[rows])


def _weighted(values: Tensor, dim: int, at: Tensor, by: Tensor) -> Tensor:
    """values [n, r, c], sums along `dim` (1 or 2) of the places at [n, k, band], weighed; -> [n, k, c] or [n, r, k]."""
    n, r, c = values.shape
    k, band = at.shape[1:]
    out = values.new_empty((n, r, k) if dim == 2 else (n, k, c))
    step = max(1, _MOST_TAPS // (out[0].numel() * band))
    for start in range(0, n, step):
        part = slice(start, start + step)
        if dim == 2:
            taps = values[part].gather(2, at[part].flatten(1)[:, None].expand(-1, r, -1)).view(-1, r, k, band)
            torch.sum(taps.mul_(by[part, None]), dim=3, out=out[part])
        else:
            taps = values[part].gather(1, at[part].flatten(1)[..., None].expand(-1, -1, c)).view(-1, k, band, c)
            torch.sum(taps.mul_(by[part, ..., None]), dim=2, out=out[part])
    return out


def _span(axis: Axis, outputs: int) -> int:
    """The most inputs that `outputs` neighbouring outputs see, with those of weight 0 in their bands."""
    last = np.minimum(np.arange(len(axis.hi)) + outputs, len(axis.hi)) - 1
    return int((axis.hi[last] - axis.lo).max() + (axis.hi - axis.lo).max())


@lru_cache(maxsize=32)
def _band(axis: Axis, device: torch.device) -> tuple[Tensor, Tensor]:
    index, weight = axis.band()
    return to_device(index, device), to_device(weight, device)
