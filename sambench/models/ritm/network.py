"""The RITM network: HRNet whose stem is told of the clicks and the previous mask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sambench.device.images import normalised
from sambench.models.clicks.probs import resize
from sambench.models.ritm.hrnet import HRNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class RitmConfig:
    """What a checkpoint's configuration can say that changes a number. disk_radius in pixels of the network's input.

    leaky: the click branch has LeakyReLU(0.2), not ReLU. binary_previous: the previous mask is cut at 0.5, not given as
    probabilities.
    """

    width: int
    ocr_width: int
    small: bool
    disk_radius: int = 5
    leaky: bool = True
    binary_previous: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


class RitmNetwork(nn.Module):
    """Called as `ClickSegmenter` calls its network."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: RitmConfig) -> None:
        super().__init__()
        self.config = config
        self.disk_radius = config.disk_radius
        self.maps_transform = stem_branch(leaky=config.leaky)
        self.feature_extractor = HRNet(width=config.width, ocr_width=config.ocr_width, small=config.small)

    def forward(self, rgb: Tensor, previous: Tensor, disks: Tensor) -> Tensor:
        """rgb [B, 3, h, w] in [0, 1], previous [B, 1, h, w], disks [B, 2, h, w] -> logits [B, 1, h, w]."""
        return self.both(rgb, previous, disks)[0]

    def both(self, rgb: Tensor, previous: Tensor, disks: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and those of the auxiliary head that the object context is gathered with: [B, 1, h, w] each."""
        if self.config.binary_previous:
            previous = (previous > 0.5).float()
        features = self.maps_transform(torch.cat([previous, disks], dim=1))
        out = self.feature_extractor(normalised(rgb, self.config.mean, self.config.std), features)
        size = (int(rgb.shape[-2]), int(rgb.shape[-1]))
        return resize(out.logits, size), resize(out.aux_logits, size)


class AbsoluteScale(nn.Module):
    """Times the absolute value of a learnt number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.05))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.scale.abs()
        return out


def stem_branch(*, leaky: bool) -> nn.Sequential:
    """Previous mask and click disks [B, 3, h, w] -> what is added in HRNet's stem, [B, 64, h / 2, w / 2]."""
    activation = nn.LeakyReLU(0.2) if leaky else nn.ReLU()
    return nn.Sequential(nn.Conv2d(3, 16, 1), activation, nn.Conv2d(16, 64, 3, 2, 1), AbsoluteScale())
