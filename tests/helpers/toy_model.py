"""A model for tests: thresholds brightness around the click, three nested candidates, and better with every click."""

from __future__ import annotations

import os
import time

import numpy as np

from sambench import Prediction


class Toy:
    """slow_s: pause in encode. fail: image means (rounded) on which decode raises. wobble: candidates differ by this much."""

    max_batch = 3

    def __init__(self, slow_s: float = 0.0, level: int = 100) -> None:
        self.slow_s = slow_s
        self.identity = {"toy": 1, "level": level}
        self.level = level

    def encode(self, image):
        time.sleep(self.slow_s)
        if os.environ.get("TOY_FAILS_WITH") == str(int(image.astype(np.int64).sum()) % 7):
            raise RuntimeError("the toy does not like this image")
        return image.astype(np.int64).sum(axis=2)

    def decode(self, state, prompts):
        out = []
        y, x = np.mgrid[0 : state.shape[0], 0 : state.shape[1]]
        for p in prompts:
            if p.box_xyxy is not None:
                x0, y0, x1, y1 = p.box_xyxy
                masks = np.stack([(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)] * (3 if p.multimask else 1))
            else:
                px, py = p.points_xy[0]
                reach = [(x - px) ** 2 + (y - py) ** 2 <= (5 + 4 * i + 2 * len(p.labels)) ** 2 for i in range(3)]
                masks = np.stack([(state > self.level) & r for r in reach][: 3 if p.multimask else 1])
            out.append(Prediction(masks, np.linspace(0.5, 0.9, len(masks)), carry=None))
        return out


def toy(slow_s: float = 0.0, level: int = 100) -> Toy:
    return Toy(slow_s, level)
