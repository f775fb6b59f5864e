"""What the parts of `sam_nano` share: an image's side of the decoder, and changes of resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from sambench.models.sam.mask_decoder import DecoderInput


@dataclass(frozen=True)
class NanoInput(DecoderInput):
    """B images' side of the decoder (B = 1 in use, more in training).

    fine8 [B, 32, 2h, 2w] and fine4 [B, 16, 4h, 4w]: the encoder's maps at strides 8 and 4. colours [B, 3, 4h, 4w]: the picture
    itself, in units of its own spread; smooth: the same, averaged over 3 x 3 cells.
    """

    fine8: Tensor
    fine4: Tensor
    colours: Tensor
    smooth: Tensor


def twice(x: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, C, 2h, 2w], every value four times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def halved(x: Tensor) -> Tensor:
    """[B, C, 2h, 2w] -> [B, C, h, w], means of 2 x 2 cells."""
    rows = x[..., ::2, :] + x[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25
