"""A worker process that has described a model, kept for the run that follows, so that the model is built once.

At most one is kept, and not for long: it holds the model's memory. A run of another model or device begins anew.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench.engine.backends.processes import Inbox, WorkerProcess, close
from sambench.engine.worker import Job
from sambench.sources.models import ModelSpec

KEPT_S = 60.0  # from description to the run: planning; what takes longer builds the model again


@dataclass(frozen=True)
class _Kept:
    worker: WorkerProcess
    model: str
    device: str
    timer: threading.Timer


_lock = threading.Lock()
_held: list[_Kept] = []


def _name(model: ModelSpec) -> str:
    """All that a model is built of but its device, which is chosen while it is described."""
    return json.dumps([model.name, model.options, model.precision, model.weights, model.contents], sort_keys=True)


def keep(worker: WorkerProcess, model: ModelSpec, device: str) -> None:
    """Keep the process that has described a model; device: that which it found. One that was kept before is ended."""
    release()
    timer = threading.Timer(KEPT_S, release)
    timer.daemon = True
    with _lock:
        _held.append(_Kept(worker, _name(model), device, timer))
    timer.start()


def take(job: Job, device: str, log_dir: Path, inbox: Inbox) -> WorkerProcess | None:
    """The kept process at work on the job, if it has built just this model on this device; else None. Either way none is kept."""
    with _lock:
        kept = _held.pop() if _held else None
    if kept is None:
        return None
    kept.timer.cancel()
    worker = kept.worker
    if worker.process.poll() is not None or (kept.model, kept.device) != (_name(job.model), device):
        close([worker], worker.log.parent)
        return None
    before = worker.log
    with suppress(OSError):  # its log goes on elsewhere; if not, it stands where it was
        log_dir.mkdir(parents=True, exist_ok=True)
        os.replace(before, log_dir / before.name)
        worker.log = log_dir / before.name
        before.parent.rmdir()
    worker.device = device  # it may have been told to choose one
    worker.begin_again(job.ahead, inbox)
    worker.send(job.to_json())
    return worker


def release(*_: Any) -> None:
    """End the kept process."""
    with _lock:
        kept = _held.pop() if _held else None
    if kept is not None:
        kept.timer.cancel()
        close([kept.worker], kept.worker.log.parent)


atexit.register(release)
