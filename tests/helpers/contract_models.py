"""Models that keep and break the contract of `encode` and `decode`."""

from __future__ import annotations

from typing import Any

import numpy as np

from sambench.types import Prediction, Prompt


class Sound:
    def encode(self, image: np.ndarray) -> Any:
        return image.shape[:2]

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        return [Prediction(np.ones((1, *state), np.bool_), np.ones(1, np.float32)) for _ in prompts]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")
