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

from sambench.device.copies import to_device
from sambench.pixels.depth import Deepest

_MOST_LOOKUPS = 1 << 25  # at once
_MOST_PIXELS = 1 << 24  # at once, of more than one mask: some forty bytes each are held meanwhile

Pixels = tuple[Sequence[int], Sequence[int], Sequence[int]]


def deepest_of(masks: Tensor, excluded: Pixels = ((), (), ())) -> list[Deepest | None]:
    """For each mask of bool [n, h, w] the pixel farthest from all pixels outside it, the first in row-major order of equals.

    excluded: pixels (which mask, y, x) that can't be chosen; they remain part of their mask. Pixels beyond the array are outside,
    and given ones there are passed over. None for a mask of which no pixel is left.
    """
    step = max(1, _MOST_PIXELS // max(1, masks[:1].numel()))
    out: list[Deepest | None] = []
    for start in range(0, len(masks), step):
        here = [(k - start, y, x) for k, y, x in zip(*excluded, strict=True) if start <= k < start + step]
        out += _deepest(masks[start : start + step], [list(v) for v in zip(*here, strict=True)] if here else ((), (), ()))
    return out


def _deepest(masks: Tensor, excluded: Sequence[Sequence[int]]) -> list[Deepest | None]:
    n, _height, width = masks.shape
    if not masks.numel():
        return [None] * n
    outside = ~masks
    down = _along(outside, 1)
    bound = torch.minimum(down, _along(outside, 2))
    _close(bound, excluded)
    flat = bound.view(n, -1)
    padded = F.pad(down, (1, 1)).view(-1)  # what lies beyond the array is outside
    top, at = flat.max(dim=1)
    lowest = _depth_at(padded, torch.arange(0, n * flat.shape[1], flat.shape[1], device=masks.device) + at, width, width)
    candidate = (flat * flat >= lowest.clamp_(min=1)[:, None]).flatten().nonzero()[:, 0]
    if not len(candidate):
        return [None] * n
    depth = _depth_at(padded, candidate, width, int(top.max()))
    place, depths = torch.stack([candidate, depth]).cpu().numpy()
    which, place = np.divmod(place, flat.shape[1])
    return _first_of_best(n, width, which, place, depths)


def _along(outside: Tensor, dim: int) -> Tensor:
    """int32 [n, h, w]: each pixel's distance to the nearest one outside along one axis; 0 outside. outside: bool [n, h, w]."""
    n, length = len(outside), outside.shape[dim]
    shape = [1, 1, 1]
    shape[dim] = length
    place = torch.arange(1, length + 1, dtype=torch.int32, device=outside.device).view(shape)
    both = torch.cat([outside, outside.flip(dim)])
    since = place - (both * place).cummax(dim=dim).values
    return torch.minimum(since[:n], since[n:].flip(dim))


def _close(bound: Tensor, excluded: Sequence[Sequence[int]]) -> None:
    which, y, x = (np.asarray(v, np.int64) for v in excluded)
    inside = (y >= 0) & (y < bound.shape[1]) & (x >= 0) & (x < bound.shape[2])
    if inside.any():
        place = np.ravel_multi_index((which[inside], y[inside], x[inside]), tuple(bound.shape))
        bound.view(-1).index_fill_(0, to_device(place, bound.device), 0)


def _depth_at(padded: Tensor, places: Tensor, width: int, reach: int) -> Tensor:
    """int32 [m]: the squared depth of pixels, by their places int64 [m] in all masks. reach: no pixel's u is greater.

    padded: `_along` columns, flat, with a zero before and after each row.
    """
    reach = min(reach, width)
    across = torch.arange(-reach, reach + 1, dtype=torch.int32, device=padded.device)
    x = places % width
    row = places + 2 * torch.div(places, width, rounding_mode="floor") - x
    squares, step = across * across, max(1, _MOST_LOOKUPS // len(across))
    parts = []
    for start in range(0, len(places), step):
        part = slice(start, start + step)
        # Farther out than the border the border's distance is overstated, and the border itself is there as well.
        column = (x[part, None] + 1 + across).clamp_(0, width + 1)
        down = padded[column.add_(row[part, None])]
        parts.append((down * down + squares).amin(dim=1))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


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
