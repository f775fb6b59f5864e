"""`sambench reproduce paper`: the ledger of published numbers and claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sambench.cli.options import Json
from sambench.cli.reading import DEFAULT, AnyRuns, Folders, Place, cells_of
from sambench.cli.tables import TEXT, Format, chosen, show_all

_RATED = "What the ratings call SAM and the baseline."
_STATE = "Only these states: reproduced, differs, not measured, unavailable; comma-separated."


def reproduce(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="paper, sam2, sam3, saco, others; or models: the numbers on model cards.")
    ] = "paper",
    named: AnyRuns = [],  # noqa: B006 - typer copies it
    runs: Folders = [],  # noqa: B006 - typer copies it
    form: Format = TEXT,
    as_json: Json = False,
    state: Annotated[str, typer.Option("--state", help=_STATE)] = "",
    ratings: Annotated[list[str], typer.Option("--ratings", metavar="FILE|DATABASE", help="Ratings of the human study.")] = [],  # noqa: B006
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="key.csv of `sambench rate make`, of blinded jobs.")
    ] = None,
    rated: Annotated[str, typer.Option("--rated", metavar="MODEL,...", help=_RATED)] = "sam_vit_h,ritm_hrnet32",
    place: Place = DEFAULT,
) -> None:
    """Every published number and claim with its state; without a RUN, all that are in --runs count, if there are any."""
    from sambench.cli.console import err
    from sambench.errors import UsageError, unknown_name
    from sambench.paper.evidence import Evidence
    from sambench.paper.ledger import STATES, ledger, ledger_tables
    from sambench.report.rated import rated_differences
    from sambench.sources.datasets import split_names

    form = chosen(form, as_json)
    wanted = split_names([state])
    for name in wanted:
        if name not in STATES:
            raise unknown_name("state", name, STATES, where="--state")
    if key is not None and not ratings:
        raise UsageError("a key without ratings", where="--key", expected="--ratings FILE with it")
    people = rated_differences(ratings, key, _pair(rated)) if ratings else None
    evidence = Evidence(cells_of(runs, named, place), rated=people)
    for text in evidence.doubtful():
        err().print(text, soft_wrap=True)
    entries = ledger(evidence, what)
    show_all([(t.title, t) for t in ledger_tables(entries, what, only=tuple(wanted))], form)


def _pair(given: str) -> list[str]:
    from sambench.errors import UsageError
    from sambench.sources.datasets import split_names

    names = split_names([given])
    if len(names) != 2:
        raise UsageError("not two models", where="--rated", expected="a model and the one that it is compared with", found=given)
    return names
