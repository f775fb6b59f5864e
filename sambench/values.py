"""Values that people write: in TOML files, on the command line, in Python. What goes into an identity is checked here, once."""

from __future__ import annotations

import math
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sambench.errors import UNPRINTABLE, SambenchError, shown

MAX_BYTES = 4 << 20  # of a TOML file; the largest that comes with sambench has 11 kB
MAX_DEPTH = 16
MAX_VALUES = 100_000
MAX_CHARS = 1 << 16
MAX_INT = 1 << 63
MAX_GRID = 1024  # points a side, far beyond what any model is asked
FITTING = (
    f"finite numbers below 2^63, texts of up to {MAX_CHARS:,} characters, true, false, and lists or tables of these, "
    f"nested {MAX_DEPTH} deep at most"
)


def read_toml(text: str) -> dict[str, Any]:
    """The table that a TOML text holds. Raises ValueError with the reason, whatever is wrong with it."""
    try:
        return tomllib.loads(text)
    except RecursionError as e:
        raise ValueError("values nested too deeply") from e
    except ValueError as e:  # also numbers of thousands of digits, which Python does not read
        raise ValueError(str(e)) from e


def misfit(value: Any, name: str = "") -> str | None:
    """What of a value cannot stand in a record or an identity, as `name: why`; None where all fits.

    Fitting are finite numbers, texts, booleans and None, and lists, tuples and mappings of these, within the limits above: values
    that JSON keeps as they are.
    """
    left = MAX_VALUES
    stack: list[tuple[str, Any, int]] = [(name, value, 0)]
    while stack:
        at, found, depth = stack.pop()
        left -= 1
        why = _why(found, depth) if left >= 0 else f"more than {MAX_VALUES:,} values"
        if why:
            return f"{at}: {why}" if at else why
        if isinstance(found, Mapping):
            for key, inner in found.items():
                if not isinstance(key, str) or _why(key, depth):
                    return f"{at or 'a table'}: a key that is no text, {short(key)}"
                stack.append((f"{at}.{key}" if at else key, inner, depth + 1))
        elif isinstance(found, list | tuple):
            stack += [(f"{at}[{i}]", inner, depth + 1) for i, inner in enumerate(found)]
    return None


def _why(value: Any, depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} deep"
    if value is None or isinstance(value, bool | Mapping | list | tuple):
        return None
    if isinstance(value, int):
        return None if abs(value) < MAX_INT else f"an integer of {value.bit_length()} bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is no finite number"
    if isinstance(value, str):
        if "\0" in value:
            return "a text with a zero byte"
        if odd := UNPRINTABLE.search(value):
            return f"a text with the control character {ascii(odd.group())[1:-1]}"
        return None if len(value) <= MAX_CHARS else f"a text of {len(value):,} characters"
    return f"a {type(value).__name__}, {short(value)}"


def short(value: object) -> str:
    """A value as one short text, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - objects of others
        return "which cannot be shown"
    return text if len(text) <= 60 else text[:59] + "…"


def toml_file(path: Path, what: str, error: type[SambenchError]) -> dict[str, Any]:
    """The table of a TOML file that somebody wrote. what: `a card`, for the messages.

    Raises `error` where the file cannot be read, is not TOML, or holds a value that cannot stand in an identity.
    """
    _check_file(path, what, error)
    try:
        found = read_toml(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise error(f"{what} cannot be read", where=path, found=e.strerror or repr(e)) from e
    except ValueError as e:
        raise error(f"{what} is not valid TOML", where=path, found=shown(e), remedy="mend the file") from e
    wrong = misfit(found)
    if wrong:
        remedy = "mend the file; a date stands in quotes"
        raise error(f"{what} holds a value that does not fit", where=path, expected=FITTING, found=shown(wrong), remedy=remedy)
    return found


def _check_file(path: Path, what: str, error: type[SambenchError]) -> None:
    """Raise `error` unless it is a file of some size: a pipe would be waited for, a device read without end."""
    try:
        status = path.stat()
    except (OSError, ValueError) as e:  # ValueError: a path that holds a NUL
        found = (e.strerror if isinstance(e, OSError) else None) or shown(e)
        raise error(f"{what} cannot be read", where=shown(path), found=found) from e
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "neither a file nor a folder"
        raise error(f"{what} cannot be read", where=path, expected="a TOML file", found=found)
    if status.st_size > MAX_BYTES:
        raise error(f"{what} is too large", where=path, expected=f"at most {MAX_BYTES:,} bytes", found=f"{status.st_size:,} bytes")
