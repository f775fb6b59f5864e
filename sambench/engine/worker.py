"""The one function that computes: lease a shard, work on its missing images, write it. In this process or a worker's."""

from __future__ import annotations

import gc
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sambench import tasks
from sambench.device import memory
from sambench.engine import cells, failures
from sambench.engine.ahead import Ahead
from sambench.engine.annotations import Annotations
from sambench.engine.events import OnEvent
from sambench.engine.plan import SHARD_SIZE
from sambench.engine.request import OnError
from sambench.errors import DataError, DataMissingError, ModelError, RunError, SambenchError
from sambench.files import content, mirror
from sambench.files.places import brought
from sambench.files.writing import storage_error
from sambench.notes import noting
from sambench.sources.data.base import DatasetSpec
from sambench.sources.models import ModelSpec
from sambench.store import partial
from sambench.store.leases import Watch, try_lease
from sambench.store.record import read_image_ids
from sambench.store.shards import ImageState, Shard, ShardStore
from sambench.tasks.prompted import Context, Interrupted, SaveMasks, Where
from sambench.types import IGNORED, NEVER_OBJECTS, Dataset, InFolder, Sample, reader_of

FLUSH_S = 5.0  # slow images: those of an unfinished shard are written at least this often; a kill loses no more
POLL_S = 0.5
LOOK_S = 2.0  # in an object store, where a look is a request
SHORT_OF_MEMORY_S = (0.5, 3.0)  # how long is waited where a GPU's memory was short, before it is tried again


@dataclass(frozen=True)
class CellJob:
    """One cell as a worker needs it; plain values. annotations: their digest in the plan, "" in jobs of earlier versions."""

    cell_dir: str
    cell_id: str
    task: str
    settings: dict[str, Any]
    dataset: DatasetSpec
    limit: int | None
    annotations: str = ""


@dataclass(frozen=True)
class Job:
    """Cells of one model, in order. invocation: this command's id (a failed image is tried once a command).

    precision: the model's, of its identity. scoring: host, or device (`sambench.tasks.scoring`). ahead: how many images are read
    while one is at work. deadly: images on which worker processes died, by cell id and image id: the error's line and what the log
    had last. They are recorded as failed and not begun. devices: how many a worker has, a part of one where workers share it.
    """

    model: ModelSpec
    cells: tuple[CellJob, ...]
    invocation: str
    save_masks: SaveMasks = "scored"
    on_error: OnError = "record"
    device_kind: str = "cpu"
    precision: str = "fp32"
    scoring: Where = "host"
    ahead: int = 0
    devices: float = 1.0
    deadly: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)

    def note_deadly(self, more: Mapping[str, Mapping[str, tuple[str, str]]]) -> None:
        """Add images on which others died meanwhile."""
        for cell_id, images in more.items():
            self.deadly.setdefault(cell_id, {}).update(images)

    @classmethod
    def from_json(cls, text: str) -> Job:
        raw = json.loads(text)
        raw["model"] = ModelSpec(**raw["model"])
        raw["cells"] = tuple(CellJob(**{**c, "dataset": DatasetSpec(**c["dataset"])}) for c in raw["cells"])
        return cls(**raw)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class _Laps:
    """Time since the last lap, or the beginning (by the monotonic clock)."""

    def __init__(self, since: float) -> None:
        self.since = since

    def lap(self) -> float:
        now = time.monotonic()
        taken, self.since = now - self.since, now
        return taken


@dataclass
class _Work:
    """One cell in a worker's hands."""

    job: Job
    cell: CellJob
    task: tasks.Task
    dataset: Dataset
    store: ShardStore
    files: Mapping[str, str]
    annotations: Annotations
    segmenter: Any
    emit: OnEvent
    check_stop: Callable[[], None]
    watch: Watch
    ahead: Ahead
    laps: _Laps
    written: float = field(default_factory=time.monotonic)
    next_look: float = -math.inf

    def run(self, *, wait: bool) -> bool:
        """Until every wanted image of the cell is stored, by this worker or another; or, not to wait, until others hold the rest.

        Gives whether all is stored.
        """
        limit = self.cell.limit
        n_shards = -(-(len(self.store.image_ids) if limit is None else min(limit, len(self.store.image_ids))) // self.store.size)
        pending = list(range(n_shards))
        while pending:
            blocked = []
            for n in pending:
                self.check_stop()
                self._look()
                if not self._missing(n):
                    continue
                lease = self._lease(n)
                if lease is None:
                    blocked.append(n)
                    continue
                with lease:
                    self.store.look_at(n)
                    self._shard(n, self._missing(n))
            if len(blocked) == len(pending):
                if not wait:
                    return False
                told = self.watch.told(self.store.lease_path(blocked[0]))
                self.emit({"event": "waiting", "cell_id": self.cell.cell_id, "dataset": self.dataset.name, **told})
                time.sleep(POLL_S)
            pending = blocked
        return True

    def _look(self) -> None:
        """See what others have done: every LOOK_S, or where a look takes long, so that a tenth of the time goes by with looking."""
        begun = time.monotonic()
        if begun >= self.next_look:
            self.store.look()
            now = time.monotonic()
            self.next_look = now + max(LOOK_S, 9 * (now - begun))

    def _missing(self, n: int) -> list[str]:
        return cells.missing_images(self.store, n, self.cell.limit, self.files, self.job.invocation)

    def _lease(self, n: int) -> Any:
        try:
            return try_lease(self.store.lease_path(n), self.watch)
        except OSError as e:
            raise storage_error(e, self.store.lease_path(n)) from e

    def _shard(self, n: int, todo: list[str]) -> None:
        shard = Shard({}, {})
        deadly = self.job.deadly.get(self.cell.cell_id, {})
        self.ahead.expect([i for i in todo if i not in deadly])
        self.written = time.monotonic()
        try:
            for image_id in todo:
                self.check_stop()
                self._image(image_id, shard, n)
                if time.monotonic() - self.written > FLUSH_S:
                    self._write(n, shard)
        finally:  # also when stopped or failing: what is computed is kept
            if shard.images:
                self._write(n, shard)
            content.flush()

    def _write(self, n: int, shard: Shard) -> None:
        partial.forget(self.store, n, self.store.write(n, shard).images)
        self.written = time.monotonic()

    def _image(self, image_id: str, shard: Shard, n: int) -> None:
        start = time.perf_counter()
        file = self.files.get(image_id, "")
        self.emit({"event": "started", "cell_id": self.cell.cell_id, "image_id": image_id})
        trace, read = "", dict[str, str]()
        try:
            self._refuse_deadly(image_id)
            with content.reading() as read, noting() as said:
                sample = self.ahead.load(image_id)
                self._check_annotations(read)  # before any of its rows can be kept
                rows = self._rows_in_memory(sample, n, lambda: read.get(os.path.abspath(file)) or _hash_of(file))
            rows = [{**row, "cell_id": self.cell.cell_id} for row in rows]
            took_s, picture = time.perf_counter() - start, _picture(sample, file, read)
            state = _done(self.task, sample, rows, picture, took_s, self.job.invocation, said)
            self._check_annotations(read)
        except (Interrupted, ModelError, RunError, KeyboardInterrupt):
            raise  # not this image's fault: the run ends
        except BaseException as e:
            if memory.is_lost(self.job.model.device):  # so all images after this one would fail, too
                raise DeviceLost("a process has lost its GPU", where=image_id, found=failures.describe_error(e)) from e
            if isinstance(e, DataError | OSError):
                self._check_folder(e)
            self._check_annotations(read)
            state, trace = self._failed(image_id, e, file)
            rows = [_failed_row(self.cell, self.dataset.name, image_id, state.error)]
            if self.job.on_error == "stop":
                self._tell(image_id, shard, state, rows, trace)
                raise self._stopping(image_id, state, e) from e
            e.__traceback__ = e.__context__ = None  # their frames hold what was too much
        if state.status == "ok":
            failures.forget(self._trace_file(image_id))
        else:
            gc.collect()
        self._tell(image_id, shard, state, rows, trace)

    def _rows_in_memory(self, sample: Sample, n: int, picture: Callable[[], str]) -> list[dict[str, Any]]:
        """As `_rows`, again where a GPU's memory was short: the other workers' peaks on it pass."""
        for wait_s in SHORT_OF_MEMORY_S:
            try:
                return self._rows(sample, n, picture)
            except Exception as e:
                if not memory.was_short(e):
                    raise
                e.__traceback__ = e.__context__ = None  # their frames hold what was too much
            memory.give_back()
            self.check_stop()
            time.sleep(wait_s)
        return self._rows(sample, n, picture)

    def _rows(self, sample: Sample, n: int, picture: Callable[[], str]) -> list[dict[str, Any]]:
        kept = partial.PartialRows(self.store, n, sample.image_id, picture)
        context = Context(
            save_masks=self.job.save_masks,
            scoring=self.job.scoring,
            device=self.job.model.device,
            check_stop=self.check_stop,
            kept=kept,
        )
        try:
            rows = self.task.rows(sample, self.segmenter, context)
        except Interrupted:
            kept.interrupted()
            raise
        if kept.changed():
            remedy = "issue the same command again"
            raise DataError("an image was replaced while it was evaluated", where=sample.image_id, remedy=remedy)
        return rows

    def _refuse_deadly(self, image_id: str) -> None:
        if image_id in (deadly := self.job.deadly.get(self.cell.cell_id, {})):
            raise DiedBefore(*deadly[image_id])

    def _failed(self, image_id: str, e: BaseException, file: str) -> tuple[ImageState, str]:
        """The record of a failed image, and the traceback, which is kept where the error is not one that says all."""
        text, trace = failures.describe_error(e), ""
        if isinstance(e, DiedBefore):
            text, trace = e.args
        elif not failures.says_all(e):
            trace = failures.trace_of(e)
            failures.show(trace)
        if trace:
            text += failures.keep(self._trace_file(image_id), trace)
        return ImageState("failed", picture=_hash_of(file), error=text, invocation=self.job.invocation), trace

    def _trace_file(self, image_id: str) -> Path:
        return failures.file_of(self.store.folder.parent, self.cell.cell_id, image_id)

    def _check_annotations(self, read: Mapping[str, str]) -> None:
        """Raises RunError where they have changed; DataMissingError where they have gone with the whole dataset."""
        try:
            self.annotations.check(read)
        except RunError as e:
            self._check_folder(e)
            raise

    def _check_folder(self, e: BaseException) -> None:
        """Raises DataMissingError where an image failed because the whole dataset has gone: a disk taken off, a folder moved."""
        reader = reader_of(self.dataset)
        root = reader.root if isinstance(reader, InFolder) else None
        if not isinstance(root, Path):
            return
        try:
            found = "an empty folder" if next(os.scandir(root), None) is None else None
        except OSError as gone:
            found = gone.strerror or repr(gone)
        if found:
            raise DataMissingError(
                f"the folder of dataset {self.dataset.name!r} has gone while it was read",
                where=root,
                found=found,
                remedy="bring it back (is its disk mounted?) and issue the same command again: what is finished is kept",
            ) from e

    def _stopping(self, image_id: str, state: ImageState, e: BaseException) -> SambenchError:
        if isinstance(e, SambenchError):
            return e
        message = f"image {image_id!r} of {self.dataset.name} failed"
        return SambenchError(message, found=state.error, remedy="mend it, or use --on-error record")

    def _tell(self, image_id: str, shard: Shard, state: ImageState, rows: list[dict[str, Any]], trace: str) -> None:
        """Put the image in its shard, with what it cost, and say so."""
        state = replace(state, device_s=round(self.laps.lap() * self.job.devices, 4))
        shard.images[image_id], shard.rows[image_id] = state, rows
        self.emit(
            {
                "event": "image",
                "cell_id": self.cell.cell_id,
                "image_id": image_id,
                "status": state.status,
                "error": state.error,
                "traceback": trace,
                "n_objects": state.n_objects,
                "running": self.task.running(rows) if state.status == "ok" else {},
            }
        )


class DeviceLost(RunError):
    """This process's GPU fails in every call from now on; that of another process works."""


class DiedBefore(Exception):
    """A worker process died on this image before. Arguments: the error's line, and the end of that process's log."""


def work(job: Job, segmenter: Any, emit: OnEvent, check_stop: Callable[[], None], *, since: float | None = None) -> None:
    """Compute the job's cells with a model that is already built. Raises Interrupted when told to stop.

    Where the rest of a cell is in other workers' hands the next cell is begun, and what they leave undone is seen to at the end.
    since: when the worker got its device, by the monotonic clock; None: now.
    """
    watch, laps = Watch(), _Laps(time.monotonic() if since is None else since)

    def done(cell: CellJob, *, wait: bool) -> bool:
        at_work = _work_of(job, cell, segmenter, emit, check_stop, watch, laps)
        with closing(at_work.ahead):
            return at_work.run(wait=wait)

    left = [cell for cell in job.cells if not done(cell, wait=False)]
    for cell in left:
        done(cell, wait=True)


def _work_of(
    job: Job, cell: CellJob, segmenter: Any, emit: OnEvent, check_stop: Callable[[], None], watch: Watch, laps: _Laps
) -> _Work:
    emit({"event": "cell", "cell_id": cell.cell_id})
    task = tasks.build(cell.task, cell.settings)
    from sambench.sources.datasets import open_spec

    dataset = open_spec(cell.dataset)
    folder = brought(mirror.here(cell.cell_dir))
    store = ShardStore(folder, read_image_ids(folder), SHARD_SIZE, task.columns)
    files = {r.image_id: r.file for r in dataset.index()}
    annotations = Annotations(dataset)
    annotations.check_plan(cell.annotations)
    ahead = Ahead(dataset, segmenter, job.ahead)
    return _Work(job, cell, task, dataset, store, files, annotations, segmenter, emit, check_stop, watch, ahead, laps)


def _picture(sample: Sample, file: str, read: Mapping[str, str]) -> str:
    """sha256 hex of the picture that was evaluated; '' where the task did not look at it, or it comes from no file."""
    if not file or "image" not in vars(sample):  # a cached property: there once it was asked for
        return ""
    return read.get(os.path.abspath(file)) or _hash_of(file)


def _hash_of(file: str) -> str:
    try:
        return content.file_sha256(Path(file)) if file else ""
    except OSError:
        return ""


def _done(
    task: tasks.Task, sample: Sample, rows: list[dict[str, Any]], picture: str, seconds: float, invocation: str, said: Iterable[str]
) -> ImageState:
    encode_ms = float(rows[0].get("encode_ms") or 0.0) if rows else 0.0
    n_objects = sample.n_objects
    kinds = dict(sample.left_out)
    if task.scores_annotated:  # to its evaluator an object in an ignore region is one like any other
        n_objects += kinds.pop(IGNORED, 0)
    n_dropped = sum(n for kind, n in kinds.items() if kind not in NEVER_OBJECTS)
    return ImageState("ok", n_objects, n_dropped, picture, encode_ms, seconds, "", invocation, kinds, tuple(said))


def _failed_row(cell: CellJob, dataset: str, image_id: str, error: str) -> dict[str, Any]:
    return {"cell_id": cell.cell_id, "dataset": dataset, "image_id": image_id, "status": "failed", "error": error}
