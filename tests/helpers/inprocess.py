"""The command line within the process of the tests: as quick as a function, with its exit code and what it printed."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from sambench.cli import run_command


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Cli:
    """`cli("show", "dataset", "demo")`: as `sambench show dataset demo`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *args: object) -> Ended:
        self.monkeypatch.setattr(sys, "argv", ["sambench", *map(str, args)])
        self.capsys.readouterr()
        code = 0
        try:
            run_command()
        except SystemExit as e:
            code = int(e.code or 0)
        return Ended(code, *self.capsys.readouterr())
