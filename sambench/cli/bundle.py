"""`sambench results export` and `import`: cells in one file with digests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sambench.cli.console import echo
from sambench.cli.reading import DEFAULT, OUT, Runs
from sambench.text import counted

app = typer.Typer(help="Pass results on: export cells into one file, import them.", no_args_is_help=True, rich_markup_mode=None)


@app.command("export")
def export(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs, cells, or folders of runs.")],
    to: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")] = Path("results.sambench.zip"),
    folder: Runs = DEFAULT,
) -> None:
    """Write rows, metrics and records of finished cells into one file; prints its digest."""
    from sambench.results.bundle import export as write
    from sambench.store.lookup import find_cells
    from sambench.text import human_bytes

    cells = {c.path.resolve(): c for run in runs for c in find_cells(run, folder)}
    bundle = write(list(cells.values()), to)
    echo(f"{to}: {counted(len(bundle.cells), 'cell')}, {counted(bundle.n_files, 'file')}, {human_bytes(bundle.n_bytes)}")
    echo(f"digest {bundle.digest}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle.")],
    digest: Annotated[str | None, typer.Option("--digest", help="The digest that its publisher says it has.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the file and write nothing.")] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", envvar=OUT, help="The folder of runs in which the cells are put.")
    ] = DEFAULT,
) -> None:
    """Check a bundle, and put its cells next to your own; nothing that is there is overwritten."""
    from sambench.errors import UsageError
    from sambench.results.bundle import import_bundle, inspect

    if digest is not None and (len(digest) < 8 or set(digest.lower()) - set("0123456789abcdef")):
        raise UsageError("not a digest", where="--digest", expected="at least 8 hexadecimal digits", found=repr(digest))
    if check:
        bundle = inspect(file)
        if digest is not None and not bundle.digest.startswith(digest.lower()):
            raise UsageError("the bundle is not the expected one", where=file, expected=f"digest {digest}", found=bundle.digest)
        echo(f"{file}: whole, {counted(len(bundle.cells), 'cell')}, digest {bundle.digest}")
        for cell in bundle.cells:
            echo(f"  {cell}")
        return
    done = import_bundle(file, out, digest=digest)
    echo(f"digest {done.bundle.digest}")
    for path in done.new:
        echo(f"imported: {path}")
    if done.known:
        echo(f"{counted(len(done.known), 'cell was', 'cells were')} there already, byte for byte")
