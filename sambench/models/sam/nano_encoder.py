"""The image encoder of `sam_nano`: a small convolutional pyramid with a little attention at its top.

Strides 2, 4, 8, 16 and 32 on the way up, and back down to 4. What the decoder needs at strides 16, 8 and 4 leaves as one map
at stride 16, the finer ones folded into channels, so that an embedding stays one tensor, as in the bigger models.
There is no position embedding: any input size that is a multiple of 32 will do.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.layers import LayerNorm2d, MLPBlock


class NanoEncoder(nn.Module):
    """[B, 3, H, W] normalised -> [B, out_chans + 4 * fine_chans[0] + 16 * (fine_chans[1] + 3), H / 16, W / 16].

    widths: channels at strides 2, 4, 8, 16 and 32. fine_chans: channels handed to the decoder at strides 8 and 4.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int, int] = (16, 32, 64, 128, 192),
        blocks: tuple[int, int, int, int] = (1, 2, 3, 2),
        attention_depth: int = 2,
        out_chans: int = 128,
        fine_chans: tuple[int, int] = (32, 16),
    ) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = widths
        self.stem = nn.Sequential(nn.Conv2d(3, w2, 3, stride=2, padding=1), LayerNorm2d(w2), nn.ReLU())
        self.up4 = _stage(w2, w4, blocks[0])
        self.up8 = _stage(w4, w8, blocks[1])
        self.up16 = _stage(w8, w16, blocks[2])
        self.up32 = _stage(w16, w32, blocks[3])
        self.attention = nn.ModuleList(AttentionBlock(w32) for _ in range(attention_depth))
        self.down16 = nn.Conv2d(w32, w16, 1)
        self.merge16 = ConvBlock(w16)
        self.down8 = nn.Conv2d(w16, w8, 1)
        self.merge8 = ConvBlock(w8)
        self.down4 = nn.Conv2d(w8, w4, 1)
        self.merge4 = ConvBlock(w4)
        self.out16 = nn.Sequential(nn.Conv2d(w16, out_chans, 1), LayerNorm2d(out_chans))
        self.out8 = nn.Sequential(nn.Conv2d(w8, fine_chans[0], 1), LayerNorm2d(fine_chans[0]))
        self.out4 = nn.Sequential(nn.Conv2d(w4, fine_chans[1], 1), LayerNorm2d(fine_chans[1]))

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, 3, H, W] -> maps at strides 16, 8 and 4, channels last in memory."""
        x4 = self.up4(self.stem(x.contiguous(memory_format=torch.channels_last)))
        x8 = self.up8(x4)
        x16 = self.up16(x8)
        top = self.up32(x16)
        for block in self.attention:
            top = block(top)
        x16 = self.merge16(x16 + _twice(self.down16(top)))
        x8 = self.merge8(x8 + _twice(self.down8(x16)))
        x4 = self.merge4(x4 + _twice(self.down4(x8)))
        return self.out16(x16), self.out8(x8), self.out4(x4)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x16, x8, x4 = self.pyramid(x)
        colours = plain_colours(x)
        return torch.cat((x16, F.pixel_unshuffle(x8, 2), F.pixel_unshuffle(x4, 4), F.pixel_unshuffle(colours, 4)), dim=1)


def plain_colours(x: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 3, H / 4, W / 4] in units of the picture's own spread, of which a dim one has as much as a bright."""
    out = F.avg_pool2d(x, 4)
    return out / (out.std(dim=(1, 2, 3), keepdim=True) + 0.02)


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions with a norm and an activation between them, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        out: Tensor = x + self.conv2(F.relu(self.conv1(self.norm(x))))
        return out


class AttentionBlock(nn.Module):
    """Pre-norm transformer block over all positions; the convolutions before it say where they are."""

    def __init__(self, width: int, *, head_dim: int = 32) -> None:
        super().__init__()
        self.heads = width // head_dim
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLPBlock(embedding_dim=width, mlp_dim=3 * width, activation=nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        b, c, h, w = x.shape
        t = x.permute(0, 2, 3, 1).reshape(b, h * w, c)
        q, k, v = self.qkv(self.norm1(t)).view(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        t = t + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c))
        t = t + self.mlp(self.norm2(t))
        out: Tensor = t.view(b, h, w, c).permute(0, 3, 1, 2)
        return out


def _stage(before: int, after: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), *(ConvBlock(after) for _ in range(blocks)))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
