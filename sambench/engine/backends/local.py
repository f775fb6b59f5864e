"""One machine: a process per device, or single-threaded processes on the CPU, all calling the same worker function."""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sambench import errors
from sambench.engine import failures
from sambench.engine.backends import processes
from sambench.engine.backends.processes import LAST_WORDS, Inbox, Message, WorkerProcess, close, start
from sambench.engine.worker import Job
from sambench.errors import RunError, SambenchError
from sambench.sources.models import ResolvedModel, described

MOST_GIVEN_UP = 3  # images in a row on which processes died twice: then it is not the images

OnEvent = Callable[[dict[str, Any]], None]


def default_workers(model: ResolvedModel) -> int:
    """CPU processes: one a core, fewer where the model's copies would not fit in memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not model.weights_bytes:
        return cores
    need = 4 * model.weights_bytes + (2 << 30)  # weights, activations of one image, and a batch of decoded prompts
    available = _available_memory()
    return max(1, min(cores, int(0.8 * available / need))) if available else cores


def _available_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def describe(model: ResolvedModel, log_dir: Path) -> ResolvedModel:
    """Complete the identity of a model of a `LateSource`: build it in a process of its own. Raises KeyboardInterrupt."""
    found: dict[str, Any] = {}

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "described":
            found.update(event)

    if not run_pool(Job(model.spec, (), ""), [model.spec.device], log_dir, on_event):
        raise KeyboardInterrupt
    return described(model, found)


def run_pool(job: Job, devices: list[str], log_dir: Path, on_event: OnEvent) -> bool:
    """Run the job with one worker process per entry of `devices`; True if it ended by itself, False if Ctrl-C stopped it.

    Messages of all workers go to `on_event` in this thread. A process that dies on an image is started again, once an image; one on
    which processes died twice is recorded as failed, and the others go on. Raises the workers' SambenchError, and RunError where
    a worker died before it had begun an image, or where one image after the other killed it.
    """
    return _Pool(job, log_dir, on_event).run(devices)


class _Pool:
    """The processes of one job. deaths: how many died at an image, by (cell id, image id). told: images whose end was passed on."""

    def __init__(self, job: Job, log_dir: Path, on_event: OnEvent) -> None:
        self.job, self.log_dir, self.on_event = job, log_dir, on_event
        self.inbox: Inbox = queue.Queue()
        self.workers: list[WorkerProcess] = []
        self.deaths: Counter[tuple[str, str]] = Counter()
        self.told: set[tuple[str, str]] = set()
        self.given_up = 0  # images in a row
        self.failure: SambenchError | None = None
        self.interrupts = 0

    def run(self, devices: Sequence[str]) -> bool:
        with _count_interrupts() as interrupted:
            try:
                for device in devices:
                    self._start(device)
                while not all(w.ended for w in self.workers):
                    self._heed(interrupted())
                    self._bury()
                    with suppress(queue.Empty):
                        self._handle(*self.inbox.get(timeout=0.2))
            finally:
                close(self.workers, self.log_dir)
        if self.failure:
            raise self.failure
        return interrupted() == 0

    def _start(self, device: str) -> None:
        job = replace(self.job, model=replace(self.job.model, device=device))
        self.workers.append(start(job, device, self.log_dir, self.inbox))

    def _heed(self, interrupts: int) -> None:
        """The first Ctrl-C lets the step at hand end, within STOP_GRACE_S; the second does not.

        Nor does one while the run is stopping anyway.
        """
        if interrupts == self.interrupts:
            return
        stopping = self.interrupts > 0 or self.failure is not None
        self.interrupts = interrupts
        self.on_event({"event": "interrupt", "times": 2 if stopping else interrupts, "grace_s": processes.STOP_GRACE_S})
        for w in self.workers:
            w.kill() if stopping or interrupts > 1 else w.stop()

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
                self.on_event({"event": "note", "text": f"{text}: its step at hand is lost"})
            if w.silent() and self.inbox.empty():
                self._ended(w)

    def _handle(self, w: WorkerProcess, message: Message | None) -> None:
        if message is None:
            if not w.ended:
                self._ended(w)
            return
        event = message["event"]
        if event in LAST_WORDS:
            w.last_word = time.monotonic()
        if trace := message.pop("traceback", ""):
            failures.show(trace)
        if event == "fatal":
            self._fail(_rebuild(message, w))
        elif event == "ready":
            w.ready = True
        elif event == "started":
            w.at = (message["cell_id"], message["image_id"])
        elif event == "image":
            self._image(w, message)
        elif event != "waiting" or message["pid"] not in [o.process.pid for o in self.workers if not o.ended]:
            self.on_event(message)  # that one of ours has the last shard is nothing to tell

    def _image(self, w: WorkerProcess, message: Message) -> None:
        key = (message["cell_id"], message["image_id"])
        w.at, w.last_image, w.finished = None, message["image_id"], w.finished + 1
        if key in self.told:  # computed again: the process that had told of it died before it was stored
            return
        self.told.add(key)
        if key[1] not in self.job.deadly.get(key[0], {}):
            self.given_up = 0
        self.on_event(message)

    def _fail(self, error: SambenchError) -> None:
        self.failure = self.failure or error
        for w in self.workers:
            w.stop()

    def _ended(self, w: WorkerProcess) -> None:
        w.ended = True
        if w.last_word is not None or self.interrupts or self.failure:
            return
        if w.at is None and not w.finished:
            self._fail(w.died())
        elif w.at is None or self._try_again(w, w.at):
            self._start(w.device)

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
        self.given_up += at[1] not in self.job.deadly.get(at[0], {})
        if self.given_up >= MOST_GIVEN_UP:
            self._fail(w.died(f"{self.given_up} images one after the other, on each of which two processes died"))
            return False
        self.job.note_deadly(deadly)
        for other in self.workers:
            if not other.ended:
                other.send(json.dumps({"deadly": deadly}))
        return True


def _deadly(w: WorkerProcess) -> str:
    """The error's line of an image on which processes died."""
    cause = w.cause()
    common = "; out of memory is a common cause, try fewer --workers" if cause == "signal SIGKILL" else ""
    return f"two worker processes died on this image, the last by {cause}; what to do: see the log {w.log.name}{common}"


def _rebuild(message: dict[str, Any], worker: WorkerProcess) -> SambenchError:
    parts = message["parts"]
    if message["kind"] == "bug":
        return RunError(
            "a worker met an error that is not the input's",
            found=parts["message"],
            where=worker.log,
            remedy="what is finished is kept; the traceback is in that log, please report it",
        )
    if message.get("logged"):
        parts["remedy"] = f"{parts['remedy'] or 'mend it'} (traceback: {worker.log})"
    kind = getattr(errors, message["kind"], SambenchError)
    error: SambenchError = kind(
        parts["message"], expected=parts["expected"], found=parts["found"], where=parts["where"], remedy=parts["remedy"]
    )
    return error


@contextmanager
def _count_interrupts() -> Iterator[Callable[[], int]]:
    """Count Ctrl-C (and SIGTERM) instead of raising in the middle of something; in other threads, leave signals alone."""
    count = 0

    def handler(*_: Any) -> None:
        nonlocal count
        count += 1

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: count
    finally:
        for s, h in before.items():
            signal.signal(s, h)
