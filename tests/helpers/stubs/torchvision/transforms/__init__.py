"""What `segment-anything` and `sam2` call of torchvision's transforms, written from their documentation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ToTensor:
    """uint8 [H, W, 3] -> float32 [3, H, W] from 0 to 1."""

    def __call__(self, pic: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(pic)).permute(2, 0, 1).float() / 255


class Resize(nn.Module):
    """A float image [3, H, W] to (height, width), bilinear and antialiased."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = int(size[0]), int(size[1])

    def forward(self, img: Tensor) -> Tensor:
        size = [self.height, self.width]
        return F.interpolate(img[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


class Normalize(nn.Module):
    """(x - mean) / std by channel."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, img: Tensor) -> Tensor:
        return (img - self.mean) / self.std
