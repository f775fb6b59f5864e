"""`sambench doctor`: is all here that sambench needs?"""

from __future__ import annotations

from typing import Annotated

import typer

from sambench.cli.console import echo, echo_json
from sambench.cli.options import Json
from sambench.cli.tables import TEXT, DataFormat, is_json


def doctor(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Every library, dataset and model in a line of its own.")] = False,
    form: DataFormat = TEXT,
    as_json: Json = False,
) -> None:
    """Check this machine in ten lines: libraries, devices, folders, cards, data and weights."""
    from sambench.conformance.doctor import examine
    from sambench.conformance.doctor_summary import summary

    as_json = is_json(form, as_json)
    checks = examine()
    bad = any(check.ok is False for check in checks)
    if as_json:
        echo_json({"ok": not bad, "checks": [c._asdict() for c in checks]})
    else:
        for check in checks if everything else summary(checks):
            mark = {True: "ok  ", False: "FAIL", None: "note"}[check.ok]
            echo(f"{mark}  {check.name}: {check.found}")
            if check.remedy and (everything or check.ok is False):
                echo(f"        what to do: {check.remedy}")
        if not everything:
            echo(f"      all {len(checks)} checks: sambench doctor --all")
    if bad:
        raise typer.Exit(1)
