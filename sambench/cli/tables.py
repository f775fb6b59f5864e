"""How every command prints tables: one choice of forms, one document of a form whatever the number of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.layout.formats import PAGES, form_of, listed

if TYPE_CHECKING:
    from sambench.layout import Table

TEXT = "text"
FORMS = (TEXT, "csv", "markdown", "latex", "json", "html", "png", "pdf", "svg")
LISTS = (TEXT, "markdown", "json")
_DATA = "text, or json for programs (keys: docs/running-at-scale.md)."
Format = Annotated[str, typer.Option("--format", "-f", metavar="NAME", help=f"{listed(FORMS)}.")]
DataFormat = Annotated[str, typer.Option("--format", "-f", metavar="NAME", help=_DATA)]
PageFormats = Annotated[str, typer.Option("--format", "-f", metavar="NAMES", help=f"{listed(PAGES)}; comma-separated.")]


def chosen(form: str, as_json: bool, taken: Sequence[str] = FORMS) -> str:
    """The form that `--format` and `--json` ask for. taken: those that the command has. Raises UsageError."""
    from sambench.errors import UsageError

    form = form_of(form, taken)
    if as_json and form not in (TEXT, "json"):
        raise UsageError("two forms are asked for", where="--json", found=f"--format {form} with it", remedy="leave one out")
    return "json" if as_json else form


def is_json(form: str, as_json: bool) -> bool:
    """Whether a command that has text and JSON is asked for JSON. Raises UsageError."""
    return chosen(form, as_json, (TEXT, "json")) == "json"


def pages(form: str) -> list[str]:
    """The forms of a report that `--format` names. Raises UsageError."""
    from sambench.errors import UsageError
    from sambench.sources.datasets import split_names

    forms = [form_of(one, PAGES) for one in split_names([form])]
    if not forms:
        raise UsageError("no format is named", where="--format", expected=f"{listed(PAGES)}; comma-separated")
    return forms


def show(table: Table, form: str = TEXT) -> None:
    """Print a table in one of its forms."""
    show_all([(table.title, table)], form)


def show_all(tables: Sequence[tuple[str, Table]], form: str = TEXT) -> None:
    """Print tables, with the names that tell them apart, in one of FORMS. Raises UsageError for others, and pictures of several."""
    from sambench.cli.console import echo, out, write_bytes
    from sambench.layout import PICTURES, render_all, render_rich

    form = form_of(form, FORMS)
    if form in PICTURES:
        write_bytes(_picture(tables, form))
    elif form == TEXT:
        for _, table in tables:
            out().print(render_rich(table))
    else:
        echo(render_all(tables, form).rstrip("\n"))


def _picture(tables: Sequence[tuple[str, Table]], form: str) -> bytes:
    from sambench.errors import UsageError
    from sambench.layout import draw

    if len(tables) != 1:
        titles = "; ".join(t.title for _, t in tables)
        raise UsageError("a picture holds one table", where="--format", found=titles, remedy="name fewer runs, or choose html")
    return draw(tables[0][1], [form])[form]
