"""The ViT image encoder of Segment Anything (arXiv 2304.02643, appendix A; ViTDet, arXiv 2203.16527).

Feature maps are channels-last, [B, g, g, D] with g = image_size / patch_size, from the patch embedding to the neck.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.layers import LayerNorm2d, MLPBlock

# Elements of the additive attention bias that exist at one time on a CPU: 16 MB in fp32, a last-level cache's worth.
_BIAS_ELEMENTS = 1 << 22


class ImageEncoderViT(nn.Module):
    """ViT with window attention in most blocks and global attention in `global_attn_indexes`, then a convolutional neck.

    image_size: side of the square input in pixels, a multiple of patch_size; the absolute position embedding is never
    interpolated. mlp_dim: 4 * embed_dim where none is given. out_chans: channels of the embedding. patch_embed: a module
    [B, 3, S, S] -> [B, g, g, embed_dim] in place of the patch convolution (a convolutional stem, say).
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        depth: int,
        num_heads: int,
        global_attn_indexes: Collection[int],
        image_size: int = 1024,
        patch_size: int = 16,
        window_size: int = 14,
        mlp_dim: int | None = None,
        out_chans: int = 256,
        patch_embed: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        grid = image_size // patch_size
        self.patch_embed = patch_embed or PatchEmbed(patch_size=patch_size, embed_dim=embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, embed_dim))
        self.blocks = nn.ModuleList(
            Block(
                dim=embed_dim,
                num_heads=num_heads,
                mlp_dim=4 * embed_dim if mlp_dim is None else mlp_dim,
                window_size=0 if i in global_attn_indexes else window_size,
                grid=grid,
            )
            for i in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(embed_dim, out_chans, kernel_size=1, bias=False),
            LayerNorm2d(out_chans),
            nn.Conv2d(out_chans, out_chans, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_chans),
        )

    def forward(self, x: Tensor, tap: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """[B, 3, S, S] normalised -> embedding [B, out_chans, g, g].

        tap: called with (block index, [B, g, g, D]) after every block, for models that use early features.
        """
        x = self.patch_embed(x) + self.pos_embed
        for i, block in enumerate(self.blocks):
            x = block(x)
            if tap is not None:
                tap(i, x)
        out: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return out


class PatchEmbed(nn.Module):
    """Non-overlapping patches through one linear map (a strided convolution). Key `proj`."""

    def __init__(self, *, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, g, g, D]."""
        out: Tensor = self.proj(x)
        return out.permute(0, 2, 3, 1)


class Block(nn.Module):
    """Pre-norm transformer block: attention, then MLP. window_size 0 is global attention."""

    def __init__(self, *, dim: int, num_heads: int, mlp_dim: int, window_size: int, grid: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim=dim, num_heads=num_heads, side=window_size or grid)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLPBlock(embedding_dim=dim, mlp_dim=mlp_dim, activation=nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        """[B, g, g, D] -> the same shape."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Attention(nn.Module):
    """Multi-head self-attention with decomposed relative positions, in windows of `side` x `side` patches.

    A map that is not a multiple of `side` is padded bottom and right with zero vectors after the norm, unmasked: the queries,
    keys and values of the padding are the biases of `qkv`. So only real patches go through `qkv` and `proj` here.
    """

    def __init__(self, *, dim: int, num_heads: int, side: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.side = side
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, dim // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, dim // num_heads))

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, D] -> the same shape."""
        b, height, width, dim = x.shape
        s, heads = self.side, self.num_heads
        rows, cols = -(-height // s), -(-width // s)
        qkv = self.qkv(x)
        if (rows * s, cols * s) != (height, width):
            padded = qkv.new_empty(b, rows * s, cols * s, 3 * dim)
            padded[:, :height, :width] = qkv
            padded[:, :height, width:] = self.qkv.bias
            padded[:, height:] = self.qkv.bias
            qkv = padded
        # [3, B * windows, heads, side, side, head dim]
        qkv = qkv.view(b, rows, s, cols, s, 3, heads, dim // heads).permute(5, 0, 1, 3, 6, 2, 4, 7)
        q, k, v = qkv.reshape(3, b * rows * cols * heads, s, s, dim // heads)
        out = self._attend(q, k, v).view(b, rows, cols, heads, s, s, dim // heads)
        out = out.permute(0, 1, 4, 2, 5, 3, 6).reshape(b, rows * s, cols * s, dim)
        return self.proj(out[:, :height, :width])  # type: ignore[no-any-return]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [N, side, side, d], N over windows and heads -> [N, side * side, d]."""
        n, s = q.shape[:2]
        # Both terms take the unscaled query (the 1 / sqrt(d) applies to q k^T alone).
        index = torch.arange(s, device=q.device)
        distance = index[:, None] - index[None, :] + s - 1
        along_h = torch.einsum("nijd,ikd->nijk", q, self.rel_pos_h[distance])[..., :, None]
        along_w = torch.einsum("nijd,jkd->nijk", q, self.rel_pos_w[distance])[..., None, :]
        q, k, v = q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2)
        if q.device.type != "cpu" or torch.compiler.is_compiling():
            bias = (along_h + along_w).reshape(n, s * s, s * s)
            return F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=bias[None])[0]
        # The bias of one global block would be 0.8 GB; on a CPU it is made and used while it is in the cache.
        out = torch.empty_like(q)
        rows = min(s, max(1, _BIAS_ELEMENTS // s**3))
        heads = max(1, _BIAS_ELEMENTS // s**4)
        scratch = q.new_empty(min(heads, n) * rows * s**3)
        for first, last in _spans(n, heads):
            for top, end in _spans(s, rows):
                bias = scratch[: (last - first) * (end - top) * s**3].view(last - first, end - top, s, s, s)
                torch.add(along_h[first:last, top:end], along_w[first:last, top:end], out=bias)
                out[first:last, top * s : end * s] = F.scaled_dot_product_attention(
                    q[None, first:last, top * s : end * s],
                    k[None, first:last],
                    v[None, first:last],
                    attn_mask=bias.view(1, last - first, (end - top) * s, s * s),
                )[0]
        return out


def _spans(length: int, step: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, step):
        yield start, min(start + step, length)
