"""A table as HTML: what the templates of `reports/` need of it, and a page of its own with style and script in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sambench import paths
from sambench.layout.plain import to_csv
from sambench.layout.table import Column, Kind, Row, Table, Value, cell_of, footnotes, letters_of, marks_of, printed_of, text_of
from sambench.text import mapped, printable

if TYPE_CHECKING:
    from jinja2 import Environment

SHORT, LONG = 28, 40  # characters of a text that stays on one line; of a first column that may be broken
_LIGHTS = ("green", "amber", "grey")


def to_html(table: Table) -> str:
    """A page that needs nothing else."""
    return all_html([table])


def all_html(tables: Sequence[Table]) -> str:
    """Several tables as one page."""
    shown = [mapped(t, printable) for t in tables]
    title = shown[0].title if shown else ""
    return environment().get_template("tables.html").render(tables=[context(t) for t in shown], title=title).lstrip()


def notebook(tables: Sequence[Table]) -> str:
    """Tables as a part of a page that has a look of its own, as notebooks are."""
    return environment().get_template("notebook.html").render(tables=[context(mapped(t, printable)) for t in tables])


def environment() -> Environment:
    """The templates of `reports/`, with `css` and `js`: everything else that goes into them is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = paths.packaged("reports")
    made = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["said"] = _said
    made.globals["css"] = Markup((folder / "report.css").read_text(encoding="utf-8"))
    made.globals["js"] = Markup((folder / "report.js").read_text(encoding="utf-8"))
    return made


def _said(text: Any) -> Any:
    """A sentence of a report: what stands between backticks, a command or a name, is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def context(table: Table) -> dict[str, Any]:
    """What the macro of `table.html` draws."""
    letters = letters_of(table)
    return {
        "id": table.id,
        "title": table.title,
        "groups": _groups(table),
        "columns": [{"label": c.label, "align": _align(c)} for c in table.shown],
        "rows": [{"kind": row.kind, "cells": _cells(table, row, letters)} for row in table.rows],
        "notes": footnotes(table),
        "csv": data_uri(to_csv(table)),
        "runs": table.runs,
    }


def data_uri(text: str) -> str:
    """CSV as the address of a link."""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def _groups(table: Table) -> list[dict[str, Any]]:
    if not any(c.group for c in table.shown):
        return []
    out: list[dict[str, Any]] = []
    for column in table.shown:
        if out and out[-1]["label"] == column.group:
            out[-1]["span"] += 1
        else:
            out.append({"label": column.group, "span": 1})
    return out


def _cells(table: Table, row: Row, letters: dict[str, str]) -> list[dict[str, Any]]:
    out = []
    for i, column in enumerate(table.shown):
        cell = cell_of(row, column)
        text = printed_of(cell.value, column.kind)
        light = text if column.key == "light" and text in _LIGHTS else ""
        out.append(
            {
                "tag": "td" if i else "th",
                "text": text,
                "marks": marks_of(cell, letters),
                "align": f"{_align(column)} {light} {_short(text, column)}".replace("  ", " ").strip()
                if i
                else ("long" if len(text) > LONG else ""),
                "sort": _sort_key(cell, column),
                "title": _title(cell, column),
            }
        )
    return out


def _short(text: str, column: Column) -> str:
    return "short" if column.kind == "text" and len(text) <= SHORT else ""


def _title(cell: Value, column: Column) -> str:
    """What a pointer that rests on a number is told."""
    if cell.missing:
        return cell.reason
    kind: Kind = "score_interval" if column.kind == "score" else "interval"
    interval = f"95 % interval {text_of((cell.low, cell.high), kind)}" if cell.low is not None else ""
    return "; ".join(p for p in (interval, cell.detail, cell.partial, cell.note) if p)


def _align(column: Column) -> str:
    return "text" if column.kind == "text" else "right"


def _sort_key(cell: Value, column: Column) -> str | None:
    if column.kind == "text" or cell.missing:
        return None
    value = cell.value[0] if isinstance(cell.value, tuple) else cell.value
    return repr(float(value))
