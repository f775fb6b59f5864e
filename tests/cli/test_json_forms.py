"""`--json` of the commands that say what there is, the doctor's ten lines, and completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sambench.conformance import doctor
from sambench.conformance.doctor import Check
from sambench.conformance.doctor_summary import summary
from tests.helpers.cells import flat, point_cell
from tests.helpers.inprocess import Cli


@pytest.mark.parametrize(
    ("command", "key", "has"),
    [
        ("datasets", "datasets", {"id": "demo", "access": "embedded", "here": True}),
        ("datasets", "suites", {"id": "sa23"}),
        ("models", "models", {"id": "otsu", "weights": None, "here": True}),
        ("models", "models", {"id": "sam_vit_b", "here": False, "bytes": 375042383}),
        ("tasks", "tasks", {"name": "point", "protocol": "point@1"}),
        ("readers", "readers", {"name": "coco"}),
        ("reports", "reports", {"id": "fig13"}),
    ],
)
def test_lists(cli: Cli, command: str, key: str, has: dict[str, object]) -> None:
    listed = json.loads(cli("list", command, "--json").out)[key]
    assert len({tuple(x) for x in listed}) == 1  # the same keys in all
    assert any(has.items() <= x.items() for x in listed)


def test_show(cli: Cli, tmp_path: Path) -> None:
    shown = json.loads(cli("show", "dataset", "bbbc038v1", "--json").out)
    assert (shown["id"], shown["here"], shown["paper"]["images"]) == ("bbbc038v1", None, 227)
    assert json.loads(cli("show", "dataset", "sa23", "--json").out)["kind"] == "suite"
    assert json.loads(cli("show", "model", "sam_nano", "--json").out)["here"] is True
    cell = point_cell(tmp_path, "demo", "otsu", flat(0.5))
    run = ("show", "run", cell.path, "--runs", tmp_path)
    assert json.loads(cli(*run, "--json").out) == json.loads(cli(*run, "--format", "json").out)


def test_the_doctor_in_ten_lines(cli: Cli) -> None:
    short, long = cli("doctor"), cli("doctor", "--all")
    told = json.loads(cli("doctor", "--json").out)
    assert short.code == long.code == (0 if told["ok"] else 1)
    if told["ok"]:
        assert len(short.out.splitlines()) == 10
    assert "data: 1 of " in short.out
    assert f"all {len(told['checks'])} checks: sambench doctor --all" in short.out
    assert all(f"{c['name']}: " in long.out for c in told["checks"])


def test_every_failure_is_in_the_short_form(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [*doctor.examine(), *(Check(f"odd {p}", False, "broken", "mend it", p) for p in (
        "python", "libraries", "opencv", "devices", "folders", "cards", "data", "weights", "terminal"
    ))]  # fmt: skip
    assert {c for c in found if c.ok is False} <= set(summary(found))
    monkeypatch.setattr(doctor, "_devices", lambda: 1 / 0)
    assert "cannot be examined: ZeroDivisionError" in next(c.found for c in summary(doctor.examine()) if c.name == "devices")


@pytest.mark.parametrize(
    ("typed", "offered"), [("sambench sta", ["status"]), ("sambench run po", ["point"]), ("sambench status --ever", ["--every"])]
)
def test_completion(typed: str, offered: list[str]) -> None:
    n = len(typed.split()) - 1
    env = {**os.environ, "_SAMBENCH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(n)}
    done = subprocess.run([sys.executable, "-m", "sambench"], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == offered, done.stderr
