"""`sambench reproduce paper`: the ledger of published numbers and claims."""

from __future__ import annotations

from typing import Annotated

import typer

from sambench.cli.reading import DEFAULT, Place, Several, cells_of
from sambench.cli.tables import TEXT, Format, show_all

_STATE = "Only these states: reproduced, differs, not measured, unavailable; comma-separated."


def reproduce(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="paper, sam2, sam3, others; or models: the numbers on model cards.")
    ] = "paper",
    more: Annotated[list[str], typer.Argument(metavar="[RUN...]", help="Further runs.", show_default=False)] = [],  # noqa: B006
    runs: Several = [],  # noqa: B006 - typer copies it
    form: Format = TEXT,
    state: Annotated[str, typer.Option("--state", help=_STATE)] = "",
    place: Place = DEFAULT,
) -> None:
    """Every published number and claim with its state; without --runs, all runs in `runs` count, if there are any."""
    from sambench.errors import unknown_name
    from sambench.paper.evidence import Evidence
    from sambench.paper.ledger import STATES, ledger, ledger_tables
    from sambench.sources.datasets import split_names

    wanted = split_names([state])
    for name in wanted:
        if name not in STATES:
            raise unknown_name("state", name, STATES, where="--state")
    entries = ledger(Evidence(cells_of(runs, more, place)), what)
    show_all([(t.title, t) for t in ledger_tables(entries, what, only=tuple(wanted))], form)
