"""The slurm backend, with submitit's own executor for this machine in place of a cluster: the jobs are processes of their own."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sambench
from sambench.engine import backends
from sambench.engine.backends import slurm
from sambench.engine.backends.slurm_jobs import SlurmWorkers
from sambench.errors import RunError, UsageError
from sambench.sources.base import devices_elsewhere, pick_device
from tests.helpers.inprocess import Cli
from tests.helpers.waiting import wait_until

submitit = pytest.importorskip("submitit")
HERE = {"cluster": "local"}


def run(out: Path, backend: str = "slurm", **request: Any) -> pd.DataFrame:
    placement = {**HERE, **request.pop("placement", {})} if backend == "slurm" else {}
    given: dict[str, Any] = {"limit": 8, "workers": 2, **request}
    got = sambench.run("box", "demo", "otsu", out=str(out), backend=backend, placement=placement, **given)
    return got.rows().drop(columns=["encode_ms", "decode_ms"])


def test_two_jobs_give_the_rows_of_a_local_run_and_one_may_leave_and_come_back(tmp_path: Path) -> None:
    run(tmp_path / "a", placement={"detach": True})
    (record,) = (tmp_path / "a").glob("box-*/logs/slurm.json")
    told = json.loads(record.read_text())
    assert len(told["jobs"]) == 2
    (cell,) = (tmp_path / "a").glob("box-*/demo-*/cell.json")
    assert json.loads(cell.read_text())["status"] == "running"
    ours = run(tmp_path / "a", placement={"attach": True})
    assert not record.exists()
    pd.testing.assert_frame_equal(ours, run(tmp_path / "b", "local", workers=1))
    assert json.loads(cell.read_text())["status"] == "partial"
    assert json.loads(cell.read_text())["counts"]["n_images_done"] == 8


def test_a_job_that_is_lost_is_the_runs_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = slurm.Slurm.start

    def start_and_kill(self: slurm.Slurm, *args: Any) -> SlurmWorkers:
        workers = start(self, *args)
        assert wait_until(lambda: workers.messages.begun(0))
        pid = int(workers.jobs[0].job_id)  # of what stands for the scheduler here
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):
            os.kill(process, signal.SIGKILL)
        return workers

    monkeypatch.setattr(slurm.Slurm, "start", start_and_kill)
    with pytest.raises(RunError, match="1 of 1 SLURM jobs was lost") as e:
        run(tmp_path, workers=1)
    assert "issue the same command again" in str(e.value)
    monkeypatch.undo()
    assert len(run(tmp_path, "local"))  # which finishes it


def test_what_is_asked_of_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    at = backends.backend("slurm", {"partition": "gpu", "account": "lab", "gpus": 1, "time": 30, "memory": "32G"})
    assert isinstance(at, slurm.Slurm)
    asked = at.options.parameters(4)
    assert (asked["slurm_partition"], asked["slurm_account"], asked["slurm_mem"]) == ("gpu", "lab", "32G")
    assert (asked["timeout_min"], asked["gpus_per_node"], asked["slurm_array_parallelism"]) == (30, 1, 4)
    assert asked["slurm_additional_parameters"] == {"requeue": True}
    assert at.device("auto") == "cuda:0"
    with devices_elsewhere():
        assert pick_device("cuda:0", uses_torch=True) == "cuda:0"  # which this machine has not
    for wrong in ({"partitoin": "x"}, {"time": 0}, {"detach": True, "attach": True}):
        with pytest.raises(UsageError):
            backends.backend("slurm", wrong)
    with pytest.raises(UsageError, match="no options"):
        backends.backend("local", {"partition": "x"})
    with pytest.raises(UsageError, match="how many jobs"):
        at.check(None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="no SLURM cluster"):
        at.check(2)


def test_a_run_that_cannot_be_submitted_changes_nothing(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "local", limit=2, workers=1)
    (cell,) = tmp_path.glob("box-*/demo-*/cell.json")
    before = cell.read_bytes()
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    ended = cli("run", "box", "-m", "otsu", "--limit", "4", "-o", tmp_path, "--backend", "slurm", "--workers", "2")
    assert (ended.code, "no SLURM cluster" in ended.err) == (2, True)
    assert cell.read_bytes() == before


def test_a_job_that_is_put_back_does_the_same_again(tmp_path: Path) -> None:
    place = slurm.SlurmPlace("{}", "cpu", str(tmp_path), 0)
    again = place.checkpoint()
    assert again.function is place


def test_flags_and_variables(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_box = ("run", "box", "-m", "otsu", "--limit", "1", "-o", tmp_path, "--backend", "slurm")
    assert "how many jobs" in cli(*run_box).err
    monkeypatch.setenv("SAMBENCH_SLURM_PARTITION", "gpu")
    seen: list[Any] = []
    real = slurm.Slurm.with_options
    monkeypatch.setattr(slurm.Slurm, "with_options", lambda self, o: seen.append(dict(o)) or real(self, {**o, **HERE}))
    cli(*run_box, "--slurm-gpus", "0", "--attach", "--workers", "1")
    assert seen[0] == {"partition": "gpu", "gpus": 0, "attach": True}
    ended = cli(*run_box, "--workers", "1", "--attach")
    assert (ended.code, "no jobs of this run to attach to" in ended.err) == (2, True)
    assert cli(*run_box, "--fresh", "--detach", "--workers", "1").code == 2
    here = cli("run", "box", "-m", "otsu", "--limit", "1", "-o", tmp_path)  # whose variables are for another day
    assert here.code == 0, here.err
    ended = cli("run", "box", "-m", "otsu", "-o", tmp_path, "--slurm-time", "5")
    assert "flags of another backend\n  where: --slurm-time" in ended.err
