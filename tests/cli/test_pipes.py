"""A command whose output nobody reads any more, and names of files in a locale that knows ASCII alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT, own_data
from tests.helpers.cells import flat, point_cell


@pytest.mark.parametrize("args", [["list", "datasets"], ["table", "otsu"], ["list", "datasets", "--json"]])
def test_a_closed_pipe_is_no_failed_image(tmp_path: Path, args: list[str]) -> None:
    point_cell(tmp_path / "runs", "demo", "otsu", flat(0.5))
    read, write = os.pipe()
    os.close(read)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sambench", *args]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_locale_of_ascii_says_what_to_do(tmp_path: Path) -> None:
    labels = own_data.labels(tmp_path / "set")
    os.rename(labels.parent / "images" / "c.jpg", labels.parent / "images" / "Käse.jpg")
    os.rename(labels / "c.png", labels / "Käse.png")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "sambench", "run", "point", "-d", "labels:set/images,set/labels", "-m", "otsu", "--dry-run"]
    ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, env=env, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "set PYTHONUTF8=1" in ended.stderr
