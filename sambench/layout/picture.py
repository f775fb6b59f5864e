"""A table as a picture, with the rules of booktabs, for slides and for where neither HTML nor LaTeX goes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sambench.layout import style
from sambench.layout.table import Table, cell_of, footnotes, letters_of, marks_of, printed_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT_PT, NOTE_PT = 8.5, 7.0
ROW_IN, LINE_IN, GAP_IN, MARGIN_IN = 0.2, 0.145, 0.2, 0.12
_WRAP = 34


def draw(table: Table, forms: Sequence[str]) -> dict[str, bytes]:
    """png or pdf (or svg) bytes by form."""
    with style.styled():
        figure = _drawn(table)
        return {form: style.saved(figure, form, dpi=style.PNG_DPI) for form in forms}


def _drawn(table: Table) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    letters = letters_of(table)
    texts = [[_text(table, row, c, letters) for c in table.shown] for row in table.rows]
    heads = [c.label for c in table.shown]
    figure = Figure(figsize=(4, 4), dpi=72)
    FigureCanvasAgg(figure)
    columns = list(zip(heads, *texts, strict=True))
    widths = [max(_width(figure, t, bold=i == 0) for i, t in enumerate(column)) for column in columns]
    _widen(figure, table, widths)
    x = [MARGIN_IN]
    for width in widths:
        x.append(x[-1] + width + GAP_IN)
    inner = x[-1] - GAP_IN
    notes = [line for mark, note in footnotes(table) for line in textwrap.wrap(f"{mark} {note}".strip(), max(50, int(inner * 19)))]
    grouped = any(c.group for c in table.shown)
    heights = [ROW_IN + LINE_IN * max(t.count("\n") for t in row) for row in texts]
    height = 2 * MARGIN_IN + 0.3 + ROW_IN * (1 + grouped) + sum(heights) + 0.16 * len(notes) + 0.25
    title_in = _width(figure, table.title, bold=True) + 2 * MARGIN_IN
    width = max(inner + MARGIN_IN, min(title_in, inner + 3))
    figure.set_size_inches(width, height)
    _Pen(figure, width, height).table(table, heads, texts, heights, x, notes, grouped)
    return figure


def _widen(figure: Figure, table: Table, widths: list[float]) -> None:
    """Make room for headings of groups that are wider than their columns."""
    for group in dict.fromkeys(c.group for c in table.shown if c.group):
        at = [i for i, c in enumerate(table.shown) if c.group == group]
        lacking = _width(figure, group, bold=True) - sum(widths[i] for i in at) - GAP_IN * (len(at) - 1)
        for i in at:
            widths[i] += max(0.0, lacking) / len(at)


def _text(table: Table, row: Any, column: Any, letters: Any) -> str:
    cell = cell_of(row, column)
    text = printed_of(cell.value, column.kind)
    if column.kind == "text" and len(text) > _WRAP:
        text = "\n".join(textwrap.wrap(text, _WRAP))
    marks = marks_of(cell, letters)
    return text + (f" {marks}" if marks else "")


def _width(figure: Figure, text: str, *, bold: bool) -> float:
    """Inches that a text takes, by its widest line."""
    found = figure.text(0, 0, text, fontsize=FONT_PT, fontweight="bold" if bold else "normal", parse_math=False)
    box = found.get_window_extent()
    found.remove()
    return float(box.width / figure.dpi)


class _Pen:
    """Writes on a figure in inches from its top left."""

    def __init__(self, figure: Figure, width: float, height: float) -> None:
        self.figure, self.width, self.height = figure, width, height

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        look: dict[str, Any] = {"fontsize": FONT_PT, "va": "top"} | options
        self.figure.text(x / self.width, 1 - y / self.height, text, **look)

    def rule(self, x0: float, x1: float, y: float, weight: float) -> None:
        from matplotlib.lines import Line2D

        at = 1 - y / self.height
        line = Line2D([x0 / self.width, x1 / self.width], [at, at], color=style.INK, lw=weight, transform=self.figure.transFigure)
        self.figure.add_artist(line)

    def table(
        self,
        table: Table,
        heads: list[str],
        texts: list[list[str]],
        heights: list[float],
        x: list[float],
        notes: list[str],
        grouped: bool,
    ) -> None:
        left, right, y = MARGIN_IN, x[-1] - GAP_IN, MARGIN_IN
        self.text(left, y, table.title, fontweight="bold")
        y += 0.26
        self.rule(left, right, y, 1.2)
        y += 0.05
        if grouped:
            self._groups(table, x, y)
            y += ROW_IN
        self._row(heads, table, x, y, fontweight="bold")
        y += ROW_IN
        self.rule(left, right, y, 0.7)
        y += 0.04
        for i, (row, held, tall) in enumerate(zip(table.rows, texts, heights, strict=True)):
            if row.summary and i and not table.rows[i - 1].summary:
                self.rule(left, right, y, 0.7)
            look = {"summary": {"fontweight": "bold"}, "measured": {}}.get(row.kind, {"color": style.FAINT})
            self._row(held, table, x, y + 0.03, **look)
            y += tall
        self.rule(left, right, y + 0.03, 1.2)
        y += 0.1
        for note in notes:
            self.text(left, y, note, fontsize=NOTE_PT, color=style.FAINT)
            y += 0.16

    def _row(self, texts: list[str], table: Table, x: list[float], y: float, **options: Any) -> None:
        for i, (text, column) in enumerate(zip(texts, table.shown, strict=True)):
            right = column.kind != "text"
            self.text(x[i + 1] - GAP_IN if right else x[i], y, text, ha="right" if right else "left", **options)

    def _groups(self, table: Table, x: list[float], y: float) -> None:
        i = 0
        while i < len(table.shown):
            j = i
            while j < len(table.shown) and table.shown[j].group == table.shown[i].group:
                j += 1
            if table.shown[i].group:
                middle = (x[i] + x[j] - GAP_IN) / 2
                self.text(middle, y, table.shown[i].group, ha="center", fontweight="bold")
                self.rule(x[i], x[j] - GAP_IN, y + ROW_IN - 0.02, 0.4)
            i = j
