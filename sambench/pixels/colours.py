"""Words for colours: each pixel has one of eleven, by rules of whole numbers, the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sambench.types import UInt8Array

# The basic colour terms of English (Berlin and Kay 1969) but for pink, which is a light red or purple here.
WORDS = ("black", "grey", "white", "red", "orange", "brown", "yellow", "green", "blue", "purple")
_INDEX = {word: i for i, word in enumerate(WORDS)}


def colour_words(pixels: UInt8Array) -> npt.NDArray[np.uint8]:
    """The index in WORDS of every pixel's word: uint8 [..., 3] RGB -> uint8 [...].

    Grey levels are pixels whose channels differ by less than 24, or by less than a fifth of the brightest. Others go by the hue in
    degrees: red from 340 to 14, orange from there to 42 (brown where it is dark), yellow to 66, green to 170, blue to 255, purple.
    """
    rgb = np.asarray(pixels, np.int32)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    high, low = rgb.max(axis=-1), rgb.min(axis=-1)
    chroma = high - low
    # Hue in degrees times the chroma, as whole numbers: no division, and so no rounding.
    turned = np.select([high == r, high == g], [60 * (g - b), 60 * (b - r) + 120 * chroma], 60 * (r - g) + 240 * chroma)
    turned = np.where(turned < 0, turned + 360 * chroma, turned)
    hue = [14, 42, 66, 170, 255, 340]
    words = ["red", "orange", "yellow", "green", "blue", "purple"]
    out = np.select([turned < limit * chroma for limit in hue], [_INDEX[w] for w in words], _INDEX["red"])
    out = np.where((out == _INDEX["orange"]) & (high < 150), _INDEX["brown"], out)
    grey = (chroma < 24) | (5 * chroma < high)
    level = np.select([high < 60, high < 200], [_INDEX["black"], _INDEX["grey"]], _INDEX["white"])
    return np.where(grey, level, np.where(high < 40, _INDEX["black"], out)).astype(np.uint8)
