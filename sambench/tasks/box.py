"""The box task: each object is prompted with the tight box of its ground truth (HQ-SAM's evaluation; protocol box@1).

One prediction an object, scored by mIoU and by boundary IoU at 2 % and 1 % of the diagonal. By default the model answers with its
single output, as HQ-SAM's authors ran SAM; `multimask` asks for all candidates, of which `top` is the model's own first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sambench import prompts
from sambench.schema import PROMPTED_COLUMNS
from sambench.tasks import summary
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.prompted import Context, Encoded, Target, encode, rows_by_batch, running_miou
from sambench.tasks.prompted_measures import OVERLAPS
from sambench.tasks.prompted_table import box_measures
from sambench.tasks.scoring import Answer, scored_columns, scoring_of
from sambench.tasks.settings.box import BoxSettings
from sambench.tasks.table_columns import Measure
from sambench.tasks.task import Task
from sambench.tasks.works import HQ_SAM
from sambench.types import Prompt, Sample, Segmenter

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BoxTask(Task):
    """See the module. Rows: `schema.PROMPTED_COLUMNS` with prompt `box`, k = 0 and no clicks."""

    settings: BoxSettings = BoxSettings()  # noqa: RUF009 - frozen

    name = "box"
    columns = PROMPTED_COLUMNS
    plots = "boundary"
    gallery = "objects"
    follows = (HQ_SAM,)

    in_percent = "IoUs in percent"

    def rows(self, sample: Sample, segmenter: Segmenter, context: Context) -> list[dict[str, Any]]:
        """One row an object, in dataset order."""
        if not sample.instances:  # every mask was empty: nothing to ask for
            return []
        image = encode(segmenter, sample, context.device)
        return rows_by_batch(len(sample.instances), image.max_batch, context, lambda batch: self._batch(batch, image, context))

    def _batch(self, batch: range, image: Encoded, context: Context) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        targets = [Target(image.sample.instances[i], image.sample) for i in batch]
        scoring = scoring_of(targets, context)
        asked = [Prompt(box_xyxy=prompts.box_prompt(t.region), multimask=self.settings.multimask) for t in targets]
        predictions, each_ms = image.decode(asked)
        answers = [Answer(t, p) for t, p in zip(targets, predictions, strict=True)]
        for answer, overlaps in zip(answers, scoring.overlaps(answers), strict=True):
            row = answer.target.row(prompt="box", k=0, encode_ms=image.encode_ms) | scored_columns(answer, overlaps)
            out.append(row | {"clicks_xy": [], "clicks_label": [], "decode_ms": each_ms})
        if context.save_masks == "scored":
            for row, counts in zip(out, scoring.counts(answers), strict=True):
                row["mask_rles"] = counts
        return out

    def running(self, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
        """Sums for the running mIoU on screen."""
        return running_miou(rows)

    def reduce(self, frame: pd.DataFrame, bootstrap: summary.Bootstrap) -> list[dict[str, Any]]:
        """Metric rows of a frame of rows with status `ok`: mIoU and boundary mIoU."""
        return summary.reduce_prompted(frame, bootstrap)

    def measures(self, rows: Sequence[Mapping[str, Any]], /) -> list[Measure]:
        """The columns of its table."""
        return box_measures()

    def method(self) -> str:
        """For a methods section."""
        return "the tight box of each annotation, mIoU and boundary IoU"

    def object_measures(self) -> Mapping[str, ObjectMeasure]:
        """What two runs are compared by."""
        return OVERLAPS


TASK, SETTINGS = BoxTask, BoxSettings
