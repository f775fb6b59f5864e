"""The one table of sambench, as values: what every command, report and file that has a table in it is made of.

Values are kept as measured (fractions, clicks, counts). The forms for reading show fractions in percent; CSV and JSON give all
values in full.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sambench.text import printable

# percent: a fraction in [0, 1]; score: the same, shown as it is. points: a difference of fractions.
# pairs: of: (fraction, number of candidates);
# interval, points_interval, signed_interval, number_interval: (low, high). small_p: p-values whose size matters far below 0.0001.
Kind = Literal[
    "text",
    "count",
    "percent",
    "score",
    "number",
    "points",
    "signed",
    "p",
    "small_p",
    "of",
    "interval",
    "score_interval",
    "points_interval",
    "signed_interval",
    "number_interval",
]
# summary: a row over others, as a suite's mean. The rest says where the numbers come from.
RowKind = Literal["measured", "published", "digitised", "reproduced", "summary"]
PAIRS: dict[str, tuple[str, str]] = {
    "of": ("", "_candidates"),
    "interval": ("_low", "_high"),
    "score_interval": ("_low", "_high"),
    "points_interval": ("_low", "_high"),
    "signed_interval": ("_low", "_high"),
    "number_interval": ("_low", "_high"),
}
DASH, MINUS = "–", "−"
_SIGN = re.compile(r"(?<![\w.])-(?=[\d.])")  # not the one of an exponent
OVERLAP, PARTIAL = "†", "‡"
OVERLAP_NOTE = "the model was trained on data that overlaps this dataset"


@dataclass(frozen=True)
class Value:
    """One cell of a table of which more is known than its value. A cell without more is the plain value itself.

    reason: why there is no value; a dash stands for it. note: what must be read with the value. Both become footnotes with letters.
    overlap: training overlap. partial: why the number is not that of the whole set. low, high: its interval, in the value's unit;
    detail: what else is to be known of it, shown to a pointer that rests on it.
    """

    value: Any = None
    reason: str = ""
    overlap: bool = False
    partial: str = ""
    low: float | None = None
    high: float | None = None
    detail: str = ""
    note: str = ""

    @property
    def missing(self) -> bool:
        return is_missing(self.value)

    @property
    def remark(self) -> str:
        """What a letter beside it stands for: the reason of a gap, or the note of a value."""
        return self.reason if self.missing else self.note


@dataclass(frozen=True)
class Column:
    """key: name in CSV and JSON (pairs get two, with suffixes). hidden: in CSV and JSON alone. minor: the first to be left out
    where a terminal is too narrow. group: a heading above several neighbours.
    """

    key: str
    label: str
    kind: Kind = "text"
    hidden: bool = False
    minor: bool = False
    group: str = ""

    @property
    def heading(self) -> str:
        """The label with its group, for forms that have one line of headings."""
        return f"{self.group}: {self.label}" if self.group else self.label


@dataclass(frozen=True)
class Row:
    """values by column key: plain, or a `Value`; a key left out, None and NaN all mean "not there". kind: see RowKind."""

    values: Mapping[str, Any]
    kind: RowKind = "measured"

    @property
    def summary(self) -> bool:
        return self.kind == "summary"


@dataclass(frozen=True)
class Table:
    """A table. notes: whole sentences that must be read with the numbers; warnings: those of them by which the numbers are not what
    they look like (of a part of a set, say). What belongs to single cells is said by `footnotes`.

    id: its name among others, for files and anchors. runs: the cells that it was made of, as `run/dataset`.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    id: str = ""
    runs: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if not c.hidden)


def is_missing(value: Any) -> bool:
    """None, NaN, or a pair that begins with one."""
    if isinstance(value, tuple):
        return is_missing(value[0])
    return value is None or (isinstance(value, float) and math.isnan(value))


def cell_of(row: Row, column: Column) -> Value:
    """The value at a place; what is not there is a gap without a reason."""
    found = row.values.get(column.key)
    return found if isinstance(found, Value) else Value(found)


def text_of(value: Any, kind: Kind) -> str:
    """A value as it is read: percent with one decimal, differences with their sign, a dash where there is none.

    Signs are hyphens, as terminals and keyboards have them; see `printed_of`.
    """
    if is_missing(value):
        return DASH
    if kind == "text":
        return printable(str(value))
    if kind == "count":
        return f"{int(value):,}"
    if kind == "of":
        return f"{_percent(value[0])} ({value[1]})"
    if kind == "p":
        return "<0.0001" if value < 1e-4 else f"{value:.4f}"
    if kind == "small_p":
        return f"{value:.1e}" if value < 1e-3 else f"{value:.4f}"
    if kind in PAIRS:
        form = _FORMS["percent" if kind == "interval" else kind.removesuffix("_interval")]
        return f"[{form(value[0])}, {form(value[1])}]"
    return _FORMS[kind](value)


def printed_of(value: Any, kind: Kind) -> str:
    """As `text_of`, with minus signs as they are printed."""
    text = text_of(value, kind)
    return text if kind == "text" else _SIGN.sub(MINUS, text)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _signed(value: float) -> str:
    return f"{value:+.2f}"


_FORMS: dict[str, Callable[[float], str]] = {
    "percent": _percent,
    "score": lambda v: f"{v:.3f}",
    "number": lambda v: f"{v:.2f}",
    "points": lambda v: f"{100 * v:+.1f}",
    "signed": _signed,
}


def letters_of(table: Table) -> dict[str, str]:
    """The letter of every remark on a cell (reasons of gaps, notes of values), in reading order: text -> a, b, ..., z, aa, ..."""
    out: dict[str, str] = {}
    for row in table.rows:
        for column in table.shown:
            remark = cell_of(row, column).remark
            if remark and remark not in out:
                out[remark] = _letter(len(out))
    return out


def _letter(n: int) -> str:
    return (_letter(n // 26 - 1) if n >= 26 else "") + chr(ord("a") + n % 26)


def marks_of(cell: Value, letters: Mapping[str, str]) -> str:
    """The marks after a cell's text: the letter of its remark, and daggers. letters: of `letters_of`."""
    if cell.missing:
        return letters.get(cell.reason, "")
    return letters.get(cell.note, "") + (OVERLAP if cell.overlap else "") + (PARTIAL if cell.partial else "")


def footnotes(table: Table) -> list[tuple[str, str]]:
    """(mark, text) of all that must be read with the table: remarks on cells by letter, the two daggers, its notes (no mark)."""
    cells = [cell_of(row, column) for row in table.rows for column in table.shown]
    out = [(letter, remark) for remark, letter in letters_of(table).items()]
    if any(c.overlap and not c.missing for c in cells):
        out.append((OVERLAP, OVERLAP_NOTE))
    partial = dict.fromkeys(c.partial for c in cells if c.partial and not c.missing)
    if partial:
        out.append((PARTIAL, "PARTIAL: " + "; ".join(partial)))
    return out + [("", note) for note in table.notes]
