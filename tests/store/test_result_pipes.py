"""Pipes, folders and forgeries where results should lie: nothing waits for ever, and the advice that is given mends."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from sambench.cli.app import app
from sambench.errors import RunError, UsageError
from sambench.loaders.subsets import listed_ids
from sambench.results.bundle import export, inspect
from sambench.store.lookup import find_cells
from sambench.store.record import write_record
from tests.helpers import store_world as world
from tests.helpers.store_world import cell_of, go, values_of, view


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    world.write_world(tmp_path / "data")
    go(tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["cell.json", "images.txt", "metrics.parquet", "shards/000000.parquet"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_pipes_and_folders_are_no_files(out: Path, name: str, make: object) -> None:
    right, path = values_of(view(out)), cell_of(out) / name
    path.unlink()
    make(path)  # type: ignore[operator]
    with pytest.raises(RunError, match="move it away, and issue the run's command again") as e:
        values_of(view(out))
    assert str(path) in str(e.value)
    path.rmdir() if path.is_dir() else path.unlink()
    assert values_of(go(out)) == right


def test_a_pipe_among_rows_that_nobody_vouches_for(out: Path) -> None:
    record = json.loads((cell_of(out) / "cell.json").read_text())
    write_record(cell_of(out), record | {"status": "running", "results": None})
    shard = cell_of(out) / "shards/000000.parquet"
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(RunError, match="not a regular file"):
        _ = find_cells(str(out))[0].live


def test_pipes_elsewhere(out: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="sambench results export"):
        inspect(tmp_path / "pipe")
    with pytest.raises(UsageError, match="subset file cannot be read"):
        listed_ids(tmp_path / "pipe", {"a"}, "x")
    (cell_of(out).parent / "model.json").unlink()
    os.mkfifo(cell_of(out).parent / "model.json")
    with pytest.raises(RunError, match="not a regular file"):
        export([view(out)], tmp_path / "x.zip")


def test_ids_of_a_subset_may_have_marks_in_them(tmp_path: Path) -> None:
    known = {"photo #1", "#2", "a", "b\x85c"}
    (tmp_path / "ids").write_bytes("photo #1\r\n#2\na # the first\n# a remark\nb\x85c\n".encode())
    assert listed_ids(tmp_path / "ids", known, "x") == known


def test_complete_cells_are_of_all_images(out: Path) -> None:
    record, right = json.loads((cell_of(out) / "cell.json").read_text()), values_of(view(out))
    write_record(cell_of(out), record | {"limit": 3})
    with pytest.raises(RunError, match="of the first 3 images alone"):
        view(out)
    assert values_of(go(out)) == right


def test_forged_metrics_do_not_leave_the_machine(out: Path, tmp_path: Path) -> None:
    """Metrics edited, and every digest made anew."""
    folder, right = cell_of(out), values_of(view(out))
    record = json.loads((folder / "cell.json").read_text())
    frame = pd.read_parquet(folder / "metrics.parquet").assign(value=0.99)
    frame.to_parquet(folder / "metrics.parquet", index=False)
    record["results"]["metrics"]["metrics.parquet"] = hashlib.sha256((folder / "metrics.parquet").read_bytes()).hexdigest()
    write_record(folder, record)
    with pytest.raises(RunError, match="metrics are not those of its rows"):
        export([view(out)], tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()
    found = CliRunner().invoke(app, ["rescore", str(out)])
    assert found.exit_code == 0
    assert "0.99" in found.stderr
    assert ",0.99," not in found.stdout
    (folder / "metrics.csv").unlink()  # as the message says
    assert values_of(go(out)) == right
    export([view(out)], tmp_path / "x.zip")


def test_a_cell_under_another_folder_name_is_not_exported(out: Path, tmp_path: Path) -> None:
    folder = cell_of(out)
    folder.rename(folder.with_name("mine"))
    with pytest.raises(RunError, match="give the folder its name back"):
        export(find_cells(str(out)), tmp_path / "x.zip")
