"""Many candidate masks of one image at once, each brought to the window of the image that matters, on the device.

Masks of about one size lie in one stack of windows [n, h, w]; several stacks are less work than one as large as the largest mask.
A stack's windows are moved so that they lie in the image. The values are those of `LogitMasks`, up to the order of float32 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sambench.device.masks import TensorMasks
from sambench.pixels.interpolation import Axis, Geometry

_WASTE = {"cpu": 1 << 15}  # pixels that a further stack costs, about, in launches
_WASTE_ON_GPU = 1 << 20
MOST_PIXELS = 1 << 25  # of a stack; one mask alone may have more


@dataclass(frozen=True)
class Stack:
    """Windows of one size. members: which of all masks, int64 [n] on the host. y0, x0: int64 [n], on the device, likewise."""

    members: npt.NDArray[np.int64]
    y0: Tensor
    x0: Tensor
    height: int
    width: int

    def rows(self) -> Tensor:
        """int64 [n, h], rows of the image."""
        return self.y0[:, None] + torch.arange(self.height, device=self.y0.device)

    def columns(self) -> Tensor:
        """int64 [n, w], columns of the image."""
        return self.x0[:, None] + torch.arange(self.width, device=self.x0.device)


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
        corner = np.minimum(windows[held, :2], (size[0] - height, size[1] - width))
        y0, x0 = torch.from_numpy(np.ascontiguousarray(corner.T)).to(device)
        out.append(Stack(held, y0, x0, height, width))
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
    index = [start[id(m.batch)] + m.index * len(m) + i for m, i in asked]
    whole = flat[0] if len(flat) == 1 else torch.cat(flat)
    return whole[torch.tensor(index, device=whole.device)]


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
    device = low.device
    rows_at, rows_by = _band(geometry.axis(0), device)
    cols_at, cols_by = _band(geometry.axis(1), device)
    rows, cols = stack.rows(), stack.columns()
    y_at, y_by, x_at, x_by = rows_at[rows], rows_by[rows], cols_at[cols], cols_by[cols]  # [n, h or w, band]
    # Of the low-resolution rows only those that the windows see, as many for all.
    top = y_at[:, 0, 0]
    n_rows = min(_span(geometry.axis(0), stack.height), low.shape[1])
    top = torch.clamp(top, max=low.shape[1] - n_rows)
    members = torch.from_numpy(stack.members).to(device)
    seen = low[members[:, None], top[:, None] + torch.arange(n_rows, device=device)]  # [n, rows, w low]
    wide = _weighted(seen, 2, x_at, x_by)
    return _weighted(wide, 1, y_at - top[:, None, None], y_by)


def _weighted(values: Tensor, dim: int, at: Tensor, by: Tensor) -> Tensor:
    """values [n, r, c], sums along `dim` (1 or 2) of the places at [n, k, band], weighed; -> [n, k, c] or [n, r, k]."""
    out: Tensor | None = None
    for j in range(at.shape[2]):
        if dim == 2:
            place, weight = at[:, None, :, j].expand(-1, values.shape[1], -1), by[:, None, :, j]
        else:
            place, weight = at[:, :, None, j].expand(-1, -1, values.shape[2]), by[:, :, None, j]
        part = values.gather(dim, place) * weight
        out = part if out is None else out.add_(part)
    assert out is not None
    return out


def _span(axis: Axis, outputs: int) -> int:
    """The most inputs that `outputs` neighbouring outputs see, with those of weight 0 in their bands."""
    last = np.minimum(np.arange(len(axis.hi)) + outputs, len(axis.hi)) - 1
    return int((axis.hi[last] - axis.lo).max() + (axis.hi - axis.lo).max())


@lru_cache(maxsize=32)
def _band(axis: Axis, device: torch.device) -> tuple[Tensor, Tensor]:
    index, weight = axis.band()
    return torch.from_numpy(index).to(device), torch.from_numpy(weight).to(device)
