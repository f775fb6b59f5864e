"""A report cites what something in it was made of, and not all that it was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.cells import flat, point_cell
from tests.helpers.inprocess import Cli


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, whose cell's id is such as the engine gives."""
    monkeypatch.chdir(tmp_path)
    cell = point_cell(tmp_path / "runs", "demo", "sam_nano", flat(0.5))
    record = json.loads((cell.path / "cell.json").read_text())
    (cell.path / "cell.json").write_text(json.dumps(record | {"cell_id": "7" * 16}))
    return tmp_path / "runs"


@pytest.mark.parametrize(("report", "used"), [("table3", False), ("fig9b", False), ("results", True)])
def test_a_report_in_which_nothing_was_measured_cites_nothing(cli: Cli, runs: Path, report: str, used: bool) -> None:
    assert cli("report", report, "--runs", runs).code == 0
    page = Path("report") / f"{report}.html"
    assert ("7" * 16 in page.read_text(encoding="utf-8")) == used
    (told,) = json.loads(cli("runs", "list", "--json").out)["runs"]
    assert bool(told["cited_by"]) == used
    ended = cli("runs", "rm", "sam_nano")
    assert ended.code == (2 if used else 0), ended.err
