"""A table as Markdown (GitHub's)."""

from __future__ import annotations

from collections.abc import Sequence

from sambench.layout.table import Table, cell_of, footnotes, letters_of, marks_of, printed_of
from sambench.text import mapped, markdown


def to_markdown(table: Table) -> str:
    """Title, table, and footnotes as a list. Groups of columns stand in the headings."""
    table = mapped(table, markdown)
    letters = letters_of(table)
    title = [f"**{table.title}**", ""] if table.title else []
    rules = ["---" if c.kind == "text" else "---:" for c in table.shown]
    lines = [*title, _line([c.heading for c in table.shown]), _line(rules)]
    for row in table.rows:
        texts = []
        for column in table.shown:
            cell = cell_of(row, column)
            marks = marks_of(cell, letters)
            texts.append(_styled(printed_of(cell.value, column.kind) + (f"<sup>{marks}</sup>" if marks else ""), row.kind))
        lines.append(_line(texts))
    notes = [f"- <sup>{mark}</sup> {note}" if mark else f"- {note}" for mark, note in footnotes(table)]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _styled(text: str, kind: str) -> str:
    if not text or kind == "measured":
        return text
    return f"**{text}**" if kind == "summary" else f"*{text}*"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"
