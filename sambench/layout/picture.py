"""A table as a picture, with the rules of booktabs, for slides and for where neither HTML nor LaTeX goes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sambench.layout import style
from sambench.layout.table import Column, Row, Table, cell_of, footnotes, letters_of, marks_of, printed_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT_PT, NOTE_PT, MARK_PT = 8.5, 7.0, 6.0
ROW_IN, LINE_IN, GAP_IN, MARGIN_IN, NOTE_IN, RAISED_IN = 0.2, 0.145, 0.2, 0.12, 0.16, 0.02
_WRAP = 34
_LEAST_NOTE = 50  # characters of a line of notes, however narrow the table is
_NOTE_CHARACTERS_PER_IN = 19


def draw(table: Table, forms: Sequence[str]) -> dict[str, bytes]:
    """png, pdf or svg bytes by form."""
    with style.styled():
        figure = _drawn(table)
        return {form: style.saved(figure, form, dpi=style.PNG_DPI) for form in forms}


@dataclass(frozen=True)
class _Place:
    """A column on the page: where its texts begin (left) or end (right), in inches; marks hang to the right of `right`."""

    column: Column
    left: float
    right: float
    end: float

    @property
    def is_text(self) -> bool:
        return self.column.kind == "text"


def _drawn(table: Table) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=72)
    FigureCanvasAgg(figure)
    pen = _Pen(figure)
    places = _places(pen, table)
    inner = places[-1].end - MARGIN_IN
    in_line = max(_LEAST_NOTE, int(inner * _NOTE_CHARACTERS_PER_IN))
    notes = [(mark, textwrap.wrap(note, in_line) or [""]) for mark, note in footnotes(table)]
    title = textwrap.wrap(table.title, max(_LEAST_NOTE, int(inner * 13))) if table.title else []
    grouped = any(c.group for c in table.shown)
    tall = [_height(row, table) for row in table.rows]
    above = MARGIN_IN + ROW_IN * len(title) + 0.06
    below = sum(len(lines) for _, lines in notes) * NOTE_IN
    widest = max([inner, *(pen.width(t, weight="bold") for t in title), *(pen.width(t, NOTE_PT) for _, n in notes for t in n)])
    pen.set_size(widest + 2 * MARGIN_IN, above + 0.09 + ROW_IN * (1 + grouped) + sum(tall) + 0.13 + below + MARGIN_IN)
    for n, line in enumerate(title):
        pen.text(MARGIN_IN, MARGIN_IN + n * ROW_IN, line, fontweight="bold")
    y = _body(pen, table, places, tall, above)
    for mark, lines in notes:
        beside = pen.width(mark, MARK_PT) + 0.03 if mark else 0.0
        pen.text(MARGIN_IN, y - RAISED_IN, mark, fontsize=MARK_PT, color=style.FAINT)
        for line in lines:
            pen.text(MARGIN_IN + beside, y, line, fontsize=NOTE_PT, color=style.FAINT)
            y += NOTE_IN
    return figure


def _places(pen: _Pen, table: Table) -> list[_Place]:
    """Every column as wide as its widest text, with room for its marks, and no group narrower than its heading."""
    letters = letters_of(table)
    widths, marked = [], []
    for column in table.shown:
        weights = [(column.label, "bold"), *((_text(row, column), "bold" if row.summary else "normal") for row in table.rows)]
        widths.append(max(pen.width(text, weight=weight) for text, weight in weights))
        marks = [marks_of(cell_of(row, column), letters) for row in table.rows]
        marked.append(max((pen.width(m, MARK_PT) for m in marks), default=0.0))
    for group in dict.fromkeys(c.group for c in table.shown if c.group):
        at = [i for i, c in enumerate(table.shown) if c.group == group]
        lacking = pen.width(group, weight="bold") - sum(widths[i] + marked[i] for i in at) - GAP_IN * (len(at) - 1)
        for i in at:
            widths[i] += max(0.0, lacking) / len(at)
    out, x = [], MARGIN_IN
    for column, width, beside in zip(table.shown, widths, marked, strict=True):
        out.append(_Place(column, x, x + width, x + width + beside))
        x += width + beside + GAP_IN
    return out


def _body(pen: _Pen, table: Table, places: Sequence[_Place], tall: Sequence[float], y: float) -> float:
    """Headings and rows between their rules, from y on; where the notes begin."""
    left, right = places[0].left, places[-1].end
    pen.rule(left, right, y, 1.2)
    y += 0.05
    if any(c.group for c in table.shown):
        _groups(pen, places, y)
        y += ROW_IN
    for place in places:
        pen.cell(place, y, place.column.label, "", fontweight="bold")
    y += ROW_IN
    pen.rule(left, right, y, 0.7)
    y += 0.04
    letters = letters_of(table)
    for i, (row, height) in enumerate(zip(table.rows, tall, strict=True)):
        if row.summary and i and not table.rows[i - 1].summary:
            pen.rule(left, right, y, 0.7)
        look = {"summary": {"fontweight": "bold"}, "measured": {}}.get(row.kind, {"color": style.FAINT})
        for place in places:
            pen.cell(place, y + 0.03, _text(row, place.column), marks_of(cell_of(row, place.column), letters), **look)
        y += height
    pen.rule(left, right, y + 0.03, 1.2)
    return y + 0.1


def _groups(pen: _Pen, places: Sequence[_Place], y: float) -> None:
    i = 0
    while i < len(places):
        j = i
        while j < len(places) and places[j].column.group == places[i].column.group:
            j += 1
        if places[i].column.group:
            left, right = places[i].left, places[j - 1].end
            pen.text((left + right) / 2, y, places[i].column.group, ha="center", fontweight="bold")
            pen.rule(left, right, y + ROW_IN - 0.02, 0.4)
        i = j


def _text(row: Row, column: Column) -> str:
    text = printed_of(cell_of(row, column).value, column.kind)
    return "\n".join(textwrap.wrap(text, _WRAP)) if column.kind == "text" and len(text) > _WRAP else text


def _height(row: Row, table: Table) -> float:
    return ROW_IN + LINE_IN * max(_text(row, c).count("\n") for c in table.shown)


class _Pen:
    """Writes on a figure in inches from its top left."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.size_in = (4.0, 4.0)

    def set_size(self, width: float, height: float) -> None:
        self.size_in = (width, height)
        self.figure.set_size_inches(width, height)

    def width(self, text: str, size: float = FONT_PT, *, weight: str = "normal") -> float:
        """Inches that a text takes, by its widest line."""
        if not text:
            return 0.0
        found = self.figure.text(0, 0, text, fontsize=size, fontweight=weight, parse_math=False)
        box = found.get_window_extent()
        found.remove()
        return float(box.width / self.figure.dpi)

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        look: dict[str, Any] = {"fontsize": FONT_PT, "va": "top"} | options
        self.figure.text(x / self.size_in[0], 1 - y / self.size_in[1], text, **look)

    def cell(self, place: _Place, y: float, text: str, marks: str, **options: Any) -> None:
        """A text in its column, and its marks raised behind the last line."""
        self.text(place.left if place.is_text else place.right, y, text, ha="left" if place.is_text else "right", **options)
        if marks:
            *before, last = text.split("\n")
            x = place.left + self.width(last, weight=options.get("fontweight", "normal")) if place.is_text else place.right
            self.text(x + 0.01, y + LINE_IN * len(before) - RAISED_IN, marks, **options | {"fontsize": MARK_PT})

    def rule(self, x0: float, x1: float, y: float, weight: float) -> None:
        from matplotlib.lines import Line2D

        at, across = 1 - y / self.size_in[1], [x / self.size_in[0] for x in (x0, x1)]
        line = Line2D(across, [at, at], color=style.INK, lw=weight, transform=self.figure.transFigure)
        self.figure.add_artist(line)
