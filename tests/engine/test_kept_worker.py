"""The process that described a model runs it: the model is built once, and nothing else is taken for it."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sambench
from sambench.engine.backends import kept
from sambench.engine.backends.processes import WorkerProcess
from sambench.engine.worker import CellJob, Job
from sambench.sources.data.base import DatasetSpec
from sambench.sources.models import ModelSpec

CASE = Path(__file__).resolve().parents[1] / "cases" / "18-evaluate-stale-epoch"
SPEC = ModelSpec("python:m.py:build", {"a": 1}, "auto", "fp32", probe=True)
CELL = CellJob("/runs/cell", "cell", "box", {}, DatasetSpec("demo"), None)
MODEL = """
import os
import numpy as np
import sambench

with open({seen!r}, "a") as f:
    f.write(f"{{os.getpid()}} imported\\n")

class Whole:
    identity = {{"whole": 1}}
    def encode(self, image): return image.shape[:2]
    def decode(self, state, prompts):
        return [sambench.Prediction(np.ones((1, *state), bool), np.ones(1, np.float32)) for _ in prompts]

def build():
    return Whole()
"""


class Process:
    """A process that writes down what it is told."""

    pid, returncode = 0, None

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stdin = self
        self.closed = False

    def write(self, text: str) -> None:
        self.lines.append(text)

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True
        self.returncode = 3

    def poll(self) -> Any:
        return self.returncode

    def wait(self, timeout: float = 0) -> None: ...


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[WorkerProcess]:
    """A process that has described SPEC's model, and found the CPU."""
    log = tmp_path / ".logs" / "worker-1.log"
    log.parent.mkdir()
    log.write_text("it said something\n")
    worker = WorkerProcess(Process(), log, "auto", queue.Queue())  # type: ignore[arg-type]
    worker.last_word, worker.ended = 1.0, True
    kept.keep(worker, SPEC, "cpu")
    yield worker
    kept.release()


def job(**changes: Any) -> Job:
    return Job(replace(SPEC, **{"device": "cpu", "probe": False, **changes}), (CELL,), "now")


def test_it_is_given_the_run(waiting: WorkerProcess, tmp_path: Path) -> None:
    inbox: Any = queue.Queue()
    assert kept.take(job(), "cpu", tmp_path / "run" / "logs", inbox) is waiting
    assert json.loads(waiting.process.lines[-1])["cells"][0]["cell_id"] == "cell"  # type: ignore[attr-defined]
    assert (waiting.ended, waiting.ready, waiting.last_word, waiting.inbox) == (False, False, None, inbox)
    assert waiting.log == tmp_path / "run" / "logs" / "worker-1.log"
    assert waiting.log.read_text() == "it said something\n"
    assert not (tmp_path / ".logs").exists()
    assert kept.take(job(), "cpu", tmp_path, inbox) is None  # once


@pytest.mark.parametrize(
    ("changes", "device"),
    [({}, "cuda:0"), ({"options": {"a": 2}}, "cpu"), ({"precision": "bf16"}, "cpu"), ({"contents": {"m.py": "1"}}, "cpu")],
)
def test_another_model_or_device_ends_it(waiting: WorkerProcess, tmp_path: Path, changes: dict[str, Any], device: str) -> None:
    assert kept.take(job(**changes), device, tmp_path, queue.Queue()) is None
    assert waiting.process.closed  # type: ignore[attr-defined]


def test_one_that_died_meanwhile_and_one_that_another_follows(waiting: WorkerProcess, tmp_path: Path) -> None:
    waiting.process.returncode = -9
    assert kept.take(job(), "cpu", tmp_path, queue.Queue()) is None
    first, second = (WorkerProcess(Process(), tmp_path / "log", "auto", queue.Queue()) for _ in range(2))  # type: ignore[arg-type]
    kept.keep(first, SPEC, "cpu")
    kept.keep(second, SPEC, "cpu")
    assert first.process.closed  # type: ignore[attr-defined]
    assert not second.process.closed  # type: ignore[attr-defined]


def test_it_is_let_go_when_no_run_comes(waiting: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_S", 0.01)
    kept.keep(waiting, SPEC, "cpu")
    (held,) = kept._held
    held.timer.join(timeout=10)
    assert waiting.process.closed  # type: ignore[attr-defined]


def test_a_run_of_one_worker_imports_its_model_once(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    (tmp_path / "m.py").write_text(MODEL.format(seen=str(seen)))
    request: dict[str, Any] = {"root": str(CASE), "out": str(tmp_path / "runs"), "workers": 1}
    sambench.run("box", str(CASE / "card.toml"), f"python:{tmp_path / 'm.py'}:build", **request)
    assert len(seen.read_text().splitlines()) == 1
    assert not kept._held
