"""The point task: simulated clicks on one object at a time (Segment Anything, section 7.1 and D.1; protocol point@1).

First click at the object's deepest pixel (or a random one), further clicks at the deepest pixel of the last mask's error.
At one click a model answers with all its candidates: `top` is the one that it ranks first, `oracle` the best of them against the
ground truth. From the second click on it answers with its single output, and is given the state of the mask that went before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench import prompts
from sambench.schema import PROMPTED_COLUMNS
from sambench.tasks import summary
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.prompted import Context, Encoded, Target, counts_of, encode, rows_by_batch, running_miou
from sambench.tasks.prompted_measures import click_measures
from sambench.tasks.prompted_table import point_measures
from sambench.tasks.settings.point import PAPER_CLICKS, PointSettings
from sambench.tasks.table_columns import Measure
from sambench.tasks.task import Task
from sambench.types import Prediction, Prompt, Sample, Segmenter

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PointTask(Task):
    """See the module. Rows: `schema.PROMPTED_COLUMNS`."""

    settings: PointSettings = PointSettings()  # noqa: RUF009 - frozen
    name: str = "point"
    version: int = 1

    in_percent = "IoUs in percent"
    plots = "boundary"

    @property
    def protocol(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def columns(self) -> dict[str, str]:
        return PROMPTED_COLUMNS

    def identity(self) -> dict[str, Any]:
        """Everything of the protocol that can change a number, and nothing that cannot."""
        settings = asdict(self.settings)
        if self.settings.prompt != "random":
            settings.pop("seed")
        return {"protocol": self.protocol, **settings}

    def rows(self, sample: Sample, segmenter: Segmenter, context: Context) -> list[dict[str, Any]]:
        """All rows of one image: its objects in dataset order, `max_batch` at a time, by click count within a batch."""
        if not sample.instances:  # every mask was empty: nothing to ask for
            return []
        image = encode(segmenter, sample)
        return rows_by_batch(len(sample.instances), image.max_batch, context, lambda batch: self._batch(batch, image, context))

    def _batch(self, batch: range, image: Encoded, context: Context) -> list[dict[str, Any]]:
        sample, out = image.sample, []
        sessions = [_Session.start(Target.of(sample.instances[i], sample), self.settings) for i in batch]
        for k in range(1, max(self.settings.clicks) + 1):
            context.check_stop()
            self._round(k, sessions, image)
            if k in self.settings.clicks:
                out += [s.row(k, image.encode_ms, self.settings, context) for s in sessions if not s.left]
            for s in sessions if k < max(self.settings.clicks) else ():  # after the last one there is nothing to click for
                s.advance(self.settings)
        return out

    def _round(self, k: int, sessions: list[_Session], image: Encoded) -> None:
        live = [s for s in sessions if not s.done]
        if not live:
            return
        predictions, each_ms = image.decode([s.prompt(multimask=k == 1) for s in live])
        for session, prediction in zip(live, predictions, strict=True):
            session.take(prediction, each_ms)

    def running(self, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
        """Sums for the running mIoU on screen."""
        return running_miou(rows)

    def reduce(self, frame: pd.DataFrame, bootstrap: summary.Bootstrap) -> list[dict[str, Any]]:
        """Metric rows of a frame of rows with status `ok`: mIoU at each count, oracles, boundary mIoU, NoC."""
        return summary.reduce_prompted(
            frame, bootstrap, noc=self.settings.noc, max_clicks=max(self.settings.clicks), until=self.settings.until_iou
        )

    def measures(self, rows: Sequence[Mapping[str, Any]], /) -> list[Measure]:
        """The columns of its table."""
        return point_measures(rows, PAPER_CLICKS)

    def method(self) -> str:
        """For a methods section."""
        counts = ", ".join(map(str, self.settings.clicks))
        first = f"first click: {self.settings.prompt}"
        return f"simulated clicks ({first}), mIoU after N = {counts} clicks at the image's own resolution"

    def object_measures(self) -> Mapping[str, ObjectMeasure]:
        """What two runs are compared by."""
        return click_measures(self.settings.noc, max(self.settings.clicks), self.settings.until_iou)


@dataclass
class _Session:
    """The clicks on one object so far, and the mask that goes on.

    done: no further prediction is asked for. left: its rows have ended too (until_iou reached); a perfect mask is carried forward
    instead.
    """

    target: Target
    clicks: list[prompts.Click]
    prediction: Prediction | None = None
    current: int = 0
    fresh: bool = False
    decode_ms: float = 0.0
    carry: Any = None
    done: bool = False
    left: bool = False

    @classmethod
    def start(cls, target: Target, settings: PointSettings) -> _Session:
        sample, instance = target.sample, target.instance
        if settings.prompt == "center":
            first = prompts.center_click(instance.region, sample.ignore)
        else:
            first = prompts.random_click(
                instance.region,
                seed=settings.seed,
                dataset=sample.dataset,
                image_id=sample.image_id,
                object_id=instance.object_id,
                ignore=sample.ignore,
            )
        return cls(target, [first])

    def prompt(self, *, multimask: bool) -> Prompt:
        return Prompt(
            points_xy=np.array([(c.x, c.y) for c in self.clicks], np.float32),
            labels=np.array([c.positive for c in self.clicks], np.int8),
            multimask=multimask,
            carry=self.carry,
        )

    def take(self, prediction: Prediction, decode_ms: float) -> None:
        self.prediction, self.current, self.decode_ms, self.fresh = prediction, prediction.top_index, decode_ms, True

    def row(self, k: int, encode_ms: float, settings: PointSettings, context: Context) -> dict[str, Any]:
        assert self.prediction is not None
        # A perfect mask that is carried forward is one candidate: nothing was asked of the model again.
        which = None if self.fresh else [self.current]
        row = self.target.row(prompt=settings.prompt, k=k, encode_ms=encode_ms)
        row |= self.target.scored(self.prediction, which)
        row["clicks_xy"] = [v for c in self.clicks for v in (c.x, c.y)]
        row["clicks_label"] = [int(c.positive) for c in self.clicks]
        row["decode_ms"] = self.decode_ms if self.fresh else 0.0
        if context.save_masks == "scored":
            # Every candidate of the first click; later the mask that goes on (a single output, or the model's own first).
            row["mask_rles"] = counts_of(self.prediction, which if k == 1 else [self.current])
        return row

    def advance(self, settings: PointSettings) -> None:
        """Choose the mask that goes on, and the next click; end where there is none."""
        if self.done:
            self.fresh = False
            return
        assert self.prediction is not None
        if self._reached(settings):
            self.done = self.left = True
            return
        sample = self.target.sample
        click = prompts.next_click(
            self.target.instance.region,
            self.prediction.masks.region(self.current),
            clicked=[(c.x, c.y) for c in self.clicks],
            ignore=sample.ignore,
        )
        if click is None:
            self.done, self.fresh = True, False
            return
        self.clicks.append(click)
        if settings.mask_feedback and self.prediction.carry is not None:
            self.carry = self.prediction.carry[self.current]

    def _reached(self, settings: PointSettings) -> bool:
        if settings.until_iou is None or self.prediction is None:
            return False
        target, ignore = self.target.instance.region, self.target.sample.ignore
        return bool(self.prediction.masks.iou(target, ignore)[self.current] >= settings.until_iou)


TASK, SETTINGS = PointTask, PointSettings
