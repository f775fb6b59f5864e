"""Scores of the instance task in process, and a model that keeps what it was asked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sambench import cards
from sambench.loaders.open import open_dataset
from sambench.models.detections import OwnMasks
from sambench.tasks.instances import InstanceSettings, InstanceTask
from sambench.tasks.prompted import Context
from sambench.tasks.summary import Bootstrap
from sambench.types import Prediction, Prompt

# The order in which pycocotools prints its twelve numbers.
TWELVE = [
    ("ap", None, None, None), ("ap", 0.5, None, None), ("ap", 0.75, None, None), ("ap", None, "small", None),
    ("ap", None, "medium", None), ("ap", None, "large", None), ("ar", None, None, 1), ("ar", None, None, 10),
    ("ar", None, None, 100), ("ar", None, "small", 100), ("ar", None, "medium", 100), ("ar", None, "large", 100),
]  # fmt: skip


def value_of(rows: list[dict[str, Any]], variant: str, key: tuple[Any, ...]) -> float:
    """The one metric row of (metric, threshold, group, max_dets); -1 for none and NaN, as pycocotools says it."""
    metric, threshold, group, max_dets = key
    fits = [
        r["value"]
        for r in rows
        if (r["metric"], r["variant"], r.get("threshold"), r.get("group")) == (metric, variant, threshold, group)
        and max_dets in (None, r["max_dets"])
    ]
    assert len(fits) <= 1, key
    return -1.0 if not fits or math.isnan(fits[0]) else float(fits[0])


def rows_of(card: Path, results: Path, model: Any = None, **settings: Any) -> pd.DataFrame:
    """Rows of every image, in process."""
    task = InstanceTask.of(InstanceSettings(boxes=str(results), **settings))
    dataset = open_dataset(cards.dataset_card(str(card)), root=card.parent)
    rows = [row for r in dataset.index() for row in task.rows(dataset.load(r.image_id), model or OwnMasks(), Context())]
    frame = pd.DataFrame(rows, columns=list(task.columns))
    return frame[frame["status"] == "ok"]


def scores_of(card: Path, results: Path, **settings: Any) -> list[dict[str, Any]]:
    task = InstanceTask.of(InstanceSettings(boxes=str(results), **settings))
    return task.reduce(rows_of(card, results, **settings), Bootstrap())


class Recorder:
    """A model whose candidates are the box grown by 0, 1 and 2 pixels, the last one ranked first; it keeps what it was asked."""

    max_batch = 4

    def __init__(self) -> None:
        self.asked: list[list[Prompt]] = []
        self.encoded = 0

    def encode(self, image: np.ndarray) -> tuple[int, int]:
        self.encoded += 1
        return image.shape[0], image.shape[1]

    def decode(self, state: tuple[int, int], prompts: list[Prompt]) -> list[Prediction]:
        self.asked.append(prompts)
        out = []
        for p in prompts:
            assert p.box_xyxy is not None
            x0, y0, x1, y1 = (round(v) for v in p.box_xyxy)
            n = 3 if p.multimask else 1
            masks = np.zeros((n, *state), bool)
            for i in range(n):
                masks[i, max(0, y0 - i) : y1 + i, max(0, x0 - i) : x1 + i] = True
            carry = [f"{p.carry or ''}{len(self.asked)}.{i}" for i in range(n)]
            out.append(Prediction(masks, np.arange(n, dtype=np.float32) / 4, carry))  # type: ignore[arg-type]
        return out
