"""Measured against published, number by number."""

from __future__ import annotations

from dataclasses import replace

from sambench.errors import UsageError
from sambench.layout import Row, Table, Value
from sambench.paper.compare import paper_tables
from sambench.report.definitions import Definition
from sambench.report.document import Section
from sambench.report.inputs import (
    Inputs,
)

_FIRST = ("dataset", "quantity", "light")
NO_INTERVAL = "an interval alone is printed, or none is known"


def comparison(definition: Definition, inputs: Inputs) -> Section:
    """Every published number that the runs measure, with the difference, its interval, and green, amber or grey."""
    entries = inputs.evidence.entries
    try:
        found = paper_tables([e.cell for e in entries], bootstrap=inputs.bootstrap) if entries else []
    except UsageError:
        found = []
    tables = tuple(_table(definition.id, t) for t in found)
    absent = () if tables else ("Nothing that was published is measured by the runs given.",)
    return definition.filled(tables=tables, absent=absent)


def _table(ident: str, found: Table) -> Table:
    """A table of `sambench compare` as one of a report: the colour, which one looks for, before the rest; gaps with a reason."""
    columns = tuple(sorted(found.columns, key=lambda c: c.key not in _FIRST))
    reasons = {c.key: NO_INTERVAL for c in columns if c.kind != "text"}
    rows = tuple(Row({k: Value(v, reason=reasons.get(k, "")) for k, v in row.values.items()}) for row in found.rows)
    return replace(found, id=f"{ident}_{found.id}", columns=columns, rows=rows)


SECTION = comparison
