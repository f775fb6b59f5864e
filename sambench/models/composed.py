"""A detector that finds phrases and a segmenter that is prompted with its boxes, as one model of the concept task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sambench.concepts import ConceptPrediction, ConceptPrompt
from sambench.errors import ModelError
from sambench.models.answers import as_predictions
from sambench.models.contract import max_batch_of
from sambench.models.detector import Detected, PhraseDetector
from sambench.pixels.region import Region
from sambench.pixels.region_masks import RegionMasks
from sambench.types import FloatArray, Prompt, Segmenter, UInt8Array

WORKING_POINT: Final = 0.5


@dataclass(frozen=True)
class ComposedState:
    """What both parts remember of an image. size: (height, width)."""

    of_detector: Any
    of_segmenter: Any
    size: tuple[int, int]


class Composed:
    """A :class:`~sambench.concepts.ConceptSegmenter`. An instance is a box of the detector with the single mask that the segmenter
    gives for it; its score is the detector's. A box of which the segmenter gives no pixel is left out.

    working_point: the detector's own score from which a box counts; it becomes .5, from which the metric counts, and scores below
    and above are stretched linearly, so that their order stays. At .5 they are unchanged.
    """

    max_batch: int = 16

    def __init__(self, detector: PhraseDetector, segmenter: Segmenter, *, working_point: float = WORKING_POINT) -> None:
        self.detector, self.segmenter, self.working_point = detector, segmenter, working_point
        self._step = max_batch_of(segmenter)
        self.device_kind = str(getattr(detector, "device_kind", "cpu"))
        self.precision = str(getattr(detector, "precision", "fp32"))

    @property
    def identity(self) -> Mapping[str, Any]:
        """What can change a number beside the parts' weights."""
        parts = {"detector": getattr(self.detector, "identity", {}), "segmenter": getattr(self.segmenter, "identity", {})}
        return {**parts, "working_point": float(self.working_point), "box": "single mask"}

    def encode(self, image: UInt8Array) -> ComposedState:
        """image uint8 [H, W, 3] RGB -> state."""
        prepare = getattr(self.segmenter, "prepare", None)
        given = prepare(image) if prepare is not None else image
        return ComposedState(self.detector.encode(image), self.segmenter.encode(given), (image.shape[0], image.shape[1]))

    def concepts(self, state: ComposedState, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        """One prediction a prompt, in order. Raises ModelError for a prompt with example boxes: a detector knows phrases alone."""
        for prompt in prompts:
            if prompt.phrase is None or len(prompt.labels):
                found = f"{len(prompt.labels)} example boxes" if len(prompt.labels) else "neither phrase nor boxes"
                raise ModelError("a detector with a segmenter takes only phrases", expected="a phrase, no boxes", found=found)
        detected = self.detector.detect(state.of_detector, [str(p.phrase) for p in prompts])
        boxes = [inclusive(box, state.size) for d in detected for box in d.boxes_xyxy.tolist()]
        regions = self._segmented(state, boxes)
        out, first = [], 0
        for d in detected:
            out.append(self._prediction(d, regions[first : first + len(d.scores)], state.size))
            first += len(d.scores)
        return out

    def _segmented(self, state: ComposedState, boxes: Sequence[tuple[float, float, float, float]]) -> list[Region]:
        regions = []
        for start in range(0, len(boxes), self._step):
            asked = [Prompt(box_xyxy=box, multimask=False) for box in boxes[start : start + self._step]]
            answers = self.segmenter.decode(state.of_segmenter, asked)
            checked = as_predictions(answers, len(asked), *state.size, where="a detector's boxes")
            regions += [answer.masks.region(answer.top_index) for answer in checked]
        return regions

    def _prediction(self, found: Detected, regions: Sequence[Region], size: tuple[int, int]) -> ConceptPrediction:
        kept = [i for i, region in enumerate(regions) if region.area]
        return ConceptPrediction(RegionMasks([regions[i] for i in kept], *size), at_half(found.scores[kept], self.working_point))


def inclusive(box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A box between the borders of pixels as one of pixel indices, both corners inclusive, of one pixel at least, in the frame."""
    x0, y0, x1, y1 = box
    left, top = min(x0, size[1] - 1), min(y0, size[0] - 1)
    return left, top, max(x1 - 1, left), max(y1 - 1, top)


def at_half(scores: FloatArray, working_point: float) -> FloatArray:
    """Scores in [0, 1], stretched so that `working_point` becomes .5; unchanged where it is that."""
    if working_point == WORKING_POINT:
        return scores
    s = scores.astype(np.float64)
    below, above = 0.5 * s / working_point, 0.5 + 0.5 * (s - working_point) / (1 - working_point)
    return np.where(s < working_point, below, above).astype(np.float32)
