"""Erosion by squares of stacks of masks, exact at every size (`sambench.pixels.erosion` on a device)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def eroded(masks: Tensor, by: int, already: int = 0) -> Tensor:
    """bool [n, h, w]: the pixels of masks, bool [n, h, w], whose chessboard distance to the outside is above `by`.

    Beyond the array is outside. A window of n pixels is made of two of n / 2. already: what is given has been eroded by that much.
    """
    more = by - already
    if more == 0:
        return masks
    if min(masks.shape[1:]) < 2 * by + 1:
        return torch.zeros_like(masks)
    for dim in (2, 1):
        done = 0
        while done < 2 * more:
            # What is eroded already says of a window of that side what a pixel says of itself.
            step = min(2 * already + 1 + done, 2 * more - done)
            length = masks.shape[dim]
            masks = masks.narrow(dim, 0, length - step) & masks.narrow(dim, step, length - step)
            done += step
    return F.pad(masks, (more, more, more, more))
