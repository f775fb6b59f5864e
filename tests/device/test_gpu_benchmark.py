"""The GPU benchmark runs end to end, on the CPU with a toy: what it prints and writes, and what it says without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


def test_every_part_runs_and_has_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [part for part in gpu.PARTS if part != "workers"]  # whose processes import all of it anew: the next test
    flags = [flag for part in parts for flag in ("--only", part)]
    assert gpu.main(["--devices", "cpu", "--quick", *flags, "--json", str(tmp_path / "rows.json")]) == 0
    written = json.loads((tmp_path / "rows.json").read_text())
    printed = capsys.readouterr().out
    rows = {row["name"]: row for row in written["rows"]}
    assert all(name in printed for name in rows)
    assert all(row["ours"] > 0 for name, row in rows.items() if "against cpu" not in name and "waits" not in name)
    assert rows["of one image, fp32: scoring and clicks, kernels"]["ours"] > 50
    assert rows["fp32, embedding against cpu fp32"]["ours"] == 0
    compared = [name for name, row in rows.items() if row["ratio"] is not None]
    for beginning in ("tiny encoder", "decoder", "point task", "automatic masks", "the same, measured"):
        assert any(name.startswith(beginning) for name in compared), beginning
    for name in compared:
        row = rows[name]
        faster = row["ours"] / row["peer"] if row["unit"] == "images/s" else row["peer"] / row["ours"]
        assert row["ratio"] == pytest.approx(faster)
    assert "no figure of it means anything" in printed


def test_workers_are_processes_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--devices", "cpu", "--quick", "--only", "workers"]) == 0
    assert "point task, fp32, 1 worker on one device" in capsys.readouterr().out


def test_without_a_gpu_it_says_how_to_try_it(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu.main([]) == 2
    assert "--devices cpu --quick" in capsys.readouterr().err
