"""`to_pil_image` and `resize` for uint8 images, bilinear with antialiasing as Pillow does it."""

from __future__ import annotations

import numpy as np
from PIL import Image


def to_pil_image(pic: np.ndarray) -> Image.Image:
    """uint8 [H, W, 3] -> RGB image."""
    return Image.fromarray(pic)


def resize(img: Image.Image, size: tuple[int, int]) -> Image.Image:
    """size is (height, width)."""
    height, width = size
    return img.resize((width, height), Image.Resampling.BILINEAR)
