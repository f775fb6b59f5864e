"""`sambench reproduce paper`: the ledger of published numbers and claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sambench.cli.results import Out
from sambench.cli.tables import TEXT, Format, show_all

_STATE = "Only these states: reproduced, differs, not measured, unavailable; comma-separated."


def reproduce(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="paper, sam2, sam3, others; or models: the numbers on model cards.")
    ] = "paper",
    more: Annotated[list[str], typer.Argument(metavar="[RUN...]", help="Further runs.", show_default=False)] = [],  # noqa: B006
    runs: Annotated[list[str], typer.Option("--runs", "-r", metavar="RUN...", help="Runs, or folders of runs.")] = [],  # noqa: B006
    form: Format = TEXT,
    state: Annotated[str, typer.Option("--state", help=_STATE)] = "",
    out: Out = Path("runs"),
) -> None:
    """Every published number and claim with its state; without --runs, all runs of --out count, if there are any."""
    from sambench.errors import unknown_name
    from sambench.paper.evidence import Evidence
    from sambench.paper.ledger import STATES, ledger, ledger_tables
    from sambench.sources.datasets import split_names
    from sambench.store.views import all_cell_paths, find_cells

    wanted = split_names([state])
    for name in wanted:
        if name not in STATES:
            raise unknown_name("state", name, STATES, where="--state")
    named = [*runs, *more] or ([str(out)] if all_cell_paths(out) else [])
    cells = {c.path.resolve(): c for run in named for c in find_cells(run, out)}
    entries = ledger(Evidence(cells.values()), what)
    show_all([(t.title, t) for t in ledger_tables(entries, what, only=tuple(wanted))], form)
