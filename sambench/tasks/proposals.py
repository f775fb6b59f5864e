"""The proposal task: class-agnostic average recall of masks (Segment Anything, section 7.3 and D.3; protocol proposals@1).

A segmenter's proposals are automatic masks: a grid of points on the whole image, all candidates, no filter, box suppression; of
what stays the best `max(max_dets)`, ranked by the mean of predicted IoU and stability. Any other method's come from a results file.
Objects are matched in each reference set by itself (`sambench.metrics.proposals`); the rows keep the rank at which each was found.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.automatic.crops import Crop
from sambench.automatic.generate import AutomaticMask, Decode, automatic_masks
from sambench.errors import UsageError
from sambench.metrics import proposals as metric
from sambench.metrics.bootstrap import mean_intervals
from sambench.models.contract import max_batch_of
from sambench.provenance import keyed_hash
from sambench.schema import PROPOSAL_COLUMNS
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.prompted import Context, encode
from sambench.tasks.proposal_table import proposal_measures, recall_measures, settings_note
from sambench.tasks.settings.proposals import ProposalSettings
from sambench.tasks.summary import Bootstrap
from sambench.tasks.table_columns import Measure
from sambench.tasks.task import Cell, StoredRows, Task
from sambench.tasks.works import SEGMENT_ANYTHING
from sambench.types import Prediction, Prompt, ProposalSource, Sample, Segmenter

if TYPE_CHECKING:
    import pandas as pd

PROPOSAL, OBJECT = "proposal", "object"


@dataclass(frozen=True)
class Ranked:
    """An image's proposals by falling score; rows: what is stored of each beside image and rank."""

    rles: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    encode_ms: float | None = None
    decode_ms: float | None = None


@dataclass(frozen=True)
class ProposalTask(Task):
    """See the module. Rows: `schema.PROPOSAL_COLUMNS`."""

    settings: ProposalSettings = ProposalSettings()  # noqa: RUF009 - frozen

    name = "proposals"
    columns = PROPOSAL_COLUMNS
    in_percent = "Recall in percent, over IoU thresholds .50 to .95"
    takes = ("masks", "single_mask", "proposals")
    # LVIS has 18 million proposals: metrics are made of the objects' rows, and the others are never read for them.
    reduces = ("kind", OBJECT)
    plots = "recall"
    gallery = "proposals"
    follows = (SEGMENT_ANYTHING,)

    def identity(self) -> dict[str, Any]:
        """Everything of the protocol that can change a number, and nothing that cannot."""
        identity = super().identity()
        if self.settings.rank != "random":
            del identity["seed"]
        if self.settings.rank != "mean" and not self.settings.stability:
            del identity["stability_offset"]
        return identity

    @property
    def wants_logits(self) -> bool:
        """Whether stability ranks or filters, which masks without logits do not have."""
        return self.settings.rank == "mean" or self.settings.stability > 0

    def without_logits(self, model: str) -> tuple[ProposalTask, str]:
        """The task for a model whose masks have no logits, and a note. Raises UsageError where stability is to filter."""
        if self.settings.stability > 0:
            raise UsageError(
                f"model {model!r} gives masks without logits, which have no stability to filter by",
                where="--stability",
                expected="0, or a model that returns logits (sambench.pixels.candidates.LogitMasks)",
                found=self.settings.stability,
                remedy="leave the flag out",
            )
        note = "its masks have no logits, so proposals are ranked only by predicted IoU (--rank iou)"
        return replace(self, settings=replace(self.settings, rank="iou")), note

    def rows(self, sample: Sample, model: Segmenter | ProposalSource, context: Context, /) -> list[dict[str, Any]]:
        """The proposals, best first (none where the run keeps no masks), then the objects in dataset order."""
        if not sample.instances:  # nothing to find
            return []
        ranked = self.predict(sample, model, context)
        context.check_stop()
        objects = self.score(sample, ranked)
        if context.save_masks != "scored":
            return objects
        shared = _shared(sample, PROPOSAL)
        found = zip(ranked.rles, ranked.rows, strict=True)
        return [{**shared, "rank": k, **row, "mask_rle": rle["counts"]} for k, (rle, row) in enumerate(found)] + objects

    def predict(self, sample: Sample, model: Segmenter | ProposalSource, context: Context) -> Ranked:
        """At most max(max_dets) proposals of one image. Raises ModelError, DataError where they cannot be used."""
        most = max(self.settings.max_dets)
        if isinstance(model, ProposalSource):
            given = model.proposals(sample.image_id, (sample.height, sample.width), most)
            return Ranked([dict(r) for r in given.rles], [{"score": float(s)} for s in given.scores])
        decode_ms = 0.0
        encode_ms = 0.0
        max_batch = max_batch_of(model)

        def look(_: Crop) -> Decode:
            nonlocal encode_ms
            encoded = encode(model, sample, context.device)
            encode_ms += encoded.encode_ms

            def decode(asked: list[Prompt]) -> list[Prediction]:
                nonlocal decode_ms
                context.check_stop()
                found, each_ms = encoded.decode(asked)
                decode_ms += each_ms * len(asked)
                return found

            return decode

        # `mean` says so where a model without logits has no stability; the others need none.
        masks = automatic_masks(
            (sample.height, sample.width),
            look,
            self.settings.automatic(),
            device=context.device if context.scoring == "device" else None,
            max_batch=max_batch,
            rng=self._rng(sample) if self.settings.rank == "random" else None,
            with_stability=self.settings.rank == "mean",
        )
        scores = self._scores(masks)
        order = np.argsort(-scores, kind="stable")[:most]
        rows = [_proposal_row(masks[i], float(scores[i])) for i in order]
        return Ranked([masks[i].rle for i in order], rows, encode_ms, decode_ms)

    def _rng(self, sample: Sample) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, keyed_hash(sample.dataset, sample.image_id)])

    def _scores(self, masks: Sequence[AutomaticMask]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """What proposals are ranked by; in the order that suppression gave, which of equal scores decides."""
        if self.settings.rank == "random":  # suppression's order was random already
            return np.linspace(1, 0, len(masks), endpoint=False)
        iou = np.array([m.predicted_iou for m in masks], np.float64)
        if self.settings.rank == "iou":
            return iou
        return (iou + np.array([m.stability for m in masks], np.float64)) / 2

    def score(self, sample: Sample, ranked: Ranked) -> list[dict[str, Any]]:
        """A row an object, in dataset order."""
        areas, frequencies = _areas_and_frequencies(sample)
        sets = metric.reference_sets(areas, frequencies)
        ious = metric.mask_ious(ranked.rles, [i.region.rle() for i in sample.instances])
        ranks = metric.match_ranks(ious, sets)
        shared = _shared(sample, OBJECT) | {
            "n_proposals": len(ranked.rles),
            "encode_ms": ranked.encode_ms,
            "decode_ms": ranked.decode_ms,
        }
        return [
            shared
            | {f"ranks_{name}": ranks[name][:, g].tolist() for name, member in sets.items() if member[g]}
            | {
                "object_id": instance.object_id,
                "category": instance.category,
                "area_px": instance.area_px,
                "area": areas[g],
                "frequency": frequencies[g],
                "attributes": dict(instance.attributes),
            }
            for g, instance in enumerate(sample.instances)
        ]

    def running(self, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
        """Sums for the running recall on screen."""
        most = max(self.settings.max_dets)
        ranks = [row["ranks_all"] for row in rows if row["kind"] == OBJECT]
        if not ranks:
            return {}
        return {f"AR@{most}": (float(metric.recalled(np.array(ranks).T, most).sum()), len(ranks))}

    def reduce(self, frame: pd.DataFrame, bootstrap: Bootstrap) -> list[dict[str, Any]]:
        """Metric rows of a frame of rows with status `ok`, of which those of objects count: `ar` by `max_dets` and reference set.

        The set stands in group_by (`area`, `frequency`) and group; a set without objects has no row.
        """
        return self._folded([frame], bootstrap)

    def reduce_stored(self, rows: StoredRows, bootstrap: Bootstrap) -> list[dict[str, Any]]:
        """As `reduce`, shard by shard: of an object a few bytes stay, and nothing of a proposal."""
        columns = ["kind", "image_id", "cluster_id", *(f"ranks_{name}" for name in metric.SETS)]
        return self._folded(rows.parts(columns), bootstrap)

    def _folded(self, parts: Iterable[pd.DataFrame], bootstrap: Bootstrap) -> list[dict[str, Any]]:
        found = {name: _Recalls(self.settings.max_dets) for name in metric.SETS}
        for part in parts:
            objects = part[part["kind"] == OBJECT]
            for name, recalls in found.items():
                recalls.add(objects[objects[f"ranks_{name}"].notna()], f"ranks_{name}")
        return [row for name, recalls in found.items() for row in recalls.rows(name, bootstrap)]

    def measures(self, rows: Sequence[Mapping[str, Any]], /) -> list[Measure]:
        """The columns of its table."""
        return proposal_measures(rows)

    def table_notes(self, cells: Sequence[Cell], /) -> list[str]:
        """All that moves the numbers."""
        return [settings_note(self.settings, [c.proposals for c in cells])]

    def method(self) -> str:
        """For a methods section."""
        return "class-agnostic mask recall over IoU 0.50 to 0.95"

    def object_measures(self) -> Mapping[str, ObjectMeasure]:
        """What two runs are compared by."""
        return recall_measures(self.settings.max_dets)


class _Recalls:
    """The recalls of one reference set's objects.

    found: uint8 [n, K], at how many thresholds each was among the first of max_dets.
    """

    def __init__(self, max_dets: Sequence[int]) -> None:
        self.max_dets = max_dets
        self.found: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
        self.clusters: list[str] = []  # one text for all objects of an image
        self.images: set[str] = set()

    def add(self, objects: pd.DataFrame, column: str) -> None:
        """Objects of whole images, with their ranks in `column`."""
        if objects.empty:
            return
        ranks = np.stack(objects[column].to_list()).T  # [T, n]
        hits = [np.round(metric.recalled(ranks, most) * len(metric.THRESHOLDS)) for most in self.max_dets]
        self.found.append(np.stack(hits, axis=1).astype(np.uint8))
        self.clusters += map(sys.intern, objects["cluster_id"])
        self.images.update(objects["image_id"])

    def rows(self, name: str, bootstrap: Bootstrap) -> list[dict[str, Any]]:
        """Metric rows, one for each of max_dets; none of a set without objects."""
        return list(_recall_rows(self, name, bootstrap)) if self.found else []


def _recall_rows(here: _Recalls, name: str, bootstrap: Bootstrap) -> Iterator[dict[str, Any]]:
    values = np.concatenate(here.found) / len(metric.THRESHOLDS)
    clusters = np.array(here.clusters, object)
    means, low, high = mean_intervals(
        values, clusters, n_resamples=bootstrap.n_resamples, level=bootstrap.level, seed=bootstrap.seed
    )
    group = {}
    if name != metric.ALL:
        group = {"group_by": "area" if name in metric.AREA_SETS else "frequency", "group": name}
    for k, most in enumerate(here.max_dets):
        yield {
            "metric": "ar",
            "variant": "",
            "max_dets": most,
            "value": float(means[k]),
            **bootstrap.columns(low[k], high[k]),
            "n_images": len(here.images),
            "n_objects": len(values),
            "n_clusters": len(set(here.clusters)),
            "unit": "fraction",
            "aggregate": "mean_over_masks",
            "higher_is_better": True,
            "source_kind": "measured",
            **group,
        }


def _shared(sample: Sample, kind: str) -> dict[str, Any]:
    return {
        "dataset": sample.dataset,
        "image_id": sample.image_id,
        "cluster_id": sample.cluster_id,
        "kind": kind,
        "height": sample.height,
        "width": sample.width,
        "status": "ok",
    }


def _proposal_row(mask: AutomaticMask, score: float) -> dict[str, Any]:
    return {
        "score": score,
        "area_px": mask.area_px,
        "predicted_iou": mask.predicted_iou,
        "stability": None if np.isnan(mask.stability) else mask.stability,
        "point_xy": list(mask.point_xy),
    }


def _areas_and_frequencies(sample: Sample) -> tuple[list[float], list[str | None]]:
    """Of the objects in order: the area by which the dataset tells small from large, and LVIS's letter.

    COCO's files have an area of their own, which its evaluator takes. A file without categories is not one for that evaluator.
    """
    if sample.annotated is None or not any(i.category for i in sample.instances):
        return [float(i.area_px) for i in sample.instances], [None] * len(sample.instances)
    found = {a.object_id: a for a in sample.annotated().objects}
    told = [found[i.object_id] for i in sample.instances]
    return [a.area for a in told], [a.frequency or None for a in told]


TASK, SETTINGS = ProposalTask, ProposalSettings
