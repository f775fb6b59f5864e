"""What the operating system refuses is said with the path; a folder that cannot be read is not an empty one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sambench import cards, paths
from sambench.errors import CardError, RunError, system_error
from sambench.report.definitions import definitions
from sambench.store.lookup import all_cell_paths, find_cells
from tests.helpers.inprocess import Cli

LONG, DEEP = "n" * 300, "/".join(["d" * 200] * 30)


@pytest.mark.parametrize("name", [LONG, DEEP], ids=["name", "path"])
@pytest.mark.parametrize(
    "args",
    [
        ("status", "X"), ("status", "-o", "X"), ("table", "X"), ("compare", "X", "otsu"), ("rescore", "X"),
        ("report", "fig9c", "--runs", "X"), ("report", "X.toml"), ("results", "import", "X"), ("results", "export", "X"),
        ("rate", "stats", "X"), ("masks", "X", "-o", "m"), ("show", "dataset", "X.toml"), ("show", "model", "X.toml"),
        ("data", "where", "X.toml"), ("data", "adopt", "doors", "X"), ("data", "verify", "doors", "--root", "X"),
        ("check", "model", "python:X.py:f"), ("run", "point", "-d", "demo", "-m", "otsu", "--out", "X"),
        ("run", "point", "-d", "doors", "--root", "X"), ("run", "point", "-d", "demo", "-M", "weights=X"),
        ("run", "point", "-d", "demo", "--subset", "X"), ("run", "point", "--config", "X"), ("run", "edge", "-m", "edges:X"),
        ("run", "proposals", "-d", "demo", "-m", "proposals:X"), ("run", "instances", "-d", "demo", "--boxes", "X"),
    ],
)  # fmt: skip
def test_a_name_longer_than_a_file_system_takes(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*(a.replace("X", name) for a in args))
    assert ended.code == 2
    assert ended.err.startswith("error:")
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("variable", ["SAMBENCH_HOME", "SAMBENCH_CACHE", "SAMBENCH_DATA", "SAMBENCH_OUT"])
def test_a_variable_of_such_a_name(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    monkeypatch.setenv(variable, str(tmp_path / LONG))
    commands = {
        "SAMBENCH_OUT": ("status",),
        "SAMBENCH_DATA": ("list", "datasets"),
        "SAMBENCH_HOME": ("list", "datasets"),
        "SAMBENCH_CACHE": ("run", "point", "-d", "demo", "-m", "otsu", "--limit", "1", "-o", str(tmp_path / "r")),
    }
    ended = cli(*commands[variable])
    assert ended.code == 2
    assert str(tmp_path / LONG)[:40] in ended.err
    assert "File name too long" in ended.err
    assert cli("doctor").code in (0, 1)


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As if the folder could be seen and not be read; the superuser, who runs tests in containers, may read all."""
    inner = os.listdir
    scan = os.scandir

    def guarded(real: object, path: object = ".") -> object:
        if Path(os.fspath(path)) == folder:  # type: ignore[arg-type, call-overload]
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)  # type: ignore[operator]

    monkeypatch.setattr(os, "listdir", lambda path=".": guarded(inner, path))
    monkeypatch.setattr(os, "scandir", lambda path=".": guarded(scan, path))


def test_folders_of_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "runs" / "point-otsu-01234567").mkdir(parents=True)
    refuse(monkeypatch, tmp_path / "runs" / "point-otsu-01234567")
    folder = tmp_path / "runs" / "point-otsu-01234567"
    assert all_cell_paths(tmp_path / "runs") == [folder]  # not left out in silence: whoever reads it says what is wrong
    with pytest.raises(RunError) as e:
        find_cells("point-otsu", tmp_path / "runs")
    assert str(folder) in str(e.value)
    assert all_cell_paths(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("kind", "ask", "error"),
    [
        ("datasets", cards.dataset_cards, CardError),
        ("baselines", cards.model_cards, CardError),
        ("reports", definitions, PermissionError),
    ],
)
def test_folders_of_cards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, ask: object, error: type[Exception]
) -> None:
    folder = tmp_path / "cards" / kind
    folder.mkdir(parents=True)
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path))
    refuse(monkeypatch, folder)
    with pytest.raises(error, match=r"Permission denied|folder of cards cannot be read"):
        ask()  # type: ignore[operator]


def test_a_command_says_which(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cards" / "datasets").mkdir(parents=True)
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path))
    refuse(monkeypatch, tmp_path / "cards" / "datasets")
    ended = cli("list", "datasets")
    assert ended.code == 2
    assert str(tmp_path / "cards" / "datasets") in ended.err
    assert "Permission denied" in ended.err
    assert "permissions" in ended.err


def test_a_folder_of_annotations_is_walked_whole_or_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    refuse(monkeypatch, tmp_path / "a")
    with pytest.raises(PermissionError):
        list(paths.walk(tmp_path))
    assert list(paths.walk(tmp_path / "absent")) == []


def test_an_error_that_is_not_the_systems_stays_ours(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("no number")

    monkeypatch.setattr(cards, "dataset_cards", broken)
    monkeypatch.delenv("SAMBENCH_DEBUG", raising=False)
    ended = cli("list", "datasets")
    assert ended.code == 70
    assert "error of its own" in ended.err
    assert "report it" in ended.err


def test_a_path_of_thousands_of_characters_is_cut() -> None:
    assert len(str(system_error(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 10_000)))) < 500
