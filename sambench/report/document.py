"""What a report is made of, before it takes a form: sections with tables and pictures, every gap with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sambench.errors import UsageError
from sambench.layout import Kind, is_missing, text_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RowKind = Literal["measured", "published", "digitised", "reproduced", "summary"]
OVERLAP, PARTIAL = "†", "‡"
OVERLAP_NOTE = "the model was trained on data that overlaps this dataset"


@dataclass(frozen=True)
class Value:
    """One cell of a table. reason: why there is no value; a dash stands for it. overlap: training overlap. partial: why the number
    is not that of the whole set. low, high: its interval, in the value's unit; detail: what else is to be known of it."""

    value: Any = None
    reason: str = ""
    overlap: bool = False
    partial: str = ""
    low: float | None = None
    high: float | None = None
    detail: str = ""

    @property
    def missing(self) -> bool:
        return is_missing(self.value)


@dataclass(frozen=True)
class Column:
    """key: its name in CSV. group: a heading above several columns."""

    key: str
    label: str
    kind: Kind = "text"
    group: str = ""


@dataclass(frozen=True)
class Row:
    """values by column key: a Value, or a plain text. kind sets published rows apart from measured ones."""

    values: Mapping[str, Value | str | None]
    kind: RowKind = "measured"


@dataclass(frozen=True)
class Table:
    """A table of a report. notes: sentences to be read with it; those of dashes and marks are made by `footnotes`."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A figure of a report. draw fills an empty matplotlib figure of size_in (width, height in inches); header and rows: its data.

    wide: shown over the full width. raster: it holds photographs.
    """

    id: str
    title: str
    alt: str
    draw: Callable[[Figure], None]
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    size_in: tuple[float, float] = (6.4, 3.6)
    notes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    raster: bool = False


@dataclass(frozen=True)
class Section:
    """One definition, made. absent: why there is neither table nor picture. source: the place in the paper."""

    id: str
    title: str
    source: str = ""
    text: str = ""
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A whole report. runs: (run, cell id, task, model, dataset, images, status) of all that it was given."""

    id: str
    title: str
    sections: tuple[Section, ...]
    methods: tuple[str, ...] = ()
    bibtex: str = ""
    deviations: tuple[str, ...] = ()
    runs: Table | None = None
    versions: str = ""
    notes: tuple[str, ...] = field(default=())


def cell_of(row: Row, column: Column) -> Value:
    """The value at a place; a text becomes one, and what is not there is a gap without a reason."""
    found = row.values.get(column.key)
    return found if isinstance(found, Value) else Value(found)


def reasons_of(table: Table) -> dict[str, str]:
    """Letter of every reason for a dash, in reading order: reason -> a, b, ..., z, aa, ..."""
    out: dict[str, str] = {}
    for row in table.rows:
        for column in table.columns:
            cell = cell_of(row, column)
            if cell.missing and cell.reason and cell.reason not in out:
                out[cell.reason] = _letter(len(out))
    return out


def _letter(n: int) -> str:
    return (_letter(n // 26 - 1) if n >= 26 else "") + chr(ord("a") + n % 26)


def footnotes(table: Table) -> list[tuple[str, str]]:
    """(mark, text) of all that must be read with the table: reasons of dashes, the two daggers, and its own notes (no mark)."""
    cells = [cell_of(row, column) for row in table.rows for column in table.columns]
    out = [(letter, reason) for reason, letter in reasons_of(table).items()]
    if any(c.overlap for c in cells):
        out.append((OVERLAP, OVERLAP_NOTE))
    partial: dict[str, None] = dict.fromkeys(c.partial for c in cells if c.partial and not c.missing)
    if partial:
        out.append((PARTIAL, "PARTIAL: " + "; ".join(partial)))
    return out + [("", note) for note in table.notes]


def text_in(cell: Value, column: Column) -> str:
    """The cell as it is read, without its marks."""
    if cell.value == "":
        return ""
    if cell.missing and column.kind == "text" and not cell.reason:
        return ""  # a word that is not there is no gap in the numbers
    if column.kind == "count" and not cell.missing:
        return f"{int(cell.value):,}"
    text = text_of(cell.value, column.kind)
    return text.replace("-", "−") if column.kind.removesuffix("_interval") in ("points", "signed") else text


def marks_of(cell: Value, reasons: Mapping[str, str]) -> str:
    """The marks after a cell's text: the letter of a dash's reason, or daggers."""
    if cell.missing:
        return reasons.get(cell.reason, "")
    return (OVERLAP if cell.overlap else "") + (PARTIAL if cell.partial else "")


def mean_of(cells: Sequence[Value], *, wanted: int, what: str = "datasets") -> Value:
    """The unweighted mean of whole values; a gap with its reason unless all `wanted` are there and none is partial."""
    whole = [c for c in cells if not c.missing and not c.partial]
    if not wanted:
        return Value(reason=f"no {what} to average")
    if len(whole) < wanted:
        return Value(reason=f"{len(whole)} of {wanted} {what} complete, not comparable")
    return Value(sum(float(c.value) for c in whole) / wanted)


def unique_ids(sections: Sequence[Section]) -> None:
    """Raise UsageError if two tables or pictures would be written to one file."""
    seen: set[str] = set()
    for section in sections:
        for ident in (*(t.id for t in section.tables), *(p.id for p in section.pictures)):
            if ident in seen:
                raise UsageError("two parts of a report have one id", where=section.id, found=ident)
            seen.add(ident)
