"""A model that reads its weights' file, and knows what it held."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from sambench import Prediction


class Weighed:
    max_batch = 4

    def __init__(self, weights: bytes) -> None:
        self.sha256 = hashlib.sha256(weights).hexdigest()

    def encode(self, image: np.ndarray) -> np.ndarray:
        return image

    def decode(self, image: np.ndarray, prompts: list[Any]) -> list[Prediction]:
        return [Prediction(np.zeros((1, *image.shape[:2]), bool), np.ones(1, np.float32)) for _ in prompts]


def make(weights: Path, device: str = "cpu", precision: str = "fp32") -> Weighed:
    return Weighed(Path(weights).read_bytes())
