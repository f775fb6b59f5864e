"""What the model benchmarks share: a reproducible SAM and its PyPI peer, and how they are timed.

Both run on one thread and take turns, so that whatever else the machine does hits both; times are CPU time, medians over rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import torch

from tests.helpers.golden_weights import golden_state_dict
from tests.helpers.stubs import official_sam


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and OpenCV on one thread."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def interleaved_ms(ours: Callable[[], Any], peer: Callable[[], Any], rounds: int = 5) -> dict[str, float]:
    """Median CPU milliseconds of both, the order within a round changing from round to round. Call both once before."""
    times: dict[str, list[float]] = {"ours_ms": [], "peer_ms": []}
    pair = (("ours_ms", ours), ("peer_ms", peer))
    for k in range(rounds):
        for name, function in pair if k % 2 else pair[::-1]:
            start = time.process_time_ns()
            function()
            times[name].append((time.process_time_ns() - start) / 1e6)
    out = {name: statistics.median(t) for name, t in times.items()}
    return {**out, "ratio": out["peer_ms"] / out["ours_ms"]}


def official_vit_b() -> Any:
    """PyPI's ViT-B with the deterministic weights of the tests."""
    model = official_sam().sam_model_registry["vit_b"]()
    model.load_state_dict(golden_state_dict("vit_b"), strict=True)
    return model.eval()


def our_vit_b() -> Any:
    """Ours with the same weights."""
    from sambench.models.sam.build import build_sam

    return build_sam("vit_b", weights=golden_state_dict("vit_b"))
