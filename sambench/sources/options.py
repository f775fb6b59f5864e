"""Options as they are written on the command line: `key=value`, with values as TOML has them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import date, time
from typing import Any

from sambench.errors import UsageError
from sambench.values import FITTING, short


def parse_options(pairs: Sequence[str], *, what: str = "a model option", where: str = "-M") -> dict[str, Any]:
    """`key=value` pairs; values are read as TOML (numbers, true, "text", [lists]) and otherwise taken as text, dates too.

    what, where: of the options, for errors. Raises UsageError where a pair has no key, or a value is a number
    that no computer's number holds.
    """
    out: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{what} is not key=value", where=where, expected="key=value", found=pair)
        out[key] = _value(pair, value, what, where)
    return out


def _value(pair: str, text: str, what: str, where: str) -> Any:
    try:
        found = tomllib.loads(f"v = {text}")
        value = found["v"]
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{what} cannot be read", where=where, expected=FITTING, found=f"{short(pair)}: {e}") from e
    # To TOML the rest of `3#4` is a comment, and a second line a second value; to whoever wrote it they are a part of this one.
    cut = len(found) > 1 or ("#" in text and "#" not in repr(value))
    return text if cut or isinstance(value, date | time) else value
