"""`sambench show run`: what an identity is made of, and where two runs differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sambench.cli.app import app
from sambench.errors import UsageError
from sambench.provenance import digest
from tests.helpers import store_world as world
from tests.helpers.cells import flat, point_cell
from tests.helpers.store_world import go


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    world.write_world(tmp_path / "data")
    go(tmp_path / "a")
    go(tmp_path / "b", level=120)
    return tmp_path


def test_an_identity_is_printed_with_all_that_is_hashed(runs: Path) -> None:
    found = CliRunner().invoke(app, ["show", "run", str(runs / "a")])
    assert found.exit_code == 0
    for text in ("point@1", "clicks", "1, 2", "level", "annotation_digest", "subset_digest", "bbbc038v1", "not in it: workers"):
        assert text in found.stdout


def test_as_json_it_hashes_to_the_cells_id(runs: Path) -> None:
    found = CliRunner().invoke(app, ["show", "run", str(runs / "a"), "--format", "json"])
    (cell,) = json.loads(found.stdout)
    assert digest(cell["identity"])[:16] == cell["cell_id"]
    assert cell["path"].endswith(digest(cell["identity"]["dataset"])[:8])


def test_where_two_runs_differ(runs: Path) -> None:
    found = CliRunner().invoke(app, ["show", "run", str(runs / "a"), str(runs / "b"), "-f", "json"])
    (pair,) = json.loads(found.stdout)
    assert [100, 120] in pair["differ"].values()
    assert all(name.startswith("model.") for name in pair["differ"])
    text = CliRunner().invoke(app, ["show", "run", str(runs / "a"), str(runs / "b")]).stdout
    assert "100 and 120" in text
    assert "of one identity" in CliRunner().invoke(app, ["show", "run", str(runs / "a"), str(runs / "a")]).stdout


def test_records_of_an_earlier_version_and_wrong_flags(runs: Path) -> None:
    old = point_cell(runs / "old", "ppdls", "grabcut", flat(0.5))
    assert "grabcut" in CliRunner().invoke(app, ["show", "run", str(old.path)]).stdout
    two = point_cell(runs / "old", "demo", "grabcut", flat(0.5))
    wrong = CliRunner().invoke(app, ["show", "run", str(runs / "old"), str(runs / "a")])
    assert isinstance(wrong.exception, UsageError)
    assert "differ in" in CliRunner().invoke(app, ["show", "run", str(old.path), str(two.path)]).stdout
    assert isinstance(CliRunner().invoke(app, ["show", "run", str(old.path), "-f", "xml"]).exception, UsageError)
