"""A detector and a segmenter as one model of concepts: boxes, scores, batches, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sambench.concepts import ConceptPrompt
from sambench.errors import ModelError
from sambench.models.composed import Composed, at_half, inclusive
from sambench.models.detector import Detected
from sambench.pixels.candidates import DenseMasks
from sambench.types import Prediction, Prompt

SIZE = (40, 60)
BOXES = {"disc": [(10.0, 5.0, 30.0, 20.0), (0.0, 0.0, 60.0, 40.0)], "speck": [(59.2, 3.0, 59.7, 3.5)], "giraffe": []}


class Detector:
    precision, device_kind = "fp32", "cpu"

    def encode(self, image: np.ndarray) -> Any:
        return image.shape[:2]

    def detect(self, state: Any, phrases: Sequence[str]) -> list[Detected]:
        scores = {"disc": [0.8, 0.2], "speck": [0.6], "giraffe": []}
        return [Detected(np.array(BOXES[p]).reshape(-1, 4), np.array(scores[p], np.float32)) for p in phrases]


class Fills:
    """Gives the box's pixels, whole; of one that is wider than half of the picture nothing."""

    max_batch = 2

    def __init__(self) -> None:
        self.asked: list[int] = []

    def encode(self, image: np.ndarray) -> Any:
        return image.shape[:2]

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        self.asked.append(len(prompts))
        assert all(not p.multimask and not len(p.labels) for p in prompts)
        out = []
        for p in prompts:
            mask = np.zeros((1, *state), np.bool_)
            x0, y0, x1, y1 = (round(v) for v in p.box_xyxy or ())
            mask[0, y0 : y1 + 1, x0 : x1 + 1] = x1 - x0 < 30
            out.append(Prediction(DenseMasks(mask), np.ones(1, np.float32)))
        return out


def test_boxes_become_masks() -> None:
    segmenter = Fills()
    model = Composed(Detector(), segmenter)
    answers = model.concepts(model.encode(np.zeros((*SIZE, 3), np.uint8)), [ConceptPrompt(p) for p in BOXES])
    disc, speck, giraffe = answers
    assert segmenter.asked == [2, 1], "in calls of its own max_batch, over phrases"
    assert disc.scores.tolist() == pytest.approx([0.8]), "the box without a mask is left out"
    assert disc.masks.box().tolist() == [[10, 5, 29, 19]], "20 x 15 pixels"
    assert disc.masks.area().tolist() == [300]
    assert speck.masks.area().tolist() == [1], "a box within a pixel is that pixel"
    assert len(giraffe.masks) == len(giraffe.scores) == 0
    assert disc.presence is None


def test_what_it_refuses() -> None:
    model = Composed(Detector(), Fills())
    state = model.encode(np.zeros((*SIZE, 3), np.uint8))
    boxes = {"boxes_xyxy": np.zeros((1, 4), np.float32), "labels": np.ones(1, np.int8)}
    for prompt in (ConceptPrompt("disc", **boxes), ConceptPrompt(None, **boxes), ConceptPrompt()):
        with pytest.raises(ModelError, match="only phrases"):
            model.concepts(state, [prompt])


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 60, 40), (0, 0, 59, 39)),
        ((10.5, 3, 20.5, 9), (10.5, 3, 19.5, 8)),
        ((60, 40, 60, 40), (59, 39, 59, 39)),
        ((4, 4, 4.5, 4.5), (4, 4, 4, 4)),
    ],
)
def test_boxes_of_pixels(box: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert inclusive(box, SIZE) == expected


def test_the_working_point_becomes_a_half() -> None:
    scores = np.array([0.0, 0.1, 0.2, 0.6, 1.0], np.float32)
    assert at_half(scores, 0.5) is scores
    assert at_half(scores, 0.2).tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    many = np.sort(np.random.default_rng(0).random(2000).astype(np.float32))
    for point in (0.01, 0.3, 0.9):
        moved = at_half(many, point)
        assert (np.diff(moved) >= 0).all()
        assert ((moved >= 0.5) == (many >= np.float32(point))).mean() > 0.999
        assert moved.min() >= 0
        assert moved.max() <= 1
