"""What annotation and results files say, in whatever type people's tools write it: the one place where it is read.

pandas writes ids as 1.0, spreadsheets write "64", JavaScript true for 1, VIA -1 for a size that it does not know. Each function
takes one such value and gives the plain one, or raises a DataError that says what the value is of, what was expected and what
stands there; NaN and infinities are refused by name, and nothing is rounded.

Everywhere: what: the value's name in the file, as "category_id". where: the entry and file that hold it.
"""

from __future__ import annotations

import math
import re
from typing import Any

from sambench.errors import DataError
from sambench.provenance import canonical_json

EXACT = 1 << 53  # beyond it a float skips whole numbers
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CANONICAL = re.compile(r"(0|-?[1-9][0-9]{0,39})(\.0+)?")
_LONGEST = 80  # characters of a number that is written as text
_YES, _NO = ("true", "yes"), ("false", "no", "")


def absent(value: Any) -> bool:
    """Whether a value says that there is none: null, and NaN, which pandas writes for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain_id(value: Any, what: str, where: object) -> int | str:
    """An id as the number or text that it is: 1, 1.0, "1" and "1.0" are all 1, "a7" and "007" stay texts.

    `str` of the result is the one text by which an id is known. Raises DataError: absent (None), true or false, a fraction, an
    empty text, a list, or a float so large that it may be another whole number than the one that was meant.
    """
    if type(value) is int:
        return value
    if isinstance(value, str) and value:
        same = _CANONICAL.fullmatch(value)
        return int(same[1]) if same else value
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    raise _unusable(value, what, where, "an id, a whole number or text")


def twice(things: str, first: Any, again: Any, where: object) -> DataError:
    """The error for an id that two things have, also if it is written in two ways. first, again: how the file writes it."""
    alike = shown(first) == shown(again)
    return DataError(
        f"two {things} have the same id",
        where=where,
        expected="ids that occur once",
        found=f"{shown(again)} again" if alike else f"{shown(first)} and {shown(again)}, which are one id",
        remedy=f"give each of the {things} an id of its own",
    )


def whole(value: Any, what: str, where: object, *, low: int | None = None, high: int | None = None) -> int:
    """A whole number: 64, 64.0 and "64" are 64. Raises DataError on fractions, true and false, and numbers out of low .. high."""
    found: int | None = None
    if type(value) is int:
        found = value
    elif isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        found = int(value)
    elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        found = int(value.strip().partition(".")[0])
    if found is None or (low is not None and found < low) or (high is not None and found > high):
        span = "" if low is None and high is None else f" from {low} on" if high is None else f" from {low} to {high}"
        raise _unusable(value, what, where, f"a whole number{span}")
    return found


def number(value: Any, what: str, where: object) -> float:
    """A finite number: 0.5, 1 and "0.5". Raises DataError on NaN, infinities, true and false, and integers beyond floats."""
    found = _float(value)
    if found is None:
        raise _unusable(value, what, where, "a finite number")
    return found


def numbers(values: Any, what: str, where: object, *, n: int | None = None) -> list[float]:
    """A list of finite numbers (of n, if given), each as `number`. Raises DataError naming the first that is none."""
    if not isinstance(values, list | tuple) or (n is not None and len(values) != n):
        raise _unusable(values, what, where, f"{n} numbers" if n is not None else "a list of numbers")
    return [number(v, what, where) for v in values]


def points(given: Any, what: str, where: object) -> list[list[float]]:
    """Corners of an outline, [[x, y], ...], each a pair of finite numbers. Raises DataError naming the first that is none."""
    if not isinstance(given, list):
        raise _unusable(given, what, where, "a list of points [x, y]")
    return [numbers(p, what, where, n=2) for p in given]


def flag(value: Any, what: str, where: object) -> bool:
    """Yes or no: true, 1, 1.0, "1", "true"; false, 0, 0.0, "0", "false", "" and absent (None). Raises DataError on all else."""
    if value is None or type(value) is bool:
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in (*_YES, *_NO):
        return value.strip().lower() in _YES
    found = _float(value)
    if found not in (0.0, 1.0):
        raise _unusable(value, what, where, "0 or 1, true or false")
    return found == 1.0


def side(value: Any, what: str, where: object) -> int | None:
    """A picture's width or height: 64, 64.0, "64"; None where the file does not know it (absent, 0, -1, NaN, ""), so that the
    picture itself is asked. Raises DataError on what is no number of pixels."""
    if absent(value) or value == "":
        return None
    found = whole(value, what, where, low=-1)
    return found if found > 0 else None


def run_lengths(counts: Any, what: str, where: object) -> list[int]:
    """Runs of an uncompressed RLE, none negative: [392.0, "16", 2664] is [392, 16, 2664]. Raises DataError."""
    if not isinstance(counts, list):
        raise _unusable(counts, what, where, "a list of run lengths")
    if {*map(type, counts)} <= {int} and (not counts or min(counts) >= 0):
        return counts
    return [whole(c, what, where, low=0) for c in counts]


def text(value: Any, what: str, where: object) -> str:
    """A text that is not empty and that a file name or a line of output may hold. Raises DataError."""
    if not isinstance(value, str) or not value or "\0" in value or not _encodes(value):
        raise _unusable(value, what, where, "a text that is not empty")
    return value


def json_text(value: Any, what: str, where: object) -> str:
    """A JSON value as one text, the same for equal values (1 and 1.0 are). Raises DataError: NaN in it, or nested too deeply."""
    try:
        return canonical_json(_plain(value))
    except (ValueError, RecursionError) as e:
        raise _unusable(value, what, where, "a value that JSON has, not nested deeply") from e


def shown(value: Any, most: int = 80) -> str:
    """A value as an error quotes it: at most so many characters, however large or deeply nested it is."""
    if isinstance(value, str | bytes | list | tuple):
        value = value[:most]
    elif isinstance(value, dict) and len(value) > most:
        value = {k: value[k] for k in [*value][:most]}
    try:
        return f"{value!r:.{most}}"
    except (RecursionError, ValueError):  # ValueError: an integer of thousands of digits
        return f"{type(value).__name__} that cannot be written out"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


def _float(value: Any) -> float | None:
    """The finite number that a value stands for, or None."""
    if isinstance(value, str):
        stripped = value.strip()
        if len(stripped) > _LONGEST or not _NUMBER.fullmatch(stripped):
            return None
        value = float(stripped)
    if type(value) not in (int, float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _encodes(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unusable(value: Any, what: str, where: object, expected: str) -> DataError:
    found = "nothing" if value is None else shown(value)
    if isinstance(value, float) and not math.isfinite(value):
        found = "NaN (not a number)" if math.isnan(value) else f"{value} (infinity)"
    return DataError(
        f"a value in a file cannot be used: {what}",
        where=where,
        expected=expected,
        found=found,
        remedy="mend that entry of the file, or have the tool that wrote it write it again",
    )
