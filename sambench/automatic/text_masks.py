"""Text to mask (Segment Anything, section 7.5 and figure 12): the mask of a phrase, and with a point where the phrase alone fails.

The paper's text-aware SAM, which took a phrase and a point together, was never released. Here a model of phrases answers first;
where its best mask fails, a segmenter is asked with the box of that answer and one click, or with the click alone where the answer
lies beside what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sambench.concepts import ConceptPrompt, ConceptSegmenter, ConceptTruth
from sambench.models.answers import as_concept_predictions, as_predictions
from sambench.pixels.region import Region
from sambench.prompts import box_prompt, center_click
from sambench.provenance import keyed_order
from sambench.types import Prompt, Sample, Segmenter

FAILS_BELOW = 0.5  # IoU of the text's mask


@dataclass(frozen=True)
class TextMask:
    """A phrase of an image, whose instance `target` is meant: of those that the first annotator drew the one that the answer meets
    best, the largest where it meets none.

    by_text: the instance that the model of phrases scores highest, None where it finds none. by_point: the segmenter's mask with a
    point, None where none was needed. point_xy float32 [1, 2] in pixels. IoUs with the target, in [0, 1].
    """

    sample: Sample
    concept: ConceptTruth
    target: Region
    by_text: Region | None
    iou_text: float
    by_point: Region | None = None
    iou_point: float | None = None
    point_xy: npt.NDArray[np.float32] | None = None


def text_masks(
    model: ConceptSegmenter,
    segmenter: Segmenter,
    samples: Iterable[Sample],
    *,
    n: int,
    fails_below: float = FAILS_BELOW,
    on_phrase: Callable[[], object] = lambda: None,
) -> list[TextMask]:
    """At most n phrases with an instance, chosen by a keyed hash, an image in turn after the other. Raises ModelError."""
    out = []
    for sample, concept in _chosen(samples, n):
        where = f"image {sample.image_id!r} of {sample.dataset}"
        answers = model.concepts(model.encode(sample.image), [ConceptPrompt(concept.phrase)])
        (answer,) = as_concept_predictions(answers, 1, sample.height, sample.width, where=where)
        by_text = answer.masks.region(int(np.argmax(answer.scores))) if len(answer.masks) else None
        target, iou = _target(concept, by_text)
        found = TextMask(sample, concept, target, by_text, iou)
        out.append(found if iou >= fails_below else _with_point(found, segmenter, where))
        on_phrase()
    return out


def _chosen(samples: Iterable[Sample], n: int) -> list[tuple[Sample, ConceptTruth]]:
    queues = []
    for sample in samples:
        there = {c.concept_id: c for c in sample.concepts if _regions(c)}
        queues.append([(sample, there[i]) for i in keyed_order(there, f"figure 12 {sample.dataset} {sample.image_id}")])
    return [q[k] for k in range(max(map(len, queues), default=0)) for q in queues if k < len(q)][:n]


def _regions(concept: ConceptTruth) -> list[Region]:
    return [i.region for a in concept.annotations[:1] for i in a.instances if i.region is not None]


def _target(concept: ConceptTruth, answer: Region | None) -> tuple[Region, float]:
    """(the instance that is meant, its IoU with the answer)."""
    regions = _regions(concept)
    ious = [0.0 if answer is None else answer.iou(r) for r in regions]
    best = int(np.argmax(ious)) if max(ious) > 0 else int(np.argmax([r.area for r in regions]))
    return regions[best], ious[best]


def _with_point(found: TextMask, segmenter: Segmenter, where: str) -> TextMask:
    """Of the segmenter's candidates the one that it ranks first, from a click on the target and the box of the text's answer."""
    sample, meets = found.sample, found.by_text is not None and found.by_text.intersection(found.target) > 0
    click = center_click(found.target)
    point = np.array([[click.x, click.y]], np.float32)
    box = box_prompt(found.by_text) if meets and found.by_text is not None else None
    prompt = Prompt(points_xy=point, labels=np.ones(1, np.int8), box_xyxy=box)
    answers = segmenter.decode(segmenter.encode(sample.image), [prompt])
    (answer,) = as_predictions(answers, 1, sample.height, sample.width, where=where)
    mask = answer.masks.region(answer.top_index)
    return replace(found, by_point=mask, iou_point=mask.iou(found.target), point_xy=point)


def summary(found: Sequence[TextMask]) -> tuple[float, int, float, float]:
    """(mean IoU by text, number of phrases that failed, their mean IoU by text, and with a point); NaN for a mean of none."""
    failed = [t for t in found if t.iou_point is not None]
    ious = [[t.iou_text for t in found], [t.iou_text for t in failed], [t.iou_point or 0.0 for t in failed]]
    a, b, c = (float(np.mean(v)) if v else float("nan") for v in ious)
    return a, len(failed), b, c
