"""`sambench data`: getting datasets, taking over what is already on disk, checking and looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sambench.cli.console import echo, quoted

app = typer.Typer(help="Get datasets; adopt, verify and preview them.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A dataset's id, or the path of a card.")]


@app.command()
def get(
    names: Annotated[str, typer.Argument(metavar="NAME", help="Ids, cards' paths or suites, comma-separated.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the terms that are shown; ask nothing.")] = False,
    brought: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="Files that you have downloaded, as the steps say.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archives after unpacking.")] = False,
) -> None:
    """Show a dataset's licence and how to get it; download and unpack it if this can be automated."""
    from sambench import cards
    from sambench.cli.console import print_error
    from sambench.cli.getting import get_one
    from sambench.errors import SambenchError
    from sambench.sources.datasets import split_names

    asked: dict[str, None] = {}
    for name in split_names([names]):
        suite = cards.suite_card(name)
        asked |= dict.fromkeys(suite.datasets if suite else [name])
    lacking = []
    for name in asked:
        try:
            refuse_own(name)
            here = get_one(name, yes=yes, brought=brought, keep=keep)
        except SambenchError as e:
            if len(asked) == 1:
                raise
            print_error(e)
            here = False
        if not here:
            lacking.append(name)
    if len(asked) > 1:
        echo(f"{len(asked) - len(lacking)} of {len(asked)} are here" + (f"; not {', '.join(lacking)}" if lacking else ""))
    if lacking:
        raise typer.Exit(1)


def refuse_own(name: str) -> None:
    """Raise UsageError on a name of data that lies where the name says."""
    from sambench.errors import UsageError
    from sambench.sources.datasets import resolve

    own = resolve(name)
    if own.root is not None:
        raise UsageError(
            "data of one's own is read from where it lies",
            where=name,
            expected="the name of a dataset that has a card",
            found=str(own.root),
            remedy="use the name as it is; `sambench new dataset NAME --from ...` gives it a shorter one",
        )


@app.command()
def where(name: Name) -> None:
    """Print the folder of a dataset, or where it was looked for."""
    from sambench.getting import data
    from sambench.sources.datasets import resolve

    own = resolve(name)
    if own.root is not None:
        echo(f"{own.root}  (named in {own.spec.name})")
        return
    found = data.where(name)
    echo(f"{found.path}  ({found.how})")


@app.command()
def adopt(name: Name, path: Annotated[Path, typer.Argument(help="The folder in which its files lie.")]) -> None:
    """Use a folder that is already on disk; nothing is copied."""
    from sambench.getting import data

    refuse_own(name)
    adopted = data.adopt(name, path)
    echo(f"{name} is read from {adopted} from now on; `sambench data verify {quoted(name)}` reads all of it once")


@app.command()
def verify(name: Name, root: Annotated[Path | None, typer.Option("--root", help="Look here.")] = None) -> None:
    """Read every image and mask, and compare the counts with the release and the paper."""
    import sys

    from sambench.cli.console import err
    from sambench.conformance import data

    if sys.stderr.isatty():
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err(), transient=True) as bar:
            task = bar.add_task(f"reading {name}", total=None)
            report = data.verify(name, root=root, progress=lambda done, total: bar.update(task, completed=done, total=total))
    else:
        report = data.verify(name, root=root)
    echo(report.text())
    if not report.sound:
        raise typer.Exit(1)


@app.command()
def preview(
    name: Name,
    output: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="PNG file to write.")] = None,
    n: Annotated[int, typer.Option("-n", help="Images.")] = 12,
    root: Annotated[Path | None, typer.Option("--root", help="Look here.")] = None,
) -> None:
    """Write a sheet of images with their masks."""
    from sambench.conformance import data
    from sambench.sources.datasets import resolve

    found = resolve(name, root=str(root) if root is not None else None)
    for note in found.notes:
        echo(note, err=True)
    stem = "-".join([found.card.id, *([found.spec.variant] if found.spec.variant != "default" else [])])
    path = data.preview(name, output or Path(f"{stem}-preview.png"), n=n, root=root)
    echo(str(path))
