"""The concept task: all instances of a noun phrase, and none where there is none (protocol concepts@1).

A model is asked for every phrase of an image on one encoding, and answers with a set of scored masks. cgF1 is that of SAM 3's
released evaluator (`sambench.metrics.concepts`); beside it AP over phrases, the IoU of the best mask, and how far scores are from
the share of masks that are right. A row is a pair of image and phrase, with all that the numbers are made of. Where several
people drew a set, each is scored against the others, as a model is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from sambench.concepts import (
    ConceptAnnotation,
    ConceptInstance,
    ConceptPrediction,
    ConceptPrompt,
    ConceptSegmenter,
    ConceptSource,
    ConceptTruth,
)
from sambench.errors import DataError
from sambench.metrics import concepts as metric
from sambench.metrics.proposals import mask_ious
from sambench.models.answers import as_concept_predictions
from sambench.models.contract import max_batch_of
from sambench.schema import CONCEPT_COLUMNS
from sambench.tasks.concept_scores import PEOPLE, metric_rows
from sambench.tasks.concept_table import concept_measures, concept_notes, object_measures, set_measures
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.prompted import Context, pixels_for, rows_by_batch
from sambench.tasks.set_measures import SetMeasure
from sambench.tasks.settings.concepts import ConceptSettings
from sambench.tasks.summary import Bootstrap
from sambench.tasks.table_columns import Measure
from sambench.tasks.task import Cell, Task
from sambench.tasks.works import SAM_3
from sambench.types import Sample

if TYPE_CHECKING:
    import pandas as pd

Floats = metric.Floats


@dataclass(frozen=True)
class ConceptTask(Task):
    """See the module. Rows: `schema.CONCEPT_COLUMNS`."""

    settings: ConceptSettings = ConceptSettings()  # noqa: RUF009 - frozen

    name = "concepts"
    columns = CONCEPT_COLUMNS
    takes = ("concepts",)
    needs = "concepts"
    every_image = True
    plots = "concepts"
    gallery = "concepts"
    follows = (SAM_3,)
    in_percent = ""
    objects = "phrases"
    people = PEOPLE

    def rows(self, sample: Sample, model: ConceptSegmenter | ConceptSource, context: Context, /) -> list[dict[str, Any]]:
        """One row a phrase, in the dataset's order. Raises DataError, ModelError."""
        asked = [c for c in sample.concepts if self.settings.prompt != "exemplar" or c.annotations[0].instances]
        for concept in asked:
            self._check(sample, concept)
        if isinstance(model, ConceptSource):
            found = model.answers(sample.image_id, (sample.height, sample.width), asked)
            return [self._row(sample, c, p, context) for c, p in zip(asked, found, strict=True)]
        encoded = _Encoded(model, sample)

        def rows_of(batch: range) -> list[dict[str, Any]]:
            concepts = [asked[i] for i in batch]
            predictions, each_ms = encoded.answers([self._prompt(c) for c in concepts])
            times = {"encode_ms": encoded.encode_ms, "decode_ms": each_ms}
            return [self._row(sample, c, p, context) | times for c, p in zip(concepts, predictions, strict=True)]

        return rows_by_batch(len(asked), max_batch_of(model), context, rows_of)

    def _check(self, sample: Sample, concept: ConceptTruth) -> None:
        """Raise DataError where a phrase cannot be scored."""
        where = f"image {sample.image_id!r} of {sample.dataset}, phrase {concept.phrase!r}"
        if not concept.annotations:
            raise DataError("a phrase has no annotator", where=where, expected="one or more, each with instances or none")
        boxes = any(i.region is None for a in concept.annotations for i in a.instances)
        if boxes and self.settings.iou == "mask":
            remedy = "sambench run concepts --iou box compares boxes"
            raise DataError("an instance has a box and no mask", where=where, expected="a mask", found="a box", remedy=remedy)

    def _prompt(self, concept: ConceptTruth) -> ConceptPrompt:
        words, instances = self.settings.prompt, concept.annotations[0].instances
        if words == "phrase" or not instances:
            return ConceptPrompt(concept.phrase)
        largest = max(instances, key=_size)  # the first of equals
        box = np.array([largest.box_xyxy], np.float32)
        return ConceptPrompt(concept.phrase if words == "both" else None, box, np.ones(1, np.int8))

    def _row(self, sample: Sample, concept: ConceptTruth, found: ConceptPrediction, context: Context) -> dict[str, Any]:
        rles = [found.masks.rle(i) for i in range(len(found.masks))]
        scores = np.asarray(found.scores, np.float64)
        answers = rles if self.settings.iou == "mask" else [coco_mask.toBbox(r) for r in rles]
        truth = [[self._comparable(i) for i in a.instances] for a in concept.annotations]
        ious = [self._ious(answers, t) for t in truth]
        counts = [metric.count_pair(i, scores, self.settings.threshold) for i in ious]
        at = metric.best_annotator(counts)
        chosen, overlaps = counts[at], ious[at]
        counting = scores >= self.settings.threshold
        best = [float(i[counting].max(axis=0, initial=0.0).mean()) for i in ious if i.shape[1]]
        row = {
            "dataset": sample.dataset,
            "image_id": sample.image_id,
            "cluster_id": sample.cluster_id,
            "object_id": concept.concept_id,
            "category": concept.phrase,
            "subset": concept.subset,
            "prompt": self.settings.prompt,
            "height": sample.height,
            "width": sample.width,
            "area_px": sum(round(_size(i)) for a in concept.annotations for i in a.instances),
            "n_annotators": len(concept.annotations),
            "exhaustive": int(concept.exhaustive),
            "annotator": at,
            "n_truth": chosen.n_truth,
            "n_found": chosen.n_found,
            "hits": chosen.hits.tolist(),
            "scores": scores.tolist(),
            "ious": overlaps.reshape(-1).tolist(),
            "presence": found.presence,
            "iou_best": max(best) if best else None,
            "encode_ms": 0.0,
            "decode_ms": 0.0,
            "attributes": {**sample.attributes, **concept.attributes},
            "status": "ok",
            **self._people(concept.annotations, truth),
        }
        if context.save_masks == "scored":
            row["found_rles"] = [r["counts"] for r in rles]
        return row

    def _people(self, annotations: Sequence[ConceptAnnotation], truth: Sequence[list[Any]]) -> dict[str, Any]:
        """Each annotator's instances as an answer, of score 1, against the others'."""
        if len(annotations) < 2:
            return {}
        counts = []
        for a, mine in enumerate(truth):
            others = [self._ious(mine, theirs) for b, theirs in enumerate(truth) if b != a]
            against = [metric.count_pair(ious, np.ones(len(mine)), 1.0) for ious in others]
            counts.append(against[metric.best_annotator(against)])
        return {
            "human_truth": [c.n_truth for c in counts],
            "human_found": [c.n_found for c in counts],
            "human_hits": [int(h) for c in counts for h in c.hits],
        }

    def _comparable(self, instance: ConceptInstance) -> Any:
        """What is compared of an instance: its RLE, or its box x, y, w, h."""
        if self.settings.iou == "mask" and instance.region is not None:
            return instance.region.rle()
        x0, y0, x1, y1 = instance.box_xyxy
        return np.array([x0, y0, x1 - x0 + 1, y1 - y0 + 1])

    def _ious(self, found: Sequence[Any], truth: Sequence[Any]) -> Floats:
        if self.settings.iou == "mask" or not found or not truth:
            return mask_ious(found, truth) if found and truth else np.zeros((len(found), len(truth)))
        return np.asarray(coco_mask.iou(np.array(found), np.array(truth), [0] * len(truth)), np.float64)

    def running(self, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
        """The mean F1 of phrases that are there, for a running mean on screen."""
        counts = [metric.PairCount(r["n_truth"], r["n_found"], np.array(r["hits"])) for r in rows if r["n_truth"]]
        return {"F1 of present": (float(sum(c.local_f1.mean() for c in counts if c.local_f1 is not None)), len(counts))}

    def reduce(self, frame: pd.DataFrame, bootstrap: Bootstrap, /) -> list[dict[str, Any]]:
        """Metric rows of a frame of rows with status `ok` (see `concept_scores`)."""
        return metric_rows(frame, bootstrap)

    def measures(self, rows: Sequence[Mapping[str, Any]], /) -> list[Measure]:
        """The columns of its table."""
        return concept_measures()

    def table_notes(self, cells: Sequence[Cell], /) -> list[str]:
        """What the numbers are, and what of the phrases does not count."""
        return concept_notes(self.settings, cells)

    def method(self) -> str:
        """For a methods section."""
        return "cgF1 of phrases, the product of positive micro F1 and image-level MCC"

    def object_measures(self) -> Mapping[str, ObjectMeasure]:
        """What two runs are compared by, phrase by phrase."""
        return object_measures()

    def set_measures(self) -> Mapping[str, SetMeasure]:
        """What two runs are compared by as a whole."""
        return set_measures()


def _size(instance: ConceptInstance) -> float:
    """In pixels, of the mask or the box."""
    if instance.region is not None:
        return float(instance.region.area)
    x0, y0, x1, y1 = instance.box_xyxy
    return (x1 - x0 + 1) * (y1 - y0 + 1)


class _Encoded:
    """An image in a model's hands, encoded when the first phrase is asked for."""

    def __init__(self, model: ConceptSegmenter, sample: Sample) -> None:
        self._model, self._sample = model, sample
        self._state: Any = None
        self.encode_ms: float | None = None

    def answers(self, prompts: list[ConceptPrompt]) -> tuple[list[ConceptPrediction], float]:
        """The model's answers, checked, and the milliseconds that each prompt took on average."""
        sample = self._sample
        if self.encode_ms is None:
            image = pixels_for(self._model, sample)
            start = time.perf_counter()
            self._state = self._model.encode(image)
            self.encode_ms = (time.perf_counter() - start) * 1e3
        start = time.perf_counter()
        found = self._model.concepts(self._state, prompts)
        each_ms = (time.perf_counter() - start) * 1e3 / len(prompts)
        where = f"image {sample.image_id!r} of {sample.dataset}"
        return as_concept_predictions(found, len(prompts), sample.height, sample.width, where=where), each_ms


TASK, SETTINGS = ConceptTask, ConceptSettings
