"""`sambench check`: does a model keep the suite's contract?"""

from __future__ import annotations

from typing import Annotated

import typer

from sambench.cli.console import echo
from sambench.cli.options import Devices, Options, Precision
from sambench.cli.requests import options_for

app = typer.Typer(help="Check that models keep the suite's contract.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Check that models keep the suite's contract."""


@app.command()
def model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model's name, a card's path, or python:file.py:factory.")],
    option: Options = [],  # noqa: B006 - typer copies it
    devices: Devices = "auto",
    precision: Precision = "fp32",
) -> None:
    """Try a model on synthetic shapes: coordinates, colours, sizes, scores, batches, determinism, use of clicks.

    On a GPU, or in another precision than fp32, it is also compared with itself on the CPU in fp32.
    """
    from dataclasses import replace

    from sambench.conformance import check_model, compare_devices, summary
    from sambench.errors import UsageError
    from sambench.sources.models import build, resolve, source_of

    if source_of(name).stored:
        raise UsageError("a folder or file of results is no model to be tried", where=name, remedy="name a model")
    resolved = resolve(name, options_for(name, [name], option), device=devices, precision=precision)
    if resolved.gives == "boxes":
        raise UsageError("a detector of boxes is one part of a model", where=name, remedy=f"try it with the other: {name}+sam_nano")
    echo(f"{resolved.title} ({resolved.id}), {resolved.spec.device}, {precision}")
    built = build(resolved.spec)
    findings = check_model(built, precision=precision)
    if precision != "fp32" or resolved.spec.device.startswith("cuda"):
        reference = build(replace(resolved.spec, device="cpu", precision="fp32"))
        findings += compare_devices(built, reference, precision=precision)
    for finding in findings:
        echo(finding.text())
    counts = summary(findings)
    echo(f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped")
    if counts["fail"]:
        raise typer.Exit(1)
