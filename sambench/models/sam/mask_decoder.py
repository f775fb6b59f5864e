"""The mask decoder of Segment Anything: tokens and image embedding to low-resolution mask logits (arXiv 2304.02643, appendix A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from sambench.models.sam.layers import MLP, LayerNorm2d, linear_2x2
from sambench.models.sam.transformer import TwoWayTransformer

_Upscaling: TypeAlias = tuple[nn.ConvTranspose2d, LayerNorm2d, nn.GELU, nn.ConvTranspose2d, nn.GELU]


@dataclass(frozen=True)
class DecoderInput:
    """One image's side of the decoder, made once an image and used by every prompt.

    image [1, N, C]: the embedding, row-major; image_pe [N, C]; size (height, width) with N = height * width.
    """

    image: Tensor
    image_pe: Tensor
    size: tuple[int, int]


class MaskDecoder(nn.Module):
    """Masks from tokens. Mask 0 is the single-output mask, masks 1.. are the several candidates of an ambiguous prompt."""

    def __init__(
        self,
        *,
        transformer_dim: int,
        num_multimask_outputs: int = 3,
        depth: int = 2,
        num_heads: int = 8,
        mlp_dim: int = 2048,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__()
        c = transformer_dim
        self.transformer = TwoWayTransformer(depth=depth, embedding_dim=c, num_heads=num_heads, mlp_dim=mlp_dim)
        self.iou_token = nn.Embedding(1, c)
        self.num_mask_tokens = num_multimask_outputs + 1
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, c)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(c, c // 4, kernel_size=2, stride=2),
            LayerNorm2d(c // 4),
            nn.GELU(),
            nn.ConvTranspose2d(c // 4, c // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(input_dim=c, hidden_dim=c, output_dim=c // 8, num_layers=3) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            input_dim=c, hidden_dim=iou_head_hidden_dim, output_dim=self.num_mask_tokens, num_layers=iou_head_depth
        )

    def forward(
        self, state: DecoderInput, sparse: Tensor, dense: Tensor, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """sparse [B, T, C]; dense [B or 1, N or 1, C], added to the image -> logits [B, M, 4h, 4w] and predicted IoU [B, M].

        M is num_multimask_outputs or 1. The predicted IoU is not bounded.
        """
        tokens, image = self.transformer(state.image + dense, state.image_pe, self.tokens(sparse))
        chosen = slice(1, None) if multimask else slice(0, 1)
        iou = self.iou_prediction_head(tokens[:, 0])[:, chosen]
        return self.masks(self.hypernetworks(tokens, chosen), self.upscale(image), state.size), iou

    def tokens(self, sparse: Tensor) -> Tensor:
        """[B, T, C] -> [B, 1 + num_mask_tokens + T, C]: IoU token, mask tokens, prompt."""
        own = torch.cat((self.iou_token.weight, self.mask_tokens.weight))
        return torch.cat((own.expand(sparse.shape[0], -1, -1), sparse), dim=1)

    def hypernetworks(self, tokens: Tensor, chosen: slice) -> Tensor:
        """Transformer's tokens [B, T, C] -> weights [B, M, C / 8] of the chosen masks."""
        nets = list(enumerate(self.output_hypernetworks_mlps))[chosen]
        return torch.stack([net(tokens[:, 1 + i]) for i, net in nets], dim=1)

    def upscale(self, image: Tensor) -> Tensor:
        """[B, N, C] -> [B, N * 16, C / 8]: features at four times the resolution, position-major.

        A transposed convolution with kernel = stride makes 2 x 2 outputs of every input on its own: a linear map. The order of the
        result is (y, x, dy, dx, ddy, ddx); `masks` puts its few channels in order, so that the wide maps are never transposed.
        """
        first, norm, _, second, _ = cast(_Upscaling, self.output_upscaling)
        x = _gelu_(norm.channels_last(linear_2x2(image, first)))
        return _gelu_(linear_2x2(x, second))

    def masks(self, weights: Tensor, features: Tensor, size: tuple[int, int]) -> Tensor:
        """weights [B, M, D], features [B, N * 16, D] in the order of `upscale` -> logits [B, M, 4h, 4w]."""
        height, width = size
        out = torch.matmul(weights, features.transpose(1, 2)).view(*weights.shape[:2], height, width, 2, 2, 2, 2)
        return out.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(*weights.shape[:2], 4 * height, 4 * width)


def _gelu_(x: Tensor) -> Tensor:
    """Exact GELU in place: these are the decoder's widest maps, and fresh memory for them costs more than the arithmetic."""
    out: Tensor = torch.ops.aten.gelu_(x)
    return out
