"""Erosion by squares of stacks of masks, exact at every size (`sambench.pixels.erosion` on a device)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def eroded(masks: Tensor, by: int) -> Tensor:
    """bool [n, h, w]: the pixels of `masks`, bool [n, h, w], whose chessboard distance to the outside is above `by`.

    Beyond the array is outside. A window of n pixels is made of two of n / 2.
    """
    if by == 0:
        return masks
    side = 2 * by + 1
    if min(masks.shape[1:]) < side:
        return torch.zeros_like(masks)
    for dim in (2, 1):
        done = 1
        while done < side:
            step = min(done, side - done)
            length = masks.shape[dim]
            masks = masks.narrow(dim, 0, length - step) & masks.narrow(dim, step, length - step)
            done += step
    return F.pad(masks, (by, by, by, by))
