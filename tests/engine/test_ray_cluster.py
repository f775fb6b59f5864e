"""Runs on a real Ray cluster of two nodes, started on this machine: `make test-ray`."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from sambench.store.views import CellView, read_cell
from tests.helpers import ROOT, ray_cluster, sambench
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.ray
SLOW = f"python:{ROOT / 'tests' / 'helpers' / 'slow_model.py'}:make"
NOT_COMPARED = ["encode_ms", "decode_ms"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ray_cluster.RayCluster]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("no ray here: pip install -c constraints.txt -e '.[ray]', or make test-ray")
    with ray_cluster.cluster() as made:
        yield made


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> CellView:
    """The same run on this machine."""
    out = tmp_path_factory.mktemp("local")
    ended = sambench("run", "box", "-d", "demo", "-m", SLOW, "-M", "seconds=0.5", "-o", str(out), "--workers", "4")
    assert ended.returncode == 0, ended.stderr
    return cell_of(out)


def cell_of(out: Path) -> CellView:
    (path,) = out.glob("box-*/demo-*")
    return read_cell(path)


def begin(cluster: ray_cluster.RayCluster, out: Path, *more: object, slower: int = 1) -> subprocess.Popen[str]:
    given = ["run", "box", "-d", "demo", "-m", SLOW, "-M", "seconds=0.5", "-o", out, "--backend", "ray"]
    given += ["--address", cluster.address]
    command = [sys.executable, "-m", "sambench", *map(str, [*given, *more])]
    env = {**os.environ, "SAMBENCH_TEST_SLOWER": str(slower)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=ROOT)


def events(out: Path, kind: str) -> list[dict[str, object]]:
    lines = [line for f in out.glob("box-*/logs/ray-*/*.jsonl") for line in f.read_text().splitlines()]
    return [e for e in map(json.loads, lines) if e["event"] == kind]


def in_the_middle(out: Path, hosts: int = 2) -> bool:
    """Both workers are at work, and there are some images."""
    return wait_until(lambda: len(events(out, "image")) >= 4 and len(events(out, "worker")) >= hosts, 400)


def check_same(cell: CellView, local: CellView) -> None:
    assert cell.record.cell_id == local.record.cell_id
    assert cell.record.status == "complete"
    for name in ("metrics.csv", "metrics.parquet", "images.txt"):
        assert (cell.path / name).read_bytes() == (local.path / name).read_bytes()
    pd.testing.assert_frame_equal(cell.rows().drop(columns=NOT_COMPARED), local.rows().drop(columns=NOT_COMPARED))


def test_two_nodes_one_of_which_is_killed_in_the_middle(cluster: ray_cluster.RayCluster, local: CellView, tmp_path: Path) -> None:
    command = begin(cluster, tmp_path)
    assert in_the_middle(tmp_path)
    cluster.kill("node2")
    try:
        said, _ = command.communicate(timeout=900)  # before the leases of node2 would be given up as dead
    finally:
        cluster.add("node2")
    assert command.returncode == 0, said
    assert "was lost; another one is asked for in its place" in said
    assert "24/24 images" in said
    check_same(cell_of(tmp_path), local)
    assert not list(tmp_path.glob("box-*/demo-*/shards/*.claim"))


def test_a_node_that_comes_later_gets_the_workers_that_wait(
    cluster: ray_cluster.RayCluster, local: CellView, tmp_path: Path
) -> None:
    command = begin(cluster, tmp_path, "--workers", 3, slower=4)
    assert in_the_middle(tmp_path)
    cluster.add("node3")
    try:
        assert wait_until(lambda: len(events(tmp_path, "worker")) == 3, 400)
        said, _ = command.communicate(timeout=900)
    finally:
        cluster.kill("node3")
    assert command.returncode == 0, said
    check_same(cell_of(tmp_path), local)


def test_an_interrupted_command_takes_its_actors_along(cluster: ray_cluster.RayCluster, local: CellView, tmp_path: Path) -> None:
    command = begin(cluster, tmp_path)
    assert in_the_middle(tmp_path)
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=600)
    assert command.returncode == 130, said
    assert cell_of(tmp_path).live.n_done >= 4
    again = begin(cluster, tmp_path)
    said, _ = again.communicate(timeout=900)
    assert again.returncode == 0, said
    check_same(cell_of(tmp_path), local)


def test_a_workers_error_comes_back_as_it_is(cluster: ray_cluster.RayCluster, tmp_path: Path) -> None:
    command = begin(cluster, tmp_path, "-M", "fails=true", "--on-error", "stop")
    said, _ = command.communicate(timeout=900)
    assert command.returncode == 2, said
    assert "this model cannot look at images" in said


def test_what_is_not_there_is_said(cluster: ray_cluster.RayCluster, tmp_path: Path) -> None:
    for more, message in (
        (("--address", "127.0.0.1:1"), "there is no Ray cluster"),
        (("--ray-cpus", 64), "the Ray cluster has no room"),
        (("--ray-cpus", 0), "'--ray-cpus'"),
        (("--slurm-time", 5), "flags of another backend"),
    ):
        command = begin(cluster, tmp_path, *more)
        said, _ = command.communicate(timeout=600)
        assert command.returncode == 2, said
        assert message in said
    assert not list(tmp_path.glob("box-*"))
