"""Results in an object store: leases, shards that two machines complete, a whole run, readers on another machine, refusals."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("obstore")

import sambench
from sambench.errors import DownloadError, RunError, UsageError
from sambench.files import mirror, places
from sambench.files.objects import Changed, Objects, address
from sambench.getting.weights import download
from sambench.store.leases import HEARTBEAT_S, SKEW_S, StoreLease, release, try_lease
from sambench.store.shards import ImageState, Shard, ShardStore
from tests.helpers import store_world
from tests.helpers.inprocess import Cli
from tests.helpers.object_server import ObjectServer, serving

CELL = "s3://lab/runs/point-x-12345678/demo-12345678"
Machine = Callable[[str], None]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with serving() as found:
        for name, value in found.variables.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """machine("a"): from now on this process works with the cache of machine a."""

    def become(name: str) -> None:
        monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / name))

    become("a")
    return become


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def test_addresses() -> None:
    found = address("s3://lab/runs/x/")
    assert found is not None
    assert (found.root, found.key) == ("s3://lab", "runs/x")
    assert address(Path("s3://lab/runs")) == address("s3://lab/runs")  # which a Path takes a slash from
    assert address("runs/s3") is None
    assert address("coco:s3://lab/a.json") is None
    with pytest.raises(UsageError, match="address"):
        address("s3://lab/a/../b")


def test_of_two_machines_one_gets_the_lease(server: ObjectServer, machine: Machine) -> None:
    path = Path("shards/000000.claim")
    first = try_lease(mirror.here(CELL) / path)
    assert first is not None
    machine("b")
    assert try_lease(mirror.here(CELL) / path) is None
    machine("a")
    with first:
        pass
    assert server.keys() == []
    machine("b")
    _store().look()
    assert try_lease(mirror.here(CELL) / path) is not None


def test_a_lease_of_a_dead_process_is_taken_over_by_one(server: ObjectServer, machine: Machine) -> None:
    path = mirror.here(CELL) / "shards/000000.claim"
    dead = try_lease(path)
    assert isinstance(dead, StoreLease)
    said = {**dead.said, "pid": 4194000, "start": "1"}  # a process of this machine that is not there
    dead.version = dead.copy.write(path, json.dumps(said).encode(), instead=dead.version)
    machine("b")
    taken = try_lease(mirror.here(CELL) / "shards/000000.claim")
    assert isinstance(taken, StoreLease)
    machine("c")
    assert try_lease(mirror.here(CELL) / "shards/000000.claim") is None
    assert not dead._beat_once()  # the one that was thought dead hears of it
    machine("b")
    assert taken._beat_once()


def test_leases_of_processes_that_are_known_to_have_ended_are_given_back(server: ObjectServer, machine: Machine) -> None:
    held = [try_lease(mirror.here(CELL) / f"shards/{n:06d}.claim") for n in range(2)]
    assert all(isinstance(lease, StoreLease) for lease in held)
    first = held[0]
    assert isinstance(first, StoreLease)
    first.copy.write(first.path, json.dumps({**first.said, "host": "elsewhere", "pid": 77}).encode())
    machine("b")  # which has seen none of them
    release(mirror.here(CELL) / "shards", {("elsewhere", 77)})
    assert [Path(key).name for key in server.keys("/lab")] == ["000001.claim"]


def test_another_machines_lease_is_old_only_when_no_clock_can_explain_it(
    server: ObjectServer, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mirror.here(CELL) / "shards/000000.claim"
    held = try_lease(path)
    assert isinstance(held, StoreLease)
    # A container of that name on another machine.
    held.version = held.copy.write(path, json.dumps({**held.said, "pid": 4194000, "boot": "other"}).encode(), instead=held.version)
    key = next(iter(server.objects))
    for age, free in ((SKEW_S, False), (SKEW_S + 600, True)):
        server.objects[key] = (server.objects[key][0], time.time() - age)
        machine(f"at-{age:.0f}")
        assert (try_lease(mirror.here(CELL) / "shards/000000.claim") is not None) is free


def test_every_beat_is_another_version(server: ObjectServer, machine: Machine) -> None:
    lease = try_lease(mirror.here(CELL) / "shards/000000.claim")
    assert isinstance(lease, StoreLease)
    versions = {lease.version}
    for _ in range(3):
        assert lease._beat_once()
        versions.add(lease.version)
    assert len(versions) == 4
    assert HEARTBEAT_S * 3 < SKEW_S


def _store() -> ShardStore:
    cell = mirror.here(CELL)
    (cell / "shards").mkdir(parents=True, exist_ok=True)
    return ShardStore(cell, ["a", "b", "c", "d"], 4, {"image_id": "string", "value": "double"})


def _one(image: str, value: float, seconds: float = 1.0) -> Shard:
    return Shard({image: ImageState("ok", 1, seconds=seconds)}, {image: [{"image_id": image, "value": value}]})


def test_two_machines_complete_one_shard_and_neither_loses_a_row(
    server: ObjectServer, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = _store()
    machine("b")
    b = _store()
    machine("a")
    once = iter([True])
    read = ShardStore.read

    def read_while_another_writes(self: ShardStore, n: int) -> Shard:
        found = read(self, n)
        if self is a and next(once, False):
            b.write(0, _one("b", 2.0))
        return found

    monkeypatch.setattr(ShardStore, "read", read_while_another_writes)
    a.write(0, _one("a", 1.0))
    machine("c")
    c = _store()
    c.look()
    assert {i: [r["value"] for r in rows] for i, rows in c.read(0).rows.items()} == {"a": [1.0], "b": [2.0]}


def test_what_is_computed_twice_is_written_once(server: ObjectServer, machine: Machine) -> None:
    a = _store()
    a.write(0, _one("a", 1.0, seconds=5.0))
    held = server.objects.copy()
    machine("b")
    b = _store()
    b.write(0, _one("a", 1.0, seconds=9.0))
    assert server.objects == held
    assert b.states(0)["a"].seconds == 5.0


def test_a_run_in_a_store_has_the_bytes_of_a_local_one(
    server: ObjectServer, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(store_world.write_world(tmp_path / "data")))
    local = store_world.go(tmp_path / "runs")
    store_world.go("s3://lab/runs", limit=2)  # type: ignore[arg-type] # one of two shards, half of it
    cell = store_world.go("s3://lab/runs")  # type: ignore[arg-type]
    names = [Path(k).name for k in server.keys("/lab/runs")]
    assert names == ["cell.json", "images.txt", "metrics.csv", "metrics.parquet", "000000.parquet", "000001.parquet", "model.json"]
    for name in ("metrics.csv", "metrics.parquet", "images.txt"):
        assert (cell.path / name).read_bytes() == (local.path / name).read_bytes()
    n = len(server.log)
    store_world.go("s3://lab/runs")  # type: ignore[arg-type] # nothing is computed, and no row is written again
    assert not [path for method, path in server.log[n:] if method == "PUT" and path.endswith(".parquet")]
    machine("b")
    assert cli("table", "s3://lab/runs").out == cli("table", tmp_path / "runs").out
    found = cli("status", "--runs", "s3://lab/runs/", "--json")
    assert json.loads(found.out)["cells"][0]["path"] == f"s3://lab/runs/{cell.path.parent.name}/{cell.path.name}"
    assert sambench.load("bright", runs="s3://lab/runs").cells[0].live.status == "complete"
    n = len(server.log)
    cli("table", "s3://lab/runs")
    assert not [path for method, path in server.log[n:] if path.endswith((".parquet", ".json"))]  # listed, not fetched again
    dead = try_lease(cell.path / "shards/000001.claim")
    assert isinstance(dead, StoreLease)
    dead.copy.write(dead.path, json.dumps({**dead.said, "pid": 4194000, "start": "1"}).encode())
    assert "lease of a process that is gone" in cli("runs", "gc", "--runs", "s3://lab/runs").out
    assert not [key for key in server.keys("/lab") if key.endswith(".claim")]
    assert "no runs in s3://lab/none" in cli("status", "--runs", "s3://lab/none").out
    ended = cli("runs", "rm", "bright", "--runs", "s3://lab/runs")
    assert (ended.code, server.keys("/lab/runs")) == (0, [])
    machine("a")
    assert "there are no results here" in cli("table", "s3://lab/runs").err  # the copy of what was removed goes too


def test_a_store_that_overwrites_is_refused(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(store_world.write_world(tmp_path / "data")))
    with serving(careless=True) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(RunError, match="does not keep workers apart"):
            store_world.go("s3://lab/runs")  # type: ignore[arg-type]
        assert server.keys() == []


def test_a_store_in_memory_serves_one_process(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(store_world.write_world(tmp_path / "data")))
    assert "memory of another process" in cli("run", "point", "--out", "memory://lab/runs").err
    assert store_world.go("memory://lab/runs", limit=1).live.n_done == 1  # type: ignore[arg-type]


def test_what_cannot_be_is_refused(server: ObjectServer, machine: Machine, cli: Cli) -> None:
    assert "in one step" in cli("run", "point", "--out", "s3://lab/runs", "--fresh").err
    assert "no such directory" in cli("table", "s3://lab/nothing").err
    held = Objects("s3://lab")
    version = held.put("x", b"1", create=True)
    with pytest.raises(Changed):
        held.put("x", b"2", create=True)
    held.put("x", b"3", instead=version)
    with pytest.raises(Changed):
        held.put("x", b"4", instead=version)
    assert server.objects["/lab/x"][0] == b"3"


def test_a_store_that_is_not_reached_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setattr("sambench.files.objects.RETRIES", 0)
    for name, value in (("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(name, value)
    ended = cli("table", "s3://lab/runs")
    assert ended.code == 2
    assert "s3://lab/runs" in ended.err
    assert "network" in ended.err


def test_weights_of_a_card_come_from_a_store(server: ObjectServer, machine: Machine, tmp_path: Path) -> None:
    server.objects["/lab/w.pth"] = (b"weights", time.time())
    digest = hashlib.sha256(b"weights").hexdigest()
    assert download("s3://lab/w.pth", tmp_path / "w.pth", sha256=digest, n_bytes=7).read_bytes() == b"weights"
    with pytest.raises(DownloadError, match="not the expected one"):
        download("s3://lab/w.pth", tmp_path / "x.pth", sha256="0" * 64, n_bytes=7)
    with pytest.raises(DownloadError, match="object store"):
        download("s3://lab/none.pth", tmp_path / "y.pth", sha256=digest, n_bytes=7)
    assert [p.name for p in tmp_path.glob("*.pth")] == ["w.pth"]


def test_data_and_options_are_read_through_the_copy(server: ObjectServer, machine: Machine, tmp_path: Path) -> None:
    world = store_world.write_world(tmp_path / "data")
    for path in world.rglob("*"):
        if path.is_file():
            server.objects[f"/lab/data/{path.relative_to(world).as_posix()}"] = (path.read_bytes(), time.time())
    ask = {"settings": {"clicks": (1,)}, "name": "bright", "limit": 1}
    here = sambench.evaluate(store_world.Bright(), datasets="bbbc038v1", root=str(world / "bbbc038v1"), out=tmp_path / "a", **ask)
    there = sambench.evaluate(store_world.Bright(), datasets="bbbc038v1", root="s3://lab/data/bbbc038v1", out=tmp_path / "b", **ask)
    assert there.cells[0].record.cell_id == here.cells[0].record.cell_id
    assert there.cells[0].record.dataset.root == "s3://lab/data/bbbc038v1"
    named = places.brought_name("coco:s3://lab/data/bbbc038v1/a.json,images/")
    assert named.startswith("coco:/")
    assert named.endswith("/files/data/bbbc038v1/a.json,images/")
    n = len(server.log)
    places.brought(Path("s3://lab/data/bbbc038v1"))  # nothing changed: one list, no object
    assert [path for _, path in server.log[n:]] == ["/lab"]
    server.objects["/lab/data/bbbc038v1/new.txt"] = (b"new", time.time())
    assert (places.brought(Path("s3://lab/data/bbbc038v1")) / "new.txt").read_bytes() == b"new"
