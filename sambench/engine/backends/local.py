"""One machine: a process per device, or single-threaded processes on the CPU, all calling the same worker function."""

from __future__ import annotations

import json
import os
import queue
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sambench import errors
from sambench.device import memory
from sambench.engine import failures
from sambench.engine.backends import kept, processes
from sambench.engine.backends.processes import LAST_WORDS, Inbox, WorkerProcess, close, start
from sambench.engine.events import Event, Fatal, Image, OnEvent
from sambench.engine.worker import Job
from sambench.errors import RunError, SambenchError
from sambench.sources.models import ResolvedModel

MOST_GIVEN_UP = 3  # images in a row on which processes died twice: then it is not the images
POLL_S = 0.2


def default_workers(model: ResolvedModel) -> int:
    """CPU processes: one a core, fewer where the model's copies would not fit in memory."""
    if not model.weights_bytes:
        return cores()
    need = 4 * model.weights_bytes + (2 << 30)  # weights, activations of one image, and a batch of decoded prompts
    available = _available_memory()
    return max(1, min(cores(), int(0.8 * available / need))) if available else cores()


def cores() -> int:
    """Of the CPU, that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


class Local:
    """A process a place: on a CPU single-threaded ones, as many as cores and memory allow; else one or more a device."""

    def places(self, model: ResolvedModel, devices: Sequence[str], workers: int | None) -> list[str]:
        """See `Backend`."""
        if model.identity["device_kind"] == "cpu":
            return ["cpu"] * (workers or default_workers(model))
        named = [d for d in devices if d != "auto"] or [model.spec.device]
        if workers:
            return named * workers
        each = cores() // len(named)
        return [d for d in named for _ in range(memory.workers_of(memory.free_bytes(d), model.weights_bytes, each))]

    def start(self, job: Job, places: Sequence[str], log_dir: Path, on_event: OnEvent) -> LocalWorkers:
        """See `Backend`."""
        workers = LocalWorkers(job, log_dir, on_event, places)
        try:
            for device in places:
                workers.begin(device)
        except BaseException:
            workers.close()
            raise
        return workers


class LocalWorkers:
    """The processes of one job.

    One that dies on an image is started again, once an image; one on which processes died twice is recorded as failed, and the
    others go on. The run fails where a worker died before it had begun an image, or where one image after the other killed it.
    deaths: how many died at an image, by (cell id, image id). passed_on: images whose end was passed on.
    """

    def __init__(self, job: Job, log_dir: Path, on_event: OnEvent, places: Sequence[str] = ()) -> None:
        self.job, self.log_dir, self.on_event = job, log_dir, on_event
        self.sharing = Counter(d for d in places if d != "cpu")  # of the CPU each has a core
        self.inbox: Inbox = queue.Queue()
        self.workers: list[WorkerProcess] = []
        self.deaths: Counter[tuple[str, str]] = Counter()
        self.passed_on: set[tuple[str, str]] = set()
        self.given_up: list[str] = []  # images in a row
        self.failure: SambenchError | None = None
        self.stopped = False
        self.described: dict[WorkerProcess, str] = {}  # on which device

    @property
    def running(self) -> bool:
        """See `Workers`, as for all that has no underscore."""
        return not all(w.ended for w in self.workers)

    @property
    def grace_s(self) -> float:
        return processes.STOP_GRACE_S

    def wait(self) -> None:
        self._bury()
        with suppress(queue.Empty):
            self._handle(*self.inbox.get(timeout=POLL_S))

    def stop(self, *, now: bool) -> None:
        self.stopped = True
        for w in self.workers:
            w.kill() if now else w.stop()

    def close(self) -> None:
        waiting = [] if self.stopped or self.failure else list(self.described)
        close([w for w in self.workers if w not in waiting], self.log_dir)
        for w in waiting:
            kept.keep(w, self.job.model, self.described[w])

    def begin(self, device: str, *, ahead: int | None = None) -> None:
        """Start one more process; ahead: how many images it reads ahead, if not as many as the job says. Raises RunError."""
        job = replace(self.job, model=replace(self.job.model, device=device), ahead=self.job.ahead if ahead is None else ahead)
        job = replace(job, devices=self.job.devices / max(1, self.sharing[device]))
        built = kept.take(job, device, self.log_dir, self.inbox) if job.cells else None
        self.workers.append(built or start(job, device, self.log_dir, self.inbox))

    def _bury(self) -> None:
        """Close processes that told how they ended and do not, or heed no stop; take leave of dead ones whose pipe stays open."""
        for w in self.workers:
            if w.ended:
                continue
            if w.overdue():
                w.kill()
                text = f"a worker process had done its work but did not exit within {processes.EXIT_GRACE_S:.0f} s, and was closed"
                self.on_event({"event": "note", "text": f"{text}: a thread or an exit handler of the model never ends"})
            if w.stuck():
                w.kill()
                text = f"a worker process did not stop within {processes.STOP_GRACE_S:.0f} s, and was closed"
                self.on_event({"event": "note", "text": f"{text}: its current step is lost"})
            if w.silent() and self.inbox.empty():
                self._ended(w)

    def _handle(self, w: WorkerProcess, message: Event | None) -> None:
        if message is None:
            if not w.ended:
                self._ended(w)
            return
        if message["event"] in LAST_WORDS:
            w.last_word = time.monotonic()
        if message["event"] == "fatal":
            failures.show(message["traceback"])
            self._fail(_rebuild(message, w))
        elif message["event"] == "ready":
            w.ready = True
        elif message["event"] == "described":
            self.on_event(message)
            w.ended = True  # and waits for the run
            self.described[w] = message["device"]
        elif message["event"] == "started":
            w.at = (message["cell_id"], message["image_id"])
        elif message["event"] == "image":
            if trace := message.pop("traceback", ""):
                failures.show(trace)
            self._image(w, message)
        elif message["event"] != "waiting" or message["pid"] not in [o.process.pid for o in self.workers if not o.ended]:
            self.on_event(message)  # that one of ours has the last shard is nothing to tell

    def _image(self, w: WorkerProcess, message: Image) -> None:
        key = (message["cell_id"], message["image_id"])
        w.at, w.last_image, w.finished = None, message["image_id"], w.finished + 1
        if key in self.passed_on:  # computed again: the process that had told of it died before it was stored
            return
        self.passed_on.add(key)
        if key[1] not in self.job.deadly.get(key[0], {}):
            self.given_up = []
        self.on_event(message)

    def _fail(self, error: SambenchError) -> None:
        self.failure = self.failure or error
        for w in self.workers:
            w.stop()

    def _ended(self, w: WorkerProcess) -> None:
        w.ended = True
        if w.last_word is not None or self.stopped or self.failure:
            return
        if w.at is None and not w.finished:
            self._fail(w.died())
        elif w.ahead:  # it may have been the next image, which another thread was reading
            doing = f"on image {w.at[1]!r} or one that it read ahead" if w.at else "between two images"
            text = f"a worker process died ({w.cause()}) {doing}; another one goes on, which reads none ahead"
            self.on_event({"event": "note", "text": text})
            self.begin(w.device, ahead=0)
        elif w.at is None or self._try_again(w, w.at):
            self.begin(w.device, ahead=0)

    def _try_again(self, w: WorkerProcess, at: tuple[str, str]) -> bool:
        """A process died on an image: whether another is to go on in its place."""
        self.deaths[at] += 1
        if self.deaths[at] == 1:
            text = f"a worker process died ({w.cause()}) on image {at[1]!r}; another one tries it again"
            self.on_event({"event": "note", "text": text})
            return True
        if self.job.on_error == "stop":
            self._fail(w.died())
            return False
        deadly = {at[0]: {at[1]: (_deadly(w), "\n".join(w.log_tail(100)))}}
        self.given_up += [at[1]] if at[1] not in self.job.deadly.get(at[0], {}) else []
        if len(self.given_up) >= MOST_GIVEN_UP:
            found = f"{len(self.given_up)} images one after the other, on each of which two processes died; log {w.log}"
            self._fail(w.died(found, self.given_up))
            return False
        self.job.note_deadly(deadly)
        for other in self.workers:
            if not other.ended:
                other.send(json.dumps({"deadly": deadly}))
        return True


def _deadly(w: WorkerProcess) -> str:
    """The error's line of an image on which processes died."""
    cause = w.cause()
    common = f"; {w.likely()}" if cause == "signal SIGKILL" else ""
    return f"two worker processes died on this image, the last by {cause}; what to do: see the log {w.log.name}{common}"


def _rebuild(message: Fatal, worker: WorkerProcess) -> SambenchError:
    parts = message["parts"]
    if message["kind"] == "bug":
        return RunError(
            "a worker met an error that is not the input's",
            found=parts["message"],
            where=worker.log,
            remedy="what is finished is kept; the traceback is in that log, please report it",
        )
    if message["logged"]:
        parts["remedy"] = f"{parts['remedy'] or 'mend it'} (traceback: {worker.log})"
    kind: Any = getattr(errors, message["kind"], SambenchError)
    error: SambenchError = kind(**parts)
    return error


BACKEND = Local()
