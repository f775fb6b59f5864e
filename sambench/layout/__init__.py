"""The one table (`sambench.layout.table`) with its forms, and their names.

text (for terminals), csv, markdown, latex, json and html are texts; png, pdf and svg are pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sambench.layout.formats import form_of
from sambench.layout.html import all_html, notebook, to_html
from sambench.layout.latex import to_latex
from sambench.layout.markdown import to_markdown
from sambench.layout.plain import all_csv, all_json, to_csv, to_frame, to_json
from sambench.layout.table import (
    DASH,
    Column,
    Kind,
    Row,
    RowKind,
    Table,
    Value,
    cell_of,
    footnotes,
    is_missing,
    text_of,
)
from sambench.layout.terminal import as_text, render_rich

__all__ = [
    "DASH",
    "FORMATS",
    "PICTURES",
    "Column",
    "Kind",
    "Row",
    "RowKind",
    "Table",
    "Value",
    "as_text",
    "cell_of",
    "draw",
    "footnotes",
    "is_missing",
    "notebook",
    "render",
    "render_all",
    "render_rich",
    "text_of",
    "to_csv",
    "to_frame",
    "to_html",
    "to_json",
    "to_latex",
    "to_markdown",
]

# Forms that are texts, but for `text`, which is made by rich for the terminal at hand (`render_rich`).
FORMATS: dict[str, Callable[[Table], str]] = {
    "csv": to_csv,
    "markdown": to_markdown,
    "latex": to_latex,
    "json": to_json,
    "html": to_html,
}
PICTURES = ("png", "pdf", "svg")


def render(table: Table, form: str) -> str:
    """The table in one of FORMATS (or by another name of it). Raises UsageError with near names."""
    return FORMATS[form_of(form, list(FORMATS))](table)


def render_all(tables: Sequence[tuple[str, Table]], form: str) -> str:
    """Named tables as one document of a form: one page in HTML, one list in JSON, one header in CSV (all columns, and before them
    `table`, the name).

    One table alone is as `render` gives it. Raises UsageError with near names.
    """
    form = form_of(form, list(FORMATS))
    alone = [table for _, table in tables]
    if form == "html":
        return all_html(alone)
    if len(tables) > 1 and form == "csv":
        return all_csv(tables)
    if len(tables) > 1 and form == "json":
        return all_json(alone)
    return "\n".join(FORMATS[form](table) for table in alone)


def draw(table: Table, forms: Sequence[str]) -> dict[str, bytes]:
    """The table as a picture, drawn once: its bytes by form, each one of PICTURES."""
    from sambench.layout import picture

    return picture.draw(table, forms)
