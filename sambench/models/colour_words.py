"""A baseline of the concept task without weights: it knows the words for colours, and nothing of things.

A phrase with a colour is answered with the connected regions of that colour, any other with nothing; so it has a number on
phrases of colours alone, and says how much of a benchmark colours explain. Frozen: other numbers are compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sambench.concepts import ConceptPrediction, ConceptPrompt
from sambench.pixels.candidates import DenseMasks
from sambench.pixels.colours import WORDS, colour_words
from sambench.pixels.region import components
from sambench.types import UInt8Array

_LEAST_SHARE = 2.5e-4  # of the image, of a region
_MOST = 50  # regions of a colour


class ColourWords:
    """A `sambench.concepts.ConceptSegmenter`. The score of a region is its share of its box: things are compact, and what is left
    of a ground is not. The presence is the highest."""

    device_kind = "cpu"
    precision = "fp32"
    max_batch = 64
    identity: Mapping[str, Any] = {}

    def encode(self, image: UInt8Array) -> Any:
        """The word of every pixel, of a smoothed image: uint8 [H, W]."""
        return colour_words(np.asarray(cv2.medianBlur(image, 5), np.uint8))

    def concepts(self, state: Any, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        """Regions of the colour that a phrase names; none without one."""
        return [self._answer(state, p.phrase or "") for p in prompts]

    def _answer(self, state: Any, phrase: str) -> ConceptPrediction:
        named = [WORDS.index(w) for w in phrase.lower().replace("gray", "grey").split() if w in WORDS]
        if not named:
            return ConceptPrediction(DenseMasks(np.zeros((0, *state.shape), np.bool_)), np.zeros(0, np.float32), 0.0)
        labels, areas = components(state == named[0])
        least = max(20, round(_LEAST_SHARE * state.size))
        largest = [int(i) for i in np.argsort(-areas, kind="stable") if areas[i] >= least][:_MOST]
        masks = np.array([labels == i + 1 for i in largest], np.bool_).reshape(-1, *state.shape)
        scores = np.array([self._score(m) for m in masks], np.float32)
        return ConceptPrediction(DenseMasks(masks), scores, float(scores.max(initial=0.0)))

    @staticmethod
    def _score(mask: Any) -> float:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        return float(mask.sum() / box)


def colour_words_model(*, weights: Path | None, device: str, precision: str) -> ColourWords:
    """The card's factory."""
    return ColourWords()
