"""The point task: simulated clicks on one object at a time (Segment Anything, section 7.1 and D.1; protocol point@1).

First click at the object's deepest pixel (or a random one), further clicks at the deepest pixel of the last mask's error. Or clicks
that people made, from a file: all of an object's are given in their order, whatever the masks.
At one click a model answers with all its candidates: `top` is the one that it ranks first, `oracle` the best of them against the
ground truth. From the second click on it answers with its single output, and is given the state of the mask that went before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench import prompts
from sambench.errors import DataError
from sambench.loaders.recorded_clicks import ClicksFile, RecordedClick, known_id, read_clicks
from sambench.schema import PROMPTED_COLUMNS
from sambench.tasks import summary
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.prompted import Context, Encoded, Target, encode, rows_by_batch, running_miou
from sambench.tasks.prompted_measures import click_measures
from sambench.tasks.prompted_table import point_measures
from sambench.tasks.scoring import Answer, Scoring, scored_columns, scoring_of
from sambench.tasks.settings.point import FILE, PAPER_CLICKS, RECORDED, PointSettings
from sambench.tasks.table_columns import Measure
from sambench.tasks.task import Cell, Task
from sambench.tasks.works import SEGMENT_ANYTHING
from sambench.types import Dataset, Prediction, Prompt, Sample, Segmenter

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PointTask(Task):
    """See the module. Rows: `schema.PROMPTED_COLUMNS`."""

    settings: PointSettings = PointSettings()  # noqa: RUF009 - frozen

    name = "point"
    columns = PROMPTED_COLUMNS
    in_percent = "IoUs in percent"
    plots = "boundary"
    gallery = "objects"
    follows = (SEGMENT_ANYTHING,)

    @classmethod
    def of(cls, settings: PointSettings) -> PointTask:
        """The task of settings as a user gives them: recorded clicks are read, unless their hash is there, as in those of a stored
        cell. Raises as `read_clicks`."""
        if settings.recorded is None or settings.prompt_sha256:
            return cls(settings)
        read = read_clicks(settings.recorded)
        return cls(replace(settings, prompt=f"{FILE}{read.path}", prompt_sha256=read.sha256))

    @property
    def untitled(self) -> tuple[str, ...]:
        """Settings that no title names: `table_notes` tells of recorded clicks."""
        return () if self.settings.recorded is None else ("prompt", "prompt_sha256", "beyond")

    def identity(self) -> dict[str, Any]:
        """Everything of the protocol that can change a number, and nothing that cannot."""
        identity = super().identity()
        if self.settings.prompt != "random":
            del identity["seed"]
        if self.settings.recorded is None:
            del identity["prompt_sha256"], identity["beyond"]
        else:
            identity["prompt"] = RECORDED
        return identity

    def clicks_file(self) -> ClicksFile | None:
        """The recorded clicks of the settings, if there are. Raises DataError where they are others than when the run began."""
        path = self.settings.recorded
        return None if path is None else _opened(path, self.settings.prompt_sha256)

    def check_images(self, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        """What must be said of recorded clicks beside the images that run. Raises DataError, by line, where they do not fit."""
        file = self.clicks_file()
        if file is None:
            return []
        return file.check(dataset, image_ids, needed=max(self.settings.clicks) if self.settings.beyond == "refuse" else 1)

    def rows(self, sample: Sample, segmenter: Segmenter, context: Context) -> list[dict[str, Any]]:
        """All rows of one image: its objects in dataset order, `max_batch` at a time, by click count within a batch."""
        if not sample.instances:  # every mask was empty: nothing to ask for
            return []
        file = self.clicks_file()
        recorded = {} if file is None else file.of(sample.dataset, sample.image_id)
        image = encode(segmenter, sample, context.device)
        count = len(sample.instances)
        return rows_by_batch(count, image.max_batch, context, lambda batch: self._batch(batch, image, context, recorded))

    def _batch(
        self, batch: range, image: Encoded, context: Context, recorded: Mapping[str, tuple[RecordedClick, ...]]
    ) -> list[dict[str, Any]]:
        """recorded: by object, of clicks that people made."""
        sample, out = image.sample, []
        targets = [Target(sample.instances[i], sample) for i in batch]
        scoring = scoring_of(targets, context)
        sessions = self._sessions(targets, scoring, recorded)
        for k in range(1, max(self.settings.clicks) + 1):
            context.check_stop()
            self._round(k, sessions, image)
            if k in self.settings.clicks:
                out += self._rows(k, [s for s in sessions if not s.left], image, context, scoring)
            if k < max(self.settings.clicks):  # after the last one there is nothing to click for
                self._advance(sessions, scoring)
        return out

    def _sessions(
        self, targets: Sequence[Target], scoring: Scoring, recorded: Mapping[str, tuple[RecordedClick, ...]]
    ) -> list[_Session]:
        """With the clicks that are known before any mask: the first ones, or all that were recorded. Raises DataError."""
        if self.settings.recorded is not None:
            made = [_recorded(t, recorded.get(known_id(t.instance.object_id), ()), self.settings.recorded) for t in targets]
            return [_Session(t, [first], later) for t, (first, *later) in zip(targets, made, strict=True)]
        if self.settings.prompt == "center":
            return [_Session(t, [c], []) for t, c in zip(targets, scoring.first_clicks(targets), strict=True)]
        return [_Session(t, [_random_click(t, self.settings.seed)], []) for t in targets]

    def _round(self, k: int, sessions: list[_Session], image: Encoded) -> None:
        live = [s for s in sessions if not s.done]
        if not live:
            return
        predictions, each_ms = image.decode([s.prompt(multimask=k == 1) for s in live])
        for session, prediction in zip(live, predictions, strict=True):
            session.take(prediction, each_ms)

    def _rows(
        self, k: int, sessions: Sequence[_Session], image: Encoded, context: Context, scoring: Scoring
    ) -> list[dict[str, Any]]:
        answers = [s.answer() for s in sessions]
        prompt = RECORDED if self.settings.recorded else self.settings.prompt
        rows = []
        for s, answer, overlaps in zip(sessions, answers, scoring.overlaps(answers), strict=True):
            row = s.target.row(prompt=prompt, k=k, encode_ms=image.encode_ms) | scored_columns(answer, overlaps)
            row["clicks_xy"] = [v for c in s.clicks for v in (c.x, c.y)]
            row["clicks_label"] = [int(c.positive) for c in s.clicks]
            row["decode_ms"] = s.decode_ms if s.fresh else 0.0
            rows.append(row)
        if context.save_masks == "scored":
            # Every candidate of the first click; later the mask that goes on (a single output, or the model's own first).
            kept = answers if k == 1 else [s.going_on() for s in sessions]
            for row, counts in zip(rows, scoring.counts(kept), strict=True):
                row["mask_rles"] = counts
        return rows

    def _advance(self, sessions: Sequence[_Session], scoring: Scoring) -> None:
        """Choose the masks that go on, and the next clicks; objects end where there is none, or the IoU to stop at is reached."""
        live = []
        for s in sessions:
            if s.done:
                s.fresh = False
            else:
                live.append(s)
        if self.settings.until_iou is not None:
            ious = scoring.ious([s.going_on() for s in live])
            for s, (iou,) in zip(live, ious, strict=True):
                s.done = s.left = bool(iou >= self.settings.until_iou)
            live = [s for s in live if not s.done]
        asked = [s for s in live if not s.recorded]
        found = scoring.next_clicks([s.going_on() for s in asked], [[(c.x, c.y) for c in s.clicks] for s in asked])
        clicks = iter(found)
        for s in live:
            s.advance(s.recorded.pop(0) if s.recorded else next(clicks), mask_feedback=self.settings.mask_feedback)

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

    def table_notes(self, cells: Sequence[Cell], /) -> list[str]:
        """Whose clicks they are, where people made them."""
        path = self.settings.recorded
        if path is None:
            return []
        then = "; beyond an object's last one they are simulated" if self.settings.beyond == "simulate" else ""
        return [f"Clicks are those recorded in {path.name} (sha256 of the clicks {self.settings.prompt_sha256[:12]}){then}."]

    def method(self) -> str:
        """For a methods section."""
        counts = ", ".join(map(str, self.settings.clicks))
        if self.settings.recorded is not None:
            then = ", simulated ones beyond the last" if self.settings.beyond == "simulate" else ""
            return f"clicks recorded of people{then}, mIoU after N = {counts} clicks at the image's own resolution"
        first = f"first click: {self.settings.prompt}"
        return f"simulated clicks ({first}), mIoU after N = {counts} clicks at the image's own resolution"

    def object_measures(self) -> Mapping[str, ObjectMeasure]:
        """What two runs are compared by."""
        return click_measures(self.settings.noc, max(self.settings.clicks), self.settings.until_iou)


@dataclass
class _Session:
    """The clicks on one object so far, and the mask that goes on.

    done: no further prediction is asked for. left: its rows have ended too (until_iou reached); a perfect mask is carried forward
    instead. recorded: clicks to come that people made; they are given even after a perfect mask.
    """

    target: Target
    clicks: list[prompts.Click]
    recorded: list[prompts.Click]
    prediction: Prediction | None = None
    current: int = 0
    fresh: bool = False
    decode_ms: float = 0.0
    carry: Any = None
    done: bool = False
    left: bool = False

    def prompt(self, *, multimask: bool) -> Prompt:
        return Prompt(
            points_xy=np.array([(c.x, c.y) for c in self.clicks], np.float32),
            labels=np.array([c.positive for c in self.clicks], np.int8),
            multimask=multimask,
            carry=self.carry,
        )

    def take(self, prediction: Prediction, decode_ms: float) -> None:
        self.prediction, self.current, self.decode_ms, self.fresh = prediction, prediction.top_index, decode_ms, True

    def answer(self) -> Answer:
        """What a row is about: all candidates, or where nothing was asked again (a perfect mask is carried forward) that one."""
        return Answer(self.target, self._prediction(), None if self.fresh else [self.current])

    def going_on(self) -> Answer:
        """The mask that goes on."""
        return Answer(self.target, self._prediction(), [self.current])

    def advance(self, click: prompts.Click | None, *, mask_feedback: bool) -> None:
        """On to the next click; None: a perfect mask, with which the object ends."""
        if click is None:
            self.done, self.fresh = True, False
            return
        self.clicks.append(click)
        carry = self._prediction().carry
        if mask_feedback and carry is not None:
            self.carry = carry[self.current]

    def _prediction(self) -> Prediction:
        assert self.prediction is not None
        return self.prediction


def _recorded(target: Target, clicks: Sequence[RecordedClick], where: object) -> list[prompts.Click]:
    if not clicks:  # the check before the run saw other annotations
        place = f"image {target.sample.image_id!r}, object {target.instance.object_id!r}"
        raise DataError("an object has no recorded click", where=place, expected=f"one in {where}", found="none")
    return [prompts.Click(c.x, c.y, c.positive) for c in clicks]


def _random_click(target: Target, seed: int) -> prompts.Click:
    sample = target.sample
    return prompts.random_click(
        target.region,
        seed=seed,
        dataset=sample.dataset,
        image_id=sample.image_id,
        object_id=target.instance.object_id,
        ignore=sample.ignore,
    )


@lru_cache(maxsize=2)
def _opened(path: Path, sha256: str) -> ClicksFile:
    found = read_clicks(path)
    if sha256 and found.sha256 != sha256:
        raise DataError(
            "the recorded clicks are others than those that the run began with",
            where=path,
            expected=f"clicks of sha256 {sha256}",
            found=f"sha256 {found.sha256}",
            remedy="issue the command again: other clicks are another run",
        )
    return found


TASK, SETTINGS = PointTask.of, PointSettings
