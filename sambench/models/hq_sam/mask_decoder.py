"""The mask decoder of HQ-SAM: SAM's, with one more token and a finer map for it (arXiv 2306.01567, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.layers import MLP, LayerNorm2d, linear_2x2
from sambench.models.sam.mask_decoder import DecoderInput, MaskDecoder

_Fusion: TypeAlias = tuple[nn.Module, LayerNorm2d, nn.GELU, nn.Module]


@dataclass(frozen=True)
class HqInput(DecoderInput):
    """One image's side of the decoder. fine [1, 4h, 4w, C / 8]: early and final features of the image encoder, fused."""

    fine: Tensor


class MaskDecoderHQ(MaskDecoder):
    """One mask a prompt: that of the high-quality token, added to SAM's own (the paper's error correction).

    early_dim: channels of the image encoder's early feature. hq_token_only: leave SAM's own mask out; the authors advise it where
    one object fills the picture, and evaluated so on their four sets. sizes: others of MaskDecoder.
    """

    def __init__(self, *, transformer_dim: int, early_dim: int, hq_token_only: bool = False, **sizes: int) -> None:
        super().__init__(transformer_dim=transformer_dim, **sizes)
        c = transformer_dim
        self.hq_token_only = hq_token_only
        self.hf_token = nn.Embedding(1, c)
        self.hf_mlp = MLP(input_dim=c, hidden_dim=c, output_dim=c // 8, num_layers=3)
        self.compress_vit_feat = nn.Sequential(
            nn.ConvTranspose2d(early_dim, c, kernel_size=2, stride=2),
            LayerNorm2d(c),
            nn.GELU(),
            nn.ConvTranspose2d(c, c // 8, kernel_size=2, stride=2),
        )
        self.embedding_encoder = nn.Sequential(
            nn.ConvTranspose2d(c, c // 4, kernel_size=2, stride=2),
            LayerNorm2d(c // 4),
            nn.GELU(),
            nn.ConvTranspose2d(c // 4, c // 8, kernel_size=2, stride=2),
        )
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(c // 8, c // 4, kernel_size=3, padding=1),
            LayerNorm2d(c // 4),
            nn.GELU(),
            nn.Conv2d(c // 4, c // 8, kernel_size=3, padding=1),
        )

    def tokens(self, sparse: Tensor) -> Tensor:
        """[B, T, C] -> [B, 2 + num_mask_tokens + T, C]: IoU token, mask tokens, high-quality token, prompt."""
        own = torch.cat((self.iou_token.weight, self.mask_tokens.weight, self.hf_token.weight))
        return torch.cat((own.expand(sparse.shape[0], -1, -1), sparse), dim=1)

    def fine(self, embedding: Tensor, early: Tensor) -> Tensor:
        """Embedding [1, C, h, w] and early feature [1, h, w, early_dim] -> the fused map [1, 4h, 4w, C / 8]; once an image."""
        return self.of_embedding(embedding) + self.of_early(early)

    def of_embedding(self, embedding: Tensor) -> Tensor:
        """[1, C, h, w] -> [1, 4h, 4w, C / 8]."""
        return _four_times(embedding.permute(0, 2, 3, 1), self.embedding_encoder)

    def of_early(self, early: Tensor) -> Tensor:
        """[1, h, w, early_dim] -> [1, 4h, 4w, C / 8]."""
        return _four_times(early, self.compress_vit_feat)

    def forward(
        self, state: DecoderInput, sparse: Tensor, dense: Tensor, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """sparse [B, T, C]; dense [B or 1, N or 1, C], added to the image -> logits [B, 1, 4h, 4w] and predicted IoU [B, 1].

        multimask: of SAM's several masks the one with the highest predicted IoU takes part, else its single-output mask. The IoU
        is that mask's; nothing predicts the sum's.
        """
        assert isinstance(state, HqInput)
        height, width = 4 * state.size[0], 4 * state.size[1]
        tokens, image = self.transformer(state.image + dense, state.image_pe, self.tokens(sparse))
        chosen = slice(1, None) if multimask else slice(0, 1)
        iou, best = self.iou_prediction_head(tokens[:, 0])[:, chosen].max(dim=1, keepdim=True)
        upscaled = self.upscale(image)
        maps = in_order(upscaled, state.size)
        sharp = (self.sharpened(maps) + state.fine).flatten(1, 2)
        weight = self.hf_mlp(tokens[:, 1 + self.num_mask_tokens])
        logits = (sharp @ weight[:, :, None]).view(-1, 1, height, width)
        if not self.hq_token_only:
            own = self.hypernetworks(tokens, chosen)
            own = own.gather(1, best[:, :, None].expand(-1, -1, own.shape[2]))
            logits = logits + (maps.flatten(1, 2) @ own.transpose(1, 2)).view(-1, 1, height, width)
        return logits, iou

    def sharpened(self, maps: Tensor) -> Tensor:
        """SAM's upscaled features [B, 4h, 4w, C / 8] through two convolutions -> the same shape."""
        first, norm, _, second = cast(_Fusion, self.embedding_maskfeature)
        x = F.gelu(norm.channels_last(first(maps.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)))
        out: Tensor = second(x.permute(0, 3, 1, 2))
        return out.permute(0, 2, 3, 1)


def _four_times(x: Tensor, layers: nn.Sequential) -> Tensor:
    """[B, h, w, C] through two 2 x 2 transposed convolutions -> [B, 4h, 4w, D]."""
    first, norm, _, second = cast("tuple[nn.ConvTranspose2d, LayerNorm2d, nn.GELU, nn.ConvTranspose2d]", layers)
    wide = F.gelu(norm.channels_last(linear_2x2(x.flatten(1, 2), first)))
    return in_order(linear_2x2(wide, second), (x.shape[1], x.shape[2]))


def in_order(features: Tensor, size: tuple[int, int]) -> Tensor:
    """[B, N * 16, D] in the order of `MaskDecoder.upscale` -> the map [B, 4h, 4w, D], size (h, w) with N = h * w."""
    (height, width), dim = size, features.shape[2]
    maps = features.view(-1, height, width, 2, 2, 2, 2, dim).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return maps.reshape(-1, 4 * height, 4 * width, dim)
