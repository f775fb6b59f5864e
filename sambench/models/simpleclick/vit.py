"""The plain vision transformer of SimpleClick (arXiv 2210.11006, section 3.1; weights from MAE, arXiv 2111.06377).

No relative positions and no class token in the sequence. Most blocks attend within windows of 224 x 224 input pixels, the size that
MAE was trained on; the last of every group of blocks attends globally. Tokens stay sorted by window in between.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.image_encoder import PatchEmbed

WINDOW_PX = 224
EPS = 1e-6


class PlainViT(nn.Module):
    """Blocks over the tokens of a grid, with a learned absolute position embedding that fits other grids by interpolation.

    image_size: side in pixels of the square input that the position embedding belongs to, a multiple of patch_size. depth: 12, or
    a multiple of 4. `cls_token`, `fc_norm` and `head` are in the authors' checkpoints and take part in nothing.
    """

    def __init__(
        self, *, image_size: int, patch_size: int, embed_dim: int, depth: int, num_heads: int, mlp_ratio: float = 4.0
    ) -> None:
        super().__init__()
        self.grid = image_size // patch_size
        self.window = WINDOW_PX // patch_size
        self.group = 6 if depth == 12 else depth // 4
        self.patch_embed = PatchEmbed(patch_size=patch_size, embed_dim=embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid**2 + 1, embed_dim))
        self.blocks = nn.ModuleList(Block(dim=embed_dim, num_heads=num_heads, mlp_ratio=mlp_ratio) for _ in range(depth))
        self.fc_norm = nn.LayerNorm(embed_dim, eps=EPS)
        self.head = nn.Linear(embed_dim, 1000)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, h, w, D] embedded patches, h and w multiples of the window -> [B, h, w, D]; no norm at the end."""
        h, w = tokens.shape[1:3]
        x = tokens + self.positions(h, w)
        windowed = False
        for i, block in enumerate(self.blocks, 1):
            wanted = i % self.group != 0
            if wanted != windowed:
                x = into_windows(x, self.window) if wanted else out_of_windows(x, h, w)
                windowed = wanted
            x = block(x.flatten(1, 2)).view(x.shape)
        return out_of_windows(x, h, w) if windowed else x

    def positions(self, h: int, w: int) -> Tensor:
        """[1, h, w, D]: the stored embedding, bicubically resized where the grid is another."""
        stored = self.pos_embed[:, 1:].view(1, self.grid, self.grid, -1)
        if (h, w) == (self.grid, self.grid):
            return stored
        resized = F.interpolate(stored.permute(0, 3, 1, 2), size=(h, w), mode="bicubic", align_corners=False)
        return resized.permute(0, 2, 3, 1)


class Block(nn.Module):
    """Pre-norm transformer block: attention over all tokens of a sequence, then the MLP."""

    def __init__(self, *, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = Attention(dim=dim, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim=dim, hidden_dim=int(dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, D] -> the same shape."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Attention(nn.Module):
    """Multi-head softmax attention. Keys `qkv` (queries, keys, values in this order) and `proj`."""

    def __init__(self, *, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, D] -> the same shape."""
        n, length, dim = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, self.num_heads, dim // self.num_heads).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).reshape(n, length, dim))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them. Keys `fc1`, `fc2`."""

    def __init__(self, *, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> the same shape."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


def into_windows(x: Tensor, side: int) -> Tensor:
    """[B, h, w, D] -> [B * windows, side, side, D], windows in row-major order."""
    b, h, w, dim = x.shape
    x = x.view(b, h // side, side, w // side, side, dim)
    return x.transpose(2, 3).reshape(-1, side, side, dim)


def out_of_windows(x: Tensor, h: int, w: int) -> Tensor:
    """The inverse of `into_windows` for a grid of h x w tokens."""
    side, dim = x.shape[1], x.shape[3]
    if (side, x.shape[2]) == (h, w):
        return x
    x = x.view(-1, h // side, w // side, side, side, dim)
    return x.transpose(2, 3).reshape(-1, h, w, dim)
