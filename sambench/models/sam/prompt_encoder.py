"""The prompt encoder of Segment Anything: points, boxes and masks to tokens (arXiv 2304.02643, appendix A)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.layers import LayerNorm2d


class PositionEmbeddingRandom(nn.Module):
    """Random Fourier features of a position (Tancik et al., arXiv 2006.10739). The matrix is a buffer of the checkpoint."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, *, embed_dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, embed_dim // 2))

    def forward(self, points_xy: Tensor) -> Tensor:
        """Positions in [0, 1], float32 [..., 2] as (x, y) -> [..., embed_dim]: sines, then cosines."""
        angle = 2 * math.pi * ((2 * points_xy - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat((angle.sin(), angle.cos()), dim=-1)

    def grid(self, size: tuple[int, int]) -> Tensor:
        """Of the pixel centres of a (height, width) map -> [height, width, embed_dim]."""
        device = self.positional_encoding_gaussian_matrix.device
        height, width = size
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
        out: Tensor = self(torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1))
        return out


class PromptEncoder(nn.Module):
    """Sparse tokens of points and boxes, dense embeddings of masks.

    embed_dim: width of the decoder. embedding_size: (height, width) of the image embedding; mask prompts have four times
    that side. image_size: side in pixels of the encoder's square input, in whose frame points and boxes are given.
    """

    def __init__(
        self, *, embed_dim: int, embedding_size: tuple[int, int], image_size: int, mask_in_chans: int = 16
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.image_size = image_size
        self.pe_layer = PositionEmbeddingRandom(embed_dim=embed_dim)
        # background, foreground, top-left corner, bottom-right corner
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def dense_pe(self) -> Tensor:
        """Position features of the embedding's pixels, [N, embed_dim], row-major."""
        return self.pe_layer.grid(self.embedding_size).flatten(0, 1)

    def sparse(self, points_xy: Tensor | None, labels: Tensor | None, boxes_xyxy: Tensor | None) -> Tensor:
        """Tokens [B, T, embed_dim] of B prompts of one shape: the points, a padding point if there is no box, the two corners.

        points_xy float32 [B, N, 2] and labels [B, N] (1 foreground, 0 background, -1 not a point), boxes_xyxy float32 [B, 4], in
        the input frame, pixel centres at whole numbers.
        """
        tokens = []
        if points_xy is not None and labels is not None:
            if boxes_xyxy is None:
                points_xy = F.pad(points_xy, (0, 0, 0, 1))
                labels = F.pad(labels, (0, 1), value=-1)
            tokens.append(self._points(points_xy, labels))
        if boxes_xyxy is not None:
            corners = self._positions(boxes_xyxy.view(-1, 2, 2))
            tokens.append(corners + torch.stack([self._embedding(2), self._embedding(3)], dim=1))
        if not tokens:
            return self.no_mask_embed.weight.new_zeros(1, 0, self.no_mask_embed.embedding_dim)
        return torch.cat(tokens, dim=1)

    def dense(self, masks: Tensor) -> Tensor:
        """Low-resolution mask logits [B, 1, 4h, 4w] -> [B, N, embed_dim], row-major over the embedding's pixels."""
        out: Tensor = self.mask_downscaling(masks)
        return out.flatten(2).transpose(1, 2)

    def _positions(self, points_xy: Tensor) -> Tensor:
        # The half pixel moves centres from whole numbers; the divisor is the padded side, whatever the image's own size.
        out: Tensor = self.pe_layer((points_xy + 0.5) / self.image_size)
        return out

    def _embedding(self, i: int) -> Tensor:
        out: Tensor = self.point_embeddings[i].weight  # type: ignore[assignment]
        return out

    def _points(self, points_xy: Tensor, labels: Tensor) -> Tensor:
        kind = labels[..., None]
        tokens = self._positions(points_xy)
        tokens = torch.where(kind == -1, self.not_a_point_embed.weight, tokens)
        tokens = torch.where(kind == 0, tokens + self._embedding(0), tokens)
        return torch.where(kind == 1, tokens + self._embedding(1), tokens)
