"""Which stored value of an edge map stands for an edge of strength 1, where the file does not say: one answer for all of a folder.

A map alone cannot tell: one whose largest value is 1 is a binary map, or a nearly empty one of 0 to 255. All maps of a folder that
are of one type (.png of 8 bits, .npy of float64, ...) can. With M their largest value,

    bool             1
    floats           1; refused where M is below the lowest threshold: such maps were divided once too often
    whole numbers    1 where M is 1; 255 where M is 64 to 255; 65535 where M is 16384 to 65535, unless they are of 8 bits;
                     else refused: a map of weak edges cannot be told from one of another scale

Other maps are looked at only where the one at hand leaves it open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError

LOWEST_THRESHOLD = 0.01  # of the benchmark's 99
_FULL = (255, 65535)
_WEAK = 4  # where the strongest edge of all maps is below this part of the full scale, the scale is another one


class Scales:
    """The answers for a folder, found when they are first needed. read: the stored values of a file; raises DataError."""

    def __init__(self, folder: Path, files: Mapping[str, Path], read: Callable[[Path], npt.NDArray[Any]]) -> None:
        self._folder, self._files, self._read = folder, files, read
        self._known: dict[tuple[str, str], float] = {}

    def of(self, path: Path, stored: npt.NDArray[Any]) -> float:
        """What the values [H, W] of one of the maps are to be divided by. Raises DataError where nobody can tell."""
        key = (path.suffix.lower(), stored.dtype.str[1:])
        own = _largest(stored)
        if stored.dtype.kind == "b" or own == 0:
            return 1.0
        if key not in self._known:
            largest = own if _settles(own, stored.dtype) else self._of_all(key)
            scale = _scale(largest, stored.dtype)
            if scale is None:
                raise self._unclear(path, stored.dtype, largest)
            self._known[key] = scale
        return self._known[key]

    def _of_all(self, key: tuple[str, str]) -> float:
        """The largest value of all maps of one type, or of as many as it takes."""
        largest = 0.0
        for path in self._files.values():
            if path.suffix.lower() != key[0]:
                continue
            try:
                stored = self._read(path)
            except DataError:  # its own image says what is wrong with it
                continue
            if stored.dtype.str[1:] == key[1]:
                largest = max(largest, _largest(stored))
                if _settles(largest, stored.dtype):
                    break
        return largest

    def _unclear(self, path: Path, dtype: np.dtype[Any], largest: float) -> DataError:
        floats = dtype.kind == "f"
        message = "no edge map reaches the lowest threshold anywhere" if floats else "edge maps do not say which value is an edge"
        return DataError(
            message,
            where=f"{path.name} and the other {path.suffix} maps of {self._folder}",
            expected=f"strengths in [0, 1], somewhere at least {LOWEST_THRESHOLD}"
            if floats
            else "whole numbers whose largest, in all maps, is 1, 64 to 255 or 16384 to 65535",
            found=f"{dtype} values up to {largest:g}",
            remedy="name the value that stands for an edge of strength 1: -M scale=NUMBER",
        )


def _largest(stored: npt.NDArray[Any]) -> float:
    """The largest value, NaN left out; 0 where there is none above."""
    return float(np.nanmax(stored, initial=0)) if stored.size else 0.0


def _settles(largest: float, dtype: np.dtype[Any]) -> bool:
    """Whether no larger value of another map could change the answer."""
    if dtype.kind == "f":
        return largest >= LOWEST_THRESHOLD
    return largest >= _FULL[0 if dtype.itemsize == 1 else 1] / _WEAK


def _scale(largest: float, dtype: np.dtype[Any]) -> float | None:
    """The value of strength 1, None where it cannot be told."""
    if dtype.kind == "f":
        return 1.0 if largest >= LOWEST_THRESHOLD else None
    if largest == 1:
        return 1.0
    full = _FULL[:1] if dtype.itemsize == 1 else _FULL
    return next((float(f) for f in full if f / _WEAK <= largest <= f), None)
