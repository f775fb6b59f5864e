"""Text for where it goes: what comes from files, made harmless for terminals, spreadsheets and Markdown; sizes for people."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Control characters but tab and line break, marks that turn the direction of reading round, and halves of surrogate pairs.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """The text with control characters as escapes (`\\x1b`): nothing in it can move a cursor, recolour or rename a terminal."""
    return _CONTROL.sub(lambda found: _escape(ord(found.group())), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def markdown(text: str) -> str:
    """The text for a Markdown page: what would begin a tag of HTML is shown, not obeyed."""
    return _TAG.sub("&lt;", printable(text))


def human_bytes(n: int) -> str:
    """'2.56 GB': decimal units, as disks and servers count."""
    value = float(n)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def counted(n: int, one: str, many: str = "") -> str:
    """'1 image', '1,200 images'. one, many: what follows the number, verbs and all; many is `one` with an s where not given."""
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def csv_cell(value: Any) -> Any:
    """A value as it may stand in CSV: a text that a spreadsheet would take for a formula gets an apostrophe before it.

    Numbers stay, also those that are texts (`-5`).
    """
    if not isinstance(value, str):
        return value
    clean = printable(value)
    return f"'{clean}" if value.startswith(_FORMULA) and not _is_number(value) else clean


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def csv_text(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """CSV with a line of names, lines ended by a line feed. None is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([csv_cell(v) for v in row] for row in rows)
    return stream.getvalue()


def csv_frame(frame: pd.DataFrame) -> str:
    """A pandas table as CSV, in its own order and without the index."""
    import pandas as pd

    texts = {c: frame[c].map(csv_cell) for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])}
    return frame.assign(**texts).to_csv(index=False, lineterminator="\n")


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A tree of dataclasses, tuples, lists and mappings with every text changed; keys and everything else stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)(mapped(v, change) for v in value)
    if isinstance(value, Mapping):
        return {k: mapped(v, change) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: mapped(getattr(value, f.name), change) for f in fields(value) if f.init})
    return value
