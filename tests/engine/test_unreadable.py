"""Folders of results and of data that may not be read or entered: an error by name, not one of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT, write_nuclei


def as_a_user() -> list[str]:
    """What a command is to begin with so that permissions hold: root is above them."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root reads everything, and there is no setpriv")
    return ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]


def run(world: Path) -> subprocess.CompletedProcess[str]:
    args = ["run", "box", "-d", "bbbc038v1", "-m", "otsu", "-q", "-o", str(world / "out"), "--workers", "1"]
    command = [*as_a_user(), sys.executable, "-m", "sambench", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one picture and a run on it."""
    world = tmp_path_factory.mktemp("unreadable")
    write_nuclei(world / "data", 1, 1)
    os.environ["SAMBENCH_DATA"] = str(world / "data")
    try:
        done = run(world)
    finally:
        del os.environ["SAMBENCH_DATA"]
    assert done.returncode == 0, done.stderr
    return world


@pytest.fixture
def closed(finished: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """One of its folders, closed for the time being."""
    (path,) = finished.glob(request.param)
    path.chmod(0o000)
    yield path
    path.chmod(0o755)


@pytest.mark.parametrize(
    "closed",
    ["out", "out/box-*", "out/box-*/bbbc038v1-*", "out/box-*/*/shards", "data/bbbc038v1", "data/*/*/image000", "data/*/*/*/masks"],
    indirect=True,
)
def test_a_closed_folder_is_named(finished: Path, closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(finished / "data"))
    done = run(finished)
    assert done.returncode == 2, done.stdout + done.stderr
    assert str(closed) in done.stderr
    assert "ermission" in done.stderr
    assert "Traceback" not in done.stderr
