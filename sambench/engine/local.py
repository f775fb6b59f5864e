"""One machine: a process per device, or single-threaded processes on the CPU, all calling the same worker function."""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from sambench import errors
from sambench.engine.models import ModelSpec, ResolvedModel, described
from sambench.engine.shards import storage_error
from sambench.engine.worker import Job
from sambench.errors import RunError, SambenchError

LOG_TAIL_LINES = 12
LAST_WORDS = ("done", "described", "stopped", "fatal")
# glibc returns large blocks to the system at once and faults them in again for every prompt: 10 % of SAM's decoder.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

OnEvent = Callable[[dict[str, Any]], None]


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    log: Path
    device: str
    image: str = ""
    said_last: bool = False  # it told how it ended
    ended: bool = False


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
    """Complete the identity of a `python:` model by building it once, in a process of its own."""
    found: dict[str, Any] = {}

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "described":
            found.update(event)

    run_pool(Job(model.spec, (), ""), [model.spec.device], log_dir, on_event)
    return described(model, found)


def run_pool(job: Job, devices: list[str], log_dir: Path, on_event: OnEvent) -> bool:
    """Run the job with one worker process per entry of `devices`; True if it ended by itself, False if Ctrl-C stopped it.

    Messages of all workers go to `on_event` in this thread. Raises the workers' SambenchError, or RunError where a worker died.
    """
    inbox: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    workers = [_start(replace(job, model=_on(job.model, device)), device, log_dir) for device in devices]
    for i, worker in enumerate(workers):
        threading.Thread(target=_listen, args=(i, worker.process, inbox), daemon=True).start()
    interrupts = 0
    failure: SambenchError | None = None
    try:
        with _count_interrupts() as interrupted:
            while not all(w.ended for w in workers):
                if interrupted() > interrupts:
                    interrupts = interrupted()
                    on_event({"event": "interrupt", "times": interrupts})
                    for w in workers:
                        _stop(w) if interrupts == 1 else w.process.kill()
                try:
                    i, message = inbox.get(timeout=0.2)
                except queue.Empty:
                    continue
                if message and message["event"] == "waiting" and message["pid"] in [w.process.pid for w in workers]:
                    continue  # one of ours has the last shard: nothing to tell
                failure = _handle(workers[i], message, on_event, interrupts > 0) or failure
                if failure:
                    for w in workers:
                        _stop(w)
    finally:
        for w in workers:
            _close(w)
    if failure:
        raise failure
    return interrupts == 0


def _on(spec: ModelSpec, device: str) -> ModelSpec:
    return replace(spec, device=device)


def _start(job: Job, device: str, log_dir: Path) -> _Worker:
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if job.device_kind == "cpu":
        env |= dict.fromkeys(THREAD_VARIABLES, "1") | KEEP_MEMORY
    log = log_dir / f"worker-{os.getpid()}-{threading.get_ident() % 10000}-{len(list(log_dir.glob('*.log')))}.log"
    with _new_log(log) as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "sambench.engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            env=env,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # a Ctrl-C reaches the parent alone, which then asks the workers to stop
        )
    worker = _Worker(process, log, device)
    _send(worker, job.to_json())
    return worker


def _new_log(path: Path) -> TextIO:
    for _ in range(3):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("w")
        except FileNotFoundError:  # another command has just removed the folder, which was empty
            continue
        except OSError as e:
            raise storage_error(e, path) from e
    raise storage_error(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), path)


def _send(worker: _Worker, line: str) -> None:
    assert worker.process.stdin is not None
    with suppress(BrokenPipeError):
        worker.process.stdin.write(line + "\n")
        worker.process.stdin.flush()


def _stop(worker: _Worker) -> None:
    if not worker.ended:
        _send(worker, "stop")


def _listen(i: int, process: subprocess.Popen[str], inbox: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        with suppress(ValueError):
            inbox.put((i, json.loads(line)))
    process.wait()
    inbox.put((i, None))


def _handle(worker: _Worker, message: dict[str, Any] | None, on_event: OnEvent, stopping: bool) -> SambenchError | None:
    if message is None:
        worker.ended = True
        code = worker.process.returncode
        return None if stopping or worker.said_last else _died(worker, code)
    worker.said_last = message["event"] in LAST_WORDS
    if message["event"] == "fatal":
        return _rebuild(message, worker)
    if message["event"] == "image":
        worker.image = message["image_id"]
    on_event(message)
    return None


def _rebuild(message: dict[str, Any], worker: _Worker) -> SambenchError:
    parts = message["parts"]
    if message["kind"] == "bug":
        return RunError(
            "a worker met an error that is not the input's",
            found=parts["message"],
            where=worker.log,
            remedy="what is finished is kept; the traceback is in that log, please report it",
        )
    kind = getattr(errors, message["kind"], SambenchError)
    error: SambenchError = kind(
        parts["message"], expected=parts["expected"], found=parts["found"], where=parts["where"], remedy=parts["remedy"]
    )
    return error


def _died(worker: _Worker, code: int) -> RunError:
    cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    tail = "\n    ".join(worker.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    return RunError(
        f"a worker process died ({cause}) on {worker.device}",
        where=f"after image {worker.image!r}" if worker.image else "before its first image",
        found=f"log {worker.log}:\n    {tail}" if tail else "nothing in its log",
        remedy="what is finished is kept: issue the same command again; out of memory is a common cause, try fewer --workers",
    )


def _close(worker: _Worker) -> None:
    with suppress(OSError):
        if worker.process.stdin:
            worker.process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        worker.process.wait(timeout=5)
    if worker.process.poll() is None:
        worker.process.kill()
        worker.process.wait()
    if worker.log.exists() and not worker.log.stat().st_size:
        worker.log.unlink()


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
