"""`sambench new`: a card for a dataset of one's own, a file for a model of one's own; both run at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sambench.cli.console import echo, quoted

app = typer.Typer(help="Begin with data or a model of your own.", no_args_is_help=True, rich_markup_mode=None)

To = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")]


@app.command()
def dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called: lower-case letters, digits, _ and -.")],
    source: Annotated[
        str, typer.Option("--from", metavar="PATH", help="Its file or folder, or a name of `sambench list readers`.")
    ],
    to: To = None,
) -> None:
    """Write a card that gives a dataset a name of its own, and remember where its files are.

    Without --out the card goes to the cards of $SAMBENCH_HOME, where every command finds it by its name.
    """
    from sambench.sources.data.new import write_card

    written = write_card(name, source, to)
    given = name if to is None else quoted(str(to))
    for note in written.notes:
        echo(note)
    echo(f"{written.path}: the card; fill in its licence and citation")
    if written.root is not None:
        echo(f"{written.root}: the files, which stay where they are")
    echo(f"look at it:  sambench data preview {given}")
    echo(f"run on it:   sambench run point --datasets {given}")


@app.command()
def model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called: a name as Python has them.")],
    to: To = None,
) -> None:
    """Write a model with the two methods that every task asks, and a test of it. It runs as it is: then put yours in."""
    from sambench.sources.new_model import write_model

    file, test = write_model(name, to)
    spec = quoted(f"python:{file}:make")
    echo(f"{file}: the model, which takes a disc around each click for the object; {test}: its test")
    echo(f"check it:    sambench check model {spec}")
    echo(f"run it:      sambench run point --datasets demo --model {spec}")
