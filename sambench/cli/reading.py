"""Which runs a command reads: RUN arguments, and `--runs`, the folder in which their names are looked for.

`-o` and `--out` always say where a command writes, and `--runs` what it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench import paths

if TYPE_CHECKING:
    from sambench.store.views import CellView

OUT = "SAMBENCH_OUT"  # the variable of run's --out: what is written there is read there
DEFAULT = Path("runs")

_FOLDERS = "The folder of runs: names are looked for in it (default: runs). May be repeated."
_ANY = "Runs, by directory or by name (default: all of --runs)."
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's directory, or its name under --runs.")]
Runs = Annotated[
    Path, typer.Option("--runs", "-r", metavar="DIR", envvar=OUT, help="The folder of runs: names are looked for in it.")
]
AnyRuns = Annotated[list[str], typer.Argument(metavar="RUN...", help=_ANY, show_default=False)]
Folders = Annotated[list[str], typer.Option("--runs", "-r", metavar="DIR", help=_FOLDERS)]
Place = Annotated[Path, typer.Option("--results", envvar=OUT, hidden=True, help="Where names of --runs are looked for.")]


def cells_of(runs: Sequence[str], named: Sequence[str], place: Path = DEFAULT) -> list[CellView]:
    """The cells that a command with RUN arguments and `--runs DIR` is asked for, each once; all of `place` where neither is given.

    runs: of `--runs`: folders in which names are looked for, and which count as a whole where there is no name, only paths or
    nothing; also runs themselves, as one wrote them before. named: the arguments, names or paths. place: where names are looked
    for without a folder.
    Raises UsageError and RunError as `find_cells` does.
    """
    from sambench.store.lookup import find_cells
    from sambench.store.views import read_cell

    runs, named = [_here(run) for run in runs], [_here(name) for name in named]
    if not runs and not named:
        from sambench.store.lookup import all_cell_paths

        return [read_cell(path) for path in all_cell_paths(place)]
    names = [name for name in named if not Path(name).expanduser().exists()]
    folders = [Path(run).expanduser() for run in runs if names and _holds_runs(Path(run).expanduser())]
    found = [cell for run in runs if Path(run).expanduser() not in folders for cell in find_cells(run, place)]
    for name in named:
        found += _looked_for(name, folders or [place])
    return list({cell.path.resolve(): cell for cell in found}.values())


def _here(run: str) -> str:
    """A name or path as it was given; of a URL its copy on this machine, in which runs are known by name."""
    from sambench.errors import system_error
    from sambench.files import places
    from sambench.files.objects import address

    if address(run) is None:
        return run
    try:
        return str(places.brought(Path(run), records_alone=True))
    except OSError as e:
        raise system_error(e) from e


def _holds_runs(path: Path) -> bool:
    """Whether it is a folder of runs, and no run or cell itself."""
    return path.is_dir() and not any((path / name).exists() for name in (paths.RUN_FILE, paths.RECORD))


def _looked_for(name: str, folders: Sequence[Path]) -> list[CellView]:
    """The cells of a name in the first folder that has it; the last folder's error where none does."""
    from sambench.errors import UsageError
    from sambench.store.lookup import find_cells

    for folder in folders[:-1]:
        try:
            return find_cells(name, folder)
        except UsageError:
            continue
    return find_cells(name, folders[-1])
