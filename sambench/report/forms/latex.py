"""A document as LaTeX: a whole article, and each table as a file of its own for the package booktabs."""

from __future__ import annotations

from typing import Any

from sambench import paths
from sambench.layout.latex import escape
from sambench.report.document import Document, Section

TEXT_WIDTH_IN = 6.5


def to_latex(document: Document) -> str:
    """The article, which reads `tables/<id>.tex` and `figures/<id>.pdf`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(paths.packaged("reports")),
        undefined=StrictUndefined,
        autoescape=False,
        variable_start_string="\\VAR{",
        variable_end_string="}",
        block_start_string="\\BLOCK{",
        block_end_string="}",
        comment_start_string="\\#{",
        trim_blocks=True,
    )
    return environment.get_template("report.tex").render(
        document={
            "title": escape(document.title),
            "versions": escape(document.versions),
            "notes": [escape(n) for n in document.notes],
            "deviations": [escape(d) for d in document.deviations],
            "methods": [escape(m) for m in document.methods],
        },
        sections=[_section(s) for part in document.parted for s in part],
        runs=_runs(document),
    )


def _section(section: Section) -> dict[str, Any]:
    pictures = [
        {
            "id": p.id,
            "width": f"{min(1.0, p.size_in[0] / TEXT_WIDTH_IN):.2f}",
            "caption": escape(" ".join([p.title + ".", *p.notes])),
        }
        for p in section.pictures
    ]
    return {
        "id": section.id,
        "title": escape(section.title),
        "place": escape(section.source),
        "text": escape(section.text),
        "absent": [escape(a) for a in section.absent],
        "tables": [t.id for t in section.tables],
        "pictures": pictures,
    }


def _runs(document: Document) -> list[tuple[str, str]]:
    by_run: dict[str, list[str]] = {}
    for row in document.runs.rows if document.runs else ():
        status = str(row.values["status"])
        by_run.setdefault(str(row.values["run"]), []).append(
            str(row.values["dataset"]) + (f" [{status}]" if status != "complete" else "")
        )
    return [(escape(run), escape(", ".join(cells))) for run, cells in by_run.items()]
