"""What a run can be asked for, from Python as on the command line: values that mean nothing are refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sambench
from sambench.engine.request import Request
from sambench.errors import UsageError

WRONG = [
    ("save_masks", "non"), ("save_masks", None), ("on_error", "rcord"), ("scoring", "gpu"), ("precision", "fp8"), ("limit", 0),
    ("limit", 2.5), ("limit", "2"), ("limit", True), ("workers", 0), ("workers", "2"), ("workers", 1.5), ("devices", ""),
    ("devices", []), ("devices", ["cpu", 3]), ("subset", None), ("root", 3), ("out", 3), ("out", None), ("out", ""),
    ("fresh", "no"), ("backend", None), ("placement", 3), ("settings", 3), ("datasets", []),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_value_that_means_nothing_is_refused(field: str, value: Any, tmp_path: Path) -> None:
    asked = {"out": str(tmp_path / "runs"), "limit": 1, field: value}
    with pytest.raises(UsageError):
        sambench.run("point", model="otsu", **asked)
    with pytest.raises(UsageError):
        sambench.evaluate(object(), "point", **asked)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("model", [[], "otsu"])
def test_models_and_their_options(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        sambench.run("point", model=model, options=3, out=str(tmp_path / "runs"))  # type: ignore[arg-type]


def test_what_is_usual_fits(tmp_path: Path) -> None:
    for more in ({}, {"root": tmp_path}, {"limit": 3, "workers": 1}, {"save_masks": "none", "on_error": "stop", "scoring": "host"}):
        Request("point", **more).check()  # type: ignore[arg-type]
