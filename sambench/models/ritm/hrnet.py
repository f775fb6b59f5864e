"""HRNetV2 with an object-contextual head for one class (arXiv 1908.07919, 1909.11065), as click models use it.

Names of modules are those of the authors' checkpoints. Every upsampling is bilinear with aligned corners, to an explicit size,
so that any image size will do.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sambench.models.clicks.probs import resize


class HRNetOutput(NamedTuple):
    """logits, aux_logits [B, 1, h, w]; feature [B, 2 * ocr_width, h, w]: all at a quarter of the input's size."""

    logits: Tensor
    aux_logits: Tensor
    feature: Tensor


class HRNet(nn.Module):
    """width: channels of the finest branch. ocr_width: half the head's channels. small: the "s" variants, with fewer blocks."""

    def __init__(self, *, width: int, ocr_width: int, small: bool) -> None:
        super().__init__()
        blocks = 2 if small else 4
        widths = [width * 2**i for i in range(4)]
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(*(Bottleneck(64 if i == 0 else 256, 64) for i in range(blocks)))
        first = nn.Sequential(conv_bn_relu(256, widths[1], stride=2))
        self.transition1 = nn.ModuleList([conv_bn_relu(256, widths[0]), first])
        self.stage2 = nn.Sequential(Exchange(widths[:2], blocks))
        self.transition2 = _new_branch(widths[:3])
        self.stage3 = nn.Sequential(*(Exchange(widths[:3], blocks) for _ in range(3 if small else 4)))
        self.transition3 = _new_branch(widths[:4])
        self.stage4 = nn.Sequential(*(Exchange(widths, blocks) for _ in range(2 if small else 3)))

        total, mid = sum(widths), 2 * ocr_width
        self.conv3x3_ocr = nn.Sequential(nn.Conv2d(total, mid, 3, 1, 1), nn.BatchNorm2d(mid), nn.ReLU(inplace=True))
        self.ocr_distri_head = ObjectContext(mid, ocr_width)
        self.cls_head = nn.Conv2d(mid, 1, 1)
        self.aux_head = nn.Sequential(
            nn.Conv2d(total, total, 1), nn.BatchNorm2d(total), nn.ReLU(inplace=True), nn.Conv2d(total, 1, 1)
        )

    def forward(self, rgb: Tensor, stem_features: Tensor) -> HRNetOutput:
        """rgb [B, 3, h, w], normalised; stem_features [B, 64, h / 2, w / 2], added after the first convolution's activation."""
        features = self._features(rgb, stem_features)
        aux = self.aux_head(features)
        features = self.conv3x3_ocr(features)
        features = self.ocr_distri_head(features, aux)
        return HRNetOutput(self.cls_head(features), aux, features)

    def _features(self, rgb: Tensor, stem_features: Tensor) -> Tensor:
        """[B, 15 * width, h / 4, w / 4]: all branches at the size of the finest."""
        x = self.bn1(self.conv1(rgb)).relu_() + stem_features
        x = self.layer1(self.bn2(self.conv2(x)).relu_())
        branches = self.stage2([self.transition1[0](x), self.transition1[1](x)])
        branches = self.stage3([*branches, self.transition2[2](branches[-1])])
        branches = self.stage4([*branches, self.transition3[3](branches[-1])])
        size = _size(branches[0])
        return torch.cat([resize(b, size) for b in branches], dim=1)


class Exchange(nn.Module):
    """Branches of falling resolution, each on its own for `blocks` blocks, then all summed into all."""

    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(w) for _ in range(blocks))) for w in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fusion(j, i, widths) for j in range(len(widths))) for i in range(len(widths))
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """One map [B, width, h, w] a branch, finest first -> the same."""
        inputs = [own(x) for own, x in zip(self.branches, branches, strict=True)]
        outputs = []
        for i, layers in enumerate(self.fuse_layers):
            size = _size(inputs[i])
            total: Tensor | None = None
            for layer, x in zip(layers, inputs, strict=True):  # type: ignore[call-overload]
                part = resize(layer(x), size)
                total = part if total is None else total + part
            assert total is not None
            outputs.append(total.relu())
        return outputs


class ObjectContext(nn.Module):
    """The object-contextual head for a single class.

    Each pixel is compared with one object alone, so the softmax over objects is 1 and the context is the same everywhere:
    `f_pixel` and `f_object` stand in checkpoints and change nothing. What the context adds is computed once an image, not once
    a pixel.
    """

    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__()
        block = nn.Module()
        block.f_pixel = _projection(channels, key_channels, key_channels)
        block.f_object = _projection(channels, key_channels, key_channels)
        block.f_down = _projection(channels, key_channels)
        block.f_up = _projection(key_channels, channels)
        self.object_context_block = block
        self.conv_bn_dropout = _projection(2 * channels, channels)

    def forward(self, features: Tensor, aux_logits: Tensor) -> Tensor:
        """features [B, C, h, w], aux_logits [B, 1, h, w] -> [B, C, h, w]."""
        weights = aux_logits.flatten(2).softmax(dim=2)
        context = torch.bmm(features.flatten(2), weights.transpose(1, 2))[..., None]
        context = self.object_context_block.f_up(self.object_context_block.f_down(context))  # type: ignore[operator]
        mix, norm = self.conv_bn_dropout
        of_context, of_features = mix.weight.split(features.shape[1], dim=1)  # type: ignore[operator]
        mixed = nn.functional.conv2d(features, of_features) + nn.functional.conv2d(context, of_context)
        out: Tensor = norm(mixed)
        return out


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_()))
        return out.add_(x).relu_()


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolution to 4 * channels; `downsample` only where the number of channels changes."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        if channels_in == 4 * channels:
            self.downsample: nn.Module | None = None
        else:
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, 4 * channels, 1, bias=False), nn.BatchNorm2d(4 * channels))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_())).relu_()
        out = self.bn3(self.conv3(out))
        residual: Tensor = x if self.downsample is None else self.downsample(x)
        total: Tensor = out.add_(residual).relu_()
        return total


def conv_bn_relu(channels_in: int, channels: int, *, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """3 x 3 convolution without bias, BatchNorm, and ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def _new_branch(widths: list[int]) -> nn.ModuleList:
    """Existing branches pass; the last one is made from the one before at half its resolution."""
    passing = [nn.Identity() for _ in widths[:-1]]
    return nn.ModuleList([*passing, nn.Sequential(conv_bn_relu(widths[-2], widths[-1], stride=2))])


def _fusion(j: int, i: int, widths: list[int]) -> nn.Module:
    """From branch j to branch i: to a finer one by 1 x 1 convolution (resized by the caller), to a coarser one by halving."""
    if j == i:
        return nn.Identity()
    if j > i:
        return nn.Sequential(nn.Conv2d(widths[j], widths[i], 1, bias=False), nn.BatchNorm2d(widths[i]))
    steps = [conv_bn_relu(widths[j], widths[j], stride=2) for _ in range(i - j - 1)]
    return nn.Sequential(*steps, conv_bn_relu(widths[j], widths[i], stride=2, relu=False))


def _projection(channels_in: int, *channels: int) -> nn.Sequential:
    """1 x 1 convolutions without bias, each followed by BatchNorm and ReLU, which checkpoints have one level deeper."""
    layers: list[nn.Module] = []
    for a, b in zip((channels_in, *channels), channels, strict=False):
        layers += [nn.Conv2d(a, b, 1, bias=False), nn.Sequential(nn.BatchNorm2d(b), nn.ReLU(inplace=True))]
    return nn.Sequential(*layers)


def _size(x: Tensor) -> tuple[int, int]:
    return int(x.shape[-2]), int(x.shape[-1])
