"""A table in a terminal: whole columns are left out and named where it is too narrow, no number is broken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sambench.layout.table import Column, Table, cell_of, footnotes, letters_of, marks_of, text_of

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table as RichTable

# Letters that fonts of terminals have above the line: of the Latin ones all but q.
_RAISED = str.maketrans("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
_STYLES = {"summary": "bold", "measured": None}


def render_rich(table: Table, more: str = "a wider terminal or --format csv shows all") -> RenderableType:
    """What rich prints: the table, its footnotes and notes below. more: where columns are that are left out for width."""
    return _Fitting(table, more)


def as_text(table: Table, width: int = 120) -> str:
    """The same as plain lines of at most `width` characters, without a newline at the end."""
    import io

    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False, markup=False, emoji=False, color_system=None).print(
        render_rich(table, "`.table()` and `.tables()` have all")
    )
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n")


class _Fitting:
    """A table that chooses its columns when it knows how wide the terminal is."""

    def __init__(self, table: Table, more: str) -> None:
        self.table, self.more = table, more

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.measure import Measurement
        from rich.text import Text

        columns, left_out = list(self.table.shown), []
        while len(columns) > 1:
            drawn = _rich_table(self.table, columns)
            if Measurement.get(console, options.update(max_width=10_000), drawn).maximum <= options.max_width:
                break
            left_out.append(columns.pop(_least(columns)))
        yield _rich_table(self.table, columns)
        if left_out:
            labels = ", ".join(c.heading for c in self.table.shown if c in left_out)
            yield Text(f"left out for width: {labels} ({self.more})", style="dim")
        for mark, note in footnotes(self.table):
            text = f"{mark.translate(_RAISED)} {note}" if mark else note
            yield Text(text, style="yellow" if note in self.table.warnings else "dim")


def _least(columns: Sequence[Column]) -> int:
    """The column that is missed least: minor ones, then counts, then intervals, then the last numbers; texts last."""
    minor = [i for i, c in enumerate(columns) if c.minor]
    if minor:
        return minor[-1]
    for kinds in ({"count"}, {"interval", "points_interval", "signed_interval", "number_interval"}):
        at = [i for i, c in enumerate(columns) if c.kind in kinds]
        if at:
            return at[-1]
    numbers = [i for i, c in enumerate(columns) if c.kind != "text"]
    return numbers[-1] if len(numbers) > 1 else len(columns) - 1


def _rich_table(table: Table, columns: Sequence[Column]) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(table.title, style="bold")
    out = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        justify: Literal["left", "right"] = "left" if column.kind == "text" else "right"
        out.add_column(Text(column.heading), justify=justify, no_wrap=True)
    letters = letters_of(table)
    for i, row in enumerate(table.rows):
        if row.summary and i and not table.rows[i - 1].summary:
            out.add_section()
        cells = ((cell_of(row, c), c) for c in columns)
        texts = (Text(text_of(cell.value, c.kind) + marks_of(cell, letters).translate(_RAISED)) for cell, c in cells)
        out.add_row(*texts, style=_STYLES.get(row.kind, "dim"))
    return out
