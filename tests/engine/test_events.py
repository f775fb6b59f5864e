"""Events of a run: every kind that is told of is declared, and nothing is declared that nobody tells."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from sambench.cli.progress import Reporter
from sambench.engine import events
from sambench.engine.progress import Ignored, PythonProgress
from tests.helpers import ROOT

DECLARED = {get_args(get_type_hints(kind)["event"])[0]: kind for kind in get_args(events.Event)}
SAMPLES: dict[str, dict[str, Any]] = {
    "index": {"dataset": "d", "done": 1, "total": 2},
    "download": {"model": "m", "done": 2_000_000, "total": None},
    "begin": {
        "cell_id": "c", "dataset": "d", "model": "m", "cell_dir": "x", "n_images": 2, "n_objects": 3, "missing": ["i", "j"],
    },
    "cell": {"cell_id": "c"},
    "image": {
        "cell_id": "c", "image_id": "i", "status": "failed", "error": "torn", "n_objects": 1, "running": {"mIoU": (0.5, 1)},
    },
    "waiting": {"cell_id": "c", "dataset": "d", "holder": "pid 1 on node", "pid": None, "how": "it ends"},
    "note": {"text": "a note"},
    "interrupt": {"times": 1, "grace_s": 30.0},
}  # fmt: skip


def emitted(file: Path) -> set[str]:
    """The kinds in a module's literals `{"event": KIND, ...}`; one that is no literal is `?`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant) and key.value == "event":
                found.add(str(value.value) if isinstance(value, ast.Constant) else "?")
    return found


def test_every_kind_that_is_emitted_is_declared_and_none_else() -> None:
    found = set().union(*(emitted(p) for p in (ROOT / "sambench").rglob("*.py")))
    assert found == set(DECLARED)


def test_the_display_shows_every_kind_or_ignores_it_on_purpose(capfd: pytest.CaptureFixture[str]) -> None:
    assert set(SAMPLES) | set(get_args(Ignored)) == set(DECLARED)
    with Reporter(quiet=False) as reporter:
        reporter.index_said["d"] = 0.0
        for kind, fields in SAMPLES.items():
            assert fields.keys() == get_type_hints(DECLARED[kind]).keys() - {"event", "traceback"}
            reporter.on_event({"event": kind, **fields})  # type: ignore[misc]
        for kind in get_args(Ignored):
            reporter.on_event({"event": kind})
    said = capfd.readouterr().err
    parts = ("first look at d", "weights of m: 2 MB", "m on d: 2 images, 3", "i failed: torn", "by pid 1", "a note", "stopping")
    assert [part for part in parts if part not in said] == []


def test_so_does_that_of_python(capfd: pytest.CaptureFixture[str]) -> None:
    progress = PythonProgress()
    for kind, fields in SAMPLES.items():
        progress.on_event({"event": kind, **fields})  # type: ignore[misc]
    said = capfd.readouterr().err
    assert [part for part in ("weights of m: 2 MB", "m on d: 2 images", "i failed: torn", "a note") if part not in said] == []
