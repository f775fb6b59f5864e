"""Runs on a real SLURM cluster of two nodes, started on this machine: `make test-slurm`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from sambench.store.views import CellView, read_cell
from tests.helpers import ROOT, sambench, slurm_cluster
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.slurm
SLOW = f"python:{ROOT / 'tests' / 'helpers' / 'slow_model.py'}:make"
NOT_COMPARED = ["encode_ms", "decode_ms"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    if missing := slurm_cluster.missing():
        pytest.skip(f"no SLURM here ({', '.join(missing)}): apt-get install slurmctld slurmd slurm-client munge")
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder, slurm_cluster.cluster(Path(folder)) as environment:
        yield environment


class Cluster:
    """Commands at the cluster; runs go to `out`."""

    def __init__(self, environment: dict[str, str], out: Path) -> None:
        self.environment, self.out = {**os.environ, **environment}, out

    def begin(self, *more: object, slower: int = 1) -> subprocess.Popen[str]:
        given = ["run", "box", "-d", "demo", "-m", SLOW, "-M", "seconds=0.5", "-o", self.out, "--backend", "slurm", "--workers", 2]
        command = [sys.executable, "-m", "sambench", *map(str, [*given, *more])]
        env = self.environment | {"SAMBENCH_TEST_SLOWER": str(slower)}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=ROOT)

    def ask(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=True).stdout

    def jobs(self, state: str = "running") -> list[str]:
        """Of the array that computes, which has two."""
        ids = self.ask("squeue", "--noheader", "--array", f"--states={state}", "--format=%i").split()
        return sorted(i for i in ids if "_" in i)

    def events(self, kind: str) -> list[dict[str, object]]:
        lines = [line for f in self.out.glob("box-*/logs/slurm-*/*.jsonl") for line in f.read_text().splitlines()]
        return [e for e in map(json.loads, lines) if e["event"] == kind]

    def in_the_middle(self) -> list[str]:
        """Both jobs, once there are images of each."""
        hosts = 2 if slurm_cluster.can_name_hosts() else 1
        assert wait_until(lambda: len(self.events("image")) >= 4 and len({e["host"] for e in self.events("worker")}) == hosts, 400)
        jobs = self.jobs()
        assert len(jobs) == 2
        return jobs

    def cell(self) -> CellView:
        (path,) = self.out.glob("box-*/demo-*")
        return read_cell(path)


@pytest.fixture
def at(cluster: dict[str, str], tmp_path: Path) -> Cluster:
    return Cluster(cluster, tmp_path / "runs")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> CellView:
    """The same run on this machine."""
    out = tmp_path_factory.mktemp("local")
    ended = sambench("run", "box", "-d", "demo", "-m", SLOW, "-M", "seconds=0.5", "-o", str(out), "--workers", "4")
    assert ended.returncode == 0, ended.stderr
    (path,) = out.glob("box-*/demo-*")
    return read_cell(path)


def check_same(cell: CellView, local: CellView) -> None:
    assert cell.record.cell_id == local.record.cell_id
    assert cell.record.status == "complete"
    for name in ("metrics.csv", "metrics.parquet", "images.txt"):
        assert (cell.path / name).read_bytes() == (local.path / name).read_bytes()
    pd.testing.assert_frame_equal(cell.rows().drop(columns=NOT_COMPARED), local.rows().drop(columns=NOT_COMPARED))


def test_two_nodes_and_a_job_that_is_requeued_in_the_middle(at: Cluster, local: CellView) -> None:
    command = at.begin()
    job = at.in_the_middle()[0]
    at.ask("scontrol", "requeue", job)
    said, _ = command.communicate(timeout=900)
    assert command.returncode == 0, said
    assert f"job {job} was put back into the queue" in said
    assert "24/24 images" in said
    check_same(at.cell(), local)
    assert not list(at.out.glob("box-*/demo-*/shards/*.claim"))
    assert not at.jobs("all") or wait_until(lambda: not at.jobs("pending,running,completing"), 30)


@pytest.mark.parametrize("first", [[], ["SIGTERM"]], ids=["time limit", "preemption"])
def test_slurms_warning_stores_what_is_done_and_the_job_comes_back(at: Cluster, local: CellView, first: list[str]) -> None:
    command = at.begin()
    job = at.in_the_middle()[1]
    for name in (*first, "SIGUSR2"):
        at.ask("scancel", f"--signal={name}", job)
    said, _ = command.communicate(timeout=900)
    assert command.returncode == 0, said
    check_same(at.cell(), local)


def test_a_cancelled_job_is_the_runs_failure_and_the_same_command_finishes_it(at: Cluster, local: CellView) -> None:
    command = at.begin()
    job = at.in_the_middle()[0]
    at.ask("scancel", job)
    said, _ = command.communicate(timeout=900)
    assert command.returncode == 2, said
    assert "1 of 2 SLURM jobs was lost" in said
    assert f"job {job} (CANCELLED)" in said
    again = at.begin()
    said, _ = again.communicate(timeout=900)
    assert again.returncode == 0, said
    check_same(at.cell(), local)


def test_a_workers_error_comes_back_as_it_is(at: Cluster) -> None:
    command = at.begin("-M", "fails=true", "--on-error", "stop")
    said, _ = command.communicate(timeout=900)
    assert command.returncode == 2, said
    assert "this model cannot look at images" in said
    assert wait_until(lambda: not at.jobs("pending,running"), 120)


def test_leaving_looking_and_coming_back(at: Cluster, local: CellView) -> None:
    left = at.begin("--detach", slower=5)
    said, _ = left.communicate(timeout=600)
    assert left.returncode == 0, said
    at.in_the_middle()
    looked = sambench("status", "--json", "--runs", str(at.out), env=at.environment)
    (cell,) = json.loads(looked.stdout)["cells"]
    assert cell["status"] == "running"
    assert len(cell["workers"]) == 2
    if slurm_cluster.can_name_hosts():
        assert sorted(cell["hosts"]) == ["node1", "node2"]
    back = at.begin("--attach")
    said, _ = back.communicate(timeout=900)
    assert back.returncode == 0, said
    assert "24/24 images" in said
    check_same(at.cell(), local)
    assert not list(at.out.glob("box-*/logs/slurm.json"))


def test_an_interrupted_command_takes_its_jobs_along(at: Cluster, local: CellView) -> None:
    command = at.begin()
    at.in_the_middle()
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=600)
    assert command.returncode == 130, said
    assert not at.jobs("pending,running")
    assert at.cell().live.n_done >= 4
    again = at.begin()
    said, _ = again.communicate(timeout=900)
    assert again.returncode == 0, said
    check_same(at.cell(), local)


def test_what_slurm_refuses_is_said_in_its_words(at: Cluster) -> None:
    command = at.begin("--slurm-partition", "nowhere")
    said, _ = command.communicate(timeout=300)
    assert command.returncode == 2
    assert "invalid partition" in said.lower()
    assert not at.out.exists() or not list(at.out.glob("box-*"))
