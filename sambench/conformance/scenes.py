"""Synthetic pictures for conformance checks: plain shapes whose every pixel is known. Deterministic, integer arithmetic and a keyed
generator alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sambench.pixels.region import Region
from sambench.types import BoolArray, Instance, Sample, UInt8Array

RGB = tuple[int, int, int]
DARK: RGB = (60, 70, 65)
# Of gray = 0.299 R + 0.587 G + 0.114 B: the first pair has one gray (123) if red and blue are exchanged, the second as it stands.
SEEN_AS_RGB: tuple[RGB, RGB] = ((230, 120, 88), (40, 100, 200))  # (object, ground): gray 149 and 93; exchanged 123 and 123
SEEN_AS_BGR: tuple[RGB, RGB] = ((88, 120, 230), (200, 100, 40))  # gray 123 and 123; exchanged 149 and 93


def two_discs() -> Sample:
    """200 x 300: an orange disc at (x, y) = (150, 50) and a light blue one at (50, 150): each lies at the other's (y, x)."""
    height, width = 200, 300
    masks = [_disc(height, width, x, y, 34) for x, y in ((150, 50), (50, 150))]
    return _scene("two_discs", masks, [(235, 170, 70), (150, 215, 235)], DARK, (height, width))


def one_disc(colours: tuple[RGB, RGB], name: str) -> Sample:
    """200 x 200: a disc, of (object, ground)."""
    return _scene(name, [_disc(200, 200, 100, 90, 45)], [colours[0]], colours[1], (200, 200), noise=0)


def of_parts() -> Sample:
    """240 x 320: three objects of several parts each, of which one click seldom finds all."""
    height, width = 240, 320
    y, x = np.mgrid[:height, :width]
    stripes = (np.abs(x - 80) < 45) & (np.abs(y - 70) < 40) & ((x - 80) // 15 % 2 == 0)
    halves = _disc(height, width, 225, 75, 45)
    pair = _disc(height, width, 70, 185, 28) | _disc(height, width, 140, 190, 32)
    sample = _scene("of_parts", [stripes, halves, pair], [(225, 210, 90), (230, 120, 70), (140, 205, 225)], DARK, (height, width))
    image = sample.image.copy()
    image[halves & (x > 225)] = (120, 180, 190)
    return _with_image(sample, image)


def plain(height: int, width: int) -> Sample:
    """A picture of any size: a bright ellipse (a single pixel, if there is no more) on a dark ground."""
    y, x = np.mgrid[:height, :width]
    inside = (2 * y - height + 1) ** 2 * width**2 + (2 * x - width + 1) ** 2 * height**2 <= (height * width) ** 2 // 3
    inside[height // 2, width // 2] = True
    return _scene(f"plain_{height}x{width}", [inside], [(230, 190, 90)], DARK, (height, width))


def _disc(height: int, width: int, x: int, y: int, radius: int) -> BoolArray:
    yy, xx = np.mgrid[:height, :width]
    return np.asarray((yy - y) ** 2 + (xx - x) ** 2 <= radius**2, np.bool_)


def _scene(name: str, masks: list[BoolArray], colours: list[RGB], ground: RGB, size: tuple[int, int], noise: int = 6) -> Sample:
    image: npt.NDArray[np.int64] = np.empty((*size, 3), np.int64)
    image[...] = ground
    for mask, colour in zip(masks, colours, strict=True):
        image[mask] = colour
    if noise:  # a photograph has no two equal pixels
        image += np.random.Generator(np.random.PCG64(len(name))).integers(-noise, noise + 1, (*size, 1))
    instances = tuple(Instance(str(i), Region.from_array(m)) for i, m in enumerate(masks))
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return Sample("conformance", name, *size, instances, lambda: pixels)


def _with_image(sample: Sample, image: UInt8Array) -> Sample:
    return Sample(sample.dataset, sample.image_id, sample.height, sample.width, sample.instances, lambda: image)
