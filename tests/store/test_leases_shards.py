"""Shard files are whole or absent, and are mended image by image; leases are exclusive and outlive no process."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sambench.errors import RunError
from sambench.store import leases
from sambench.store.shards import ImageState, Shard
from tests.helpers.shards import ok, row, store


def test_members_follow_the_limit(tmp_path: Path) -> None:
    s = store(tmp_path)
    assert len(s) == 3
    assert [s.members(n) for n in range(3)] == [("i0", "i1"), ("i2", "i3"), ("i4",)]
    assert [s.members(n, limit=3) for n in range(3)] == [("i0", "i1"), ("i2",), ()]


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    s = store(tmp_path)
    s.write(1, Shard({"i2": ok(), "i3": ok(0)}, {"i2": [row("i2")], "i3": []}))
    back = s.read(1)
    assert back.images == {"i2": ok(), "i3": ok(0)}
    assert back.rows["i3"] == []
    assert back.rows["i2"][0]["ious"] == [0.25, 1 / 3]
    assert back.rows["i2"][0]["shard"] == 1
    assert dict(back.rows["i2"][0]["attributes"]) == {"a": "b"}
    assert s.table(["i2"], ["k"]).to_pydict() == {"k": [1]}
    assert s.table(["i0"]).num_rows == 0


def test_a_shard_is_completed_not_replaced(tmp_path: Path) -> None:
    s = store(tmp_path)
    s.write(0, Shard({"i1": ok()}, {"i1": [row("i1")]}))
    s.write(0, Shard({"i0": ok()}, {"i0": [row("i0")]}))
    assert list(s.states(0)) == ["i0", "i1"]
    assert s.table().to_pydict()["image_id"] == ["i0", "i1"]


def test_a_late_failure_does_not_replace_a_result(tmp_path: Path) -> None:
    s = store(tmp_path)
    s.write(0, Shard({"i0": ok()}, {"i0": [row("i0")]}))
    s.write(0, Shard({"i0": ImageState("failed", error="no")}, {"i0": []}))
    assert s.states(0)["i0"].status == "ok"
    s.write(1, Shard({"i2": ImageState("failed", error="no")}, {"i2": []}))
    s.write(1, Shard({"i2": ok()}, {"i2": [row("i2")]}))
    assert s.states(1)["i2"].status == "ok"


def test_no_files_but_shards_are_left(tmp_path: Path) -> None:
    s = store(tmp_path)
    s.write(0, Shard({"i0": ok()}, {"i0": [row("i0")]}))
    assert [p.name for p in s.folder.iterdir()] == ["000000.parquet"]


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"x" * 1000])
def test_a_damaged_shard_is_named(tmp_path: Path, content: bytes) -> None:
    s = store(tmp_path)
    s.path(0).write_bytes(content)
    with pytest.raises(RunError, match=r"cannot be read as one") as e:
        s.states(0)
    assert "000000.parquet" in str(e.value)
    assert "delete that file" in str(e.value)


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    s = store(tmp_path)
    s.write(0, Shard({"i0": ok()}, {"i0": [row("i0")]}))
    s.path(0).write_bytes(s.path(0).read_bytes()[:-20])
    with pytest.raises(RunError):
        s.read(0)


def test_a_parquet_file_of_others_is_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    s = store(tmp_path)
    pq.write_table(pa.table({"a": [1]}), s.path(0))
    with pytest.raises(RunError, match="cannot be read"):
        s.states(0)


def test_a_lease_is_exclusive_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "000000.claim"
    first = leases.try_lease(path)
    assert first is not None
    with first:
        assert leases.try_lease(path) is None
        assert leases.holder(path) == f"pid {os.getpid()} on {socket.gethostname()}"
    assert not path.exists()
    assert leases.try_lease(path) is not None


def test_a_dead_holders_lease_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "000000.claim"
    code = f"from sambench.store.leases import try_lease; from pathlib import Path; assert try_lease(Path({str(path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.exists()
    assert leases.holder(path) is None
    assert leases.try_lease(path) is not None
    assert [p.name for p in tmp_path.iterdir()] == ["000000.claim"]


def test_a_reused_process_id_is_not_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "000000.claim"
    path.write_text(json.dumps({"token": "x", "host": socket.gethostname(), "pid": os.getpid(), "start": "1"}))
    assert leases.holder(path) is None


def test_another_hosts_lease_lives_by_its_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "000000.claim"
    path.write_text(json.dumps({"token": "x", "host": "elsewhere", "pid": 1, "start": "1"}))
    assert leases.holder(path) == "pid 1 on elsewhere"
    assert leases.try_lease(path) is None
    old = time.time() - leases.STALE_S - 1
    os.utime(path, (old, old))
    assert leases.try_lease(path) is not None


def _race(path: str, barrier: Any, won: Any) -> None:
    barrier.wait()
    lease = leases.try_lease(Path(path))
    if lease is not None:
        won.append(lease.token)
        time.sleep(0.5)  # hold it until the others have tried


@pytest.mark.parametrize("stale", [False, True])
def test_one_of_many_wins(tmp_path: Path, stale: bool) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "000000.claim"
    if stale:
        path.write_text(json.dumps({"token": "x", "host": socket.gethostname(), "pid": 2**22 + 1, "start": "1"}))
    with context.Manager() as manager:
        won, barrier = manager.list(), manager.Barrier(4)
        racers = [context.Process(target=_race, args=(str(path), barrier, won)) for _ in range(4)]
        for p in racers:
            p.start()
        for p in racers:
            p.join()
        assert len(won) >= 1
        # Taking over a stale lease may, in a window of microseconds, let two in (see the module); a fresh one never.
        assert len(won) == 1 or stale


def foreign(path: Path, **more: Any) -> Path:
    path.write_text(json.dumps({"token": "x", "host": "elsewhere", "pid": 1, "start": "1", **more}))
    return path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Our own clock, in seconds, as a list of one."""
    now = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    return now


def test_a_lease_dated_ahead_lapses_when_it_does_not_change(tmp_path: Path, clock: list[float]) -> None:
    path, watch = foreign(tmp_path / "000000.claim"), leases.Watch()
    ahead = time.time() + 86400
    os.utime(path, (ahead, ahead))
    assert leases.try_lease(path, watch) is None
    clock[0] += leases.STALE_S - 1
    assert watch.holder(path) == "pid 1 on elsewhere"
    os.utime(path, (ahead + 10, ahead + 10))  # its holder lives
    clock[0] += 2
    assert leases.try_lease(path, watch) is None
    clock[0] += leases.STALE_S + 1
    assert watch.holder(path) is None
    assert leases.try_lease(path, watch) is not None
    assert [p.name for p in tmp_path.iterdir()] == ["000000.claim"]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"pid": "1", "host": "elsewhere"}', b'{"pid": [], "host": 3}', b"[" * 100_000, b"1" * 10_000],
)
def test_a_lease_that_cannot_be_read_lapses(tmp_path: Path, clock: list[float], text: bytes) -> None:
    path, watch = tmp_path / "000000.claim", leases.Watch()
    path.write_bytes(text)
    ahead = time.time() + 86400
    os.utime(path, (ahead, ahead))
    assert leases.try_lease(path, watch) is None
    assert watch.told(path)["holder"] == "another process"
    clock[0] += leases.STRANGE_S
    assert leases.try_lease(path, watch) is not None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_lease_that_is_no_file_lapses(tmp_path: Path, clock: list[float], make: Any) -> None:
    path, watch = tmp_path / "000000.claim", leases.Watch()
    make(path)
    assert leases.try_lease(path, watch) is None
    clock[0] += leases.STRANGE_S
    assert leases.try_lease(path, watch) is not None


def test_a_lease_without_a_start_lapses(tmp_path: Path, clock: list[float]) -> None:
    path, watch = tmp_path / "000000.claim", leases.Watch()
    path.write_text(json.dumps({"token": "x", "host": socket.gethostname(), "pid": 2**22 + 1, "start": None}))
    assert watch.holder(path) is None  # there is no such process
    path.write_text(json.dumps({"token": "x", "host": socket.gethostname(), "pid": os.getpid(), "start": None}))
    assert leases.try_lease(path, watch) is None
    assert str(path) in watch.told(path)["how"]
    clock[0] += leases.STALE_S
    assert leases.try_lease(path, watch) is not None


def test_who_waits_is_told_for_whom_and_how_to_end_it(tmp_path: Path) -> None:
    path = tmp_path / "000000.claim"
    lease = leases.try_lease(path)
    assert lease is not None
    with lease:
        told = leases.Watch().told(path)
        assert told["pid"] == os.getpid()
        assert f"kill {os.getpid()}" in told["how"]
    told = leases.Watch().told(foreign(path))
    assert told["holder"] == "pid 1 on elsewhere"
    assert told["pid"] is None
    assert str(path) in told["how"]
