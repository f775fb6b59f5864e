"""Where workers run is behind one seam: a backend is a module that is found by its place, and gives what the local one gives."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sambench
from sambench.engine import backends
from sambench.errors import RunError, UsageError

TOY = '''"""Workers of this process, one after the other."""

from sambench.engine.worker import work
from sambench.errors import RunError
from sambench.sources.models import build

LOG = []


class Here:
    grace_s = 1.0
    failure = None

    def __init__(self, job, places, on_event):
        self.job, self.places, self.on_event = job, list(places), on_event

    @property
    def running(self):
        return bool(self.places) and self.failure is None

    def wait(self):
        LOG.append(self.places.pop())
        if not self.job.cells:
            from sambench.sources.describe import describe
            self.on_event({"event": "described", **describe(build(self.job.model), self.job.model)})
        elif len(LOG) > 90:
            self.failure = RunError("a node was lost", remedy="issue the command again")
        else:
            work(self.job, build(self.job.model), self.on_event, lambda: None)

    def stop(self, *, now):
        LOG.append(("stop", now))
        self.places.clear()

    def close(self):
        LOG.append("closed")


class Toy:
    def places(self, model, devices, workers):
        return ["cpu"] * (workers or 2)

    def start(self, job, places, log_dir, on_event):
        return Here(job, places, on_event)


BACKEND = Toy()
'''


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the backend `toy` was asked for: a module in the folder of backends, and nothing else."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "toy.py").write_text(TOY)
    monkeypatch.setattr(backends, "__path__", [*backends.__path__, str(tmp_path / "more")])
    yield importlib.import_module("sambench.engine.backends.toy").LOG
    del sys.modules["sambench.engine.backends.toy"]


def rows(out: Path, backend: str) -> pd.DataFrame:
    got = sambench.run("box", "demo", "otsu", limit=2, workers=1, out=str(out), backend=backend)
    return got.rows().drop(columns=["encode_ms", "decode_ms"])


def test_a_backend_is_found_by_its_place_and_gives_the_same_rows(tmp_path: Path, log: list[Any]) -> None:
    assert backends.names() == ["local", "ray", "slurm", "toy"]
    ours = rows(tmp_path / "toy", "toy")
    assert log == ["cpu", "closed"]
    pd.testing.assert_frame_equal(ours, rows(tmp_path / "local", "local"))
    rows(tmp_path / "toy", "toy")
    assert log == ["cpu", "closed"]  # nothing was to be computed


def test_the_failure_of_a_worker_is_that_of_the_run(tmp_path: Path, log: list[Any]) -> None:
    log += [None] * 90
    with pytest.raises(RunError, match="a node was lost"):
        rows(tmp_path / "toy", "toy")
    assert log[90:] == ["cpu", "closed"]
    log.clear()
    assert len(rows(tmp_path / "toy", "toy"))


def test_no_run_ends_with_a_hole(tmp_path: Path, log: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    at = backends.backend("toy")
    started = at.start
    monkeypatch.setattr(at, "start", lambda job, places, *rest: started(job, [], *rest))  # workers that end, and have done nothing
    with pytest.raises(RunError, match="the workers have ended, and not all images are there"):
        rows(tmp_path / "toy", "toy")
    monkeypatch.undo()
    assert len(rows(tmp_path / "toy", "local"))


def test_an_interrupt_is_passed_on_once_gently_and_then_at_once(
    tmp_path: Path, log: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    at = backends.backend("toy")
    started = at.start

    def start(*args: Any) -> Any:
        workers = started(*args)
        stop = workers.stop
        workers.wait = lambda: os.kill(os.getpid(), signal.SIGINT)
        workers.stop = lambda *, now: stop(now=True) if now else log.append(("stop", False))
        return workers

    monkeypatch.setattr(at, "start", start)
    with pytest.raises(KeyboardInterrupt):
        rows(tmp_path / "toy", "toy")
    assert log == [("stop", False), ("stop", True), "closed"]


def test_an_unknown_backend_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown backend 'locl'") as e:
        rows(tmp_path, "locl")
    assert "did you mean 'local'" in str(e.value)
