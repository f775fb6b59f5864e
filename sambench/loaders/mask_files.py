"""Files of one binary mask each: which pixels are the foreground, whatever people's tools wrote."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from sambench.errors import DataError
from sambench.loaders import images as image_files
from sambench.pixels.region import Region
from sambench.types import BoolArray, UInt8Array

Channel = Literal["first", "max", "alpha"]


@dataclass(frozen=True)
class MaskFiles:
    """How mask files are read.

    above: a pixel is foreground if its value, of 255, is greater; a mask whose largest value is 1 counts as 0 and 1 instead.
    channel: of a colour mask the first, the largest of its channels, or its alpha. ignore: a value whose pixels count nowhere; -1:
    none. lossy: formats that do not keep values (JPEG) are taken too.
    """

    above: int = 127
    channel: Channel = "first"
    lossy: bool = False
    ignore: int = -1

    def read(self, path: Path) -> tuple[Region, Region | None]:
        """The foreground of a mask file, and the pixels that count nowhere (None without `ignore`).

        Raises DataError naming the file: broken, values of which none is above, or channels that contradict one another.
        """
        values = self._values(path)
        band = values == self.ignore
        above = 0 if values[~band].max(initial=0) == 1 else self.above
        mask = (values > above) & ~band
        largest = int(values[~band].max(initial=0))
        if largest and not mask.any():
            raise DataError(
                "a mask has values, but none above its threshold",
                where=path,
                expected=f"foreground above {above}, of 255, or an empty mask",
                found=f"values up to {largest}",
                remedy=f"set `above`, below {largest}, under [options] of the card if these pixels are the object",
            )
        return Region.from_array(mask), Region.from_array(band) if self.ignore >= 0 else None

    def _values(self, path: Path) -> UInt8Array:
        """uint8 [H, W] of the channel that is the mask. Raises DataError: none, or it cannot be told which."""
        colours, alpha = image_files.read_mask_values(path, lossy=self.lossy)
        if self.channel == "alpha":
            if alpha is None:
                remedy = 'leave channel = "alpha" out of the options of the card'
                raise DataError("a mask has no alpha channel", where=path, expected="one", found="none", remedy=remedy)
            return alpha
        largest = np.asarray(colours.max(axis=2))
        if self.channel == "max":
            return largest
        first, reading = colours[:, :, 0], partial(_foreground, above=self.above)
        if alpha is not None and alpha.min(initial=255) < 255 and (reading(alpha) != reading(first)).any():
            options = 'channel = "alpha" (what is opaque) or channel = "max" (what is bright)'
            raise _unclear(path, "its colours and its alpha channel", options)
        if not first.any() and largest.any():
            raise _unclear(path, "its first channel (red), which is empty, and the others", 'channel = "max"')
        return first


def _foreground(values: UInt8Array, above: int) -> BoolArray:
    return np.asarray(values > (0 if values.max(initial=0) == 1 else above))


def _unclear(path: Path, what: str, options: str) -> DataError:
    return DataError(
        "a mask does not say which of its channels is the mask",
        where=path,
        expected="one mask in all channels",
        found=f"different ones in {what}",
        remedy=f"set {options} under [options] of the card",
    )
