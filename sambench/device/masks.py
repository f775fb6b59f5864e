"""Candidate masks whose low-resolution logits stay where the model made them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sambench.pixels.candidates import LogitMasks
from sambench.pixels.interpolation import Geometry
from sambench.types import FloatArray


class LogitBatch:
    """The answers to a batch of prompts of one image: float32 logits [B, C, h, w] on any device, of one geometry.

    Raises ValueError for another shape or type.
    """

    def __init__(self, logits: Tensor, geometry: Geometry) -> None:
        if logits.ndim != 4 or logits.dtype != torch.float32 or tuple(logits.shape[2:]) != geometry.low:
            raise ValueError(f"LogitBatch takes float32 [B, C, {geometry.low}], not {logits.dtype} {tuple(logits.shape)}")
        self.logits = logits
        self.geometry = geometry

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def on_host(self) -> FloatArray:
        """float32 [B, C, h, w]; copied from a GPU at once for all, when it is first asked for."""
        out: FloatArray = self.logits.cpu().numpy()
        return out

    def masks(self, i: int) -> TensorMasks:
        """The candidates of prompt i."""
        return TensorMasks(self, i)


class TensorMasks(LogitMasks):
    """The `Masks` of one prompt of a batch. What is asked of it alone is computed as `LogitMasks` computes it, on the host."""

    def __init__(self, batch: LogitBatch, index: int) -> None:
        self.batch = batch
        self.index = index
        self._begin(batch.geometry)

    def __len__(self) -> int:
        return int(self.batch.logits.shape[1])

    @property
    def low_res(self) -> FloatArray:
        """float32 [C, h, w], on the host."""
        out: FloatArray = np.asarray(self.batch.on_host[self.index])
        return out
