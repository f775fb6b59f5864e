"""A model that takes its time, so that something can happen to its workers meanwhile; its masks are the prompts' boxes, halved."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from sambench import Prediction


class Slow:
    def __init__(self, seconds: float, fails: bool) -> None:
        self.seconds, self.fails = seconds, fails

    def encode(self, image: np.ndarray) -> np.ndarray:
        if self.fails:
            raise RuntimeError("this model cannot look at images")
        time.sleep(self.seconds * float(os.environ.get("SAMBENCH_TEST_SLOWER", "1")))  # which no identity knows
        return image

    def decode(self, image: np.ndarray, prompts: list[Any]) -> list[Prediction]:
        out = []
        for prompt in prompts:
            mask = np.zeros(image.shape[:2], bool)
            x0, y0, x1, y1 = (int(v) for v in prompt.box_xyxy)
            mask[y0:y1, x0 : (x0 + x1 + 1) // 2 + 1] = True
            out.append(Prediction(mask[None], np.ones(1, np.float32)))
        return out


def make(seconds: float = 0.5, fails: bool = False) -> Slow:
    return Slow(seconds, fails)
