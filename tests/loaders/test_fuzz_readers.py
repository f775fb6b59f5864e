"""Mutated annotation and results files: an error of ours or rows, never an exception of another kind, a hang, or much memory."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import ROOT
from tests.helpers.fuzz_readers import JSON_READERS, findings, findings_of_results
from tests.helpers.mutate import mutated


def test_annotation_files(tmp_path: Path) -> None:
    assert list(findings(1, 150, JSON_READERS, tmp_path)) == []


def test_results_files(tmp_path: Path) -> None:
    assert list(findings_of_results(1, 200, tmp_path)) == []


def in_a_process(seed: int, n: int, *what: str) -> dict[str, Any]:
    """With a limit on its memory; the findings, its peak in MiB and its seconds."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.helpers.fuzz_readers", str(seed), str(n), *what],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "n"), [(2, 2000), (3, 9000)])
def test_many_annotation_files(seed: int, n: int) -> None:
    found = in_a_process(seed, n)
    assert found["findings"] == []
    assert found["peak_mib"] < 1024


@pytest.mark.slow
def test_many_results_files() -> None:
    found = in_a_process(2, 3000, "results")
    assert found["findings"] == []
    assert found["peak_mib"] < 1024


def test_mutations_are_of_every_kind() -> None:
    """The fuzzer itself: the same seed gives the same files, most of them JSON still, and no value is spared."""
    raw = json.dumps({"a": [1, 2.5, "x"], "b": {"c": True, "d": None}}).encode()
    made = [mutated(raw, "a.json", random.Random(seed)) for seed in range(2000)]
    assert made == [mutated(raw, "a.json", random.Random(seed)) for seed in range(2000)]
    assert len(set(made)) > 1000

    def parses(text: bytes) -> bool:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True

    assert 1000 < sum(map(parses, made)) < 1950
    for part in (b"NaN", b"null", b"1e+300", b"[[[[", b"99999999999999999999", b'"2.5"'):
        assert any(part in m for m in made), part
