"""COCO RLE of stacks of masks: where they change is found on the device, and written down on the host."""

from __future__ import annotations

import itertools

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from sambench.device.windows import Stack
from sambench.pixels.region import counts_of_changes


def rle_counts(masks: Tensor, stack: Stack, size: tuple[int, int]) -> list[bytes]:
    """COCO's compressed counts of bool [n, h, w] on a stack's windows, of an image of (height, width); as `Region.rle` has them."""
    tall = masks if stack.height == size[0] else F.pad(masks, (0, 0, 0, 1))  # a row of zeros parts the columns
    n, height = len(tall), tall.shape[1]
    if not n:
        return []
    flat = F.pad(tall.transpose(1, 2).reshape(n, -1), (1, 1))
    changes = (flat[:, 1:] != flat[:, :-1]).nonzero()
    owner, at = changes.cpu().numpy().T
    column, row = np.divmod(at, height)
    place = (column + stack.x0[owner]) * size[0] + row + stack.y0[owner]
    ends = np.searchsorted(owner, np.arange(n + 1))
    return [counts_of_changes(place[a:b], *size) for a, b in itertools.pairwise(ends)]
