"""A definition and the results of runs, made into a document."""

from __future__ import annotations

from collections.abc import Sequence

from sambench import __version__
from sambench.layout import Column, Row, Table, Value
from sambench.paper.published import PAPER, sources, title
from sambench.report.definitions import Definition, parts_of
from sambench.report.document import Document, Section, cells_used, unique_ids
from sambench.report.inputs import Inputs
from sambench.report.methods import DEVIATIONS, bibtex, paragraphs
from sambench.report.sections import draw


def make(definition: Definition, inputs: Inputs) -> Document:
    """All sections of a definition, each from what the runs hold; what they don't hold is said, and why."""
    sections = tuple(draw(part, inputs) for part in parts_of(definition))
    unique_ids(sections)
    shown = [e for e in inputs.evidence.entries if e.generated == inputs.suite.generated] or inputs.evidence.entries
    cells = [e.cell for e in shown]
    whole, published = bool(definition.parts), _sources(definition)
    return Document(
        id=definition.id,
        title=definition.title,
        sections=sections,
        methods=paragraphs(cells),
        bibtex=bibtex(cells),
        deviations=DEVIATIONS if whole and PAPER in published else (),
        runs=_runs(inputs, sections),
        versions=f"sambench {__version__}" + (f"; published numbers: {'; '.join(map(title, published))}" if published else ""),
        notes=((definition.text,) if whole and definition.text else ()) + inputs.evidence.doubtful(),
    )


def _sources(definition: Definition) -> list[str]:
    """The sources of published numbers that its parts name; of parts of the paper that name none, or tables of it, the paper."""
    named = [part.options.get("published") for part in parts_of(definition) if part.paper or "published" in part.options]
    return list(dict.fromkeys(name if isinstance(name, str) and name in sources() else PAPER for name in named))


def _runs(inputs: Inputs, sections: Sequence[Section]) -> Table:
    """Every cell that the report was made of, not all that it was given: what to run again, and what to ask for."""
    columns = (
        Column("run", "run"),
        Column("cell", "cell"),
        Column("cell_id", "cell id"),
        Column("task", "protocol"),
        Column("model", "model"),
        Column("dataset", "dataset"),
        Column("images", "images", "count"),
        Column("objects", "objects", "count"),
        Column("subset", "subset digest"),
        Column("status", "status"),
    )
    rows, used = [], {c.path for c in cells_used(sections, [e.cell for e in inputs.evidence.entries])}
    for entry in (e for e in inputs.evidence.entries if e.cell.path in used):
        cell, live = entry.cell, entry.cell.live
        rows.append(
            Row(
                {
                    "run": cell.run_name,
                    "cell": cell.path.name,
                    "cell_id": cell.record.cell_id,
                    "task": cell.task.protocol,
                    "model": cell.label,
                    "dataset": entry.dataset,
                    "images": Value(live.n_done),
                    "objects": Value(live.n_objects),
                    "subset": cell.record.subset.digest[:12],
                    "status": f"PARTIAL: {entry.partial}" if entry.partial else "complete",
                }
            )
        )
    return Table("Runs", columns, tuple(rows), id="runs")
