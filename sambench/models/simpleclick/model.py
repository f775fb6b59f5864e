"""SimpleClick (Liu et al., ICCV 2023, arXiv 2210.11006): image and clicks through a plain ViT, a pyramid and a light head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.device.images import bilinear, normalised
from sambench.models.sam.image_encoder import PatchEmbed
from sambench.models.simpleclick.vit import PlainViT

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of values 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class SimpleClickConfig:
    """Sizes of one network. image_size, patch_size in pixels; pyramid_dims: channels at strides of a quarter patch up to two."""

    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int
    pyramid_dims: tuple[int, int, int, int]
    image_size: int = 448
    head_dim: int = 256


class SimpleClick(nn.Module):
    """The network: image, previous mask and click disks in, logits out. Keys are those of the authors' checkpoints.

    disk_radius: of a click, in pixels of the network's input.
    """

    disk_radius = 5

    def __init__(self, config: SimpleClickConfig) -> None:
        super().__init__()
        c = config
        self.config = c
        self.patch_embed_coords = PatchEmbed(patch_size=c.patch_size, embed_dim=c.embed_dim)
        self.backbone = PlainViT(
            image_size=c.image_size, patch_size=c.patch_size, embed_dim=c.embed_dim, depth=c.depth, num_heads=c.num_heads
        )
        self.neck = Pyramid(dim=c.embed_dim, out_dims=c.pyramid_dims)
        self.head = Head(in_dims=c.pyramid_dims, dim=c.head_dim)

    def forward(self, rgb: Tensor, previous: Tensor, disks: Tensor) -> Tensor:
        """Logits [B, 1, h, w], h and w multiples of 224.

        rgb [B, 3, h, w] in [0, 1]; previous [B, 1, h, w] probabilities; disks [B, 2, h, w], positive and negative.
        """
        image = normalised(rgb, IMAGENET_MEAN, IMAGENET_STD)
        tokens = self.backbone.patch_embed(image) + self.patch_embed_coords(torch.cat([previous, disks], dim=1))
        low = self.head(self.neck(self.backbone(tokens).permute(0, 3, 1, 2)))
        return bilinear(low, (rgb.shape[2], rgb.shape[3]), align_corners=True)


class Pyramid(nn.Module):
    """Four maps, at a quarter, half, one and two patches a pixel, from the last feature map of the ViT.

    Group norms have one group (all channels and pixels together). Indices in the sequences are those of the checkpoints' keys.
    """

    def __init__(self, *, dim: int, out_dims: tuple[int, int, int, int]) -> None:
        super().__init__()
        wide4, wide8, wide32 = max(2 * out_dims[0], dim // 2), max(out_dims[1], dim // 2), max(out_dims[3], 2 * dim)
        self.down_4 = nn.Sequential(
            nn.ConvTranspose2d(dim, wide4, 2, stride=2),
            nn.GroupNorm(1, wide4),
            nn.GELU(),
            nn.ConvTranspose2d(wide4, wide4 // 2, 2, stride=2),
            nn.GroupNorm(1, wide4 // 2),
            nn.Conv2d(wide4 // 2, out_dims[0], 1),
            nn.GroupNorm(1, out_dims[0]),
            nn.GELU(),
        )
        self.down_8 = nn.Sequential(
            nn.ConvTranspose2d(dim, wide8, 2, stride=2),
            nn.GroupNorm(1, wide8),
            nn.Conv2d(wide8, out_dims[1], 1),
            nn.GroupNorm(1, out_dims[1]),
            nn.GELU(),
        )
        self.down_16 = nn.Sequential(nn.Conv2d(dim, out_dims[2], 1), nn.GroupNorm(1, out_dims[2]), nn.GELU())
        self.down_32 = nn.Sequential(
            nn.Conv2d(dim, wide32, 2, stride=2),
            nn.GroupNorm(1, wide32),
            nn.Conv2d(wide32, out_dims[3], 1),
            nn.GroupNorm(1, out_dims[3]),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, D, h, w] -> [B, c0, 4h, 4w], [B, c1, 2h, 2w], [B, c2, h, w], [B, c3, h / 2, w / 2]."""
        return [down(x) for down in (self.down_4, self.down_8, self.down_16, self.down_32)]


class Head(nn.Module):
    """Every level through a 1x1 convolution to one width, all brought to the finest, fused and classified.

    `up_conv1` and `up_conv2` are in every checkpoint; the released networks, without upsampling in the head, do not use them.
    """

    def __init__(self, *, in_dims: tuple[int, int, int, int], dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_Conv(d, dim) for d in in_dims)
        self.fusion_conv = _Conv(len(in_dims) * dim, dim)
        self.up_conv1 = _upsampling(dim, dim // 2)
        self.up_conv2 = _upsampling(dim // 2, dim // 4)
        self.conv_seg = nn.Conv2d(dim, 1, 1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Feature maps, finest first -> logits [B, 1, h, w] at the finest."""
        weights = self.fusion_conv.conv.weight.chunk(len(levels), dim=1)
        fused = F.conv2d(self.convs[0](levels[0]), weights[0], self.fusion_conv.conv.bias)
        for conv, level, weight in zip(self.convs[1:], levels[1:], weights[1:], strict=True):
            # A 1x1 convolution and a bilinear resizing commute: it runs on the small map, and no map of all channels exists.
            part = F.conv2d(conv(level), weight)
            fused += bilinear(part, (fused.shape[2], fused.shape[3]), align_corners=False)
        out: Tensor = self.conv_seg(F.relu_(fused))
        return out


class _Conv(nn.Module):
    """1x1 convolution and ReLU. Key `conv`."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.conv(x))


def _upsampling(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(in_dim, out_dim, 2, stride=2),
        nn.GroupNorm(1, out_dim),
        nn.Conv2d(out_dim, out_dim, 1),
        nn.GroupNorm(1, out_dim),
        nn.GELU(),
    )
