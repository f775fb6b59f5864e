"""What runs leave on disk, read back: which cells there are, how far they are, their rows and metrics. Reads only.

`<out>/<task>-<model>-<8 hex>/<dataset>-<8 hex>/` is a cell's directory; see `sambench.engine` for who writes it.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sambench import paths, tasks
from sambench.errors import RunError, UsageError, near_names, system_error, unknown_name
from sambench.files import places
from sambench.files.content import regular_bytes
from sambench.files.objects import address
from sambench.files.writing import unreadable
from sambench.notes import by_dataset
from sambench.schema import METRIC_COLUMNS
from sambench.store.claims import holder
from sambench.store.labels import check_run, label_of_run
from sambench.store.record import FINISHED, IMAGES, RECORD, CellRecord, damaged, read_image_ids, read_record
from sambench.store.shards import ImageState, ShardStore
from sambench.store.tally import tally
from sambench.store.vouching import file_misfits, misfit_error, shard_misfits

if TYPE_CHECKING:
    import pandas as pd

# Resampling and cluster-robust errors understate the spread of few clusters (Cameron and Miller 2015, section VI).
FEW_CLUSTERS = 20
_HASH = re.compile(r"-[0-9a-f]{8}$")
class LiveState(NamedTuple):
    """How far a cell is, counted from its shards at this moment.

    status: complete, partial (all that `--limit` asked for), incomplete (some images failed), running (a living
    process works on it) or interrupted. n_wanted: images that the record speaks of; n_stored: images of the whole
    subset that are stored, of n_images. left_out: annotations that are no object, by kind; notes: images by what was said of
    their files. holders: who works on it now.
    """

    status: str
    n_images: int
    n_wanted: int
    n_done: int
    n_failed: int
    n_objects: int
    n_dropped: int
    left_out: Mapping[str, int]
    notes: Mapping[str, int]
    n_stored: int
    holders: tuple[str, ...]


@dataclass(frozen=True)
class CellView:
    """One cell as it lies on disk. record: the content of cell.json.

    Rows, metrics and counts are given only where the cell's files are those that its record was written of; all of them raise
    RunError otherwise. Shards that are gone are images that are not computed.
    """

    path: Path
    record: CellRecord

    @property
    def run_name(self) -> str:
        return self.path.resolve().parent.name

    @property
    def dataset(self) -> str:
        """The dataset's id, with its variant unless that is the default."""
        dataset = self.record.dataset
        return dataset.id + (f":{dataset.variant}" if dataset.variant not in (None, "default") else "")

    @property
    def model(self) -> str:
        """The model's id, by which its card is found."""
        return self.record.model.id

    @cached_property
    def label(self) -> str:
        """What the model is called: the user's name for it, or its id."""
        return label_of_run(self.path.resolve().parent) or self.model

    @property
    def title(self) -> str:
        """As `label`, the model's full name where the user gave none."""
        return self.record.model.name if self.label == self.model else self.label

    @cached_property
    def task(self) -> tasks.Task:
        """The task with the settings it was run with. Raises UsageError where this version does not know them."""
        task = self.record.task
        return tasks.build(task.name, task.settings, protocol=task.protocol)

    @cached_property
    def image_ids(self) -> tuple[str, ...]:
        """The images of the whole subset, in keyed-hash order."""
        wrong = file_misfits(self.path, self.record)
        if wrong:
            raise misfit_error(self.path, wrong)
        ids, told = read_image_ids(self.path), self.record.subset.n_images
        if told is not None and told != len(ids):
            found = f"{len(ids)} images, the record says {told}"
            raise damaged("a cell's list of images is not that of its record", self.path / IMAGES, found)
        return ids

    @property
    def wanted(self) -> tuple[str, ...]:
        """The images that the record speaks of: the subset, or its first `limit` ones."""
        return self.image_ids[: self.record.limit]

    @cached_property
    def store(self) -> ShardStore:
        store = ShardStore(self.path, self.image_ids, self.record.shard_size, self.task.columns)
        wrong = [m for m in shard_misfits(self.record, store) if m.how != "gone"]
        if wrong:
            raise misfit_error(self.path, wrong)
        return store

    def check(self) -> None:
        """Raise RunError where the files are not those that the record was written of."""
        _ = self.store

    @property
    def vouched(self) -> bool:
        """Whether the record says of which files it was written; records of an earlier version do not."""
        return self.record.results is not None

    def rows(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Stored rows of the wanted images in image order, with `columns` of the task's row schema alone if given.

        Rows with status `failed` (one for each failed image) are among them. Raises RunError on a damaged shard,
        UsageError on unknown columns.
        """
        for name in columns or ():
            if name not in self.store.columns:
                raise unknown_name("column", name, self.store.columns, where=self.path)
        frame: pd.DataFrame = self.store.table(self.wanted, columns).to_pandas(maps_as_pydicts="lossy")
        return frame

    def scored(self, columns: Sequence[str] | None = None, where: tuple[str, str] | None = None) -> pd.DataFrame:
        """As `rows`, of the images that did not fail alone: every integer column is one. where: as `ShardStore.table` takes it."""
        import pyarrow.compute as pc

        names = list(columns or self.store.columns)
        table = self.store.table(self.wanted, list(dict.fromkeys([*names, "status"])), where)
        kept = table.filter(pc.equal(table["status"], "ok")).select(names)
        frame: pd.DataFrame = kept.to_pandas(maps_as_pydicts="lossy")
        return frame

    def metrics(self) -> pd.DataFrame | None:
        """The stored metric rows, or None where there are none, or only those of another state of the cell."""
        import pandas as pd

        path = self.path / "metrics.parquet"
        status = self.record.status
        if status not in FINISHED or not path.exists():
            return None
        if self.record.counts.n_images_done != self.live.n_done:  # rows were deleted, or have come since
            return None
        try:
            raw = regular_bytes(path)  # of a path, folders named a=b would become columns
        except OSError as e:
            raise unreadable("a cell's metrics cannot be read", path, e) from e
        try:
            frame = pd.read_parquet(io.BytesIO(raw), page_checksum_verification=True)
        except (OSError, ValueError) as e:
            raise damaged("a cell's metrics cannot be read", path, str(e)) from e
        if list(frame.columns) != list(METRIC_COLUMNS):
            raise damaged("a cell's metrics cannot be read", path, f"columns {', '.join(map(str, frame.columns))}")
        # A kill between writing the metrics and the record leaves new metrics beside an old record.
        return frame if frame["partial"].eq(status != "complete").all() else None

    def states(self) -> dict[str, ImageState]:
        """Records of all stored images, by image id. Raises RunError on a damaged shard."""
        return self.store.all_states()

    @cached_property
    def live(self) -> LiveState:
        """Counted from the shards when first asked for."""
        states = self.states()
        here = [states[i] for i in self.wanted if i in states]
        ok = [s for s in here if s.status == "ok"]
        n_failed, said = len(here) - len(ok), tally(ok)
        claims = [self.store.claim_path(n) for n in range(len(self.store))]
        holders = tuple(sorted({who for who in (holder(c) for c in claims if c.exists()) if who}))
        if len(here) < len(self.wanted):
            status = "running" if holders else "interrupted"
        elif n_failed and self.record.status in FINISHED:
            status = "incomplete"
        elif self.record.status not in FINISHED:  # some of its images are being computed again
            status = "running" if holders else "interrupted"
        else:
            status = "complete" if len(self.wanted) == len(self.image_ids) else "partial"
        return LiveState(
            status=status,
            n_images=len(self.image_ids),
            n_wanted=len(self.wanted),
            n_done=len(ok),
            n_failed=n_failed,
            n_objects=sum(s.n_objects for s in ok),
            n_dropped=sum(s.n_dropped for s in ok),
            left_out=said.left_out,
            notes=said.notes,
            n_stored=len(states),
            holders=holders,
        )

    def partial_reasons(self) -> list[str]:
        """Why the cell's numbers are not those of the whole subset; empty for a complete cell."""
        live, reasons = self.live, []
        if live.n_wanted < live.n_images:
            reasons.append(f"first {live.n_wanted} of {live.n_images} images (--limit)")
        missing = live.n_wanted - live.n_done - live.n_failed
        if missing:
            state = f"still running, {', '.join(live.holders)}" if live.holders else "interrupted"
            reasons.append(f"{missing} of {live.n_wanted} images not computed ({state})")
        elif live.status in ("running", "interrupted"):
            state = f"still running, {', '.join(live.holders)}" if live.holders else "interrupted"
            reasons.append(f"rows that were being computed anew, and may be replaced ({state})")
        if live.n_failed:
            reasons.append(f"{live.n_failed} images failed")
        return reasons


def read_cell(path: Path) -> CellView:
    """The cell in a directory. Raises RunError where its record is absent, damaged, of another version, or of another run than the
    folder's."""
    record = read_record(path)
    check_run(path, record)
    return CellView(path, record)


def find_cells(run: str, out: Path = Path("runs")) -> list[CellView]:
    """The cells that RUN stands for, sorted by directory.

    RUN is a path (of a cell, a run, or a folder of runs), or `NAME` or `NAME/DATASET` under `out`: each a directory's
    name, with or without its hash, the id of the model of just one run or what its user called it, or the beginning of just one
    name. Raises UsageError
    where nothing or more than one fits (with the names that do, or nearly do, and the directory looked in), RunError where a
    directory holds no cell or a damaged one.
    """
    return [read_cell(p) for p in find_cell_paths(run, out)]


def find_cell_paths(run: str, out: Path = Path("runs")) -> list[Path]:
    """As `find_cells`, the directories alone: the cells may be damaged."""
    try:
        here = places.brought(out, records_alone=True)
        if address(run) is not None:
            run = str(places.brought(Path(run), records_alone=True))
        return _brought(_found(run, Path(run).expanduser(), here))
    except OSError as e:  # a name that no file system takes, or a folder that may not be read
        raise system_error(e) from e


def _brought(cells: list[Path]) -> list[Path]:
    """The same, each with all that is stored of it now."""
    for path in cells:
        places.place_of(path).refresh_below(path)
    return cells


def _found(run: str, path: Path, out: Path) -> list[Path]:
    if not path.exists() and (path.is_absolute() or run.startswith(".")):  # no name can look like that
        expected = "a run's directory, or its name under --runs"
        raise UsageError("there is no such run", where=path, expected=expected, found="no such directory")
    if not path.exists():
        path = _named(run, out)
    if path.is_file():
        raise UsageError("not a run", found=f"the file {path}", expected="a directory, or the name of a run")
    found = _cell_folders(path)
    if not found and not run.startswith((".", "/", "~")):  # the folder of a model, say, which is named as its runs are
        with contextlib.suppress(UsageError):
            found = _cell_folders(_named(run, out))
    if not found:
        raise RunError(
            "there are no results here",
            where=path,
            expected="directories with a cell.json",
            found=", ".join(_names(path)[:8]) or "nothing",
            remedy="`sambench run point` makes some; --runs says in which directory they are looked for",
        )
    return found


def _named(run: str, out: Path) -> Path:
    """The directory under `out` that a name stands for. Raises UsageError for none or several."""
    path = out
    for depth, part in enumerate(p for p in run.split("/") if p):
        path = _choose(part, path, "run" if depth == 0 else "cell of that run", run)
    return path


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


def _choose(part: str, folder: Path, kind: str, run: str) -> Path:
    """The directory of `folder` that `part` names: exactly, but for its hash, or as the beginning of one alone."""
    names = _names(folder)
    if part in names:
        return folder / part
    fits = [n for n in names if _HASH.sub("", n) == part] or (_of_model(part, names, folder) if kind == "run" else [])
    fits = fits or [n for n in names if n.startswith(part)]
    if len(fits) == 1:
        return folder / fits[0]
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
        bare.setdefault(_HASH.sub("", n), n)
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


def _of_model(model: str, names: Sequence[str], folder: Path) -> list[str]:
    """The runs, `<task>-<model>-<hash>`, of the model with that id, or that a user calls so."""
    return [n for n in names if _HASH.sub("", n).partition("-")[2] == model or label_of_run(folder / n) == model]


def _names(folder: Path) -> list[str]:
    try:
        return [p.name for p in paths.listed(folder) if p.is_dir() and not p.name.startswith(".")]
    except OSError as e:
        raise system_error(e) from e


def partial_notes(cells: Iterable[CellView]) -> list[str]:
    """One line for each cell that is not complete, and why."""
    out = []
    for cell in cells:
        reasons = cell.partial_reasons()
        if reasons:
            out.append(f"PARTIAL: {cell.dataset}, {cell.label}: {'; '.join(reasons)}")
    return out


def cluster_notes(counts: Iterable[tuple[str, int]]) -> list[str]:
    """What (dataset, number of clusters) say where there are too few for an interval to be trusted."""
    few = [pair for pair in counts if 0 < pair[1] < FEW_CLUSTERS]
    return by_dataset((d, f"{_independent(n)} only; intervals are likely too narrow") for d, n in few)


def _independent(n: int) -> str:
    return "1 independent image or scene" if n == 1 else f"{n} independent images or scenes"


def subset_notes(cells: Iterable[CellView]) -> list[str]:
    """What the records say of the datasets' subsets (such as: not the paper's)."""
    return by_dataset((c.dataset, c.record.subset.note) for c in cells if c.record.subset.note)
