"""Reports of few cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sambench.cards import SuiteCard
from sambench.layout import Table
from sambench.paper.evidence import Evidence
from sambench.report.definitions import definition
from sambench.report.document import Document
from sambench.report.inputs import Inputs
from sambench.report.make import make
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap

QUICK = Bootstrap(n_resamples=100)
DUO = SuiteCard(kind="suite", id="duo", name="Duo", members=("ppdls", "gtea"))


def inputs_of(cells: Sequence[CellView] = (), suite: SuiteCard = DUO, **options: Any) -> Inputs:
    return Inputs(Evidence(cells), suite, bootstrap=QUICK, **options)


def report_of(name: str, cells: Sequence[CellView] = (), **options: Any) -> Document:
    return make(definition(name), inputs_of(cells, **options))


def tables_of(doc: Document) -> list[Table]:
    return [t for s in doc.sections for t in s.tables]
