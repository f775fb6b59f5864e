"""SegFormer (arXiv 2105.15203) as FocalClick's coarse network: Mix Transformer and its all-MLP head, own code.

Names of modules are those of the authors' checkpoints. LayerNorms of blocks and stages have eps 1e-6, those of embeddings and
reduced keys 1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sambench.device.images import bilinear
from sambench.models.focalclick.refiner import CoarseOutput

SIDE_EPS, BLOCK_EPS = 1e-5, 1e-6


@dataclass(frozen=True, kw_only=True)
class MiTConfig:
    """Sizes, a value a stage. reductions: keys and values come from maps so many times smaller. feature_width: of the head."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    feature_width: int
    heads: tuple[int, int, int, int] = (1, 2, 5, 8)
    reductions: tuple[int, int, int, int] = (8, 4, 2, 1)


class SegFormer(nn.Module):
    """rgb, normalised, with click and mask features -> logits and features at a quarter of the size."""

    def __init__(self, config: MiTConfig) -> None:
        super().__init__()
        self.backbone = MixTransformer(config)
        self.decode_head = MLPHead(config.widths, config.feature_width)

    def forward(self, rgb: Tensor, coords: Tensor) -> CoarseOutput:
        """rgb [B, 3, h, w]; coords [B, 3, h, w]: previous mask, positive and negative disks."""
        out: CoarseOutput = self.decode_head(self.backbone(rgb, coords))
        return out


class MixTransformer(nn.Module):
    """Four stages. What it is told of clicks is added after the first stage's norm, and does not reach that stage's own output."""

    def __init__(self, config: MiTConfig) -> None:
        super().__init__()
        before = (3, *config.widths)
        for i, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            kernel, stride = (7, 4) if i == 0 else (3, 2)
            setattr(self, f"patch_embed{i + 1}", PatchEmbedding(before[i], width, kernel, stride))
            blocks = (Block(width, config.heads[i], config.reductions[i]) for _ in range(depth))
            setattr(self, f"block{i + 1}", nn.ModuleList(blocks))
            setattr(self, f"norm{i + 1}", nn.LayerNorm(width, eps=BLOCK_EPS))
        self.patch_embed_side1 = PatchEmbedding(3, config.widths[0], 7, 4)

    def forward(self, rgb: Tensor, coords: Tensor) -> list[Tensor]:
        """-> four maps [B, width, h / s, w / s] for s = 4, 8, 16, 32."""
        outputs = []
        x = rgb
        for i in range(1, 5):
            tokens = getattr(self, f"patch_embed{i}")(x)
            for block in getattr(self, f"block{i}"):
                tokens = block(tokens)
            x = getattr(self, f"norm{i}")(tokens).permute(0, 3, 1, 2).contiguous()
            outputs.append(x)
            if i == 1:
                x = x + self.patch_embed_side1(coords).permute(0, 3, 1, 2)
        return outputs


class PatchEmbedding(nn.Module):
    """Overlapping patches [B, C, h, w] -> normed tokens [B, h / stride, w / stride, width]."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(width, eps=SIDE_EPS)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return out


class Block(nn.Module):
    """Attention and MLP on tokens [B, h, w, C], each after its norm and added."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=BLOCK_EPS)
        self.attn = ReducedAttention(width, heads, reduction)
        self.norm2 = nn.LayerNorm(width, eps=BLOCK_EPS)
        self.mlp = MixMLP(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class ReducedAttention(nn.Module):
    """Attention whose keys and values come from a map `reduction` times smaller a side."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads, self.reduction = heads, reduction
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        if reduction > 1:
            self.sr = nn.Conv2d(width, width, reduction, reduction)
            self.norm = nn.LayerNorm(width, eps=SIDE_EPS)

    def forward(self, x: Tensor) -> Tensor:
        batch, h, w, width = x.shape
        source = x
        if self.reduction > 1:
            source = self.norm(self.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        q = self.q(x).view(batch, h * w, self.heads, -1).transpose(1, 2)
        k, v = self.kv(source).view(batch, -1, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.proj(out.transpose(1, 2).reshape(batch, h, w, width))
        return projected


class MixMLP(nn.Module):
    """Linear, depthwise 3 x 3 convolution, exact GELU, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = nn.Module()
        self.dwconv.dwconv = nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dwconv.dwconv(self.fc1(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[operator]
        out: Tensor = self.fc2(F.gelu(x))
        return out


class MLPHead(nn.Module):
    """All stages to one width and the finest size, fused by a 1 x 1 convolution."""

    def __init__(self, widths: tuple[int, ...], feature_width: int) -> None:
        super().__init__()
        for i, width in enumerate(widths):
            linear = nn.Module()
            linear.proj = nn.Linear(width, feature_width)
            setattr(self, f"linear_c{i + 1}", linear)
        self.linear_fuse = nn.Module()
        self.linear_fuse.conv = nn.Conv2d(len(widths) * feature_width, feature_width, 1, bias=False)
        self.linear_fuse.bn = nn.BatchNorm2d(feature_width)
        self.linear_pred = nn.Conv2d(feature_width, 1, 1)

    def forward(self, stages: list[Tensor]) -> CoarseOutput:
        """Coarsest first in the fused channels; resized with corners not aligned, unlike everything else in these models."""
        size = stages[0].shape[-2:]
        parts = []
        for i in range(len(stages), 0, -1):
            x = getattr(self, f"linear_c{i}").proj(stages[i - 1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            parts.append(x if i == 1 else bilinear(x, size, align_corners=False))
        fused = self.linear_fuse.conv(torch.cat(parts, dim=1))  # type: ignore[operator]
        features = self.linear_fuse.bn(fused).relu_()  # type: ignore[operator]
        return CoarseOutput(self.linear_pred(features), features)
