"""What runs leave on disk, read back: which cells there are, how far they are, their rows and metrics. Reads only.

`<out>/<task>-<model>-<8 hex>/<dataset>-<8 hex>/` is a cell's directory; see `sambench.engine` for who writes it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sambench import tasks
from sambench.errors import unknown_name
from sambench.files.content import regular_bytes
from sambench.files.writing import unreadable
from sambench.notes import by_dataset
from sambench.schema import METRIC_COLUMNS
from sambench.store.labels import check_run, label_of_run
from sambench.store.leases import holder
from sambench.store.record import FINISHED, IMAGES, CellRecord, damaged, read_image_ids, read_record
from sambench.store.shards import ImageState, ShardStore, ok_rows
from sambench.store.tally import tally
from sambench.store.vouching import file_misfits, misfit_error, shard_misfits
from sambench.text import counted

if TYPE_CHECKING:
    import pandas as pd

# Resampling and cluster-robust errors understate the spread of few clusters (Cameron and Miller 2015, section VI).
FEW_CLUSTERS = 20


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

    @property
    def proposals(self) -> dict[str, Any]:
        """What identifies the model, where that is a file of proposals; else empty."""
        return self.record.model.proposals

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

    def values(self, columns: Sequence[str], where: tuple[str, str] | None = None, /) -> dict[str, list[Any]]:
        """Columns of the rows as plain values, for `tasks.task.Cell`. where: as `ShardStore.table` takes it."""
        found: dict[str, list[Any]] = self.store.table(self.wanted, columns, where).to_pydict()
        return found

    def scored(self, columns: Sequence[str] | None = None, where: tuple[str, str] | None = None) -> pd.DataFrame:
        """As `rows`, of the images that did not fail alone: every integer column is one. where: as `ShardStore.table` takes it."""
        names = list(columns or self.store.columns)
        return ok_rows(self.store.table(self.wanted, list(dict.fromkeys([*names, "status"])), where), names)

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
        leases = [self.store.lease_path(n) for n in range(len(self.store))]
        holders = tuple(sorted({who for who in (holder(p) for p in leases if p.exists()) if who}))
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
            reasons.append(limited_to(live))
        missing = live.n_wanted - live.n_done - live.n_failed
        if missing:
            state = f"still running, {', '.join(live.holders)}" if live.holders else "interrupted"
            reasons.append(f"{missing} of {live.n_wanted} images not computed ({state})")
        elif live.status in ("running", "interrupted"):
            state = f"still running, {', '.join(live.holders)}" if live.holders else "interrupted"
            reasons.append(f"rows that were being computed again, and may be replaced ({state})")
        if live.n_failed:
            reasons.append(counted(live.n_failed, "image failed", "images failed"))
        return reasons


def limited_to(live: LiveState) -> str:
    """Which images --limit left."""
    return f"first {live.n_wanted} of {live.n_images} images (--limit)"


def read_cell(path: Path) -> CellView:
    """The cell in a directory. Raises RunError where its record is absent, damaged, of another version, or of another run than the
    folder's."""
    record = read_record(path)
    check_run(path, record)
    return CellView(path, record)


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
