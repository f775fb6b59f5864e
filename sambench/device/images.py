"""Resizing and normalising for networks, without waiting for a GPU, and at its full speed where it computes deterministically."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sambench.device.copies import to_device


def bilinear(x: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """[B, C, h, w] -> [B, C, *size], size (height, width), as `torch.nn.functional.interpolate`, not antialiased; for inference.

    That function takes some thirty kernels and four copies of the result on a GPU where deterministic algorithms are asked for: its
    gradient has no deterministic form else. What is called here is the one kernel that it takes otherwise, which is deterministic.
    """
    out: Tensor = torch.ops.aten.upsample_bilinear2d(x, list(size), align_corners)
    return out


def normalised(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(pixels - mean) / std, channel by channel; pixels float32 [..., C, h, w]."""
    low, spread = (to_device(np.array(v, np.float32), pixels.device)[:, None, None] for v in (mean, std))
    return (pixels - low) / spread
