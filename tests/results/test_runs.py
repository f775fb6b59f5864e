"""`sambench runs`: sizes and what cites what; nothing that is cited or computed goes; gc takes no result."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from sambench.results import runs as stored
from sambench.store.leases import try_lease
from tests.helpers.cells import flat, point_cell
from tests.helpers.inprocess import Cli

LONG_AGO = time.time() - 2 * stored.QUIET_S


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, the ids of whose cells are such as the engine gives."""
    monkeypatch.chdir(tmp_path)
    for i, model in enumerate(("sam_nano", "grabcut")):
        cell = point_cell(tmp_path / "runs", "demo", model, flat(0.5 + 0.1 * i))
        record = json.loads((cell.path / "cell.json").read_text())
        (cell.path / "cell.json").write_text(json.dumps(record | {"cell_id": f"{i}" * 16}))
    return tmp_path / "runs"


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def all_files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_sizes_are_those_of_the_files(cli: Cli, runs: Path) -> None:
    told = json.loads(cli("runs", "du", "--json").out)
    assert told["bytes"] == sum(p.stat().st_size for p in runs.rglob("*") if p.is_file())
    for run in told["runs"]:
        assert run["bytes"] == sum(run["sizes"].values())
        assert run["sizes"]["rows"] == sum(p.stat().st_size for p in Path(run["path"]).rglob("shards/*.parquet"))
    assert "all" in cli("runs", "du").out
    listed = json.loads(cli("runs", "list", "grabcut", "--json").out)["runs"]
    assert [(r["task"], r["model"], r["cells"][0]["status"]) for r in listed] == [("point", "grabcut", "complete")]


def test_what_a_report_cites_stays(cli: Cli, runs: Path, tmp_path: Path) -> None:
    before = all_files(runs)
    assert cli("report", "results", "sam_nano", "--out", tmp_path / "far" / "away").code == 0
    (page,) = (tmp_path / "far" / "away").glob("*.html")
    cited = {r["model"]: r["cited_by"] for r in json.loads(cli("runs", "list", "--json").out)["runs"]}
    assert cited == {"sam_nano": [str(page)], "grabcut": []}
    assert "results.html" in cli("runs", "list").out
    ended = cli("runs", "rm", "grabcut", "sam_nano")
    assert ended.code == 2
    assert str(page) in ended.err
    assert len(names(runs)) == 2  # neither of them
    assert cli("runs", "rm", "sam_nano", "--force", "--dry-run").code == 0
    assert set(before) <= set(all_files(runs))
    assert cli("runs", "rm", "sam_nano", "--force").code == 0
    assert [n.split("-")[1] for n in names(runs)] == ["grabcut"]


def test_a_report_that_was_moved_still_cites(cli: Cli, runs: Path, tmp_path: Path) -> None:
    cli("report", "results", "sam_nano", "--out", tmp_path / "r")
    shutil.move(tmp_path / "r", tmp_path / "moved")
    shutil.rmtree(runs / ".cited")
    ended = cli("runs", "rm", "sam_nano", "--reports", tmp_path / "moved")
    assert ended.code == 2
    assert "moved" in ended.err
    assert cli("runs", "rm", "sam_nano", "--reports", tmp_path / "r").code == 2  # there is no such folder
    assert cli("runs", "rm", "sam_nano").code == 0  # nothing says so any more


def test_what_is_computed_stays_with_force_too(cli: Cli, runs: Path) -> None:
    (shards,) = runs.glob("point-grabcut-*/*/shards")
    lease = try_lease(shards / "000000.claim")
    assert lease is not None
    with lease:
        ended = cli("runs", "rm", "grabcut", "--force")
        assert (ended.code, f"pid {os.getpid()}" in ended.err) == (2, True)
    assert cli("runs", "rm", "grabcut", "--json").code == 0
    assert [n.split("-")[1] for n in names(runs)] == ["sam_nano"]


def test_a_folder_of_runs_is_not_one_run(cli: Cli, runs: Path) -> None:
    assert cli("runs", "rm", runs).code == 2
    assert cli("runs", "rm", "nothing").code == 2
    assert len(names(runs)) == 2


def test_one_cell_of_a_run_goes_and_the_rest_stays(cli: Cli, runs: Path) -> None:
    cell = point_cell(runs, "other", "grabcut", flat(0.5))
    assert cli("runs", "rm", "grabcut/other").code == 0
    assert not cell.path.exists()
    assert names(cell.path.parent)[0].startswith("demo-")
    assert cli("runs", "rm", "grabcut/demo").code == 0
    assert not cell.path.parent.exists()  # it was the last


def test_gc_takes_what_killed_commands_left_and_no_result(cli: Cli, runs: Path, tmp_path: Path) -> None:
    assert cli("runs", "gc").out == "nothing to remove\n"
    results = all_files(runs)
    (cell,) = runs.glob("point-grabcut-*/demo-*")
    left = [
        runs / ".removed-point-x-00000000-12345678" / "cell" / "cell.json",
        cell / "shards" / "000007.claim",
        cell / ".cell.json.1-0a0a0a0a",
        cell.parent / f".{cell.name}.old" / "cell.json",
        cell.parent / f".{cell.name}.fresh" / "cell.json",
        runs / "point-dead-00000000" / "demo-00000000" / "shards",
    ]
    for path in left[:-1]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"host": os.uname().nodename, "pid": 2**22 + 1, "start": "1"}))
    left[-1].mkdir(parents=True)
    young = cell / "shards" / ".000000.parquet.1-0b0b0b0b"
    for path in (*left, *(p.parent for p in left), left[-1].parent.parent):
        os.utime(path, (LONG_AGO, LONG_AGO))
    young.write_text("being written")
    cli("report", "results", "sam_nano", "--out", tmp_path / "r")
    shutil.rmtree(tmp_path / "r")
    would = json.loads(cli("runs", "gc", "--dry-run", "--json").out)["removed"]
    assert all(p.exists() for p in left)
    did = json.loads(cli("runs", "gc", "--json").out)["removed"]
    assert did == would
    assert {"a cell without an image", "was replaced", "a lease of a process that is gone"} <= {r["why"] for r in did}
    assert any("which is gone" in r["why"] for r in did)
    assert not any(p.exists() for p in left)
    assert young.exists()
    young.unlink()
    assert set(results) <= set(all_files(runs))


def test_an_interrupted_removal_leaves_no_half_run(cli: Cli, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(path: Path, *_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stored.shutil, "rmtree", dies)
    assert cli("runs", "rm", "grabcut").code == 130
    monkeypatch.undo()
    monkeypatch.chdir(runs.parent)
    assert [n.split("-")[1] for n in names(runs)] == ["sam_nano"]
    assert "was being removed" in cli("runs", "gc").out
    assert not list(runs.glob(".removed*"))
