"""The instance task: a detector's boxes prompt the model, its masks are scored by AP (Segment Anything, section 7.4; instances@2).

Each box of a COCO results file is asked for, the best-ranked mask fed back with it once, and the mask takes over the detection's
class and score. With the model `detections` the file's own masks are scored instead: the detector's row of the paper's table 5.
The rows hold every detection with its IoUs, so that AP is computed anew without images, models or annotations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench import cards
from sambench.errors import DataError, UsageError
from sambench.getting.boxes import boxes_file
from sambench.loaders.coco_results import Detections, ResultsFile, read_results
from sambench.loaders.results_check import as_xyxy, check_boxes, check_ids, outside
from sambench.metrics.instances import COCO_MAX_DETS, LVIS_MAX_DETS
from sambench.models.detections import OwnMasks
from sambench.notes import note
from sambench.schema import INSTANCE_COLUMNS
from sambench.tasks.instance_measures import BEST, IOU_BEST, instance_sets
from sambench.tasks.instance_rows import Answer, ImageRows
from sambench.tasks.instance_scores import metric_rows
from sambench.tasks.instance_table import count_notes, instance_measures, instance_settings
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.prompted import Context, Encoded, batches, encode
from sambench.tasks.scoring import top_rles
from sambench.tasks.set_measures import SetMeasure
from sambench.tasks.settings.instances import InstanceSettings
from sambench.tasks.summary import Bootstrap
from sambench.tasks.table_columns import Measure
from sambench.tasks.task import Cell, StoredRows, Task
from sambench.tasks.works import SEGMENT_ANYTHING
from sambench.types import Annotated, Dataset, ForDetection, Gives, Prediction, Prompt, Sample, Segmenter, reader_of

if TYPE_CHECKING:
    import pandas as pd

SIZED_BY = ("mask_sized_by", "box_sized_by")  # columns of instances@2
OLDER = {"instances@1": {"areas": "own"}}  # settings that cells of that protocol do not write out


def complete_settings(settings: Mapping[str, Any], datasets: Sequence[str]) -> Mapping[str, Any]:
    """With the boxes that are made for the dataset, where none are named (the demo's detector)."""
    if settings.get("boxes"):
        return settings
    made = {card.dataset: card.id for card in cards.boxes_cards().values() if card.maker}
    if len(datasets) == 1 and datasets[0] in made:
        return {**settings, "boxes": made[datasets[0]]}
    raise UsageError(
        "the instance task needs a detector's boxes",
        where="--boxes",
        expected=f"a COCO results file, or the name of a card of one ({', '.join(cards.boxes_cards())})",
        remedy="sambench run instances --datasets coco_2017_val --boxes FILE --model sam_vit_h",
    )


@dataclass(frozen=True)
class InstanceTask(Task):
    """See the module. Rows: `schema.INSTANCE_COLUMNS`; the image's first."""

    settings: InstanceSettings = InstanceSettings()  # noqa: RUF009 - frozen

    name = "instances"
    version = 2
    in_percent = ""
    takes = ("masks", "single_mask", "detections")
    untitled = ("boxes", "boxes_sha256", "areas", "extra")  # settings that no title names
    scores_annotated = True  # every annotation of the file as its evaluator counts it, not `Sample.instances`
    has_detections = True
    gallery = "detections"
    follows = (SEGMENT_ANYTHING,)
    plots = "detections"
    every_image = True  # false positives count on images without objects too

    @classmethod
    def of(cls, settings: InstanceSettings) -> InstanceTask:
        """The task of settings as a user gives them: the results file is looked up and read, unless they have its hash, as those
        of a stored cell do. Raises as `boxes_file` and `read_results`."""
        if not settings.boxes or settings.boxes_sha256:
            return cls(settings)
        read = read_results(boxes_file(str(settings.boxes)))
        return cls(replace(settings, boxes=str(read.path.absolute()), boxes_sha256=read.sha256()))

    @property
    def protocol(self) -> str:
        return f"{self.name}@1" if self.settings.areas == "own" else super().protocol

    @property
    def columns(self) -> dict[str, str]:
        left_out = SIZED_BY if self.settings.areas == "own" else ()
        return {name: kind for name, kind in INSTANCE_COLUMNS.items() if name not in left_out}

    def identity(self) -> dict[str, Any]:
        """Everything of the protocol that can change a number."""
        identity = super().identity()
        for name in ("boxes", "areas", "extra"):
            del identity[name]
        identity["box_format"] = "xyxy" if self.settings.box_format == "xyxy" else "xywh"
        return identity

    def check_gives(self, gives: Gives, /) -> None:
        """Raise UsageError where a file's own masks are to be scored, and it has none."""
        if gives == "detections" and not self.results().n_masks:
            raise UsageError(
                "the file has no masks of its own to be scored",
                where="--model detections",
                expected="entries with `segmentation`",
                found=f"boxes alone in {self.settings.boxes}",
                remedy="leave that model out, or give the detector's results with masks",
            )

    def check_dataset(self, dataset: Dataset) -> list[str]:
        """What must be said before a run on a dataset. Raises DataError and UsageError where file and dataset do not fit."""
        reader = reader_of(dataset)
        if not isinstance(reader, ForDetection):
            raise UsageError(
                f"dataset {dataset.name!r} is not one for the instance task",
                where="--datasets",
                expected="a dataset in COCO's form (reader sambench.loaders.coco:CocoJson)",
                found="one of another form",
            )
        every, held = reader.all_image_ids(), {r.image_id for r in dataset.index()}
        if len(held) < len(every):
            raise UsageError(
                f"dataset {dataset.name!r} leaves out images without objects, on which false positives count",
                expected=f"all {len(every)} images of the annotation file",
                found=f"{len(held)}",
                remedy="set all_images = true under [options] of its card",
            )
        categories = reader.category_names()
        if not categories:
            raise DataError(
                f"dataset {dataset.name!r} lists no categories, and average precision is by category",
                where="categories of its annotation file",
                expected='"categories": [{"id": 1, "name": "cup"}, ...]',
                found="none",
                remedy="write the categories into the file, with the ids that its annotations have",
            )
        results = self.results()
        notes = check_ids(results, every, categories, extra=self.settings.extra)
        return notes + check_boxes(results, every, reader.image_size, box_format=self.settings.box_format)

    def results(self) -> ResultsFile:
        """The file of the settings. Raises UsageError without one, DataError where it is another than when the run began."""
        if not self.settings.boxes:
            raise UsageError("the instance task has no boxes", where="--boxes", expected="a COCO results file")
        return _opened(self.settings.boxes, self.settings.boxes_sha256)

    def rows(self, sample: Sample, model: Segmenter | OwnMasks, context: Context) -> list[dict[str, Any]]:
        """The image's row, one a detection in the file's order, one an annotation."""
        if sample.annotated is None:
            raise DataError("an image has no ground truth for detection", where=f"image {sample.image_id!r} of {sample.dataset}")
        truth = sample.annotated()
        given = self.results().of(sample.image_id)
        known = given.take(np.flatnonzero([int(c) in truth.categories for c in given.category_id]))
        found = known.best(self._max_dets(truth))
        size = (sample.height, sample.width)
        boxes = found.boxes(*size, corners=self.settings.box_format == "xyxy")
        corners = as_xyxy(boxes, "xywh")
        off = outside(corners, np.array(size, np.float64))
        if isinstance(model, OwnMasks):
            answers, encode_ms = _own(found, sample), 0.0
        else:
            asked = np.flatnonzero(~off).tolist()
            answers, encode_ms = self._prompted(model, sample, corners, asked, context)
        shared = {"dataset": sample.dataset, "image_id": sample.image_id, "cluster_id": sample.cluster_id, "status": "ok"}
        rows = ImageRows(sample, truth, found, boxes, answers, self.settings.boundary, context.save_masks == "scored").rows()
        if self.settings.areas == "official":
            areas = self._file_areas(found, boxes, size)
            for row, area in zip((r for r in rows if r["kind"] == "detection"), areas, strict=True):
                row |= {"box_sized_by": area, "mask_sized_by": area if isinstance(model, OwnMasks) else row["area"]}
        image = {
            "kind": "image",
            "height": sample.height,
            "width": sample.width,
            "negative_ids": None if truth.negative_ids is None else list(truth.negative_ids),
            "not_exhaustive_ids": None if truth.not_exhaustive_ids is None else list(truth.not_exhaustive_ids),
            "n_detections": len(given),
            "n_cut": len(known) - len(found),
            "n_outside": int(off.sum()),
            "n_duplicates": given.n_duplicates(),
            "n_empty": sum(not row["area"] for row in rows if row["kind"] == "detection"),
            "encode_ms": encode_ms,
        }
        return [{**shared, **row} for row in (image, *rows)]

    def _file_areas(self, found: Detections, boxes: Any, size: tuple[int, int]) -> list[float]:
        """The area of each detection as the official evaluators load the file: that of its box or of its mask."""
        if self.results().sized_by_boxes:
            return [float(a) for a in (boxes[:, 2] * boxes[:, 3]).tolist()]
        of_masks, of_boxes = found.areas(*size), (boxes[:, 2] * boxes[:, 3]).tolist()
        return [of_masks[i] if found.has_mask(i) else float(a) for i, a in enumerate(of_boxes)]

    def _max_dets(self, truth: Annotated) -> int:
        if self.settings.max_dets is not None:
            return self.settings.max_dets
        return (COCO_MAX_DETS if truth.negative_ids is None else LVIS_MAX_DETS)[-1]

    def _prompted(
        self, model: Segmenter, sample: Sample, corners: Any, asked: list[int], context: Context
    ) -> tuple[dict[int, Answer], float]:
        """The model's masks by detection; those that are not asked for have none."""
        answers: dict[int, Answer] = {}
        if not asked:
            return answers, 0.0
        image = encode(model, sample, context.device)
        for batch in batches(len(asked), image.max_batch):
            context.check_stop()
            which = [asked[i] for i in batch]
            prompts = [Prompt(box_xyxy=tuple(corners[i].tolist()), multimask=self.settings.variant != "single") for i in which]
            predictions, each_ms = self._decoded(image, prompts)
            rles = top_rles(predictions, context)
            for i, prediction, rle in zip(which, predictions, rles, strict=True):
                answers[i] = Answer(rle, float(prediction.scores[prediction.top_index]), len(prediction.masks), each_ms)
        return answers, image.encode_ms

    def _decoded(self, image: Encoded, prompts: list[Prompt]) -> tuple[list[Prediction], float]:
        first, ms = image.decode(prompts)
        if self.settings.variant == "no_refine":
            return first, ms
        again = [
            Prompt(box_xyxy=p.box_xyxy, multimask=False, carry=None if f.carry is None else f.carry[f.top_index])
            for p, f in zip(prompts, first, strict=True)
        ]
        second, more_ms = image.decode(again)
        return second, ms + more_ms

    def running(self, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
        """The best IoU of each object, for a running mean on screen."""
        best = [row["iou_best"] for row in rows if row.get("iou_best") is not None]
        return {"mean best IoU": (sum(best), len(best))}

    def reduce(self, frame: pd.DataFrame, bootstrap: Bootstrap) -> list[dict[str, Any]]:
        """Metric rows of a frame of rows with status `ok`: AP and AR of masks, boxes and (where they were asked for) boundaries."""
        return self._metric_rows(lambda columns: [frame[list(columns)]])

    def reduce_stored(self, rows: StoredRows, bootstrap: Bootstrap) -> list[dict[str, Any]]:
        """As `reduce`, a shard in memory at a time."""
        return self._metric_rows(rows.parts)

    def _metric_rows(self, parts: Callable[[Sequence[str]], Iterable[pd.DataFrame]]) -> list[dict[str, Any]]:
        settings = self.settings
        sized = settings.areas == "official"
        return metric_rows(parts, boundary=settings.boundary, max_dets=settings.max_dets, sized=sized)

    def measures(self, rows: Sequence[Mapping[str, Any]], /) -> list[Measure]:
        """The columns of its table."""
        return instance_measures()

    def table_notes(self, cells: Sequence[Cell], /) -> list[str]:
        """What was counted of the detections, and the settings that move the numbers."""
        return [*count_notes(cells), *instance_settings(self.settings, cells)]

    def method(self) -> str:
        """For a methods section: of which file the boxes are, too."""
        text = "mask AP of masks prompted by a detector's boxes"
        boxes, sha256 = self.settings.boxes, self.settings.boxes_sha256
        return f"{text}, those of {Path(boxes).name}, sha256 {sha256[:12]}…" if boxes else text

    def object_measures(self) -> Mapping[str, ObjectMeasure]:
        """What two runs are compared by."""
        return {IOU_BEST: BEST}

    def set_measures(self) -> Mapping[str, SetMeasure]:
        """What two runs are compared by as a whole."""
        return instance_sets(self.settings)


@lru_cache(maxsize=2)
def _opened(path: str, sha256: str) -> ResultsFile:
    found = read_results(Path(path))
    if sha256 and found.sha256() != sha256:
        raise DataError(
            "a results file is another than the one that the run began with",
            where=path,
            expected=f"sha256 {sha256}",
            found=f"sha256 {found.sha256()}",
            remedy="issue the command again: another file is another run",
        )
    return found


def _own(found: Detections, sample: Sample) -> dict[int, Answer]:
    """The file's masks; detections without one have none."""
    have = [i for i in range(len(found)) if found.has_mask(i)]
    if len(have) < len(found):
        note("detections without a mask count only for the AP of boxes")
    return {i: Answer(found.rle(i, sample.height, sample.width)) for i in have}


TASK, SETTINGS = InstanceTask.of, InstanceSettings
