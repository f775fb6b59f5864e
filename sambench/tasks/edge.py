"""The edge task: edge maps against every annotator's boundaries (Segment Anything, section 7.2 and D.2; protocol edge@1).

A detector's map is taken as it is. A segmenter's is made of its masks: a grid of points on the whole image, all candidates of
each, no filter by score, box suppression, and the outlines of what stays (`sambench.automatic.outlines`), scaled to [0, 1] and
thinned. Either is scored by the boundary benchmark (`sambench.metrics.edges`). The rows hold counts, of which every score is made.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench import prompts
from sambench.automatic.outlines import Candidates, outline_map
from sambench.errors import DataError, ModelError
from sambench.layout import Kind
from sambench.metrics.edges import edge_counts, edge_counts_of_maps, edge_intervals, edge_scores, threshold_values
from sambench.metrics.edges.counts import EdgeCounts
from sambench.pixels.edge_maps import canny_nms, dollar_nms
from sambench.schema import EDGE_COLUMNS
from sambench.tasks.edge_measures import BY_PEOPLE, COUNTS, SCORES, EdgeMeasure, counts_of, edge_images, edge_sets
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.prompted import Context, encode
from sambench.tasks.settings.edge import EdgeSettings
from sambench.tasks.summary import Bootstrap
from sambench.tasks.table_columns import Measure
from sambench.tasks.task import Task
from sambench.tasks.works import BSDS500, SEGMENT_ANYTHING
from sambench.types import EdgeAnnotators, EdgeDetector, EdgeMapSource, EdgeOutput, FloatArray, Prompt, Sample, Segmenter

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class EdgePrediction:
    """A map as the benchmark takes it, and what it took. n_masks: of a segmenter, after suppression; None for a detector."""

    edge_map: EdgeOutput
    encode_ms: float
    edge_ms: float
    n_masks: int | None = None


@dataclass(frozen=True)
class EdgeTask(Task):
    """See the module. Rows: `schema.EDGE_COLUMNS`, one a threshold."""

    settings: EdgeSettings = EdgeSettings()  # noqa: RUF009 - frozen

    name = "edge"
    columns = EDGE_COLUMNS
    takes = ("masks", "edges")
    needs = "boundaries"
    whole_sets_only = True
    plots = "edges"
    gallery = "edges"
    follows = (SEGMENT_ANYTHING, BSDS500)

    def rows(
        self, sample: Sample, model: Segmenter | EdgeDetector | EdgeMapSource | EdgeAnnotators, context: Context, /
    ) -> list[dict[str, Any]]:
        """One row a threshold; the first holds the map unless the run keeps none. Of annotators one row, without a map."""
        if isinstance(model, EdgeAnnotators):
            return [self._agreement(sample, model)]
        prediction = self.predict(sample, model, context)
        context.check_stop()
        rows = self.score(sample, prediction)
        if context.save_masks == "scored":
            rows[0]["edge_map"] = _npy(prediction.edge_map)
        return rows

    def predict(
        self, sample: Sample, model: Segmenter | EdgeDetector | EdgeMapSource, context: Context
    ) -> EdgePrediction:
        """The model's map of one image. Raises ModelError where the model breaks its contract."""
        size = (sample.height, sample.width)
        start = time.perf_counter()
        if isinstance(model, EdgeMapSource):
            return EdgePrediction(model.edge_map(sample.image_id, size), 0.0, _ms_since(start))
        if isinstance(model, EdgeDetector):
            image = sample.image
            start = time.perf_counter()
            found = model.edges(image)
            return EdgePrediction(_checked(found, size), 0.0, _ms_since(start))
        encoded = encode(model, sample, context.device)
        start = time.perf_counter()
        points = prompts.point_grid(self.settings.grid, *size)
        candidates = Candidates(device=context.device if context.scoring == "device" else None)
        for first in range(0, len(points), encoded.max_batch):
            context.check_stop()
            asked = [Prompt(p[None], np.ones(1, np.int8)) for p in points[first : first + encoded.max_batch]]
            candidates.add(encoded.decode(asked)[0])
        outline = outline_map(candidates, *size, nms_iou=self.settings.nms_iou)
        strength = scaled(outline.strength)
        if self.settings.nms == "canny":
            strength = canny_nms(strength, outline.grad_x, outline.grad_y)
        elif self.settings.nms == "dollar":
            strength = dollar_nms(strength)
        return EdgePrediction(strength, encoded.encode_ms, _ms_since(start), outline.n_masks)

    def score(self, sample: Sample, prediction: EdgePrediction) -> list[dict[str, Any]]:
        """Rows of one image, by ascending threshold, without the map. Raises DataError for maps or annotations that do not fit."""
        max_dist = self._max_dist(sample)
        start = time.perf_counter()
        thresholds, counts = self._count(sample, prediction.edge_map, max_dist)
        took = {"n_masks": prediction.n_masks, "encode_ms": prediction.encode_ms, "edge_ms": prediction.edge_ms}
        shared = {**self._shared(sample, max_dist, _ms_since(start)), **took}
        numbers = counts.as_array().tolist()
        return [{**shared, "t": t, **dict(zip(COUNTS, n, strict=True))} for t, n in zip(thresholds, numbers, strict=True)]

    def _agreement(self, sample: Sample, people: EdgeAnnotators) -> dict[str, Any]:
        """The row of how well the annotators agree: counts summed over them, each compared with the others."""
        max_dist = self._max_dist(sample)
        start = time.perf_counter()
        pairs = people.leave_one_out(sample.boundaries, f"image {sample.image_id!r} of {sample.dataset}")
        counts = [edge_counts_of_maps([one], others, max_dist=max_dist).as_array()[0] for one, others in pairs]
        numbers = np.sum(counts, axis=0).tolist()
        return {**self._shared(sample, max_dist, _ms_since(start)), "t": BY_PEOPLE, **dict(zip(COUNTS, numbers, strict=True))}

    def _max_dist(self, sample: Sample) -> float:
        """The tolerance, as a share of the diagonal. Raises DataError where the image has no annotated boundaries."""
        max_dist = self.settings.max_dist or sample.boundary_max_dist
        if not sample.boundaries or max_dist is None:
            raise DataError(
                "an image has no annotated boundaries",
                where=f"image {sample.image_id!r} of {sample.dataset}",
                expected="at least one annotator's map, and the dataset's tolerance",
                found=f"{len(sample.boundaries)} maps, tolerance {max_dist}",
            )
        return max_dist

    def _shared(self, sample: Sample, max_dist: float, score_ms: float) -> dict[str, Any]:
        """What the rows of an image share."""
        return {
            "dataset": sample.dataset,
            "image_id": sample.image_id,
            "cluster_id": sample.cluster_id,
            "height": sample.height,
            "width": sample.width,
            "n_annotators": len(sample.boundaries),
            "max_dist": max_dist,
            "score_ms": score_ms,
            "status": "ok",
        }

    def _count(self, sample: Sample, edge_map: EdgeOutput, max_dist: float) -> tuple[list[float], EdgeCounts]:
        if edge_map.ndim == 3:
            family = list(edge_map)
            return threshold_values(len(family)).tolist(), edge_counts_of_maps(family, sample.boundaries, max_dist=max_dist)
        values = threshold_values(self.settings.thresholds)
        return values.tolist(), edge_counts(edge_map, sample.boundaries, max_dist=max_dist, thresholds=values)

    def running(self, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
        """The image's best F, for a running mean on screen; the mean is none of the scores."""
        counts = np.array([[[row[c] for c in COUNTS] for row in rows]])
        return {"mean best F": (float(edge_scores(counts, np.array([row["t"] for row in rows])).image_f[0]), 1)}

    def reduce(self, frame: pd.DataFrame, bootstrap: Bootstrap) -> list[dict[str, Any]]:
        """Metric rows of a frame of rows with status `ok`: ODS, OIS, AP, R50 with intervals, and where ODS and OIS stand."""
        if frame.empty:
            return []
        thresholds, counts, clusters = counts_of(frame)
        scores = edge_scores(counts, thresholds)
        low, high = edge_intervals(
            counts, thresholds, clusters, n_resamples=bootstrap.n_resamples, level=bootstrap.level, seed=bootstrap.seed
        )
        shared = {
            "variant": "",
            "n_images": len(counts),
            "n_objects": int(frame.groupby("image_id")["n_annotators"].first().sum()),
            "n_clusters": len(set(clusters)),
            "unit": "fraction",
            "aggregate": "counts_summed_over_images",
            "source_kind": "measured",
        }
        rows = [
            {**shared, **bootstrap.columns(low[j], high[j]), "metric": m, "value": getattr(scores, m), "higher_is_better": True}
            for j, m in enumerate(SCORES)
        ]
        if thresholds.tolist() == [BY_PEOPLE]:  # one point of recall and precision: no curve, and nothing to choose by image
            beside = {"ods_recall": scores.ods_recall, "ods_precision": scores.ods_precision}
            return rows[:1] + [{**shared, "metric": m, "value": v} for m, v in beside.items()]
        beside = {
            "ods_threshold": scores.ods_threshold,
            "ods_recall": scores.ods_recall,
            "ods_precision": scores.ods_precision,
            "ois_recall": scores.ois_r,
            "ois_precision": scores.ois_p,
        }
        return rows + [{**shared, "metric": m, "value": v} for m, v in beside.items()]

    def measures(self, rows: Sequence[Mapping[str, Any]], /) -> list[Measure]:
        """The columns of its table: scores in [0, 1], each with its interval."""
        kinds: tuple[tuple[str, Kind], ...] = (("", "score"), ("_ci", "score_interval"))
        return [Measure(m + end, "CI" if end else m.upper(), kind, m, "", drawn_by=m) for m in SCORES for end, kind in kinds]

    @property
    def objects(self) -> str:
        """What its datasets hold: an image has the boundaries of several annotators."""
        return "annotations"

    def method(self) -> str:
        """For a methods section."""
        return f"the BSDS500 boundary benchmark with {self.settings.thresholds} thresholds"

    def object_measures(self) -> Mapping[str, ObjectMeasure]:
        """What two runs are compared by, image by image."""
        return edge_images()

    def set_measures(self) -> Mapping[str, EdgeMeasure]:
        """What two runs are compared by: the scores of the set."""
        return edge_sets()


def map_of(raw: bytes) -> EdgeOutput:
    """The edge map in a row's `edge_map`."""
    array: EdgeOutput = np.load(io.BytesIO(raw), allow_pickle=False)
    return array


def scaled(strength: FloatArray) -> FloatArray:
    """strength [H, W], linearly to [0, 1]; a map of one value becomes 0."""
    low, high = strength.min(), strength.max()
    out: FloatArray = (strength - low) / (high - low) if high > low else np.zeros_like(strength)
    return out


def _checked(found: Any, size: tuple[int, int]) -> EdgeOutput:
    array = np.asarray(found)
    strength = array.shape == size and array.dtype in (np.float32, np.float64)
    family = array.ndim == 3 and array.shape[1:] == size and len(array) and array.dtype == np.bool_
    if not strength and not family:
        raise ModelError(
            "edges() broke its contract",
            expected=f"float32 or float64 {list(size)} in [0, 1], or bool [T, {size[0]}, {size[1]}]",
            found=f"{array.dtype} {list(array.shape)}",
            remedy="see sambench.types.EdgeDetector",
        )
    return array


def _npy(edge_map: EdgeOutput) -> bytes:
    out = io.BytesIO()
    np.save(out, edge_map, allow_pickle=False)
    return out.getvalue()


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


TASK, SETTINGS = EdgeTask, EdgeSettings
