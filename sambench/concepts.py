"""The vocabulary of the concept task: a noun phrase (or example boxes) asks for all its instances, the answer is a set of masks.

A model is any object with two methods: `encode(image)`, called once an image, and `concepts(state, prompts)`, which answers many
phrases on one encoding. A dataset gives images with phrases (`Sample.concepts`): of each the instances that one or more annotators
drew, none where the phrase is absent. A reader of such a dataset has the attribute `holds = "concepts"`; its index counts the
phrases of an image as `n_masks`, and lists images whose phrases are all absent like any other. Conventions of pixels and boxes are
those of `sambench.types`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sambench.types import BoxXYXY, FloatArray, Masks, UInt8Array

if TYPE_CHECKING:
    from sambench.pixels.region import Region


@dataclass(frozen=True)
class ConceptPrompt:
    """What a concept is asked for with: a phrase, example boxes, or both; never neither.

    phrase: a noun phrase as the dataset has it, or None. boxes_xyxy float32 [N, 4] in pixels of the original image, inclusive
    corners; labels int8 [N]: 1, the box holds an instance; 0, what it holds is none.
    """

    phrase: str | None = None
    boxes_xyxy: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    labels: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))


@dataclass(frozen=True)
class ConceptPrediction:
    """The answer to one prompt: a set of N >= 0 scored instances.

    masks: bool [N, H, W], or a `Masks` of N. scores float32 or float64 [N] in [0, 1]: that the mask is an instance of the
    concept; the metric counts those from .5 on, so a model with a presence score has multiplied it in. presence: the model's own
    probability in [0, 1] that the image has the concept at all, or None; it is stored.
    """

    masks: Masks
    scores: npt.NDArray[np.floating[Any]]
    presence: float | None = None


@runtime_checkable
class ConceptSegmenter(Protocol):
    """A model of the concept task (`gives = "concepts"`). It may have the optional attributes of `sambench.types.Segmenter`;
    `max_batch` is the number of prompts a call."""

    def encode(self, image: UInt8Array) -> Any:
        """image uint8 [H, W, 3] RGB -> anything; called once an image."""
        ...

    def concepts(self, state: Any, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        """One prediction a prompt, in order; of an absent concept one without masks."""
        ...


@runtime_checkable
class ConceptSource(Protocol):
    """Answers that were made elsewhere and are looked up by image and phrase."""

    def answers(self, image_id: str, size: tuple[int, int], concepts: Sequence[ConceptTruth]) -> list[ConceptPrediction]:
        """One prediction a concept, in order. size: (height, width) of the image. Raises DataError that names the entry."""
        ...


@dataclass(frozen=True)
class ConceptInstance:
    """One annotated instance. region: its mask, never empty; None where the dataset has boxes alone. box_xyxy: inclusive."""

    region: Region | None
    box_xyxy: BoxXYXY

    @classmethod
    def of(cls, region: Region) -> ConceptInstance:
        """The instance of a mask, with its tight box."""
        x0, y0, x1, y1 = region.box_xyxy
        return cls(region, (float(x0), float(y0), float(x1), float(y1)))


@dataclass(frozen=True)
class ConceptAnnotation:
    """What one annotator drew for one phrase on one image. instances: none where they see the concept nowhere.

    exhaustive: whether every instance has a mask of its own (SA-Co's `is_instance_exhaustive`); a phrase that is not so by all its
    annotators counts for no metric that punishes what is too much.
    """

    instances: tuple[ConceptInstance, ...] = ()
    exhaustive: bool = True
    annotator: str = ""


@dataclass(frozen=True)
class ConceptTruth:
    """A phrase of an image, with the answers of one or more annotators, in an order that is the same for every phrase.

    concept_id: unique within the image and stable over releases of the dataset. subset: the part or domain of the dataset that it
    belongs to, by which results are shown too; '' for none. attributes: strings.
    """

    concept_id: str
    phrase: str
    annotations: tuple[ConceptAnnotation, ...]
    subset: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def exhaustive(self) -> bool:
        """Whether all annotators drew every instance."""
        return all(a.exhaustive for a in self.annotations)
