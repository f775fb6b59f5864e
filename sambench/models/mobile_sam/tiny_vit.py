"""TinyViT, the image encoder of MobileSAM and of light HQ-SAM (arXiv 2306.14289; TinyViT, arXiv 2207.10666). For inference.

Maps are channels-last, [B, H, W, D], from the patch embedding to the neck; convolutions see them as NCHW in torch's channels-last
memory format, so that nothing is copied in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.layers import LayerNorm2d

HEAD_DIM = 32
CLASSES = 1000


class TinyViT(nn.Module):
    """Four stages: inverted-residual convolutions, then three of window attention; SAM's neck on top.

    dims, depths, windows: width, blocks and window side of each stage; a stage but the last ends by merging patches to the next
    one's width. image_size: side of the square input in pixels, a multiple of 16. The checkpoints keep the layers of the
    classifier that the encoder was (`norm_head`, `head`), which nothing uses.
    """

    def __init__(
        self,
        *,
        dims: Sequence[int] = (64, 128, 160, 320),
        depths: Sequence[int] = (2, 2, 6, 2),
        windows: Sequence[int] = (7, 7, 14, 7),
        image_size: int = 1024,
        out_chans: int = 256,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.patch_embed = PatchEmbed(dims[0])
        after = [*dims[1:], None]
        self.layers = nn.ModuleList(
            Stage(
                [MBConv(dim) if i == 0 else Block(dim, window) for _ in range(depth)],
                PatchMerging(dim, wider) if wider else None,
            )
            for i, (dim, depth, window, wider) in enumerate(zip(dims, depths, windows, after, strict=True))
        )
        self.norm_head = nn.LayerNorm(dims[-1])
        self.head = nn.Linear(dims[-1], CLASSES)
        self.neck = nn.Sequential(
            nn.Conv2d(dims[-1], out_chans, kernel_size=1, bias=False),
            LayerNorm2d(out_chans),
            nn.Conv2d(out_chans, out_chans, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_chans),
        )

    def forward(self, x: Tensor, tap: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """[B, 3, S, S] normalised -> embedding [B, out_chans, S / 16, S / 16].

        tap: called with (stage index, [B, h, w, D]) after every stage, its merging included, for models that use early features.
        """
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last))
        for i, stage in enumerate(self.layers):
            x = stage(x)
            if tap is not None:
                tap(i, x)
        out: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return out


class ConvBN(nn.Module):
    """Convolution without bias, then batch norm with its stored statistics. Keys `c`, `bn`.

    The norm is folded into the convolution when it is called: the parameters are the only copy of the weights.
    """

    def __init__(self, inputs: int, outputs: int, *, side: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D, H / stride, W / stride]."""
        bn, c = self.bn, self.c
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = bn.weight.float() * torch.rsqrt(bn.running_var.float() + bn.eps)
        weight = (c.weight.float() * scale[:, None, None, None]).to(x.dtype)
        bias = (bn.bias.float() - bn.running_mean.float() * scale).to(x.dtype)
        return F.conv2d(x, weight, bias, stride=c.stride, padding=c.padding, groups=c.groups)


class PatchEmbed(nn.Module):
    """Two strided convolutions: a quarter of the resolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvBN(3, dim // 2, side=3, stride=2), nn.GELU(), ConvBN(dim // 2, dim, side=3, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, S / 4, S / 4, D]."""
        out: Tensor = self.seq(x)
        return out.permute(0, 2, 3, 1)


class Stage(nn.Module):
    """Blocks of one width and resolution, then (but for the last stage) `downsample`."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, D] -> the next stage's input."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class MBConv(nn.Module):
    """Inverted residual of MobileNet: widen, depthwise 3 x 3, narrow; the last GELU comes after the sum."""

    def __init__(self, dim: int, *, expand: int = 4) -> None:
        super().__init__()
        wide = dim * expand
        self.conv1 = ConvBN(dim, wide)
        self.conv2 = ConvBN(wide, wide, side=3, groups=wide)
        self.conv3 = ConvBN(wide, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, D] -> the same shape."""
        y = F.gelu(self.conv1(x.permute(0, 3, 1, 2)))
        y = self.conv3(F.gelu(self.conv2(y)))
        return F.gelu(x + y.permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """To another width, at half the resolution; at the same one where the width is the last of a TinyViT."""

    def __init__(self, dim: int, wider: int) -> None:
        super().__init__()
        stride = 1 if wider in (320, 448, 576) else 2
        self.conv1 = ConvBN(dim, wider)
        self.conv2 = ConvBN(wider, wider, side=3, stride=stride, groups=wider)
        self.conv3 = ConvBN(wider, wider)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, D] -> [B, H / stride, W / stride, wider]."""
        y = F.gelu(self.conv1(x.permute(0, 3, 1, 2)))
        out: Tensor = self.conv3(F.gelu(self.conv2(y)))
        return out.permute(0, 2, 3, 1)


class Block(nn.Module):
    """Window attention, a depthwise convolution without a residual of its own, MLP. LayerNorms have torch's default eps, 1e-5."""

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.attn = Attention(dim, window)
        self.local_conv = ConvBN(dim, dim, side=3, groups=dim)
        self.mlp = Mlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, D] -> the same shape."""
        x = x + self.attn(x)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out: Tensor = x + self.mlp(x)
        return out


class Mlp(nn.Module):
    """Norm, then two linear layers with a GELU between them."""

    def __init__(self, dim: int, *, ratio: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, dim * ratio)
        self.fc2 = nn.Linear(dim * ratio, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> the same shape."""
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class Attention(nn.Module):
    """Self-attention in windows of `side` x `side`, with a learned bias for every distance (|dy|, |dx|) and head.

    A map that is not a multiple of `side` is padded bottom and right with zeros *before* the norm, unmasked: padded positions are
    the norm's bias, so their queries, keys and values are one vector, and only real ones go through the layers here.
    """

    def __init__(self, dim: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.num_heads = dim // HEAD_DIM
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(self.num_heads, side * side))

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, D] -> the same shape."""
        b, height, width, dim = x.shape
        s, heads = self.side, self.num_heads
        rows, cols = -(-height // s), -(-width // s)
        qkv = self.qkv(self.norm(x))
        if (rows * s, cols * s) != (height, width):
            padding = self.qkv(self.norm.bias)
            padded = qkv.new_empty(b, rows * s, cols * s, 3 * dim)
            padded[:, :height, :width] = qkv
            padded[:, :height, width:] = padding
            padded[:, height:] = padding
            qkv = padded
        # Queries, keys and values lie together within a head. -> [3, B * windows, heads, side * side, head dim]
        qkv = qkv.view(b, rows, s, cols, s, heads, 3, HEAD_DIM).permute(6, 0, 1, 3, 5, 2, 4, 7)
        q, k, v = qkv.reshape(3, b * rows * cols, heads, s * s, HEAD_DIM)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias()[None])
        out = out.view(b, rows, cols, heads, s, s, HEAD_DIM).permute(0, 1, 4, 2, 5, 3, 6)
        out = out.reshape(b, rows * s, cols * s, dim)[:, :height, :width]
        return self.proj(out)  # type: ignore[no-any-return]

    def bias(self) -> Tensor:
        """[heads, side * side, side * side], for queries and keys in row-major order.

        Gathered whenever it is needed: a copy kept from before the weights were loaded is a known trap of the released code
        (MobileSAM issue 109, sam-hq issue 44).
        """
        along = torch.arange(self.side, device=self.attention_biases.device)
        apart = (along[:, None] - along).abs()
        index = (apart[:, None, :, None] * self.side + apart[None, :, None, :]).flatten(2).flatten(0, 1)
        return self.attention_biases[:, index]
