"""One meaning of a flag in all commands: `--out` and `-o` are where a command writes, `--runs` what it reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from sambench.cli import spellings, variables
from sambench.cli.app import app
from tests.helpers.cells import Maker
from tests.helpers.inprocess import Cli

READING = (
    "status", "table", "plot", "compare", "rescore", "gallery", "report", "reproduce", "bench", "show run", "results export",
    "runs list", "runs du", "runs rm", "runs gc",
)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, in a folder that is no command's default."""
    make = Maker(tmp_path / "mine")
    make.cell("demo", n_images=3)
    make.cell("demo", run="point-otsu-1a1a1a1a", model="otsu", n_images=3, seed=4)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mine"


def flags() -> Iterator[tuple[str, Any]]:
    for path, option in variables.flags_of(typer.main.get_command(app)):
        yield " ".join(path), option


def test_what_is_read_is_called_runs_everywhere() -> None:
    named = {path for path, option in flags() if option.opts[0] == "--runs"}
    assert named == set(READING)
    assert all("-r" in option.opts for _, option in flags() if option.opts[0] == "--runs")


def test_out_is_where_a_command_writes() -> None:
    """Of today's spellings, `-o` is never what is read, and nothing that is written has another name."""
    old = {(" ".join(path), flag) for path, by in spellings.OLD.items() for olds in by.values() for flag in olds}
    for path, option in flags():
        shown = [o for o in option.opts if (path, o) not in old]
        assert ("-o" in shown) == ("--out" in shown), path
        assert not {"--to", "--output", "--save"} & set(shown), path
        if "-o" in shown:
            assert not re.search(r"looked for|are read", option.help), path


@pytest.mark.parametrize("path", READING)
def test_help_shows_todays_spelling_alone(cli: Cli, path: str) -> None:
    ended = cli(*path.split(), "--help")
    assert "--runs" in ended.out
    assert not re.search(r"--(to|save|results)\b(?! export)", ended.out.split("Options")[-1])


@pytest.mark.parametrize("flag", ["--runs", "-r", "--out", "-o"])
def test_runs_are_read_by_the_new_and_the_old_spelling(cli: Cli, runs: Path, flag: str) -> None:
    for command in (("table", "otsu"), ("status",), ("compare", "grabcut", "otsu"), ("rescore", "otsu"), ("show", "run", "otsu")):
        ended = cli(*command, flag, "mine")
        assert ended.code == 0, (command, ended.err)
        assert ended.out


@pytest.mark.parametrize("flag", ["--out", "-o", "--to"])
def test_a_bundle_is_written_by_the_new_and_the_old_spelling(cli: Cli, runs: Path, flag: str) -> None:
    assert cli("results", "export", "otsu", "--runs", "mine", flag, "one.zip").code == 0
    assert Path("one.zip").is_file()
    assert cli("results", "import", "one.zip", "-o", "theirs").code == 0
    assert [p.name for p in Path("theirs").iterdir()] == ["point-otsu-1a1a1a1a"]


def csv_models(folder: str) -> set[str]:
    return set(re.findall(r"point-(\w+)-", (Path(folder) / "tables" / "runs.csv").read_text()))


def test_a_report_takes_names_from_the_folder_of_runs(cli: Cli, runs: Path) -> None:
    report = ("report", "fig9c", "-f", "csv")
    assert cli(*report, "--runs", "mine", "-o", "all").code == 0
    assert csv_models("all") == {"grabcut", "otsu"}
    assert cli(*report, "otsu", "--runs", "mine", "-o", "one").code == 0
    assert csv_models("one") == {"otsu"}
    assert cli(*report, "--runs", "mine/point-otsu-1a1a1a1a", "mine/point-grabcut-0a1b2c3d", "-o", "both").code == 0
    assert csv_models("both") == {"grabcut", "otsu"}
    assert cli(*report, "--runs", "otsu", "--results", "mine", "-o", "old").code == 0
    assert csv_models("old") == {"otsu"}
    ended = cli(*report, "ritm", "--runs", "mine", "-o", "none")
    assert ended.code == 2
    assert "there are: " in ended.err


def test_a_report_without_runs_is_of_all_that_there_are(cli: Cli, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.rename("runs")
    assert cli("report", "fig9c", "-f", "csv", "-o", "all").code == 0
    assert csv_models("all") == {"grabcut", "otsu"}


LISTS = ("list datasets", "list models", "list tasks", "list reports", "status -r mine", "table otsu -r mine")


@pytest.mark.parametrize("command", LISTS)
def test_lists_in_a_pipe_are_neither_filled_up_nor_folded(cli: Cli, runs: Path, command: str) -> None:
    lines = cli(*command.split()).out.splitlines()
    assert len(lines) > 2
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_long_value_stays_in_its_line(cli: Cli) -> None:
    lines = cli("list", "tasks").out.splitlines()
    assert max(map(len, lines)) > 240
    assert all(re.match(r"tasks$|protocol|\w+@\d", line) for line in lines)
