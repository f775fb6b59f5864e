"""The one function that computes: claim a shard, work on its missing images, write it. Called in process, or by a worker process.

A worker process (`python -m sambench.engine.worker`) reads its job as one line of JSON from standard input, answers with one JSON
object a line, and ends when that input says `stop` or closes: killing the parent ends its workers.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sambench import cards, content, tasks
from sambench.engine import cells
from sambench.engine.claims import holder, holder_pid, try_claim
from sambench.engine.models import ModelSpec, build
from sambench.engine.plan import SHARD_SIZE
from sambench.engine.record import read_image_ids
from sambench.engine.shards import ImageState, Shard, ShardStore, storage_error
from sambench.errors import ModelError, SambenchError
from sambench.notes import noting
from sambench.tasks.prompted import Context, Interrupted
from sambench.types import CROWD, IGNORED, Dataset, Sample

FLUSH_S = 30.0  # slow images: rows of an unfinished shard are written at least this often
POLL_S = 0.5

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class CellJob:
    """One cell as a worker needs it; plain values."""

    cell_dir: str
    cell_id: str
    task: str
    settings: dict[str, Any]
    dataset: str
    variant: str
    root: str | None
    limit: int | None


@dataclass(frozen=True)
class Job:
    """Cells of one model, in order. invocation: this command's id (a failed image is tried once a command)."""

    model: ModelSpec
    cells: tuple[CellJob, ...]
    invocation: str
    save_masks: str = "scored"
    on_error: str = "record"
    device_kind: str = "cpu"

    @classmethod
    def from_json(cls, text: str) -> Job:
        raw = json.loads(text)
        raw["model"] = ModelSpec(**raw["model"])
        raw["cells"] = tuple(CellJob(**c) for c in raw["cells"])
        return cls(**raw)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class _Work:
    """One cell in a worker's hands."""

    job: Job
    cell: CellJob
    task: tasks.Task
    dataset: Dataset
    store: ShardStore
    files: Mapping[str, str]
    segmenter: Any
    emit: Emit
    check_stop: Callable[[], None]
    written: float = field(default_factory=time.monotonic)

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
                if not self._missing(n):
                    continue
                claim = self._claim(n)
                if claim is None:
                    blocked.append(n)
                    continue
                with claim:
                    self._shard(n, self._missing(n))
            if len(blocked) == len(pending):
                if not wait:
                    return False
                path = self.store.claim_path(blocked[0])
                self.emit({"event": "waiting", "cell_id": self.cell.cell_id, "holder": holder(path), "pid": holder_pid(path)})
                time.sleep(POLL_S)
            pending = blocked
        return True

    def _missing(self, n: int) -> list[str]:
        return cells.missing_images(self.store, n, self.cell.limit, self.files, self.job.invocation)

    def _claim(self, n: int) -> Any:
        try:
            return try_claim(self.store.claim_path(n))
        except OSError as e:
            raise storage_error(e, self.store.claim_path(n)) from e

    def _shard(self, n: int, todo: list[str]) -> None:
        shard = Shard({}, {})
        self.written = time.monotonic()
        try:
            for image_id in todo:
                self.check_stop()
                self._image(image_id, shard)
                if time.monotonic() - self.written > FLUSH_S:
                    self.store.write(n, shard)
                    self.written = time.monotonic()
        finally:  # also when stopped or failing: what is computed is kept
            if shard.images:
                self.store.write(n, shard)
            content.flush()

    def _image(self, image_id: str, shard: Shard) -> None:
        start = time.perf_counter()
        file = self.files.get(image_id, "")
        error = None
        try:
            with content.reading() as read, noting() as said:
                sample = self.dataset.load(image_id)
                rows = self.task.rows(sample, self.segmenter, Context(self.job.save_masks, self.check_stop))  # type: ignore[arg-type]
            rows = [{**row, "cell_id": self.cell.cell_id} for row in rows]
            took_s, picture = time.perf_counter() - start, _picture(sample, file, read)
            state = _done(self.task, sample, rows, picture, took_s, self.job.invocation, said)
        except (Interrupted, ModelError, MemoryError):
            raise  # not this image's fault: the run ends
        except (Exception, SystemExit) as e:  # noqa: BLE001 - whatever a broken file or a model raises is recorded with its image
            error = e
            text = describe_error(e)
            state = ImageState("failed", picture=_hash_of(file), error=text, invocation=self.job.invocation)
            rows = [_failed_row(self.cell, self.dataset.name, image_id, text)]
        shard.images[image_id], shard.rows[image_id] = state, rows
        self.emit(
            {
                "event": "image",
                "cell_id": self.cell.cell_id,
                "image_id": image_id,
                "status": state.status,
                "error": state.error,
                "n_objects": state.n_objects,
                "running": self.task.running(rows) if state.status == "ok" else {},
            }
        )
        if error is not None and self.job.on_error == "stop":
            raise (
                error
                if isinstance(error, SambenchError)
                else SambenchError(
                    f"image {image_id!r} of {self.dataset.name} failed",
                    found=state.error,
                    remedy="mend it, or use --on-error record",
                )
            ) from error


def work(job: Job, segmenter: Any, emit: Emit, check_stop: Callable[[], None]) -> None:
    """Compute the job's cells with a model that is already built. Raises Interrupted when told to stop.

    Where the rest of a cell is in other workers' hands the next cell is begun, and what they leave undone is seen to at the end.
    """
    left = [cell for cell in job.cells if not _work_of(job, cell, segmenter, emit, check_stop).run(wait=False)]
    for cell in left:
        _work_of(job, cell, segmenter, emit, check_stop).run(wait=True)


def _work_of(job: Job, cell: CellJob, segmenter: Any, emit: Emit, check_stop: Callable[[], None]) -> _Work:
    emit({"event": "cell", "cell_id": cell.cell_id})
    task = tasks.build(cell.task, cell.settings)
    from sambench.loaders.open import open_dataset

    card = cards.dataset_card(cell.dataset)
    dataset = open_dataset(card, variant=cell.variant, root=Path(cell.root).expanduser() if cell.root else None)
    folder = Path(cell.cell_dir)
    store = ShardStore(folder, read_image_ids(folder), SHARD_SIZE, task.columns)
    files = {r.image_id: r.file for r in dataset.index()}
    return _Work(job, cell, task, dataset, store, files, segmenter, emit, check_stop)


def describe_error(e: BaseException) -> str:
    """One line: the error, and for an unexpected one the line of code that raised it."""
    if isinstance(e, SambenchError):
        return e.one_line()
    frames = traceback.extract_tb(e.__traceback__)
    at = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(e).__name__}: {e}{at}"


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
    n_objects = len(sample.instances) + len(sample.boundaries)
    kinds = dict(sample.left_out)
    if getattr(task, "scores_annotated", False):  # to its evaluator an object in an ignore region is one like any other
        n_objects += kinds.pop(IGNORED, 0)
    n_dropped = sum(n for kind, n in kinds.items() if kind != CROWD)
    return ImageState("ok", n_objects, n_dropped, picture, encode_ms, seconds, "", invocation, kinds, tuple(said))


def _failed_row(cell: CellJob, dataset: str, image_id: str, error: str) -> dict[str, Any]:
    return {"cell_id": cell.cell_id, "dataset": dataset, "image_id": image_id, "status": "failed", "error": error}


@contextmanager
def single_threaded() -> Iterator[None]:
    """OpenCV and torch on one thread for the time being: numbers on a CPU must not depend on thread counts."""
    import cv2

    torch = sys.modules.get("torch")
    before = cv2.getNumThreads(), torch.get_num_threads() if torch else None
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        if torch and before[1]:
            torch.set_num_threads(before[1])


def main() -> int:
    """Entry of a worker process."""
    # A model's own prints must not mix with the messages: keep the pipe for ourselves, and let stdout go to stderr.
    pipe = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()
    stop = threading.Event()

    def emit(message: dict[str, Any]) -> None:
        with lock:
            try:
                pipe.write(json.dumps(message) + "\n")
            except OSError:  # the parent is gone
                os._exit(3)

    def check_stop() -> None:
        if stop.is_set():
            raise Interrupted

    def watch() -> None:
        for line in sys.stdin:
            if line.strip() == "stop":
                stop.set()
        os._exit(3)  # the parent died: nobody will use the rest, and the shard at hand is computed again

    job = Job.from_json(sys.stdin.readline())
    threading.Thread(target=watch, daemon=True).start()
    try:
        _serve(job, emit, check_stop)
    except Interrupted:
        emit({"event": "stopped"})
    except SambenchError as e:
        parts = {k: None if v is None else str(v) for k, v in vars(e).items()}
        emit({"event": "fatal", "kind": type(e).__name__, "parts": parts})
        return 2
    except MemoryError as e:
        parts = {"message": "the memory does not suffice", "expected": None, "found": describe_error(e), "where": None}
        emit({"event": "fatal", "kind": "RunError", "parts": {**parts, "remedy": "try fewer --workers; what is finished is kept"}})
        return 2
    except Exception as e:  # noqa: BLE001 - reported to the parent, which ends the run with it
        traceback.print_exc()
        emit({"event": "fatal", "kind": "bug", "parts": {"message": describe_error(e)}})
        return 1
    return 0


def _serve(job: Job, emit: Emit, check_stop: Callable[[], None]) -> None:
    segmenter = build(job.model)
    if not job.cells:
        from sambench.engine.describe import describe

        emit({"event": "described", **describe(segmenter, job.model)})
        return
    emit({"event": "ready"})
    if job.device_kind == "cpu":
        with single_threaded():
            work(job, segmenter, emit, check_stop)
    else:
        work(job, segmenter, emit, check_stop)
    emit({"event": "done"})


if __name__ == "__main__":
    sys.exit(main())
