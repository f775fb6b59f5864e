"""What the error of a dead worker process says: on which device, at which images, and what the signal mostly means."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sambench.engine.backends import kept, local, processes
from sambench.engine.backends.processes import WorkerProcess, start
from sambench.engine.worker import Job
from sambench.sources.models import ModelSpec


@pytest.fixture
def killed(tmp_path: Path) -> Callable[..., WorkerProcess]:
    def make(device: str = "cpu", at: tuple[str, str] | None = None) -> WorkerProcess:
        process = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], text=True)
        process.wait()
        return WorkerProcess(process, tmp_path / "worker.log", device, queue.Queue(), at=at)

    return make


def job(model: str = "otsu") -> Job:
    return Job(ModelSpec(model, {}, "auto", "fp32"), (), invocation="x")


def test_all_images_are_named_and_signal_9_is_explained(tmp_path: Path, killed: Callable[..., WorkerProcess]) -> None:
    workers = local.LocalWorkers(job(), tmp_path, lambda event: None)
    for image in ("p1", "p2", "p3"):
        for _ in range(2):
            workers._try_again(killed(at=("cell", image)), ("cell", image))
    said = str(workers.failure)
    assert "at images 'p1', 'p2', 'p3'" in said
    assert "out-of-memory killer" in said
    assert "on cpu" in said


def test_a_device_that_is_not_known_yet_is_not_named(killed: Callable[..., WorkerProcess]) -> None:
    assert "auto" not in str(killed("auto").died())


def test_a_kept_process_is_on_the_device_that_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: Callable[..., WorkerProcess]
) -> None:
    monkeypatch.setattr(kept, "_held", [])
    worker = killed("auto")
    monkeypatch.setattr(worker.process, "poll", lambda: None)
    monkeypatch.setattr(worker, "send", lambda line: None)
    kept.keep(worker, job().model, "cpu")
    taken = kept.take(job(), "cpu", tmp_path / "logs", queue.Queue())
    assert taken is worker
    assert taken.device == "cpu"


def test_workers_take_names_of_files_for_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Started(Exception):
        pass

    def popen(*args: Any, env: dict[str, str], **more: Any) -> None:
        assert env["PYTHONUTF8"] == "1"
        raise Started

    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setattr(processes.subprocess, "Popen", popen)
    with pytest.raises(Started):
        start(job(), "cpu", tmp_path, queue.Queue())
