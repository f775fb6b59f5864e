"""The one seam between what models answer and what rows say of it: a batch of objects of one image, scored together.

`HostScoring` looks at one answer after the other, in numpy. `sambench.tasks.device_scoring` does it on the model's device for all
at once, where the answers lie there; equal but for pixels whose logit is 0 up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sambench import prompts
from sambench.pixels import region as masks
from sambench.prompts import XY, Click
from sambench.tasks.prompted import Context, Target, boundary_widths
from sambench.types import Prediction


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model answered for an object, and which of the candidates are meant (None: all)."""

    target: Target
    prediction: Prediction
    which: Sequence[int] | None = None

    @property
    def candidates(self) -> list[int]:
        """Their indices."""
        return list(range(len(self.prediction.masks))) if self.which is None else list(self.which)


class Overlaps(NamedTuple):
    """By candidate, in [0, 1]: IoU with the object, and boundary IoU by column of a row."""

    ious: list[float]
    boundary_ious: dict[str, list[float]]


class Scoring(Protocol):
    """Of one batch of objects of an image. Answers are in any order, and for any of the objects."""

    def first_clicks(self, targets: Sequence[Target]) -> list[Click]:
        """Each object's deepest pixel that is not ignored. Raises DataError where there is none."""
        ...

    def ious(self, answers: Sequence[Answer]) -> list[list[float]]:
        """IoU of the candidates with their objects; ignored pixels count nowhere, and an empty mask has 0."""
        ...

    def overlaps(self, answers: Sequence[Answer]) -> list[Overlaps]:
        """All of a row's measures of overlap."""
        ...

    def counts(self, answers: Sequence[Answer]) -> list[list[bytes]]:
        """COCO's compressed counts of the candidates."""
        ...

    def next_clicks(self, answers: Sequence[Answer], clicked: Sequence[Sequence[XY]]) -> list[Click | None]:
        """As `prompts.next_click`, for answers of one candidate each. clicked: (x, y) so far, by answer."""
        ...


class HostScoring:
    """`Scoring` in numpy and OpenCV, an answer at a time."""

    def first_clicks(self, targets: Sequence[Target]) -> list[Click]:
        return [prompts.center_click(t.region, t.sample.ignore) for t in targets]

    def ious(self, answers: Sequence[Answer]) -> list[list[float]]:
        out = []
        for a in answers:
            found = a.prediction.masks.iou(a.target.region, a.target.sample.ignore)
            out.append([float(found[i]) for i in a.candidates])
        return out

    def overlaps(self, answers: Sequence[Answer]) -> list[Overlaps]:
        return [Overlaps(ious, _boundary_ious(a)) for a, ious in zip(answers, self.ious(answers), strict=True)]

    def counts(self, answers: Sequence[Answer]) -> list[list[bytes]]:
        return [[a.prediction.masks.rle(i)["counts"] for i in a.candidates] for a in answers]

    def next_clicks(self, answers: Sequence[Answer], clicked: Sequence[Sequence[XY]]) -> list[Click | None]:
        out = []
        for a, points in zip(answers, clicked, strict=True):
            (i,) = a.candidates
            target, ignore = a.target.region, a.target.sample.ignore
            out.append(prompts.next_click(target, a.prediction.masks.region(i), clicked=points, ignore=ignore))
        return out


def _boundary_ious(a: Answer) -> dict[str, list[float]]:
    edges, ignore, found = a.target.boundaries, a.target.sample.ignore, a.prediction.masks
    return {
        column: [masks.boundary_overlap(found.region(i), edges[column], width, ignore) for i in a.candidates]
        for column, width in boundary_widths(a.target.sample).items()
    }


def scoring_of(targets: Sequence[Target], context: Context) -> Scoring:
    """How answers for these objects are scored in a run."""
    if context.scoring == "device":
        from sambench.tasks.device_scoring import DeviceScoring  # imports torch

        return DeviceScoring(targets, context.device, HostScoring())
    return HostScoring()


def top_rles(predictions: Sequence[Prediction], context: Context) -> list[masks.RLE]:
    """COCO RLE of each prediction's first-ranked mask, all of one image, made where the run scores."""
    if context.scoring == "device":
        from sambench.tasks.device_scoring import rles_on_device  # imports torch

        return rles_on_device([(p.masks, p.top_index) for p in predictions])
    return [p.masks.rle(p.top_index) for p in predictions]


def scored_columns(answer: Answer, overlaps: Overlaps) -> dict[str, Any]:
    """Every meant candidate's overlap with the object, as columns of a row."""
    index, prediction = answer.candidates, answer.prediction
    top = index.index(prediction.top_index)
    return {
        "n_candidates": len(index),
        "ious": overlaps.ious,
        "scores": [float(prediction.scores[i]) for i in index],
        "top_index": top,
        "iou_top": overlaps.ious[top],
        "iou_oracle": max(overlaps.ious),
        **overlaps.boundary_ious,
    }
