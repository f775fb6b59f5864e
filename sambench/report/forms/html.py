"""A document as one HTML file that needs nothing else: style, script, figures and CSV are in it."""

from __future__ import annotations

import base64
from typing import Any

from sambench import paths
from sambench.layout import Kind, text_of
from sambench.report import style
from sambench.report.document import (
    Column,
    Document,
    Picture,
    Row,
    Section,
    Table,
    Value,
    cell_of,
    footnotes,
    marks_of,
    reasons_of,
    text_in,
)
from sambench.report.forms import csvs

PX_PER_IN = 96
SHORT, LONG = 28, 40  # characters of a text that stays on one line; of a first column that may be broken
_LIGHTS = ("green", "amber", "grey")


def to_html(document: Document, svgs: dict[str, bytes] | None = None) -> str:
    """The page. svgs: figures that are drawn already, by picture id."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = paths.packaged("reports")
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    from markupsafe import Markup

    runs = document.runs
    return environment.get_template("report.html").render(
        document=document,
        sections=[_section(s, svgs or {}) for s in document.sections],
        runs=_table(runs) if runs and runs.rows else None,
        n_cells=len(runs.rows) if runs else 0,
        n_runs=len({row.values["run"] for row in runs.rows}) if runs else 0,
        css=Markup((folder / "report.css").read_text(encoding="utf-8")),
        js=Markup((folder / "report.js").read_text(encoding="utf-8")),
    )


def _section(section: Section, svgs: dict[str, bytes]) -> dict[str, Any]:
    return {
        "id": section.id,
        "title": section.title,
        "place": section.source.removeprefix("arXiv 2304.02643, "),
        "text": section.text,
        "absent": section.absent,
        "empty": bool(section.absent) and not any(r.kind == "measured" for t in section.tables for r in t.rows),
        "tables": [_table(t) | {"title": "" if t.title == section.title else t.title} for t in section.tables],
        "pictures": [_picture(p, svgs.get(p.id)) for p in section.pictures],
    }


def _picture(picture: Picture, svg: bytes | None) -> dict[str, Any]:
    from markupsafe import Markup

    drawn = svg if svg is not None else style.render(picture, ("svg",))["svg"]
    width = picture.size_in[0] * PX_PER_IN
    return {
        "id": picture.id,
        "title": picture.title,
        "svg": Markup(style.inline_svg(drawn, picture.id, picture.alt)),
        "csv": _data_uri(csvs.of_picture(picture)),
        "notes": picture.notes,
        "runs": picture.runs,
        "width": round(width * 1.15),
        "least": round(width * 0.78),
    }


def _table(table: Table) -> dict[str, Any]:
    reasons = reasons_of(table)
    return {
        "id": table.id,
        "title": table.title,
        "groups": _groups(table),
        "columns": [{"label": c.label, "align": _align(c)} for c in table.columns],
        "rows": [{"kind": row.kind, "cells": _cells(table, row, reasons)} for row in table.rows],
        "notes": footnotes(table),
        "csv": _data_uri(csvs.of_table(table)),
        "runs": table.runs,
    }


def _groups(table: Table) -> list[dict[str, Any]]:
    if not any(c.group for c in table.columns):
        return []
    out: list[dict[str, Any]] = []
    for column in table.columns:
        if out and out[-1]["label"] == column.group:
            out[-1]["span"] += 1
        else:
            out.append({"label": column.group, "span": 1})
    return out


def _cells(table: Table, row: Row, reasons: dict[str, str]) -> list[dict[str, Any]]:
    out = []
    for i, column in enumerate(table.columns):
        cell = cell_of(row, column)
        text = text_in(cell, column)
        light = text if column.key == "light" and text in _LIGHTS else ""
        out.append(
            {
                "tag": "td" if i else "th",
                "text": text,
                "marks": marks_of(cell, reasons),
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
    return "; ".join(p for p in (interval, cell.detail, cell.partial) if p)


def _align(column: Column) -> str:
    return "text" if column.kind == "text" else "right"


def _sort_key(cell: Value, column: Column) -> str | None:
    if column.kind == "text" or cell.missing:
        return None
    value = cell.value[0] if isinstance(cell.value, tuple) else cell.value
    return repr(float(value))


def _data_uri(text: str) -> str:
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()
