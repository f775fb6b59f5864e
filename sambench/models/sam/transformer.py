"""The two-way transformer of the mask decoder: a few tokens and the image's N positions attend to each other.

B prompts, T tokens each, N image positions, width C. What costs is the image side, so its projections are never made: with
few tokens it is cheaper to bring the *tokens* into the image's space. For a head with projections W_q, W_k the logits are
(W_q t)(W_k x) = (W_k' W_q t) x, one row of width C a token and head, and a weighted sum of values is W_v times the
weighted sum of x. Both directions of attention are then two matrix products between T * heads rows and the image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.layers import MLPBlock


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last attention of the tokens to the image. LayerNorms have torch's default eps, 1e-5."""

    def __init__(
        self, *, depth: int, embedding_dim: int, num_heads: int, mlp_dim: int, attention_downsample_rate: int = 2
    ) -> None:
        super().__init__()
        inner = embedding_dim // attention_downsample_rate
        self.layers = nn.ModuleList(
            TwoWayBlock(embedding_dim=embedding_dim, num_heads=num_heads, mlp_dim=mlp_dim, cross_dim=inner, first=i == 0)
            for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(embedding_dim=embedding_dim, internal_dim=inner, num_heads=num_heads)
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """image [B or 1, N, C], image_pe [N, C], tokens [B, T, C] -> tokens [B, T, C] and image [B, N, C]."""
        x = tokens
        keys = image + image_pe
        for layer in self.layers:
            x, image = layer(x, tokens, image, keys)
            keys = torch.add(image, image_pe, out=keys if keys.shape == image.shape else None)
        x = x + self.final_attn_token_to_image.gather(x + tokens, keys, image)
        return self.norm_final_attn(x), image


class TwoWayBlock(nn.Module):
    """Self-attention of the tokens, tokens to image, MLP on the tokens, image to tokens."""

    def __init__(self, *, embedding_dim: int, num_heads: int, mlp_dim: int, cross_dim: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(embedding_dim=embedding_dim, internal_dim=embedding_dim, num_heads=num_heads)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = Attention(embedding_dim=embedding_dim, internal_dim=cross_dim, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = MLPBlock(embedding_dim=embedding_dim, mlp_dim=mlp_dim, activation=nn.ReLU)
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = Attention(embedding_dim=embedding_dim, internal_dim=cross_dim, num_heads=num_heads)

    def forward(self, x: Tensor, pe: Tensor, image: Tensor, image_keys: Tensor) -> tuple[Tensor, Tensor]:
        """x and pe [B, T, C] (pe: the tokens as they came in), image [B or 1, N, C], image_keys: image with positions added."""
        if self.first:  # neither position features nor a residual in the first layer (as released)
            x = self.self_attn(x, x, x)
        else:
            x = x + self.self_attn(x + pe, x + pe, x)
        x = self.norm1(x)
        x = self.norm2(x + self.cross_attn_token_to_image.gather(x + pe, image_keys, image))
        x = self.norm3(x + self.mlp(x))
        image = self.norm4(self.cross_attn_image_to_token.scatter(image, image_keys, x + pe, x))
        return x, image


class Attention(nn.Module):
    """Multi-head attention with projections to `internal_dim`. Keys `q_proj`, `k_proj`, `v_proj`, `out_proj`."""

    def __init__(self, *, embedding_dim: int, internal_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = internal_dim // num_heads
        self.q_proj = nn.Linear(embedding_dim, internal_dim)
        self.k_proj = nn.Linear(embedding_dim, internal_dim)
        self.v_proj = nn.Linear(embedding_dim, internal_dim)
        self.out_proj = nn.Linear(internal_dim, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Among few tokens: q, k, v [B, T, C] -> [B, T, C]."""
        q, k, v = (self._heads(p(x)).transpose(1, 2) for p, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v)))
        out: Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out

    def gather(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Tokens attend to the image: q [B, T, C], keys and values [B or 1, N, C] -> [B, T, C].

        The bias of k_proj shifts all logits of a query alike, and drops out of the softmax.
        """
        rows = self._rows(self._heads(self.q_proj(q)) * self.head_dim**-0.5, self.k_proj.weight)
        weights = torch.softmax(torch.matmul(rows, keys.transpose(1, 2)), dim=-1)
        summed = torch.matmul(weights, values).view(*q.shape[:2], self.num_heads, -1)
        v = torch.einsum("bthc,hdc->bthd", summed, self._by_head(self.v_proj.weight))
        out: Tensor = self.out_proj(v.flatten(2) + self.v_proj.bias)
        return out

    def scatter(self, image: Tensor, image_keys: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The image attends to the tokens: image, image_keys [B or 1, N, C], k, v [B, T, C] -> image plus the result, [B, N, C]."""
        b, t, _ = k.shape
        n = image.shape[1]
        k = self._heads(self.k_proj(k)) * self.head_dim**-0.5
        offset = (k * self.q_proj.bias.view(self.num_heads, -1)).sum(-1).view(b, -1, 1)
        logits = torch.baddbmm(
            offset, self._rows(k, self.q_proj.weight), image_keys.transpose(1, 2).expand(b, -1, -1)
        )
        weights = torch.softmax(logits.view(b, t, -1), dim=1).view(b, -1, n)
        out_weight = self.out_proj.weight.view(-1, self.num_heads, self.head_dim)
        added = torch.einsum("bthd,chd->bthc", self._heads(self.v_proj(v)), out_weight)
        # A head's weights sum to one over the tokens, so one head's values may carry the bias of out_proj.
        added[:, :, 0] += self.out_proj.bias
        return torch.baddbmm(image.expand(b, -1, -1), weights.transpose(1, 2), added.flatten(1, 2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, self.head_dim)

    def _by_head(self, weight: Tensor) -> Tensor:
        return weight.view(self.num_heads, self.head_dim, -1)

    def _rows(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, T, heads, d] through the transpose of a projection's weight [heads * d, C] -> [B, T * heads, C]."""
        return torch.einsum("bthd,hdc->bthc", x, self._by_head(weight)).flatten(1, 2)
