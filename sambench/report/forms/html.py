"""A document as one HTML file that needs nothing else: style, script, figures and CSV are in it."""

from __future__ import annotations

from typing import Any

from sambench.layout import Table, style
from sambench.layout.html import context, data_uri, environment
from sambench.report.document import Document, Picture, Section

PX_PER_IN = 96


def to_html(document: Document, svgs: dict[str, bytes] | None = None) -> str:
    """The page. svgs: figures that are drawn already, by picture id."""
    runs = document.runs
    template = environment().get_template("report.html")
    sections, unmeasured = ([_section(s, svgs or {}) for s in part] for part in document.parted)
    return template.render(
        document=document,
        sections=sections,
        unmeasured=unmeasured,
        runs=context(runs) if runs and runs.rows else None,
        n_cells=len(cells := document.cells),
        n_runs=len({run for run, _ in cells}),
    )


def _section(section: Section, svgs: dict[str, bytes]) -> dict[str, Any]:
    return {
        "id": section.id,
        "title": section.title,
        "place": section.place or section.paper,
        "text": section.text,
        "absent": section.absent,
        "tables": [_table(section, t) for t in section.tables],
        "pictures": [_picture(p, svgs.get(p.id)) for p in section.pictures],
    }


def _table(section: Section, table: Table) -> dict[str, Any]:
    title = "" if table.title == section.title else table.title
    return context(table) | {"title": title, "folded": section.gaps_alone(table) and bool(title)}


def _picture(picture: Picture, svg: bytes | None) -> dict[str, Any]:
    from markupsafe import Markup

    drawn = svg if svg is not None else style.render(picture, ("svg",))["svg"]
    width = picture.size_in[0] * PX_PER_IN
    return {
        "id": picture.id,
        "title": picture.title,
        "svg": Markup(style.inline_svg(drawn, picture.id, picture.alt)),
        "csv": data_uri(picture.to_csv()),
        "notes": picture.notes,
        "runs": picture.runs,
        "width": round(width * 1.15),
        "least": round(width * (0.6 if picture.raster else 0.78)),  # photographs are seen when small, lines and figures are not
    }
