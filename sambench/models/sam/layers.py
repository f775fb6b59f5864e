"""Small layers that the encoders and the decoder share."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm2d(nn.Module):
    """Layer norm over the channel axis at every pixel of a [B, C, H, W] map, biased variance, affine per channel."""

    def __init__(self, channels: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return self.channels_last(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def channels_last(self, x: Tensor) -> Tensor:
        """The same on [..., C]."""
        return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.eps)


class MLP(nn.Module):
    """Linear layers with ReLU between them (none after the last). Keys `layers.0`, `layers.1`, ..."""

    def __init__(self, *, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        dims = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(dims))

    def forward(self, x: Tensor) -> Tensor:
        """[..., input_dim] -> [..., output_dim]."""
        for i, layer in enumerate(self.layers):
            x = layer(x) if i == 0 else layer(F.relu(x))
        return x


class MLPBlock(nn.Module):
    """Two linear layers with an activation between them. Keys `lin1`, `lin2`."""

    def __init__(self, *, embedding_dim: int, mlp_dim: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.lin1 = nn.Linear(embedding_dim, mlp_dim)
        self.lin2 = nn.Linear(mlp_dim, embedding_dim)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        """[..., embedding_dim] -> the same shape."""
        out: Tensor = self.lin2(self.act(self.lin1(x)))
        return out


def linear_2x2(x: Tensor, conv: nn.ConvTranspose2d) -> Tensor:
    """[B, N, C] through a 2 x 2 stride-2 transposed convolution -> [B, N * 4, D], the four outputs of an input together."""
    weight = conv.weight.permute(2, 3, 1, 0).flatten(0, 2)  # [4 * D, C]
    bias = None if conv.bias is None else conv.bias.repeat(4)
    return F.linear(x, weight, bias).view(x.shape[0], -1, conv.out_channels)
