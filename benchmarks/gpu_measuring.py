"""What `benchmarks.gpu` measures with: the sizes of a run, a figure with its peer, times with the device's work, CUDA graphs."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sambench.tasks.point import PointSettings, PointTask


@dataclass(frozen=True)
class Setup:
    """What is measured. arch: of the big model; objects: an image; grid: points a side of automatic masks.

    rounds: after one that does not count; 0: one, which does.
    """

    device: str
    arch: str
    amg_arch: str
    objects: int
    peer_objects: int
    images: int
    prompts: int
    grid: int
    rounds: int
    workers: tuple[int, ...]

    @property
    def kind(self) -> str:
        return self.device.partition(":")[0]

    @property
    def precisions(self) -> tuple[str, ...]:
        return ("fp32", "tf32", "bf16") if self.kind == "cuda" else ("fp32",)

    @property
    def task(self) -> PointTask:
        """Nine clicks; of the toy two."""
        return PointTask() if self.rounds else PointTask(PointSettings(clicks=(1, 2)))


def setup_of(device: str, *, quick: bool) -> Setup:
    """For a GPU, or for trying out."""
    if quick:
        return Setup(device, "tiny", "tiny", 2, 1, 1, 2, 2, 0, (1,))
    return Setup(device, "vit_h", "vit_b", 35, 4, 4, 64, 32, 5, (1, 4, 8))


@dataclass(frozen=True)
class Row:
    """One figure. peer: the same of PyPI's package, in the same unit. goal: that of the project for one H100 or H200."""

    name: str
    ours: float
    unit: str
    peer: float | None = None
    goal: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster than the peer."""
        if self.peer is None:
            return None
        return self.ours / self.peer if self.unit.endswith("/s") else self.peer / self.ours


def timed_ms(setup: Setup, function: Callable[[], Any]) -> float:
    """Median milliseconds of a call, after one that does not count; the device's work included."""
    if setup.rounds:
        once_ms(setup, function)
    return statistics.median(once_ms(setup, function) for _ in range(max(setup.rounds, 1)))


def once_ms(setup: Setup, function: Callable[[], Any]) -> float:
    """Milliseconds of this call, the device's work included."""
    wait(setup)
    start = time.perf_counter()
    function()
    wait(setup)
    return (time.perf_counter() - start) * 1e3


def choose(setup: Setup) -> None:
    """Make the device the current one, on which streams and graphs are made."""
    if setup.kind == "cuda":
        torch.cuda.set_device(setup.device)


def forget(setup: Setup) -> None:
    """Give back what torch holds of the device and does not use; the peak is counted anew."""
    if setup.kind == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(setup.device)


def wait(setup: Setup) -> None:
    """For the device to have done what it was asked."""
    if setup.kind == "cuda":
        torch.cuda.synchronize(setup.device)


def line(row: Row) -> str:
    """As it is printed."""
    peer = "" if row.peer is None else f"{row.peer:.3g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    return f"{row.name:<74}{row.ours:>9.3g} {row.unit:<9}{peer:>9}{ratio:>9}  {row.goal}".rstrip()


def graphed(function: Callable[[], Any]) -> Callable[[], Any]:
    """What the function does on a GPU as one CUDA graph: the same kernels on the same memory, without the time to launch each."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # libraries choose kernels and take their memory before anything is recorded
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = function()

    def replay() -> Any:
        graph.replay()
        return kept

    return replay
