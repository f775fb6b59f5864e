"""What users call their models: shown, found by, and no part of what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sambench.errors import UsageError
from sambench.store.labels import LONGEST, check_label, label_of_run
from sambench.store.lookup import find_cells
from tests.helpers.inprocess import Cli

NAME = "my SAM, epoch 3"
RUN = ("run", "point", "--clicks", "1", "--limit", "1")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("named") / "runs"


@pytest.fixture
def named(runs: Path, cli: Cli) -> Path:
    """Runs of two models, the first with a name; made once."""
    if not runs.exists():
        ended = cli(*RUN, "--out", runs, "--model", "otsu", "--model", "grabcut", "--name", NAME)
        assert ended.code == 0, ended.err
        assert "no --name was given for grabcut: called so" in ended.err
        assert NAME in ended.out
    return runs


def test_it_is_beside_the_identity_and_in_no_path(named: Path, cli: Cli) -> None:
    (cell,) = find_cells("otsu", named)
    assert (cell.model, cell.label) == ("otsu", NAME)
    assert NAME not in str(cell.path)
    assert NAME not in str(cell.record.model) + str(cell.record.identity)
    plain = cli(*RUN, "--out", named, "--model", "otsu", "--dry-run")
    assert "done: would be reused" in " ".join(plain.out.split())
    assert cell.path.name in plain.out.replace("\n", "")


def test_tables_comparisons_and_states_show_it(named: Path, cli: Cli) -> None:
    for command in (["table", "otsu", "grabcut"], ["status"], ["compare", "otsu", "grabcut"], ["show", "run", "otsu"]):
        ended = cli(*command, "--out", named)
        assert ended.code == 0, ended.err
        assert NAME in " ".join(ended.out.split()), command
    row = json.loads(cli("table", "otsu", "grabcut", "--out", named, "--format", "json").out)["rows"][0]
    assert row["model"] == NAME


def test_a_run_is_found_by_it(named: Path) -> None:
    assert [c.model for c in find_cells(NAME, named)] == ["otsu"]
    with pytest.raises(UsageError, match="no run"):
        find_cells("my SAM, epoch 4", named)


def test_the_same_command_with_another_name_renames(named: Path, cli: Cli) -> None:
    before = {p: p.read_bytes() for p in named.rglob("*") if p.is_file() and p.name != "model.json"}
    ended = cli(*RUN, "--out", named, "--model", "otsu", "--name", "epoch 4")
    assert ended.code == 0, ended.err
    (cell,) = find_cells("epoch 4", named)
    assert cell.label == "epoch 4"
    assert cli(*RUN, "--out", named, "--model", "otsu").code == 0  # without a name: it keeps the one that it has
    assert find_cells("otsu", named)[0].label == "epoch 4"
    assert {p: p.read_bytes() for p in before} == before
    assert cli(*RUN, "--out", named, "--model", "otsu", "--name", NAME).code == 0


def test_names_travel_in_bundles_and_do_not_part_runs(named: Path, tmp_path: Path, cli: Cli) -> None:
    bundle = tmp_path / "cells.zip"
    assert cli("results", "export", "otsu", "--runs", named, "--out", bundle).code == 0
    assert cli("results", "import", bundle, "--out", tmp_path / "other").code == 0
    assert find_cells("otsu", tmp_path / "other")[0].label == NAME
    run_dir = find_cells("otsu", tmp_path / "other")[0].path.parent
    found = json.loads((run_dir / "model.json").read_text())
    (run_dir / "model.json").write_text(json.dumps({**found, "label": "theirs"}))
    assert cli("results", "import", bundle, "--out", tmp_path / "other").code == 0
    (run_dir / "model.json").write_text(json.dumps({**found, "model": {}}))
    assert cli("results", "import", bundle, "--out", tmp_path / "other").code == 2


def test_names_that_do_not_fit_are_said_before_anything_runs(tmp_path: Path, cli: Cli) -> None:
    def refused(*args: str) -> str:
        ended = cli(*RUN, "--out", tmp_path / "runs", "--model", "otsu", *args)
        assert ended.code == 2
        assert not (tmp_path / "runs").exists()
        return " ".join(ended.err.split())

    assert "2 names for 1 model" in refused("--name", "a", "--name", "b")
    assert "two models have one name" in refused("--model", "grabcut", "--name", "a", "--name", "a")
    assert "the id of another model" in refused("--name", "sam_vit_h")
    assert "printable" in refused("--name", "a\nb")
    assert "printable" in refused("--name", " a")
    assert "empty" in refused("--name", "")
    for odd in ("", "x" * (LONGEST + 1), "a\x1b[2J", "a\u202eb", 3):
        with pytest.raises(UsageError, match="a name does not fit"):
            check_label(odd)
    assert check_label("für β, 3 µm (½)") == "für β, 3 µm (½)"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"label": 3}', b'{"label": "a\\u001b"}', b"[" * 100_000])
def test_a_file_that_names_nothing_is_no_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    assert label_of_run(tmp_path) == ""
    assert label_of_run(tmp_path / "none") == ""
