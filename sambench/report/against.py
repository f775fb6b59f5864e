"""Measured against published: the comparison number by number, and the paper's claims."""

from __future__ import annotations

from sambench import layout
from sambench.errors import UsageError
from sambench.paper.claims import claims, judge
from sambench.paper.compare import paper_tables
from sambench.paper.ledger import STATES
from sambench.report.definitions import Definition
from sambench.report.document import Column, Row, Section, Table, Value
from sambench.report.inputs import Inputs, runs_of

_FIRST = ("dataset", "quantity", "light")


def comparison(definition: Definition, inputs: Inputs) -> Section:
    """Every published number that the runs measure, with the difference, its interval, and green, amber or grey."""
    entries = inputs.evidence.entries
    try:
        found = paper_tables([e.cell for e in entries], bootstrap=inputs.bootstrap) if entries else []
    except UsageError:
        found = []
    tables = tuple(_table(definition.id, t, runs_of(entries)) for t in found)
    absent = () if tables else ("Nothing that was published is measured by the runs given.",)
    return Section(definition.id, definition.title, definition.source, definition.text, tables, absent=absent)


def _table(ident: str, found: layout.Table, runs: tuple[str, ...]) -> Table:
    """A table of `sambench compare` as one of a report; its task, the word before the colon, goes into the id."""
    shown = sorted(found.shown, key=lambda c: c.key not in _FIRST)  # the colour is what one looks for
    columns = tuple(Column(c.key, c.label, c.kind) for c in shown)
    rows = []
    for row in found.rows:
        values: dict[str, Value | str | None] = {}
        for column in columns:
            value = row.values.get(column.key)
            values[column.key] = Value(
                value, reason="" if column.kind == "text" else "an interval alone is printed, or none is known"
            )
        rows.append(Row(values))
    used = {row.values.get("run") for row in found.rows}
    cells = tuple(r for r in runs if r.split("/")[0] in used)
    return Table(f"{ident}_{found.title.split(':')[0]}", found.title, columns, tuple(rows), found.notes, cells)


def claims_table(definition: Definition, inputs: Inputs) -> Section:
    """What the paper says in words: its state, what was measured, and what the paper's own numbers say."""
    columns = (
        Column("claim", "claim"),
        Column("where", "where"),
        Column("state", "state"),
        Column("found", "measured, or why not"),
        Column("printed", "by the printed numbers"),
    )
    rows, counts = [], dict.fromkeys(STATES, 0)
    for claim in claims():
        verdict = judge(claim, inputs.evidence, inputs.bootstrap)
        counts[verdict.state] += 1
        texts = {"claim": claim.text, "where": claim.source, "found": verdict.found, "printed": verdict.printed}
        rows.append(Row({**texts, "state": verdict.state}))
    note = ", ".join(f"{n} {state}" for state, n in counts.items()) + ". `sambench reproduce paper` has every number as well."
    table = Table(definition.id, definition.title, columns, tuple(rows), (note,))
    return Section(definition.id, definition.title, definition.source, definition.text, (table,))
