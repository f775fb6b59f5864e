"""FocalClick's network: a coarse segmenter of the whole crop and a refiner of the part that the last click changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sambench.device.images import normalised
from sambench.models.clicks.probs import resize
from sambench.models.focalclick.mix_transformer import MiTConfig, SegFormer
from sambench.models.focalclick.refiner import CoarseOutput, RefinedOutput, Refiner, roi_sample
from sambench.models.ritm.hrnet import HRNet
from sambench.models.ritm.network import IMAGENET_MEAN, IMAGENET_STD, AbsoluteScale, stem_branch


@dataclass(frozen=True, kw_only=True)
class HRNetSizes:
    """See `ritm.hrnet.HRNet`."""

    width: int
    ocr_width: int
    small: bool


@dataclass(frozen=True, kw_only=True)
class FocalConfig:
    """halved: the S1 versions, whose coarse network sees everything at half the size. leaky, binary_previous, mean, std: as of
    `RitmConfig`.

    Radii follow from the version, in pixels of the 256 x 256 input; the stored `norm_radius` is not used by the authors'
    classes either.
    """

    backbone: HRNetSizes | MiTConfig
    halved: bool
    leaky: bool = True
    binary_previous: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @property
    def disk_radius(self) -> int:
        if not self.halved:
            return 5
        return 2 if isinstance(self.backbone, HRNetSizes) else 3


class FocalNetwork(nn.Module):
    """`coarse`, then `refine` with what it gave."""

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        self.config = config
        backbone = config.backbone
        if isinstance(backbone, MiTConfig):
            self.feature_extractor: nn.Module = SegFormer(backbone)
            self.refiner = Refiner(backbone.feature_width, gate=True)
            # Stands in the checkpoints and is not used: the transformer has its own branch for clicks.
            self.maps_transform = nn.Sequential(
                nn.Conv2d(3, 16, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 3, 2, 1), AbsoluteScale()
            )
        else:
            sizes = {"width": backbone.width, "ocr_width": backbone.ocr_width}
            self.feature_extractor = HRNet(**sizes, small=backbone.small)
            self.refiner = Refiner(2 * backbone.ocr_width, gate=False)
            self.maps_transform = stem_branch(leaky=config.leaky)

    def coarse(self, rgb: Tensor, previous: Tensor, disks: Tensor) -> CoarseOutput:
        """rgb [B, 3, h, w] in [0, 1], previous [B, 1, h, w], disks [B, 2, h, w] -> logits [B, 1, h, w], features at a quarter."""
        config = self.config
        if config.binary_previous:
            previous = (previous > 0.5).float()
        size = (int(rgb.shape[-2]), int(rgb.shape[-1]))
        image, coords = normalised(rgb, config.mean, config.std), torch.cat([previous, disks], dim=1)
        if config.halved:
            half = (size[0] // 2, size[1] // 2)
            image, coords = resize(image, half), resize(coords, half)
        if isinstance(config.backbone, HRNetSizes):
            out = self.feature_extractor(image, self.maps_transform(coords))
            return CoarseOutput(resize(out.logits, size), out.feature)
        logits, features = self.feature_extractor(image, coords)
        return CoarseOutput(resize(logits, size), features)

    def refine(self, rgb: Tensor, disks: Tensor, coarse: CoarseOutput, boxes_xyxy: Tensor) -> RefinedOutput:
        """rgb [B, 3, h, w] in [0, 1], the focus crop; disks [B, 2, h, w] of its clicks; boxes [B, 4] float: where the crop lies
        in `coarse`'s input, which has the same h x w.
        """
        stride = rgb.shape[-1] / coarse.features.shape[-1]
        features = roi_sample(coarse.features, boxes_xyxy / stride)
        out: RefinedOutput = self.refiner(rgb, disks, features, roi_sample(coarse.logits, boxes_xyxy))
        return out
