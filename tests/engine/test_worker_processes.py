"""Worker processes that die, hang, leave, or are told to stop: a run ends as it should, and says which image it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sambench
from sambench.conformance.efficiency import Workload
from sambench.engine import failures
from sambench.engine.backends import local, processes
from sambench.errors import DataError, DataMissingError, ModelError, RunError, SambenchError
from tests.helpers import ROOT
from tests.helpers.bad_model import bad
from tests.helpers.waiting import wait_until

MODEL = f"python:{ROOT / 'tests' / 'helpers' / 'bad_model.py'}:bad"
N, ODD = 5, "image2"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """tmp_path with five pictures in bbbc038v1's layout, one of them of 30 columns."""
    for i in range(N):
        folder = tmp_path / "data" / "bbbc038v1" / "stage1_train" / f"image{i}"
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        width = 30 if folder.name == ODD else 40
        Image.fromarray(np.full((40, width, 3), 20 * i, np.uint8)).save(folder / "images" / f"image{i}.png")
        mask = np.zeros((40, width), np.uint8)
        mask[5:20, 5:25] = 255
        Image.fromarray(mask).save(folder / "masks" / "one.png")
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    return tmp_path


def run(world: Path, *, workers: int = 1, on_error: Any = "record", **options: Any) -> dict[str, Any]:
    """The record of a box run in this process with workers of its own; the model is at odds with one picture."""
    sambench.run(
        "box", "bbbc038v1", MODEL, options=options, out=str(world / "out"), workers=workers, on_error=on_error, devices="cpu"
    )
    return record(world)


def evaluated(world: Path, how: str) -> dict[str, Any]:
    """The same, all in this process."""
    sambench.evaluate(bad(how), "box", "bbbc038v1", out=str(world / "out"))
    return record(world)


def record(world: Path) -> dict[str, Any]:
    (cell,) = (world / "out").glob("box-*/bbbc038v1-*")
    return json.loads((cell / "cell.json").read_text())


def logs(world: Path) -> list[Path]:
    return sorted(p for p in (world / "out").rglob("logs/**/*") if p.is_file())


def keys(world: Path) -> list[tuple[str, str]]:
    rows = sambench.load(next((world / "out").glob("box-*"))).rows(["image_id", "object_id", "status"])
    ok = rows[rows["status"] == "ok"]
    return sorted(zip(ok["image_id"], ok["object_id"], strict=True))


def command(world: Path, *more: str) -> subprocess.Popen[str]:
    args = ["run", "box", "-d", "bbbc038v1", "-m", MODEL, "-o", str(world / "out"), "--workers", "1", "--devices", "cpu", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "sambench", *args], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_process_that_has_lost_its_gpu_leaves_its_images_to_another(world: Path) -> None:
    rec = run(world, how="lose its GPU", path=str(world / "seen"))
    assert (rec["status"], rec["failures"]) == ("complete", [])
    assert len(set((world / "seen.builds").read_text().split())) == 2
    assert any("a process has lost its GPU" in log.read_text() for log in logs(world))


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("segfault", "signal SIGSEGV"),
        pytest.param("kill", "signal SIGKILL", marks=pytest.mark.slow),
        pytest.param("leave", "exit code 0", marks=pytest.mark.slow),
    ],
)
def test_an_image_that_kills_its_process_is_recorded_and_the_others_go_on(world: Path, how: str, cause: str) -> None:
    rec = run(world, how=how, path=str(world / "seen"))
    assert rec["status"] == "incomplete"
    assert rec["counts"]["n_images_done"] == N - 1
    (failure,) = rec["failures"]
    assert failure["image_id"] == ODD
    assert cause in failure["error"]
    assert "two worker processes died on this image" in failure["error"]
    assert ("few" in failure["error"]) == (how == "kill")
    assert keys(world) == [(f"image{i}", "one") for i in range(N) if f"image{i}" != ODD]
    assert len(set((world / "seen.builds").read_text().split())) == 3  # three workers, of which the first described it
    if how == "segfault":
        (trace,) = (world / "out").glob("box-*/logs/failures/*.txt")
        assert trace.name in failure["error"]
        assert "Segmentation fault" in trace.read_text()
        assert "bad_model.py" in trace.read_text()


def test_one_death_costs_no_image(world: Path) -> None:
    rec = run(world, how="kill once", path=str(world / "died"))
    assert rec["status"] == "complete"
    assert keys(world) == [(f"image{i}", "one") for i in range(N)]


@pytest.mark.slow
def test_two_workers_learn_of_each_others_deaths(world: Path) -> None:
    rec = run(world, workers=2, how="segfault", path=str(world / "seen"))
    assert rec["counts"]["n_images_done"] == N - 1
    assert rec["counts"]["n_images_failed"] == 1


@pytest.mark.slow
def test_deaths_end_a_run_that_is_to_stop_on_errors(world: Path) -> None:
    with pytest.raises(RunError, match="died") as e:
        run(world, how="kill", on_error="stop")
    assert ODD in str(e.value)


@pytest.mark.slow
def test_a_model_that_dies_on_every_image_ends_the_run(world: Path) -> None:
    with pytest.raises(RunError) as e:
        run(world, how="leave", every=True, path=str(world / "seen"))
    assert f"{local.MOST_GIVEN_UP} images one after the other" in str(e.value)
    assert len(set((world / "seen.builds").read_text().split())) <= 2 + 2 * local.MOST_GIVEN_UP


@pytest.mark.slow
def test_a_model_that_dies_when_built_ends_the_run(world: Path) -> None:
    with pytest.raises(RunError, match="died") as e:
        run(world, built="kill")
    assert "before its first image" in str(e.value)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("memory", "the memory does not suffice for this image"),
        ("allocate", "Unable to allocate"),
        ("exit", "ended the process, by sys.exit(0)"),
        ("unprintable", "Unprintable: (its message cannot be printed: RuntimeError)"),
        ("surrogate", "ValueError: a\\udc80b\\0c"),
        ("panic", "NotAnException: panicked"),
    ],
)
def test_whatever_a_model_raises_fails_its_image_alone(world: Path, how: str, says: str) -> None:
    rec = evaluated(world, how)
    (failure,) = rec["failures"]
    assert failure["image_id"] == ODD
    assert says in failure["error"]
    assert len(failure["error"]) < 5000
    assert rec["counts"]["n_images_done"] == N - 1


@pytest.mark.slow
def test_a_model_that_asks_a_question_gets_no_answer(world: Path) -> None:
    (failure,) = run(world, how="question")["failures"]
    assert "EOFError" in failure["error"]


def test_the_traceback_is_kept_beside_the_failure(
    world: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rec = evaluated(world, "raise")
    (trace,) = logs(world)
    assert f"traceback: logs/failures/{trace.name}" in rec["failures"][0]["error"]
    assert "bad_model.py" in trace.read_text()
    assert "KeyError: 'in the model'" in trace.read_text()
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.setenv("SAMBENCH_DEBUG", "1")
    shutil.rmtree(world / "out")
    run(world, how="raise")
    assert "KeyError: 'in the model'" in capfd.readouterr().err


def test_a_mended_failure_leaves_no_logs(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAD_MODEL_RAISES", "1")
    model = bad("raise while")
    for n_traces in (1, 0):
        sambench.evaluate(model, "box", "bbbc038v1", out=str(world / "out"))
        assert len(logs(world)) == n_traces
        monkeypatch.delenv("BAD_MODEL_RAISES", raising=False)
    assert record(world)["status"] == "complete"
    assert not list((world / "out").rglob("logs"))
    assert not list((world / "out").rglob(".logs"))


@pytest.mark.parametrize("how", ["exit", pytest.param("panic", marks=pytest.mark.slow)])
def test_a_model_that_leaves_when_it_is_built_is_an_error(world: Path, how: str) -> None:
    with pytest.raises(SambenchError) as e:
        run(world, built=how)
    assert isinstance(e.value, (ModelError, RunError))
    assert "SystemExit: 0" in str(e.value) or "NotAnException: panicked" in str(e.value)


@pytest.mark.parametrize(
    "at_exit", ["thread", pytest.param("handler", marks=pytest.mark.slow), pytest.param("child", marks=pytest.mark.slow)]
)
def test_a_process_that_cannot_exit_is_closed(world: Path, at_exit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "EXIT_GRACE_S", 0.5)
    start = time.monotonic()
    assert run(world, at_exit=at_exit)["status"] == "complete"
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("sign", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_while_a_model_is_described_ends_the_run(world: Path, sign: signal.Signals) -> None:
    p = command(world, "-M", "built=sleep", "-M", f"path={world / 'begun'}")
    assert wait_until((world / "begun").exists)
    p.send_signal(sign)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 130, err
    assert "interrupted" in err
    assert not list((world / "out").glob("box-*"))


def test_a_second_signal_ends_a_process_that_does_not_listen(world: Path) -> None:
    p = command(world, "-M", "how=sleep", "-M", f"path={world / 'begun'}")
    assert wait_until((world / "begun").exists)
    p.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert p.poll() is None
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 130, err
    assert not list((world / "out").rglob("logs"))


def test_one_signal_suffices_where_a_model_never_comes_back(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_GRACE_S", 0.5)
    begun = world / "begun"

    def signal_me() -> None:
        wait_until(begun.exists)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=signal_me).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(world, how="spin", path=str(begun))
    assert time.monotonic() - start < 60
    assert not record(world)["counts"]["n_images_failed"]


def test_what_somebody_elses_code_raised_has_a_traceback() -> None:
    told = DataError("a reader raised")
    told.__cause__ = KeyError("x")
    missing = DataError("a file is missing")
    missing.__cause__ = FileNotFoundError("x")
    assert [failures.says_all(e) for e in (DataError("broken"), missing, told, KeyError("x"))] == [True, True, False, False]


def test_a_process_that_measured_a_model_leaves_at_once(tmp_path: Path) -> None:
    job = {"name": MODEL, "options": {"at_exit": "thread"}, "device": "cpu", "precision": "fp32"}
    text = json.dumps({"model": job, "workload": asdict(Workload(rounds=1, warm_up=0)), "uses_torch": False})
    command = [sys.executable, "-m", "sambench.conformance.efficiency"]
    done = subprocess.run(command, input=text, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout.splitlines()[-1])["encode_ms"], done.stdout


def test_a_command_that_used_a_model_itself_leaves_in_time() -> None:
    code = "import sys, sambench.cli as c; c.EXIT_GRACE_S = 0.2; sys.argv[1:] = sys.argv[2:]; c.main()"
    args = ["check", "model", MODEL, "-M", "at_exit=thread"]
    done = subprocess.run([sys.executable, "-c", code, "", *args], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "did not end within" in done.stderr
    assert "passed" in done.stdout


@pytest.mark.slow
def test_a_killed_worker_is_replaced(world: Path) -> None:
    p = command(world, "-M", "how=sleep", "-M", f"path={world / 'begun'}", "--on-error", "stop")
    for _ in range(2):
        assert wait_until((world / "begun").exists)
        pid = int((world / "begun.builds").read_text().split()[-1])
        (world / "begun").unlink()
        os.kill(pid, signal.SIGKILL)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 2, err
    assert "another one tries it again" in err
    assert ODD in err


def test_a_dataset_that_vanishes_ends_the_run(world: Path) -> None:
    with pytest.raises(DataMissingError, match="has gone while it was read"):
        run(world, how="vanish", path=str(world / "data"))
    assert record(world)["status"] == "interrupted"
