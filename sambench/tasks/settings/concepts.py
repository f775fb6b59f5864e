"""Settings of the concept task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sambench.errors import UsageError
from sambench.tasks.command import Command, check_choices, setting


@dataclass(frozen=True)
class ConceptSettings:
    """prompt: `phrase`, the words alone; `exemplar`, the box of the first annotator's largest instance alone, of phrases that have
    one; `both`, that box with the words (of absent phrases the words). threshold: the least score of a mask that counts. iou: of
    masks, or of their boxes, for datasets that have boxes alone.
    """

    prompt: Literal["phrase", "exemplar", "both"] = setting("phrase", "phrase, exemplar (a box of one instance) or both.")
    threshold: float = setting(0.5, "Least score of a mask that counts.")
    iou: Literal["mask", "box"] = setting("mask", "IoU of masks, or of their boxes.", called="kind of IoU")

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 <= self.threshold <= 1:
            raise UsageError("--threshold does not fit", expected="a score from 0 to 1", found=self.threshold)


@dataclass(frozen=True)
class ConceptCommand(Command):
    """Phrases: all instances of a noun phrase, and none where there is none. cgF1 as SAM 3's evaluator has it, AP, calibration."""

    order: ClassVar[tuple[str, ...]] = ("prompt", "threshold", "iou")
    dataset: ClassVar[str] = "demo"
    model: ClassVar[str] = "colour_words"
    model_forms: ClassVar[str] = "concepts:FILE (anyone's answers, with their phrases)"


SETTINGS, COMMAND = ConceptSettings, ConceptCommand
