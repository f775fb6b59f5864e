"""A task is found by its place: one module and an entry point, and every command knows it."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sambench import tasks
from tests.helpers import ROOT
from tests.helpers.inprocess import Cli
from tests.helpers.toy_task import TOY

Plug = Callable[[str, str], None]


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plug]:
    """Install a package of one module that brings a task: `plug(name, text)`."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    names = []

    def install(name: str, text: str) -> None:
        info = site / f"{name}_task-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-task\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sambench.tasks]\n{name} = {name}_task\n")
        (site / f"{name}_task.py").write_text(text)
        names.append(f"{name}_task")
        tasks._plugins.cache_clear()

    yield install
    for name in names:
        sys.modules.pop(name, None)
    tasks._plugins.cache_clear()


def test_its_command_is_made_of_its_settings(cli: Cli, plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    plug("toy", TOY)
    text = cli("run", "toy", "--help").out
    own = ("Toy: the share", "--share X", "Of the width", "--steps N,N,...", "[default: 1,2]", "--exact / --no-exact", "--half ")
    assert [part for part in (*own, "--limit-px N", "--on-error NAME") if part not in text] == []
    assert "--hidden" not in text
    assert text.index("--steps") < text.index("--half") < text.index("--share")
    monkeypatch.setenv("SAMBENCH_RUN_TOY_WAY", "down")
    plan = cli("run", "toy", "-m", "otsu", "--dry-run", "--steps", "3", "--exact", "--share", "0.3", "--half")
    assert [part for part in ('"exact":true', '"steps":[3]', '"way":"down"', '"share":0.5') if part not in plan.out] == []
    assert "note:" not in plan.err


SPELT_OUT = TOY.replace(
    '    name = "toy"\n',
    '    name: str = "toy"\n    protocol: str = "toy@1"\n\n'
    '    def identity(self):\n        return {"protocol": self.protocol, **vars(self.settings)}\n',
)


@pytest.mark.parametrize("text", [TOY, SPELT_OUT])
def test_its_protocol_and_identity(plug: Plug, text: str) -> None:
    plug("toy", text)
    task = tasks.build("toy", {"share": 0.25, "steps": [3]})
    own = {"share": 0.25, "steps": (3,), "way": "up", "limit_px": None, "exact": False, "hidden": None}
    assert (task.name, task.protocol, task.identity()) == ("toy", "toy@1", {"protocol": "toy@1", **own})


def test_a_tasks_name_is_no_argument_of_it() -> None:
    for name in ("box", "concepts", "edge", "point", "proposals", "instances"):
        with pytest.raises(TypeError, match="unexpected keyword"):
            type(tasks.build(name))(name="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(("flag", "value"), [("--way", "sideways"), ("--steps", "one"), ("--steps", "1,"), ("--share", "half")])
def test_a_value_that_does_not_fit_is_named(cli: Cli, plug: Plug, flag: str, value: str) -> None:
    plug("toy", TOY)
    wrong = cli("run", "toy", flag, value)
    assert wrong.code == 2
    assert flag in wrong.err


@pytest.mark.parametrize(("typed", "near"), [("tyo", "toy"), ("toi", "toy"), ("poitn", "point"), ("instance", "instances")])
def test_a_mistyped_task_is_told_the_near_ones(cli: Cli, plug: Plug, typed: str, near: str) -> None:
    plug("toy", TOY)
    wrong = cli("run", typed, "--model", "otsu")
    assert wrong.code == 2
    assert f"unknown task {typed!r}" in wrong.err
    assert f"did you mean {near!r}" in wrong.err


def test_every_command_knows_it(cli: Cli, plug: Plug, tmp_path: Path) -> None:
    plug("toy", TOY)
    assert "toy" in cli("run", "--help").out
    listed = cli("list", "tasks").out
    assert [name for name in ("toy@1", "point@1", "Toy: the share") if name not in listed] == []
    done = cli("run", "toy", "-m", "otsu", "-m", "grabcut", "--limit", "2", "--workers", "1", "--way", "down", "-q")
    assert done.code == 0, done.err
    assert "toy@1" in done.out
    runs = {p.name.split("-")[1]: p.name for p in (tmp_path / "runs").glob("toy-*")}
    table = csv.DictReader(io.StringIO(cli("table", *runs.values(), "-f", "csv").out))
    assert {r["model"]: float(r["covered"]) for r in table if r["model"] in runs} == {"otsu": 0.75, "grabcut": 0.5}
    assert runs["otsu"] in cli("status").out
    (row,) = csv.DictReader(io.StringIO(cli("rescore", runs["otsu"]).out))
    assert (row["protocol"], row["metric"], float(row["value"])) == ("toy@1", "covered", 0.75)
    compared = cli("compare", runs["otsu"], runs["grabcut"]).out
    assert "covered: A = toy-otsu" in compared
    assert "+25.0" in compared
    assert "covered" in cli("compare", runs["otsu"], runs["grabcut"], "--metric", "coverd").err


def test_the_task_of_the_documentation_is_complete(cli: Cli, plug: Plug) -> None:
    text = (ROOT / "docs" / "your-task.md").read_text()
    plug("jitter", text.partition("```python\n")[2].partition("```\n")[0])
    done = cli("run", "jitter", "-m", "otsu", "--limit", "1", "--shift-px", "0", "--workers", "1", "-q")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(cli("rescore", "otsu").out)))
    assert [r["metric"] for r in rows] == ["iou", "iou_beside"]
    assert rows[0]["value"] == rows[1]["value"]  # no shift, no difference
    assert 0 < float(rows[0]["value"]) < 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("broken", "raise ValueError('no')", "ValueError: no"),
        ("empty", "", "is not a task"),
        ("point", TOY, "two tasks have one name"),
        ("odd", TOY.replace("limit_px: int | None = None", "limit_px: dict[str, int] | None = None"), "where: limit_px"),
        ("bare", TOY.replace("ToySettings, ToyCommand", "ToySettings, 3"), "is no command"),
    ],
)
def test_a_plug_in_that_is_no_task_is_named(
    cli: Cli, plug: Plug, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    plug(name, text)
    found = cli("list", "tasks") if name == "point" else cli("run", name, "--dry-run")
    assert found.code == 2
    assert said in found.err
    if name != "point":  # the others do not suffer from it
        monkeypatch.setenv("SAMBENCH_LIMTI", "3")
        assert cli("run", "point", "--help").code == 0
        listed = cli("run", "--help")
        assert listed.code == 0
        assert [line for line in listed.out.splitlines() if name in line and "cannot be used" in line]
