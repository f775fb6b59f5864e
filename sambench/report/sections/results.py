"""The tables that `sambench table` prints, of all runs that the report is given, one a protocol with its settings."""

from __future__ import annotations

from dataclasses import replace

from sambench.report.definitions import Definition
from sambench.report.document import Section
from sambench.report.inputs import Inputs
from sambench.results.tables import comparable, table_of


def results(definition: Definition, inputs: Inputs) -> Section:
    """Every task, also those of packages. options: none."""
    tables = []
    for n, cells in enumerate(comparable([e.cell for e in inputs.evidence.entries]), 1):
        runs = tuple(dict.fromkeys(c.run_name for c in cells))
        tables.append(replace(table_of(cells, bootstrap=inputs.bootstrap), id=f"{definition.id}-{n}", runs=runs))
    return definition.filled(tables=tuple(tables), absent=() if tables else ("No runs were given.",))


SECTION = results
