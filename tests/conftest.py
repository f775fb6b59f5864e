"""Shared fixtures: where the real pictures and the full golden files are, if they stand beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.helpers.inprocess import Cli


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and golden files: `$SAMBENCH_SHARED`, or `shared` beside the checkout."""
    for candidate in (os.environ.get("SAMBENCH_SHARED"), ROOT.parent / "shared"):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    pytest.skip("no `shared` folder with real data beside the checkout (or under SAMBENCH_SHARED)")


@pytest.fixture(autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own cards, caches or data; the cache is one for the session."""
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("SAMBENCH_HOME", str(base / "home"))
    monkeypatch.setenv("SAMBENCH_CACHE", str(base / "cache"))
    monkeypatch.delenv("SAMBENCH_DATA", raising=False)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line, in this process."""
    return Cli(monkeypatch, capsys)
