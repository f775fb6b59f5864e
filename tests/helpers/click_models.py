"""Driving a click model with the clicks of the golden arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from sambench.models.clicks.coding import Clicks
from sambench.types import Prediction, Prompt, Segmenter, UInt8Array
from tests.helpers import GOLDEN
from tests.helpers.golden_clicks import CLICKS

CLICK_ARRAYS = GOLDEN / "clicks"


def first_clicks(n: int) -> Clicks:
    return Clicks(CLICKS[:n, :2].astype(np.float64), CLICKS[:n, 2] == 1)


def prompt_of(rows: np.ndarray, carry: Any = None) -> Prompt:
    """rows [N, 3]: row, column, positive."""
    return Prompt(points_xy=rows[:, [1, 0]].astype(np.float32), labels=rows[:, 2].astype(np.int8), carry=carry)


def click_through(model: Segmenter, image: UInt8Array, rows: np.ndarray = CLICKS) -> Iterator[Prediction]:
    """The prediction after each click, the carry fed back."""
    state, carry = model.encode(image), None
    for k in range(1, len(rows) + 1):
        (out,) = model.decode(state, [prompt_of(rows[:k], carry)])
        assert out.carry is not None
        carry = out.carry[0]
        yield out


def batch_of(image: UInt8Array) -> torch.Tensor:
    """float32 [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)


def difference(tensor: torch.Tensor, golden: np.ndarray, step: int = 1) -> float:
    """The largest between a map [1, 1, h, w] and the golden one, which may have every `step`-th row and column alone."""
    return float(np.abs(tensor[0, 0, ::step, ::step].numpy() - golden).max())
