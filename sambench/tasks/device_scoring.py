"""`Scoring` where the answers lie: on a GPU, or on torch's CPU. What a model brought to the host itself is scored there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from sambench.device.candidates import counts_of
from sambench.device.masks import TensorMasks
from sambench.device.scoring import Answers, Asked, Objects
from sambench.pixels.depth import Deepest
from sambench.pixels.region import RLE
from sambench.prompts import XY, Click
from sambench.tasks.prompted import Target, boundary_widths
from sambench.tasks.scoring import Answer, Overlaps, Scoring
from sambench.types import Masks

T = TypeVar("T")


class DeviceScoring:
    """`Scoring` of one batch of objects. device: where the objects are put. host: for answers that are not `TensorMasks`.

    Answers are brought to the image once a round: the last ones are kept, and what is asked of them again is made of these.
    """

    def __init__(self, targets: Sequence[Target], device: str, host: Scoring) -> None:
        self.host = host
        self._targets = list(targets)
        self._index = {id(t): k for k, t in enumerate(self._targets)}
        self._objects = self._packed(torch.device(device))
        self._answers: Answers | None = None
        self._places: dict[tuple[int, int, int], int] = {}
        self._held: list[Answer] = []  # by whose ids the places are known

    def first_clicks(self, targets: Sequence[Target]) -> list[Click]:
        with torch.inference_mode():
            found = self._objects.deepest()
        places = [found[self._index[id(t)]] for t in targets]
        if None in places:
            return self.host.first_clicks(targets)  # raises
        return [Click(d.x, d.y, True) for d in places if d is not None]

    def ious(self, answers: Sequence[Answer]) -> list[list[float]]:
        return [o.ious for o in self.overlaps(answers)]

    def overlaps(self, answers: Sequence[Answer]) -> list[Overlaps]:
        def of(here: Sequence[Answer]) -> list[Overlaps]:
            found, places = self._known(here)
            values = found.ious()
            columns = list(boundary_widths(here[0].target.sample))
            by_answer = [values[at].T.tolist() for at in places]
            return [Overlaps(ious, dict(zip(columns, rims, strict=True))) for ious, *rims in by_answer]

        return self._split(answers, of, self.host.overlaps)

    def counts(self, answers: Sequence[Answer]) -> list[list[bytes]]:
        def of(here: Sequence[Answer]) -> list[list[bytes]]:
            found, places = self._known(here)
            flat = found.counts([k for at in places for k in at])
            ends = np.cumsum([len(at) for at in places]).tolist()
            return [flat[end - len(at) : end] for at, end in zip(places, ends, strict=True)]

        return self._split(answers, of, self.host.counts)

    def next_clicks(self, answers: Sequence[Answer], clicked: Sequence[Sequence[XY]]) -> list[Click | None]:
        points = {id(a): p for a, p in zip(answers, clicked, strict=True)}

        def of(here: Sequence[Answer]) -> list[Click | None]:
            found, places = self._known(here)
            errors = found.deepest_errors([at[0] for at in places], [points[id(a)] for a in here])
            return [_click(missed, excess) for missed, excess in errors]

        return self._split(answers, of, lambda here: self.host.next_clicks(here, [points[id(a)] for a in here]))

    def _split(
        self,
        answers: Sequence[Answer],
        on_device: Callable[[Sequence[Answer]], list[T]],
        on_host: Callable[[Sequence[Answer]], list[T]],
    ) -> list[T]:
        """What either says of the answers that are its, in the order of all."""
        out: dict[int, T] = {}
        for of, theirs in ((on_device, True), (on_host, False)):
            here = [k for k, a in enumerate(answers) if isinstance(a.prediction.masks, TensorMasks) is theirs]
            if here:
                out |= zip(here, of([answers[k] for k in here]), strict=True)
        return [out[k] for k in range(len(answers))]

    def _known(self, answers: Sequence[Answer]) -> tuple[Answers, list[list[int]]]:
        """The answers on the device, and the numbers of their candidates there."""
        keys = [[(id(a.target), id(a.prediction), i) for i in a.candidates] for a in answers]
        if self._answers is None or not all(key in self._places for of_one in keys for key in of_one):
            self._bring(answers)
        assert self._answers is not None
        return self._answers, [[self._places[key] for key in of_one] for of_one in keys]

    def _bring(self, answers: Sequence[Answer]) -> None:
        asked: list[Asked] = []
        self._places, self._answers = {}, None
        for a in answers:
            assert isinstance(a.prediction.masks, TensorMasks)
            for i in a.candidates:
                self._places[id(a.target), id(a.prediction), i] = len(asked)
                asked.append(Asked(self._index[id(a.target)], a.prediction.masks, i))
        self._held = list(answers)
        device = asked[0].masks.batch.logits.device
        if device != self._objects.device:  # a model that chose another than it was given
            self._objects = self._packed(device)
        with torch.inference_mode():
            self._answers = Answers(self._objects, asked)

    def _packed(self, device: torch.device) -> Objects:
        sample = self._targets[0].sample
        with torch.inference_mode():
            widths = list(boundary_widths(sample).values())
            return Objects([t.region for t in self._targets], widths, sample.ignore, device)


def rles_on_device(asked: Sequence[tuple[Masks, int]]) -> list[RLE]:
    """COCO RLE of candidates of one image, by (masks, candidate); on the host where they lie there."""
    there = [(k, m, i) for k, (m, i) in enumerate(asked) if isinstance(m, TensorMasks)]
    counts = dict(zip([k for k, *_ in there], counts_of([(m, i) for _, m, i in there]), strict=True)) if there else {}
    sizes = [[m.height, m.width] for m, _ in asked]
    return [{"size": sizes[k], "counts": counts[k]} if k in counts else m.rle(i) for k, (m, i) in enumerate(asked)]


def _click(missed: Deepest | None, excess: Deepest | None) -> Click | None:
    """The deeper error; at equal depth what is too much (as `prompts.next_click`)."""
    if excess is not None and (missed is None or excess.depth_sq >= missed.depth_sq):
        return Click(excess.x, excess.y, False)
    return None if missed is None else Click(missed.x, missed.y, True)
