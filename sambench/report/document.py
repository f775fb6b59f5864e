"""What a report is made of, before it takes a form: sections with tables and pictures, every gap with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sambench.errors import UsageError
from sambench.layout import Table, Value, cell_of, is_missing
from sambench.results.over_datasets import mean_over_datasets
from sambench.text import csv_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sambench.store.views import CellView


@dataclass(frozen=True)
class Picture:
    """A figure of a report. draw fills an empty matplotlib figure of size_in (width, height in inches); header and rows: its data.

    published: it is of published numbers alone. raster: it holds photographs.
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
    published: bool = False

    def to_csv(self) -> str:
        """Its data in full precision; what is missing is empty."""
        return csv_text(self.header, (["" if is_missing(v) else v for v in row] for row in self.rows))


@dataclass(frozen=True)
class Section:
    """One definition, made. absent: why there is neither table nor picture. paper, and place in it: what is drawn again."""

    id: str
    title: str
    paper: str = ""
    place: str = ""
    text: str = ""
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The paper and the place in it."""
        return ", ".join(part for part in (self.paper, self.place) if part)

    @property
    def measured(self) -> bool:
        """Whether it shows more than published numbers and why there are no others."""
        shown = any(not picture.published for picture in self.pictures)
        return not self.absent or shown or any(map(has_measured, self.tables))

    def gaps_alone(self, table: Table) -> bool:
        """Whether a table of it has nothing measured, while others, or pictures, have."""
        others = any(has_measured(t) for t in self.tables if t is not table) or any(not p.published for p in self.pictures)
        return others and not has_measured(table) and any(c.kind != "text" for c in table.shown)


@dataclass(frozen=True)
class Document:
    """A whole report. runs: (run, cell id, task, model, dataset, images, status) of all that it was made of."""

    id: str
    title: str
    sections: tuple[Section, ...]
    methods: tuple[str, ...] = ()
    bibtex: str = ""
    deviations: tuple[str, ...] = ()
    runs: Table | None = None
    versions: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def cells(self) -> frozenset[tuple[str, str]]:
        """(run, cell) of all that it was made of: of its table of runs, or of what its parts are drawn from where it has none."""
        if self.runs is not None:
            return frozenset((str(row.values["run"]), str(row.values["cell"])) for row in self.runs.rows)
        names = [name for s in self.sections for table in s.tables for name in table.runs]
        names += [name for s in self.sections for picture in s.pictures for name in picture.runs]
        return frozenset((run, cell) for run, _, cell in (name.partition("/") for name in names))

    @property
    def parted(self) -> tuple[tuple[Section, ...], tuple[Section, ...]]:
        """Sections with something measured in them, and the others, which stand behind; where none has, all are first."""
        first = tuple(s for s in self.sections if s.measured)
        return (first, tuple(s for s in self.sections if not s.measured)) if first else (self.sections, ())


def has_measured(table: Table) -> bool:
    """Whether any number in it was measured."""
    numbers = [c for c in table.shown if c.kind != "text"]
    return any(row.kind == "measured" and not cell_of(row, c).missing for row in table.rows for c in numbers)


def cells_used(sections: Sequence[Section], cells: Sequence[CellView]) -> list[CellView]:
    """Those of the cells of which something that the sections show was made; all of them where a part does not say of which."""
    used: set[str] = set()
    for section in sections:
        texts = [t for t in section.tables if t.runs and all(c.kind == "text" for c in t.shown)]
        numbers = [t for t in section.tables if has_measured(t)]
        parts: list[Table | Picture] = [*texts, *numbers, *(p for p in section.pictures if not p.published)]
        for part in parts:
            used.update(part.runs or _names(cells))
    return [c for c in cells if used.intersection(_names([c]))]


def _names(cells: Sequence[CellView]) -> list[str]:
    """As parts of a report name what they were made of: a run, or one cell of it."""
    return [name for c in cells for name in (c.run_name, f"{c.run_name}/{c.path.name}")]


def mean_of(cells: Sequence[Value], *, wanted: int, what: str = "datasets") -> Value:
    """The unweighted mean of whole values; a gap with its reason unless all `wanted` are there and none is partial."""
    whole = [c for c in cells if not c.missing and not c.partial]
    if not wanted:
        return Value(reason=f"no {what} to average")
    if len(whole) < wanted:
        return Value(reason=f"{len(whole)} of {wanted} {what} complete, not comparable")
    return Value(mean_over_datasets([float(c.value) for c in whole]))


def unique_ids(sections: Sequence[Section]) -> None:
    """Raise UsageError if two tables or pictures would be written to one file."""
    seen: set[str] = set()
    for section in sections:
        for ident in (*(t.id for t in section.tables), *(p.id for p in section.pictures)):
            if ident in seen:
                raise UsageError("two parts of a report have one id", where=section.id, found=ident)
            seen.add(ident)
