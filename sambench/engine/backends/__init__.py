"""Where the workers of a run are started: on this machine (`local`), and wherever a module of this folder says.

A backend is a module here that assigns BACKEND, and is found by its name; `engine.run` alone knows that there are any. It has
little to do, since it hands out no work: every worker is given the whole `Job` and takes shards of its cells by leases in the run's
folder (`sambench.store.leases`), beside whatever other workers are there. So a backend starts workers somewhere, passes on what
they say, stops them when asked, and says how they failed. What is computed stands in the run's folder, and `engine.run` finishes
the cells from there; a run whose workers are all gone goes on with the next command.

Another backend is one module, as `slurm` is: `places` names as many places as there are to be workers (jobs of an array), `start`
submits what runs the worker there, and `Workers` asks the scheduler. One with options of its own has `with_options`, and one whose
workers are on other machines `device`.
"""

from __future__ import annotations

import importlib
import pkgutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sambench.engine.events import Described, Event, OnEvent
from sambench.engine.worker import Job
from sambench.errors import SambenchError, UsageError, unknown_name
from sambench.sources.models import ResolvedModel, described


class Workers(Protocol):
    """Workers at one job. All of it is called in one thread."""

    @property
    def running(self) -> bool:
        """Whether any of them may still compute."""
        ...

    @property
    def failure(self) -> SambenchError | None:
        """The error with which the run is to end. Set, it stops the others: no failure of a worker is passed over, and an image on
        which workers die is recorded as failed rather than left out."""
        ...

    @property
    def grace_s(self) -> float:
        """How long a worker that was asked to stop may take for the step at hand."""
        ...

    def wait(self) -> None:
        """Wait for a moment, and pass what the workers said meanwhile (`engine.events`) to `on_event`."""
        ...

    def stop(self, *, now: bool) -> None:
        """Have them end: after the step at hand, or at once. What is computed is kept."""
        ...

    def close(self) -> None:
        """End and forget whatever is left of them, whether or not they had been stopped."""
        ...


class Backend(Protocol):
    """Starts workers."""

    def places(self, model: ResolvedModel, devices: Sequence[str], workers: int | None) -> list[str]:
        """The device of every worker of a run, as its model takes it.

        devices: as the user named them, "auto" among them. workers: how many, by device where there are devices; None: chosen here.
        """
        ...

    def start(self, job: Job, places: Sequence[str], log_dir: Path, on_event: OnEvent) -> Workers:
        """Start one worker at each place. log_dir: for what they print, of which nothing empty is left. Raises RunError."""
        ...


def names() -> list[str]:
    """The backends there are."""
    return [m.name for m in pkgutil.iter_modules(__path__) if hasattr(importlib.import_module(f"{__name__}.{m.name}"), "BACKEND")]


def backend(name: str, options: Mapping[str, Any] | None = None) -> Backend:
    """The backend of that name. options: its own, for one that takes some (`with_options`). Raises UsageError with near names."""
    known = names()
    if name not in known:
        raise unknown_name("backend", name, known, where="--backend")
    found: Any = importlib.import_module(f"{__name__}.{name}").BACKEND
    if options and not hasattr(found, "with_options"):
        where = f"--backend {name}"
        raise UsageError("that backend has no options", where=where, found=", ".join(options), remedy="leave them out")
    made: Backend = found.with_options(options) if options else found
    return made


def check(at: Backend, workers: int | None) -> None:
    """Before a run is marked as begun: whether the backend can start workers at all, where it can say so. Raises UsageError."""
    checks = getattr(at, "check", None)
    if checks is not None:
        checks(workers)


def device_at(at: Backend, asked: str) -> tuple[str, bool]:
    """The device to resolve a model for, and whether it is one of this machine, which can be looked at."""
    elsewhere = getattr(at, "device", None)
    return (asked, True) if elsewhere is None else (elsewhere(asked), False)


def run_workers(at: Backend, job: Job, places: Sequence[str], log_dir: Path, on_event: OnEvent) -> bool:
    """Run a job to its end; True if it ended by itself, False if Ctrl-C or SIGTERM stopped it.

    The first Ctrl-C lets the step at hand end, the second does not; nor does one while the run is stopping anyway. Raises the
    workers' failure.
    """
    with _count_interrupts() as interrupts:
        workers, seen = at.start(job, places, log_dir, on_event), 0
        try:
            while workers.running:
                if interrupts() > seen:
                    stopping = seen > 0 or workers.failure is not None
                    seen = interrupts()
                    on_event({"event": "interrupt", "times": 2 if stopping else seen, "grace_s": workers.grace_s})
                    workers.stop(now=stopping or seen > 1)
                workers.wait()
        finally:
            workers.close()
    if workers.failure:
        raise workers.failure
    return interrupts() == 0


def describe(at: Backend, model: ResolvedModel, log_dir: Path, on_event: OnEvent) -> ResolvedModel:
    """Complete the identity of a model of a `LateSource`: a worker builds it. on_event: gets notes. Raises KeyboardInterrupt."""
    found: list[Described] = []

    def on_any(event: Event) -> None:
        if event["event"] == "described":
            found.append(event)
        elif event["event"] == "note":
            on_event(event)

    if not run_workers(at, Job(model.spec, (), ""), [model.spec.device], log_dir, on_any):
        raise KeyboardInterrupt
    return described(model, found[-1])


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
