"""Which cells a name on the command line stands for: a path, a run, the id of a run's model, or the beginning of a name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from sambench import paths
from sambench.errors import RunError, UsageError, near_names, system_error
from sambench.files import places
from sambench.files.objects import address
from sambench.paths import RECORD
from sambench.store.labels import label_of_run
from sambench.store.views import CellView, read_cell

_HASH = re.compile(r"-[0-9a-f]{8}$")


def find_cells(run: str, out: Path = Path("runs"), *, several: bool = False) -> list[CellView]:
    """The cells that RUN stands for, sorted by directory.

    RUN is a path (of a cell, a run, or a folder of runs), or `NAME` or `NAME/DATASET` under `out`: each a directory's
    name, with or without its hash, the id of the model of just one run or what its user called it, or the beginning of just one
    name. several: a name may stand for more than one, as that of a model for its runs of all tasks. Raises UsageError
    where nothing or (unless `several`) more than one fits (with the names that do, or nearly do, and the directory looked in),
    RunError where a directory holds no cell or a damaged one.
    """
    return [read_cell(p) for p in find_cell_paths(run, out, several=several)]


def find_cell_paths(run: str, out: Path = Path("runs"), *, several: bool = False) -> list[Path]:
    """As `find_cells`, the directories alone: the cells may be damaged."""
    try:
        here = places.brought(out, records_alone=True)
        if address(run) is not None:
            run = str(places.brought(Path(run), records_alone=True))
        return _brought(_found(run, Path(run).expanduser(), here, several))
    except OSError as e:  # a name that no file system takes, or a folder that may not be read
        raise system_error(e) from e


def _brought(cells: list[Path]) -> list[Path]:
    """The same, each with all that is stored of it now."""
    for path in cells:
        places.place_of(path).refresh_below(path)
    return cells


def _found(run: str, path: Path, out: Path, several: bool) -> list[Path]:
    if not path.exists() and (path.is_absolute() or run.startswith(".")):  # no name can look like that
        expected = "a run's directory, or its name under --runs"
        raise UsageError("there is no such run", where=path, expected=expected, found="no such directory")
    at = [path] if path.exists() else _named(run, out, several)
    if at[0].is_file():
        raise UsageError("not a run", found=f"the file {at[0]}", expected="a directory, or the name of a run")
    found = [cell for folder in at for cell in _cell_folders(folder)]
    if not found and not run.startswith((".", "/", "~")):  # the folder of a model, say, which is named as its runs are
        with contextlib.suppress(UsageError):
            found = [cell for folder in _named(run, out, several) for cell in _cell_folders(folder)]
    if not found:
        raise RunError(
            "there are no results here",
            where=at[0],
            expected="directories with a cell.json",
            found=", ".join(_names(at[0])[:8]) or "nothing",
            remedy="`sambench run point` makes some; --runs says in which directory they are looked for",
        )
    return found


def _named(run: str, out: Path, several: bool) -> list[Path]:
    """The directory under `out` that a name stands for, or several, where it may. Raises UsageError for none or too many."""
    parts = [p for p in run.split("/") if p]
    found = [out]
    for depth, part in enumerate(parts):
        found = _choose(part, found[0], "run" if depth == 0 else "cell of that run", run, several and len(parts) == 1)
    return found


def all_cell_paths(out: Path = Path("runs")) -> list[Path]:
    """The directories of all cells in a folder of runs, none without one. Raises RunError where it cannot be read."""
    try:
        return _brought(_cell_folders(places.brought(out, records_alone=True)))
    except OSError as e:
        raise system_error(e) from e


def _cell_folders(path: Path, depth: int = 2) -> list[Path]:
    """Those with a record, at most so deep below; hidden ones are being written or replaced.

    Folders that may not be looked into are among them: whoever reads them says so, and none is left out in silence.
    """
    if (path / RECORD).exists():
        return [path]
    out = []
    for below in paths.listed(path) if depth else ():
        if below.name.startswith("."):
            continue
        try:
            out += _cell_folders(below, depth - 1) if below.is_dir() else []
        except OSError:
            out.append(below)
    return out


def _choose(part: str, folder: Path, kind: str, run: str, several: bool) -> list[Path]:
    """The directory of `folder` that `part` names: exactly, but for its hash, or as the beginning of one alone. several: all that
    it names."""
    names = _names(folder)
    if part in names:
        return [folder / part]
    fits = [n for n in names if bare_name(n) == part] or (_of_model(part, names, folder) if kind == "run" else [])
    fits = fits or [n for n in names if n.startswith(part)]
    if len(fits) == 1 or (fits and several):
        return [folder / name for name in fits]
    if fits:
        raise UsageError(
            f"{part!r} could be several of the directories",
            where=folder,
            expected=f"the name of one {kind}",
            found=", ".join(fits),
            remedy="give more of the name, or the path",
        )
    bare: dict[str, str] = {}
    for n in names:
        bare.setdefault(bare_name(n), n)
    near = [bare[n] for n in near_names(part, bare)] or near_names(part, names)
    known = f"there are: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else None
    raise UsageError(
        f"no {kind} {part!r}",
        where=folder if folder.is_dir() else f"{folder} (no such directory)",
        expected="a path, the name (or its unambiguous beginning) of a directory there, or the id of a run's model",
        found=repr(run),
        remedy=f"did you mean {' or '.join(map(repr, near))}?" if near else known or _WHERE,
    )


_WHERE = "give the run's path, or say where results are: --runs DIR"


def bare_name(name: str) -> str:
    """The name of a run's or cell's directory without its hash."""
    return _HASH.sub("", name)


def _of_model(model: str, names: Sequence[str], folder: Path) -> list[str]:
    """The runs, `<task>-<model>-<hash>`, of the model with that id, or that a user calls so."""
    return [n for n in names if bare_name(n).partition("-")[2] == model or label_of_run(folder / n) == model]


def _names(folder: Path) -> list[str]:
    try:
        return [p.name for p in paths.listed(folder) if p.is_dir() and not p.name.startswith(".")]
    except OSError as e:
        raise system_error(e) from e
