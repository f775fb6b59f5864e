"""A worker process, `python -m sambench.engine.serve`: the other end of `sambench.engine.backends.processes`.

It reads its job as one line of JSON from standard input, answers with one JSON object a line, and ends when that input says `stop`
or closes: killing the parent ends its workers. One that has described a model may be given a second job, a run of that model.
Before an image is begun it says which, so that one on which the process dies is known; the parent tells it (in its job, or by a
line) on which images others have died.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Callable

from sambench.device.precision import computing
from sambench.engine import failures
from sambench.engine.events import Event, Fatal, OnEvent
from sambench.engine.threads import single_threaded
from sambench.engine.worker import DeviceLost, Job, work
from sambench.errors import SambenchError
from sambench.sources.models import build
from sambench.tasks.prompted import Interrupted

PARTS = ("message", "expected", "found", "where", "remedy")  # of a SambenchError


def main() -> int:
    """Entry of a worker process."""
    # A model's own prints and questions must not mix with the messages: keep the pipes for ourselves; its stdout goes to stderr.
    pipe = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    control = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    faulthandler.enable()  # where a crash was, for the log
    lock = threading.Lock()
    stop, another = threading.Event(), threading.Event()

    def emit(message: Event) -> None:
        with lock:
            try:
                pipe.write(json.dumps(message) + "\n")
            except OSError:  # the parent is gone
                os._exit(3)

    def check_stop() -> None:
        if stop.is_set():
            raise Interrupted

    def watch() -> None:
        for line in control:
            if line.strip() == "stop":
                stop.set()
            elif "cells" in (message := json.loads(line)):
                jobs.append(Job.from_json(line))
                another.set()
            else:
                jobs[-1].note_deadly(message["deadly"])
        os._exit(3)  # the parent died: nobody will use the rest, and the shard at hand is computed again

    def next_job() -> Job:
        another.wait()
        return jobs[-1]

    jobs = [Job.from_json(control.readline())]
    threading.Thread(target=watch, daemon=True).start()
    try:
        _serve(jobs[0], next_job, emit, check_stop)
    except Interrupted:
        emit({"event": "stopped"})
    except DeviceLost as e:  # as if it had died: another process takes its place, and the image is tried again
        sys.stderr.write(failures.trace_of(e))
        sys.stderr.flush()
        os._exit(4)  # at once: what waits for the GPU when Python ends would wait for ever, or crash
    except BaseException as e:  # noqa: BLE001 - reported to the parent, which ends the run with it
        emit(_last_word(e))
        return 2
    return 0


def _last_word(e: BaseException) -> Fatal:
    """The message with which a run ends: an error that explains itself, or what was raised and where."""
    trace = failures.trace_of(e)
    event: Fatal = {"event": "fatal", "kind": type(e).__name__, "traceback": trace, "parts": {}, "logged": False}
    if isinstance(e, SambenchError):
        foreign = not failures.says_all(e)
        if foreign:  # a model's or a reader's own: the log has all of it
            sys.stderr.write(trace)
        parts = {k: None if v is None else str(v) for k, v in vars(e).items() if k in PARTS}
        return {**event, "parts": parts, "logged": foreign}
    if isinstance(e, MemoryError):
        parts = {"message": "the memory does not suffice", "expected": None, "found": failures.describe_error(e), "where": None}
        return {**event, "kind": "RunError", "parts": {**parts, "remedy": "try fewer --workers; what is finished is kept"}}
    sys.stderr.write(trace)
    if isinstance(e, SystemExit):
        parts = {"message": "a model ended its process", "expected": "a factory that returns the model", "where": None}
        parts |= {"found": failures.describe_error(e), "remedy": "mend the model: it raises an exception where something is wrong"}
        return {**event, "kind": "ModelError", "parts": parts, "logged": True}
    return {**event, "kind": "bug", "parts": {"message": failures.describe_error(e)}}


def _serve(job: Job, next_job: Callable[[], Job], emit: OnEvent, check_stop: Callable[[], None]) -> None:
    """next_job: waits for what comes after a job without cells, whose model is described."""
    since = time.monotonic()
    segmenter = build(job.model)
    if not job.cells:
        from sambench.sources.describe import describe

        emit({"event": "described", **describe(segmenter, job.model)})
        job = next_job()  # of the same model; the process ends in waiting where none comes
    emit({"event": "ready"})
    with single_threaded(), computing(job.precision, job.device_kind):
        work(job, segmenter, emit, check_stop, since=since)
    emit({"event": "done"})


if __name__ == "__main__":
    sys.exit(main())
