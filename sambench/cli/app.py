"""The command tree. Bodies import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

from typing import Annotated

import typer

from sambench import __version__
from sambench.cli import data, results, run, show

app = typer.Typer(
    name="sambench",
    help="Zero-shot evaluation of promptable segmentation: pinned protocols, exact metrics, real datasets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(run.app, name="run")
app.add_typer(show.list_app, name="list")
app.add_typer(show.show_app, name="show")
app.add_typer(data.app, name="data")
app.command("doctor")(show.doctor)
app.command("status")(results.status)
app.command("table")(results.table)
app.command("rescore")(results.rescore)
app.command("compare")(results.compare)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sambench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Zero-shot evaluation of promptable segmentation: pinned protocols, exact metrics, real datasets."""
