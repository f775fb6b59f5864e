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
    found = [cell for run in runs if Path(run).expanduser() not in folders for cell in find_cells(run, place, several=True)]
    for name in named:
        found += _looked_for(name, folders or [place])
    return list({cell.path.resolve(): cell for cell in found}.values())


def for_comparison(a: str, b: str, folder: Path) -> tuple[list[CellView], list[CellView]]:
    """The cells of two names: where one stands for runs of several tasks, those of the task that both have.

    Raises UsageError where both have several, with the commands that say which, or none, or where one has several runs of it.
    """
    from sambench.errors import UsageError
    from sambench.store.lookup import find_cells

    left, right = (find_cells(name, folder, several=True) for name in (a, b))
    ours, theirs = (dict.fromkeys(c.task.name for c in cells) for cells in (left, right))
    if len(ours) == len(theirs) == 1:
        return find_cells(a, folder), find_cells(b, folder)
    both = [task for task in ours if task in theirs]
    if len(both) != 1:
        tasks = [f"{name}: {', '.join(of)}" for name, of in ((a, ours), (b, theirs))]
        commands = [f"sambench compare {_run_of(left, t)} {_run_of(right, t)}{_runs_flag(folder)}" for t in both]
        raise UsageError(
            f"{a!r} and {b!r} are runs of several tasks" if both else f"{a!r} and {b!r} have no task in common",
            expected="two runs of one task",
            found="; ".join(tasks),
            remedy="\n    ".join(["say which, by one of:", *commands]) if both else "`sambench runs list` has their names",
        )
    left, right = ([c for c in cells if c.task.name == both[0]] for cells in (left, right))
    for name, cells in ((a, left), (b, right)):
        if len({c.run_name for c in cells}) > 1:
            find_cells(name, folder)  # says which there are
    return left, right


def of_one_task(names: Sequence[str], folder: Path) -> list[CellView]:
    """The cells of several names, of which each may stand for several runs of one task. Raises UsageError where for more."""
    from sambench.errors import UsageError
    from sambench.store.lookup import find_cells

    out: list[CellView] = []
    for name in names:
        cells = find_cells(name, folder, several=True)
        tasks = dict.fromkeys(c.task.name for c in cells)
        if len(tasks) > 1 and not Path(name).expanduser().exists():
            commands = [f"sambench plot {_run_of(cells, task)}{_runs_flag(folder)}" for task in tasks]
            remedy = "\n    ".join(["say which, by one of:", *commands])
            raise UsageError(f"{name!r} has runs of several tasks", expected="runs of one", found=", ".join(tasks), remedy=remedy)
        out += cells
    return list({cell.path.resolve(): cell for cell in out}.values())


def _run_of(cells: Sequence[CellView], task: str) -> str:
    """The run of a task as a command names it: without its hash, where that is enough."""
    from sambench.cli.console import quoted
    from sambench.store.lookup import bare_name

    names = list(dict.fromkeys(c.run_name for c in cells if c.task.name == task))
    return quoted(bare_name(names[0]) if len(names) == 1 else names[0])


def _runs_flag(folder: Path) -> str:
    from sambench.cli.console import quoted

    return "" if folder == DEFAULT else f" -r {quoted(folder)}"


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
            return find_cells(name, folder, several=True)
        except UsageError:
            continue
    return find_cells(name, folders[-1], several=True)
