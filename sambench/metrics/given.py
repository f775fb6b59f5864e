"""What callers give to the functions on plain arrays, checked before it is counted: nonsense must not become a number.

where: the argument's name, for the error. Everything here raises UsageError.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError, message_of
from sambench.metrics.bootstrap import MOST_RESAMPLES, Seed

_NUMBERS = "biuf"  # kinds of dtypes: bool, int, unsigned, float


def numbers(values: Any, where: str, expected: str) -> npt.NDArray[np.float64]:
    """float64 of any shape. None in a column of objects is NaN, as pandas has it; texts are no numbers."""
    found = _array(values, where, expected)
    if found.dtype.kind == "O" and not any(isinstance(v, str | bytes) for v in found.flat):
        found = _array(values, where, expected, np.float64)
    if found.dtype.kind not in _NUMBERS:
        raise _unusable(where, expected, f"an array of dtype {found.dtype}")
    return found.astype(np.float64)


def mask(values: Any, where: str) -> npt.NDArray[Any]:
    """[H, W] of bools or numbers, none of them NaN; the dtype stays."""
    expected = "a mask [H, W] of bools or numbers"
    found = _array(values, where, expected)
    if found.dtype.kind not in _NUMBERS:
        raise _unusable(where, expected, f"an array of dtype {found.dtype}")
    if found.ndim != 2:
        raise UsageError("masks do not fit", where=where, expected=expected, found=list(found.shape))
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise _unusable(where, f"{expected}, each of them known", f"{int(np.isnan(found).sum()):,} that are NaN")
    return found


def labels(values: Any, where: str) -> npt.NDArray[Any]:
    """Labels of any one type, none of them absent: pandas' None and NaN would all be one cluster."""
    expected = "a label for each, numbers or texts, none of them absent"
    found = _array(values, where, expected)
    try:
        absent = [v is None or v != v for v in found.flat] if found.dtype.kind in "OfcmM" else []  # NaN, NaT
        n = sum(map(bool, absent))
        np.unique(found)
    except (TypeError, ValueError) as e:  # of types that have no order among each other, or pandas' NA
        raise _unusable(where, expected, message_of(e)) from e
    if n:
        raise _unusable(where, expected, f"{n:,} of {len(absent):,} that are None or NaN")
    return found


def listed(values: Any, where: str, expected: str) -> list[Any]:
    """The elements of a list, a tuple or an array."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise _unusable(where, expected, f"a {type(values).__name__}")
    try:
        return list(values)
    except Exception as e:  # its `__iter__` is anyone's; an array without an axis has none
        raise _unusable(where, expected, message_of(e)) from e


def real(value: Any, where: str, expected: str, *, low: float, high: float, above: bool = False) -> float:
    """A number from low to high; above: and not low itself."""
    fits = is_number(value) and low <= value <= high and not (above and value == low)
    if not fits:
        raise _unusable(where, expected, f"{value!r:.80}")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether it is an int or float, Python's or numpy's; true and false are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def whole(value: Any, where: str, *, low: int, high: int) -> int:
    """A whole number from low to high."""
    if not is_number(value) or isinstance(value, float | np.floating) or not low <= value <= high:
        raise _unusable(where, f"a whole number from {low:,} to {high:,}", f"{value!r:.80}")
    return int(value)


def ascending(values: Any, where: str, *, low: int, high: int) -> tuple[int, ...]:
    """Whole numbers, one or more, each larger than the one before."""
    expected = "whole numbers, one or more, each larger than the one before, as (1, 10, 100)"
    found = tuple(whole(v, where, low=low, high=high) for v in listed(values, where, expected))
    if not found or any(a >= b for a, b in pairwise(found)):
        raise _unusable(where, expected, f"{found!r:.80}")
    return found


def bootstrap(n_resamples: Any, level: Any, seed: Any) -> tuple[int, float, Seed]:
    """Number of draws, level and seed."""
    n = whole(n_resamples, "n_resamples", low=1, high=MOST_RESAMPLES)
    share = real(level, "level", "a number between 0 and 1, such as 0.95", low=math.ulp(0.0), high=math.nextafter(1.0, 0.0))
    several = isinstance(seed, Sequence) and not isinstance(seed, str | bytes)
    every = [whole(s, "seed", low=0, high=(1 << 63) - 1) for s in (seed if several else (seed,))]
    return n, share, every if several else every[0]


def _array(values: Any, where: str, expected: str, dtype: Any = None) -> npt.NDArray[Any]:
    try:
        return np.asarray(values, dtype)
    except Exception as e:  # rows of several lengths; a tensor on a GPU: its `__array__` is anyone's
        raise _unusable(where, expected, message_of(e)) from e


def _unusable(where: str, expected: str, found: object) -> UsageError:
    return UsageError("an argument cannot be used", where=where, expected=expected, found=found)
