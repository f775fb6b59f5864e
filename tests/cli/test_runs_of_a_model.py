"""A model's name for its runs of several tasks, as `sambench demo` leaves them: which commands take all, and which ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.cells import edge_cell, flat, point_cell
from tests.helpers.inprocess import Cli


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of points of three models, and of edges of two of them."""
    monkeypatch.chdir(tmp_path)
    for i, model in enumerate(("sam_nano", "otsu", "grabcut")):
        point_cell(tmp_path / "runs", "demo", model, flat(0.4 + 0.1 * i))
    for model in ("sam_nano", "otsu"):
        edge_cell(tmp_path / "runs", model, [(1, 2, 1, 2), (1, 1, 1, 1)], n_images=3)
    return tmp_path / "runs"


def test_a_table_takes_all_of_them(cli: Cli, runs: Path) -> None:
    ended = cli("table", "sam_nano")
    assert ended.code == 0, ended.err
    assert "mIoU@1" in ended.out
    assert "ODS" in ended.out


def test_a_comparison_takes_those_of_the_task_that_both_have(cli: Cli, runs: Path) -> None:
    ended = cli("compare", "sam_nano", "grabcut")
    assert ended.code == 0, ended.err
    assert "demo" in ended.out
    ended = cli("compare", "sam_nano", "otsu")
    assert ended.code == 2
    assert "    sambench compare edge-sam_nano edge-otsu\n    sambench compare point-sam_nano point-otsu\n" in ended.err
    assert cli("compare", "point-sam_nano", "point-otsu").code == 0
    away = cli("compare", "sam_nano", "otsu", "-r", runs)
    assert f"sambench compare point-sam_nano point-otsu -r {runs}" in away.err


def test_pictures_are_of_one_task(cli: Cli, runs: Path) -> None:
    ended = cli("plot", "sam_nano", "-o", "pictures")
    assert ended.code == 2
    assert "sambench plot edge-sam_nano" in ended.err


def test_what_takes_one_run_goes_on_asking(cli: Cli, runs: Path) -> None:
    assert "could be several of the directories" in cli("show", "run", "sam_nano").err
