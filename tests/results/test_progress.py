"""`sambench status`: workers, hosts, speed, stragglers, and the expected end, from what lies on disk at a given moment."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from sambench.cli import status
from sambench.results.progress import CellState, Price, cost, progress_of, summary
from sambench.store import leases
from sambench.store.views import CellView
from tests.helpers.cells import Maker
from tests.helpers.inprocess import Cli

START = 1_750_000_000.0


def running(out: Path, *, taken_s: float = 10.0) -> CellView:
    """20 images in shards of 8, 8 and 4; the first is stored 40 s after the start, in eight times `taken_s`; the others are not."""
    cell = Maker(out).cell(absent=range(8, 20))
    record = json.loads((cell.path / "cell.json").read_text())
    record["started"] = datetime.fromtimestamp(START, UTC).isoformat()
    (cell.path / "cell.json").write_text(json.dumps(record))
    shard = cell.store.read(0)
    shard.images = {i: dataclasses.replace(s, seconds=taken_s) for i, s in shard.images.items()}
    cell.store.path(0).unlink()
    cell.store.write(0, shard)
    os.utime(cell.store.path(0), (START + 40, START + 40))
    return cell


def lease(cell: CellView, shard: int, since: float, monkeypatch: pytest.MonkeyPatch) -> leases.Lease:
    monkeypatch.setattr(leases.time, "time", lambda: since)
    held = leases.try_lease(cell.store.lease_path(shard))
    monkeypatch.undo()
    assert held is not None
    return held


def test_speed_and_end_of_a_running_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = running(tmp_path)
    lease(cell, 1, START + 60, monkeypatch)
    found = progress_of(cell.path, now=START + 80)
    assert (found.status, found.n_done, found.n_wanted) == ("running", 8, 20)
    assert found.images_per_s == pytest.approx(8 / 80)
    assert datetime.fromisoformat(found.expected_end or "").timestamp() == START + 80 + 12 / (8 / 80)
    (worker,) = found.workers
    assert (worker.host, worker.pid, worker.shard, worker.seconds) == (socket.gethostname(), os.getpid(), 1, 20)
    assert not worker.straggler
    later = progress_of(cell.path, now=START + 160)  # it stood still
    assert later.images_per_s == pytest.approx(8 / 160)
    assert "1 worker on 1 host, 0.10 images/s, expected end 2025-" in summary([found])


def test_a_straggler_is_one_that_takes_three_times_as_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = running(tmp_path)  # 80 s a shard
    lease(cell, 1, START + 60, monkeypatch)
    assert not progress_of(cell.path, now=START + 60 + 239).stragglers
    late = progress_of(cell.path, now=START + 60 + 241)
    assert [w.shard for w in late.stragglers] == [1]
    assert "stragglers: " in summary([late])


def test_cost_is_the_time_of_devices_and_money_where_an_hour_has_a_price(tmp_path: Path, cli: Cli) -> None:
    cell = running(tmp_path / "runs", taken_s=450.0)  # eight times: an hour; an earlier version, which knew no more than that
    found = progress_of(cell.path, now=START + 80)
    assert (found.device_hours, found.expected_device_hours) == (1.0, 2.5)  # 20 images
    assert cost([found], Price.read("3 EUR")) == "cost so far 1.00 core-hours (3.00 EUR)"  # nobody is at work
    at_work = dataclasses.replace(found, status="running")
    assert cost([at_work]) == "cost so far 1.00 core-hours, expected in all 2.50 core-hours"
    shard = cell.store.read(0)
    shard.images = {i: dataclasses.replace(s, device_s=225.0) for i, s in shard.images.items()}  # two share a device
    cell.store.path(0).unlink()
    cell.store.write(0, shard)
    (told,) = json.loads(cli("status", "--json", "--price", "3", "--runs", tmp_path / "runs").out)["cells"]
    assert (told["device_hours"], told["cost"], told["expected_cost"]) == (0.5, 1.5, 3.75)
    (tmp_path / "prices.toml").write_text("price = 4")
    assert "(2.00)" in cli("status", "--config", tmp_path / "prices.toml", "--runs", tmp_path / "runs").out
    for wrong in ("much", "-1", "nan", "inf EUR"):
        ended = cli("status", "--price", wrong, "--runs", tmp_path / "runs")
        assert (ended.code, "a price cannot be read" in ended.err) == (2, True)
    assert cost([CellState(cell.path, "r", "d", "damaged")]) == ""


def test_what_was_stored_before_is_no_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = running(tmp_path)
    os.utime(cell.store.path(0), (START - 1, START - 1))
    lease(cell, 1, START + 1, monkeypatch)
    found = progress_of(cell.path, now=START + 80)
    assert (found.images_per_s, found.expected_end) == (None, None)


def test_a_lease_of_an_earlier_version_says_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = running(tmp_path)
    lease(cell, 1, START, monkeypatch)
    path = cell.store.lease_path(1)
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "since"}))
    (worker,) = progress_of(cell.path, now=START + 9999).workers
    assert (worker.seconds, worker.straggler) == (None, False)


def test_status_as_json(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = running(tmp_path / "runs")
    broken = Maker(tmp_path / "runs").cell("other")
    (broken.path / "cell.json").write_text("{")
    lease(cell, 1, START, monkeypatch)
    ended = cli("status", "--json", "--runs", tmp_path / "runs")
    assert ended.code == 1
    one, two = json.loads(ended.out)["cells"]
    assert (one["status"], one["n_done"], one["hosts"]) == ("running", 8, [socket.gethostname()])
    assert one["workers"][0]["pid"] == os.getpid()
    assert two["status"] == "damaged"
    assert "not JSON" in two["error"]
    assert list(one) == list(two)


def test_watching_ends_when_nobody_computes(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = running(tmp_path / "runs")
    held = lease(cell, 1, START, monkeypatch)

    def let_go(_: float) -> None:
        with held:
            pass

    monkeypatch.setattr(status, "time", SimpleNamespace(sleep=let_go))  # between the first look and the second
    ended = cli("status", "--watch", "--every", "0.1", "--json", "--runs", tmp_path / "runs")
    assert ended.code == 0, ended.err
    looks = [json.loads(line)["cells"][0]["status"] for line in ended.out.splitlines()]
    assert looks[0] == "running"
    assert looks[-1] == "interrupted"
