"""The paper's claims in words: what became of each."""

from __future__ import annotations

from sambench.layout import Column, Row, Table
from sambench.paper.claims import claims, judge
from sambench.paper.ledger import MEASURED, STATES
from sambench.report.definitions import Definition
from sambench.report.document import Section
from sambench.report.inputs import (
    Inputs,
    runs_of,
)


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
    judged = any(row.values["state"] in MEASURED for row in rows)
    runs = runs_of(inputs.evidence.entries) if judged else ()
    table = Table(definition.title, columns, tuple(rows), (note,), id=definition.id, runs=runs)
    return definition.filled(tables=(table,))


SECTION = claims_table
