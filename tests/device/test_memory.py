"""How many workers a GPU gets: from its free memory, the model's size and the cores; one where that is not known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sambench.device.memory import GIB, free_bytes, is_lost, was_short, workers_of
from sambench.engine.backends import local
from sambench.sources.models import ModelSpec, ResolvedModel

VIT_H, VIT_B, NANO = 2_564_550_879, 375_042_383, 5 << 20


@pytest.mark.parametrize(
    ("free_gib", "weights", "cores", "workers"),
    [
        (79, VIT_H, 16, 7),  # an H100
        (139, VIT_H, 16, 8),
        (23.5, VIT_H, 16, 2),  # a card of 24 GB
        (8, VIT_H, 16, 1),  # it is tried, and says so where it does not fit
        (79, VIT_B, 16, 8),
        (79, VIT_B, 4, 2),
        (79, VIT_B, 1, 1),
        (10, NANO, 32, 4),
        (None, VIT_B, 16, 1),
        (79, 0, 16, 1),  # a model of which nothing is known
    ],
)
def test_workers_of_a_gpu(free_gib: float | None, weights: int, cores: int, workers: int) -> None:
    assert workers_of(None if free_gib is None else int(free_gib * GIB), weights, cores) == workers


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for `nvidia-smi` that knows two GPUs."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$1" in\n--id=0) echo 80000;;\n--id=1|--id=GPU-b) echo 24000;;\n*) exit 6;;\nesac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tool


def test_the_driver_is_asked_for_the_gpu_that_torch_means(driver: Path) -> None:
    assert free_bytes("cuda:0", {}) == free_bytes("cuda", {}) == 80000 << 20
    assert free_bytes("cuda:1", {}) == 24000 << 20
    assert free_bytes("cuda:0", {"CUDA_VISIBLE_DEVICES": "1"}) == 24000 << 20
    assert free_bytes("cuda:1", {"CUDA_VISIBLE_DEVICES": "0, GPU-b"}) == 24000 << 20
    for device, visible in (("cuda:7", None), ("cuda:1", "0"), ("cuda:0", ""), ("cuda:0", "MIG-GPU-b/1/0")):
        assert free_bytes(device, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) is None


def test_no_driver_and_a_tool_that_says_something_else(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.write_text("#!/bin/sh\necho '[N/A]'\n")
    assert free_bytes("cuda:0", {}) is None
    monkeypatch.setenv("PATH", str(driver.parent / "nothing"))
    assert free_bytes("cuda:0", {}) is None


def test_a_run_places_workers_by_what_each_gpu_holds(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("sambench.engine.backends.local.cores", lambda: 32)
    spec = ModelSpec("m", {}, "cuda:0", "fp32")
    model = ResolvedModel(spec, "m", "m", {"device_kind": "cuda"}, weights_bytes=VIT_H)
    placed = local.BACKEND.places(model, ("cuda:0", "cuda:1"), None)
    assert [placed.count(d) for d in ("cuda:0", "cuda:1")] == [7, 2]
    assert local.BACKEND.places(model, ("cuda:1",), 3) == local.BACKEND.places(model, ("auto", "cuda:1"), 3) == ["cuda:1"] * 3


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("the queue is out of memory"), False),
        (MemoryError("CUDA error: out of memory"), False),
    ],
)
def test_what_says_that_a_gpus_memory_was_short(error: BaseException, short: bool) -> None:
    assert was_short(error) is short


def test_a_gpu_that_fails_whatever_is_asked_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fails(device: str) -> None:
        asked.append(device)
        if device == "cuda:1":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "synchronize", fails)
    assert [is_lost(device) for device in ("cpu", "cuda:0", "cuda:1")] == [False, False, True]
    assert asked == ["cuda:0", "cuda:1"]
