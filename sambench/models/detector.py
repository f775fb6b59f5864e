"""Detectors that find phrases: boxes with scores, which a segmenter turns into masks (`sambench.models.composed`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sambench.types import FloatArray, UInt8Array


@dataclass(frozen=True)
class Detected:
    """What a detector found of one phrase. boxes_xyxy float64 [N, 4] in pixels of the image, x and y from 0 to its width and height
    at its outer borders (not inclusive pixel indices); scores float32 [N] in [0, 1], falling."""

    boxes_xyxy: npt.NDArray[np.float64]
    scores: FloatArray


@runtime_checkable
class PhraseDetector(Protocol):
    """A detector (`gives = "boxes"`); no task takes it alone. It has the optional attributes of `sambench.types.Segmenter`."""

    def encode(self, image: UInt8Array) -> Any:
        """image uint8 [H, W, 3] RGB -> anything; called once an image."""
        ...

    def detect(self, state: Any, phrases: Sequence[str]) -> list[Detected]:
        """One answer a phrase, in order; of an absent one, without boxes."""
        ...
