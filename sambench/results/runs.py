"""Runs on a disk: which there are, their sizes and dates, what cites them; removing them, and what killed commands left."""

from __future__ import annotations

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sambench import paths
from sambench.errors import RunError, SambenchError, UsageError
from sambench.files import mirror
from sambench.files.writing import storage_error
from sambench.results.apart import apart
from sambench.results.citations import cited, notes
from sambench.store.leases import holder
from sambench.store.lookup import all_cell_paths, find_cell_paths
from sambench.store.record import METRIC_FILES, read_record
from sambench.store.views import read_cell

REMOVED = ".removed-"
QUIET_S = 3600.0  # a file written aside that is older than this is nobody's
KINDS = ("rows", "metrics", "logs", "other")


@dataclass(frozen=True)
class StoredCell:
    """One cell of a run. id: empty, and status "damaged", where its record cannot be read. differs: what sets it apart from other
    cells of its dataset in the run."""

    path: Path
    id: str
    dataset: str
    status: str
    differs: str = ""


@dataclass(frozen=True)
class StoredRun:
    """One folder of runs' folder. sizes: bytes by KINDS; changed: when its newest file was written, ISO 8601, UTC.

    cited_by: documents made of its cells. computed_by: processes at work on it.
    """

    path: Path
    task: str
    model: str
    cells: tuple[StoredCell, ...]
    sizes: dict[str, int]
    changed: str
    cited_by: tuple[str, ...]
    computed_by: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


@dataclass(frozen=True)
class Removal:
    """A path that goes, or has gone, with the bytes in it, and why."""

    path: Path
    bytes: int
    why: str


def stored_runs(out: Path, run: str = "", documents: Sequence[Path] = ()) -> list[StoredRun]:
    """The runs in a folder, or the one that `run` stands for, by name. documents: folders in which reports are looked for.

    Raises UsageError and RunError as `find_cell_paths`, OSError where something cannot be read.
    """
    by_run: dict[Path, list[StoredCell]] = {}
    for cell in _told_apart([_stored_cell(p) for p in (find_cell_paths(run, out) if run else all_cell_paths(out))]):
        by_run.setdefault(cell.path.parent, []).append(cell)
    known = cited(out, [c.id for cells in by_run.values() for c in cells if c.id], documents)
    return [_stored_run(path, cells, known) for path, cells in sorted(by_run.items())]


def _stored_cell(path: Path) -> StoredCell:
    try:
        record = read_record(path)
    except SambenchError:
        return StoredCell(path, "", path.name, "damaged")
    return StoredCell(path, record.cell_id, record.dataset.id, record.status)


def _told_apart(cells: Sequence[StoredCell]) -> list[StoredCell]:
    names = Counter((c.path.parent, c.dataset) for c in cells if c.id)
    alike = [c for c in cells if names[c.path.parent, c.dataset] > 1 and c.id]
    texts = apart([read_cell(c.path) for c in alike], [(c.path.parent, c.dataset) for c in alike])
    beside = {c.path: text for c, text in zip(alike, texts, strict=True)}
    return [replace(c, differs=beside.get(c.path, "")) for c in cells]


def _stored_run(path: Path, cells: Sequence[StoredCell], known: Mapping[str, tuple[str, ...]]) -> StoredRun:
    sizes, newest = _sizes(path)
    task, _, model = path.resolve().name.rpartition("-")[0].partition("-")
    return StoredRun(
        path=path,
        task=task,
        model=model,
        cells=tuple(cells),
        sizes=sizes,
        changed=datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds"),
        cited_by=tuple(dict.fromkeys(d for c in cells for d in known.get(c.id, ()))),
        computed_by=tuple(dict.fromkeys(h for c in cells for h in _holders(c.path))),
    )


def _holders(cell: Path) -> Iterator[str]:
    for lease in paths.listed(cell / "shards", ".claim"):
        if who := holder(lease):
            yield who


def _sizes(folder: Path) -> tuple[dict[str, int], float]:
    """Bytes by kind of all files below, and the time of the newest."""
    sizes, newest = dict.fromkeys(KINDS, 0), 0.0
    for at, _, names in paths.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a lease that has just been given back
                found = (Path(at) / name).lstat()
                sizes[_kind(Path(at).relative_to(folder).parts, name)] += found.st_size
                newest = max(newest, found.st_mtime)
    return sizes, newest


def _kind(below: tuple[str, ...], name: str) -> str:
    if "shards" in below and name.endswith(".parquet"):
        return "rows"
    if below[:1] == ("logs",):
        return "logs"
    return "metrics" if name in METRIC_FILES else "other"


def to_remove(out: Path, names: Sequence[str], documents: Sequence[Path] = (), *, force: bool = False) -> list[Removal]:
    """What `remove` is to be given for runs, or cells of runs, of these names. force: also what a document cites.

    Raises UsageError where a name stands for several runs, something is being computed, or is cited, and nothing goes then.
    """
    going, refused = [], []
    for name in names:
        folder, cells = _named(out, name)
        ids = [c.id for c in cells if c.id]
        by = tuple(dict.fromkeys(d for docs in cited(out, ids, documents).values() for d in docs))
        busy = [h for c in cells for h in _holders(c.path)]
        if busy:
            refused.append(f"{folder}: is being computed by {', '.join(dict.fromkeys(busy))}")
        elif by and not force:
            refused.append(f"{folder}: cited by {', '.join(by[:3])}{', ...' if len(by) > 3 else ''}")
        going.append(Removal(folder, sum(_sizes(folder)[0].values()), "cited, and forced" if by else "asked for"))
    if refused:
        raise UsageError(
            "nothing was removed: there are runs that somebody needs",
            expected="runs that are neither being computed nor cited by a report",
            found="; ".join(refused),
            remedy="stop what computes; a report that is gone cites nothing; `--force` removes what is cited all the same",
        )
    return list(dict.fromkeys(going))


def _named(out: Path, name: str) -> tuple[Path, list[StoredCell]]:
    """The folder of one run, or of one cell of it, and the cells in it."""
    found = [_stored_cell(p) for p in find_cell_paths(name, out)]
    given = Path(name).expanduser()
    asked = given if given.exists() else None
    runs = {c.path.parent.resolve() for c in found}
    if asked is not None and (asked / paths.RECORD).exists():
        return asked, found
    if len(found) == 1 and "/" in name.strip("/") and asked is None:
        return found[0].path, found
    if len(runs) > 1 or (asked is not None and asked.resolve() not in runs):
        raise UsageError(
            "that is not one run",
            where="RUN",
            expected="the name or folder of one run, or RUN/DATASET for one of its cells",
            found=f"{name}, in which there are {len(runs)} runs",
            remedy="name the runs one by one: `sambench runs list`",
        )
    return found[0].path.parent, found


def leftovers(out: Path, now: float | None = None) -> list[Removal]:
    """What killed commands left in a folder of runs and nobody will use: files and folders written aside, leases of dead processes,
    cells without an image, runs without a cell, notes of documents that are gone. now: seconds since 1970, for tests."""
    now = time.time() if now is None else now
    found = [(p, why) for p, why in _aside(out, now)]
    for path, (document, _) in notes(out).items():
        if mirror.at(out) is None and not Path(document).exists():  # of a store it may lie on another machine
            found.append((path, f"a note of {document}, which is gone"))
    for run in (p for p in paths.listed(out) if p.is_dir() and not p.name.startswith(".")):
        kept = 0
        for cell in (p for p in paths.listed(run) if p.is_dir() and (p / "shards").is_dir()):
            whys = list(_of_cell(cell, now))
            empty = not paths.listed(cell / "shards", ".parquet") and not any(_holders(cell)) and _idle(cell, now)
            found += [(cell, "a cell without an image")] if empty else whys
            kept += not empty
        found += list(_aside(run, now))
        if not kept and (run / paths.RUN_FILE).exists() and _idle(run, now) and not all_cell_paths(run):
            found.append((run, "a run without a cell"))
    return [Removal(p, _bytes(p), why) for p, why in dict(found).items()]


def _of_cell(cell: Path, now: float) -> Iterator[tuple[Path, str]]:
    yield from _aside(cell, now)
    yield from _aside(cell / "shards", now)
    for path in paths.listed(cell / "shards"):
        if path.suffix == ".claim" and holder(path) is None:
            yield path, "a lease of a process that is gone"
        elif path.suffix.startswith((".new-", ".stale-")) and _idle(path, now):
            yield path, "a lease that was being written"


def _aside(folder: Path, now: float) -> Iterator[tuple[Path, str]]:
    """Hidden files and folders that were written aside, or were to be removed."""
    for path in paths.listed(folder):
        name = path.name
        if name.startswith(REMOVED):
            yield path, "was being removed"
        elif not name.startswith(".") or name in (".", "..", ".cited"):
            continue
        elif path.is_dir() and name.endswith(".old") and path.with_name(name[1:-4]).exists():
            yield path, "was replaced"
        elif path.is_dir() and name.endswith(".fresh"):
            lease = folder.parent / f".{folder.name}.{name[1:-6]}.fresh"
            if holder(lease) is None and _idle(path, now):
                yield path, "computed again by a command that is gone"
        elif path.is_file() and name.endswith(".fresh"):
            if holder(path) is None and _idle(path, now):
                yield path, "a lease of a process that is gone"
        elif path.is_file() and _idle(path, now):
            yield path, "was being written"


def _idle(path: Path, now: float) -> bool:
    try:
        return now - path.lstat().st_mtime > QUIET_S
    except FileNotFoundError:
        return False


def _bytes(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(_sizes(path)[0].values())
    with suppress(FileNotFoundError):
        return path.lstat().st_size
    return 0


def remove(going: Sequence[Removal]) -> None:
    """Remove them, each whole: a folder gets another name first, so that an interrupted removal leaves no half run, but something
    that `leftovers` finds. Of a run whose last cell goes nothing stays. Raises RunError."""
    for one in going:
        path = one.path
        try:
            _remove_objects(path)
            if path.is_dir() and not path.is_symlink():
                aside = path if path.name.startswith(REMOVED) else path.with_name(f"{REMOVED}{path.name}-{uuid.uuid4().hex[:8]}")
                if aside != path:
                    path.rename(aside)
                shutil.rmtree(aside)
                _remove_bare(path.parent)
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
        except OSError as e:
            raise storage_error(e, path) from e


def _remove_objects(path: Path) -> None:
    """Of what is the copy of a place in an object store: there too, one by one, for nothing there is renamed as a whole."""
    copy = mirror.at(path)
    if copy is not None and path.is_dir():  # the records last: by them what an interrupted removal leaves can be named again
        copy.remove_below(path, last=lambda key: key.endswith(mirror.RECORDS))
    elif copy is not None:
        copy.remove(path)


def _remove_bare(run: Path) -> None:
    """A run's folder that holds its description and nothing else."""
    with suppress(OSError):
        names = {p.name for p in run.iterdir()}
        if paths.RUN_FILE in names and names <= {paths.RUN_FILE, "logs"}:
            _remove_objects(run)
            shutil.rmtree(run)


def none_there(out: Path) -> RunError:
    """The error where a folder of runs is not there."""
    return RunError("there are no runs", where=out, expected="a folder of runs", remedy="--runs DIR says where they are")
