"""The deepest pixels of a stack of masks: the maxima of exact Euclidean distance transforms, as `sambench.pixels.depth` finds them.

Squared distances are integers, and nothing is rounded. No transform is made: u, the smaller of a pixel's distances to the outside
along its row and its column, bounds its depth from above; the depth of one pixel of a mask bounds the mask's deepest from below;
and only pixels whose u reaches that can be the deepest. Those are few, and the depth of each is the least g(x')^2 + (x - x')^2 over
the columns x' of its row, where g is the distance to the outside along a column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sambench.pixels.depth import Deepest

_MOST_LOOKUPS = 1 << 25  # at once


def deepest_of(masks: Tensor, excluded: tuple[Sequence[int], Sequence[int], Sequence[int]] = ((), (), ())) -> list[Deepest | None]:
    """For each mask of bool [n, h, w] the pixel farthest from all pixels outside it, the first in row-major order of equals.

    excluded: pixels (which mask, y, x) that can't be chosen; they remain part of their mask. Pixels beyond the array are outside,
    and given ones there are passed over. None for a mask of which no pixel is left.
    """
    n, _height, width = masks.shape
    if not masks.numel():
        return [None] * n
    down = _along(masks, 1)
    bound = torch.minimum(down, _along(masks, 2))
    _close(bound, excluded)
    flat = bound.view(n, -1)
    top, at = flat.max(dim=1)
    lowest = _depth_at(down, torch.arange(n, device=masks.device), at // width, at % width, width)
    # The least integer whose square is `lowest` or more; float64 holds every square of a picture's side.
    root = lowest.double().sqrt().floor().long()
    root += (root * root < lowest).long()
    candidate = (flat >= torch.clamp(root, min=1)[:, None]).nonzero()
    if not len(candidate):
        return [None] * n
    which, place = candidate[:, 0], candidate[:, 1]
    reach = int(top.max())
    depth = _depth_at(down, which, place // width, place % width, reach)
    return _first_of_best(n, width, *(t.cpu().numpy() for t in (which, place, depth)))


def _along(masks: Tensor, dim: int) -> Tensor:
    """int32 [n, h, w]: each pixel's distance to the nearest one outside the mask along one axis; 0 outside."""
    length = masks.shape[dim]
    shape = [1, 1, 1]
    shape[dim] = length
    place = torch.arange(1, length + 1, dtype=torch.int32, device=masks.device).view(shape)
    before = place - torch.where(masks, 0, place).cummax(dim=dim).values
    back = place.flip(dim)
    after = back - torch.where(masks, 0, back).flip(dim).cummax(dim=dim).values.flip(dim)
    return torch.minimum(before, after)


def _close(bound: Tensor, excluded: tuple[Sequence[int], Sequence[int], Sequence[int]]) -> None:
    which, y, x = (np.asarray(v, np.int64) for v in excluded)
    inside = (y >= 0) & (y < bound.shape[1]) & (x >= 0) & (x < bound.shape[2])
    if inside.any():
        index = torch.from_numpy(np.stack([v[inside] for v in (which, y, x)])).to(bound.device)
        bound[index[0], index[1], index[2]] = 0


def _depth_at(down: Tensor, which: Tensor, y: Tensor, x: Tensor, reach: int) -> Tensor:
    """int64 [m]: the squared depth of pixels. down: `_along` columns. reach: no pixel's u is greater."""
    _n, height, width = down.shape
    padded = F.pad(down, (1, 1)).view(-1)  # what lies beyond the array is outside
    base = (which * height + y) * (width + 2)
    reach = min(reach, width)
    offset = torch.arange(-reach, reach + 1, device=down.device)
    step = max(1, _MOST_LOOKUPS // len(offset))
    parts = []
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        # Farther out than the border the border's distance is overstated, and the border itself is there as well.
        column = (x[part, None] + 1 + offset).clamp_(0, width + 1)
        across = padded[base[part, None] + column].long()
        parts.append((across * across + offset * offset).min(dim=1).values)
    return torch.cat(parts)


def _first_of_best(
    n: int, width: int, which: npt.NDArray[np.int64], place: npt.NDArray[np.int64], depth: npt.NDArray[np.int64]
) -> list[Deepest | None]:
    """which, place (row-major), depth [m], by mask and place ascending."""
    out: list[Deepest | None] = [None] * n
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(which)], strict=True):
        best = start + int(depth[start:stop].argmax())
        y, x = divmod(int(place[best]), width)
        out[int(which[start])] = Deepest(int(depth[best]), y, x)
    return out
