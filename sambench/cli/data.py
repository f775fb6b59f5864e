"""`sambench data`: where datasets are, taking over what is already on disk, checking and looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Where datasets are; adopt, verify and preview them.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="A dataset's id.")]


@app.command()
def where(name: Name) -> None:
    """Print the folder of a dataset, or where it was looked for."""
    from sambench import data

    found = data.where(name)
    typer.echo(f"{found.path}  ({found.how})")


@app.command()
def adopt(name: Name, path: Annotated[Path, typer.Argument(help="The folder in which its files lie.")]) -> None:
    """Use a folder that is already on disk; nothing is copied."""
    from sambench import data

    adopted = data.adopt(name, path)
    typer.echo(f"{name} is read from {adopted} from now on; `sambench data verify {name}` reads all of it once")


@app.command()
def verify(name: Name, root: Annotated[Path | None, typer.Option("--root", help="Look here.")] = None) -> None:
    """Read every image and mask, and compare the counts with the release and the paper."""
    import sys

    from sambench import data
    from sambench.cli.console import err

    if sys.stderr.isatty():
        from rich.progress import Progress

        with Progress(console=err(), transient=True) as bar:
            task = bar.add_task(f"reading {name}", total=None)
            report = data.verify(name, root=root, progress=lambda done, total: bar.update(task, completed=done, total=total))
    else:
        report = data.verify(name, root=root)
    typer.echo(report.text())
    if report.broken:
        raise typer.Exit(1)


@app.command()
def preview(
    name: Name,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="PNG file to write.")] = None,
    n: Annotated[int, typer.Option("-n", help="Images.")] = 12,
    root: Annotated[Path | None, typer.Option("--root", help="Look here.")] = None,
) -> None:
    """Write a sheet of images with their masks."""
    from sambench import data

    path = data.preview(name, output or Path(f"{name}-preview.png"), n=n, root=root)
    typer.echo(str(path))
