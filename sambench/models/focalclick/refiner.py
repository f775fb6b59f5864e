"""FocalClick's refiner: a small network on the focus crop that mixes new detail into the coarse logits (section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sambench.models.clicks.probs import resize

WIDTH = 32


class CoarseOutput(NamedTuple):
    """logits [B, 1, h, w] and features [B, C, h, w] of the coarse network, at a quarter of its input's size."""

    logits: Tensor
    features: Tensor


class RefinedOutput(NamedTuple):
    """All logits, [B, 1, 256, 256]: the refined ones, those of the trimap that mixes, and the coarse ones in the crop."""

    logits: Tensor
    trimap: Tensor
    coarse: Tensor


class Refiner(nn.Module):
    """gate: the module has the unused `feature_gate` of the SegFormer variants' checkpoints."""

    def __init__(self, feature_width: int, *, gate: bool) -> None:
        super().__init__()
        self.image_conv1 = ConvNorm(6, WIDTH, 3, stride=2)
        self.image_conv2 = SeparableConv(WIDTH)
        self.image_conv3 = SeparableConv(WIDTH)
        self.refine_fusion = ConvNorm(feature_width, WIDTH, 1)
        self.refine_fusion2 = SeparableConv(WIDTH)
        self.refine_fusion3 = SeparableConv(WIDTH)
        if gate:
            self.feature_gate = nn.Sequential(nn.Conv2d(WIDTH, 1, 1), nn.Sigmoid())
        self.refine_pred = nn.Conv2d(WIDTH, 1, 3, 1, 1)
        self.refine_trimap = nn.Conv2d(WIDTH, 1, 3, 1, 1)

    def forward(self, rgb: Tensor, disks: Tensor, features: Tensor, coarse: Tensor) -> RefinedOutput:
        """rgb [B, 3, h, w] in [0, 1], not normalised; disks [B, 2, h, w]; features and coarse logits of the crop."""
        size = (int(rgb.shape[-2]), int(rgb.shape[-1]))
        x = self.image_conv1(torch.cat([rgb, disks, coarse.sigmoid()], dim=1))
        x = self.image_conv3(self.image_conv2(x))
        fused = resize(self.refine_fusion(features), (int(x.shape[-2]), int(x.shape[-1])))
        x = self.refine_fusion3(self.refine_fusion2(fused + x))
        trimap = resize(self.refine_trimap(x), size)
        detail = resize(self.refine_pred(x), size)
        share = trimap.sigmoid()
        return RefinedOutput(detail * share + coarse * (1 - share), trimap, coarse)


class ConvNorm(nn.Module):
    """Convolution with bias, BatchNorm, ReLU."""

    def __init__(self, channels_in: int, channels: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x)).relu_()
        return out


class SeparableConv(nn.Module):
    """Depthwise 3 x 3 and 1 x 1 convolution, both with bias, BatchNorm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.conv1x1 = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv1x1(self.conv3x3(x))).relu_()
        return out


def roi_sample(x: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """Cut a box out of each map and bring it to the map's own size: x [B, C, h, w], boxes [B, 4] in its pixels -> [B, C, h, w].

    This is RoIAlign (aligned) with one sample a bin, which is what it takes for boxes not larger than the map.
    """
    height, width = x.shape[-2:]
    x0, y0, x1, y1 = boxes_xyxy.unbind(dim=1)
    at_x, at_y = (
        start[:, None] + (torch.arange(n, device=x.device) + 0.5)[None] * (stop - start)[:, None] / n
        for start, stop, n in ((x0, x1, width), (y0, y1, height))
    )
    # grid_sample's coordinates run from -1 to 1 over the map's edges; the half pixel of RoIAlign is in that convention already.
    grid_x = (2 * at_x / width - 1)[:, None, :].expand(-1, height, -1)
    grid_y = (2 * at_y / height - 1)[:, :, None].expand(-1, -1, width)
    return F.grid_sample(x, torch.stack([grid_x, grid_y], dim=-1), padding_mode="border", align_corners=False)
