"""Automatic masks and box suppression on a device against those on the host: the same masks in the same order."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from sambench.automatic import generate as automatic
from sambench.automatic.generate import AutomaticSettings, box_nms, generate
from sambench.conformance import scenes
from sambench.device.candidates import Candidates, counts_of
from sambench.device.masks import LogitBatch
from sambench.models.sam.nano import sam_nano
from sambench.pixels.candidates import DenseMasks
from sambench.pixels.interpolation import Geometry
from sambench.tasks.prompted import Context
from sambench.tasks.proposals import ProposalTask
from sambench.types import Prediction, Prompt

LOOSE = AutomaticSettings(grid=4, pred_iou=0.3, stability=0.3)


class Remembers:
    """sam_nano, whose answers are computed once for all tests of this file."""

    max_batch = 16
    states: ClassVar[dict[bytes, Any]] = {}
    answers: ClassVar[dict[tuple[int, bytes, bool], list[Prediction]]] = {}
    inner: ClassVar[list[Any]] = []

    def encode(self, image: np.ndarray) -> Any:
        if not self.inner:
            self.inner.append(sam_nano())
        key = image.tobytes()
        if key not in self.states:
            self.states[key] = self.inner[0].encode(image)
        return self.states[key]

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        key = (id(state), b"".join(p.points_xy.tobytes() for p in prompts), prompts[0].multimask)
        if key not in self.answers:
            self.answers[key] = self.inner[0].decode(state, prompts)
        return self.answers[key]


def same(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        both_nan = math.isnan(a.stability) and math.isnan(b.stability)
        assert replace(a, stability=0.0) == replace(b, stability=0.0)
        assert both_nan or a.stability == b.stability


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pred_iou": 0.0, "stability": 0.0},
        {"max_image_share": 0.2, "stability": 0.0},
        {"crop_layers": 1, "crop_grid_divisor": 2},
        {"min_area_px": 60},
        {"min_area_px": 60, "cleanup": "paper"},
        {"multimask": False},
    ],
    ids=str,
)
def test_the_same_masks_in_the_same_order(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "_MANY", 1)  # also of few boxes the device compares
    settings, image = replace(LOOSE, **changes), scenes.of_parts().image
    model = Remembers()
    for with_stability in (True, False) if not changes.get("crop_layers") else (True,):
        wanted = generate(model, image, settings, with_stability=with_stability)
        same(generate(model, image, settings, with_stability=with_stability, device="cpu"), wanted)


def test_what_is_reduced_to_rle_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.automatic.on_device.MOST_BYTES", 1000)
    image, model = scenes.of_parts().image, Remembers()
    settings = replace(LOOSE, crop_layers=1, crop_grid_divisor=2)
    same(generate(model, image, settings, device="cpu"), generate(model, image, settings))


class Dense:
    """Answers with masks that lie on the host, every second time."""

    def __init__(self) -> None:
        self.inner, self.turn, self.max_batch = Remembers(), 0, 16

    def encode(self, image: np.ndarray) -> Any:
        self.turn = 0
        return self.inner.encode(image)

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        self.turn += 1
        answers = self.inner.decode(state, prompts)
        if self.turn % 2:
            return answers
        return [Prediction(DenseMasks(np.stack([p.masks.array(i) for i in range(len(p.masks))])), p.scores) for p in answers]


def test_answers_that_lie_on_the_host_are_held_there() -> None:
    image = scenes.of_parts().image
    settings = replace(LOOSE, stability=0.0)
    found = generate(Dense(), image, settings, with_stability=False, device="cpu")
    same(found, generate(Dense(), image, settings, with_stability=False))


def test_the_proposal_task_scored_on_a_device() -> None:
    sample, model = scenes.of_parts(), Remembers()
    task = ProposalTask(replace(ProposalTask().settings, grid=6, max_dets=(1, 10)))
    contexts = (Context(), Context(scoring="device"))
    host, device = (task.rows(sample, model, c) for c in contexts)
    plain = [[{k: v for k, v in r.items() if not k.endswith("_ms")} for r in rows] for rows in (host, device)]
    assert plain[0] == plain[1]


def test_counts_of_candidates_are_their_rles() -> None:
    rng = np.random.default_rng(0)
    low = torch.from_numpy(rng.standard_normal((3, 2, 16, 16)).astype(np.float32))
    low[1, 0] = -1  # empty
    batch = LogitBatch(low, Geometry(low=(16, 16), size=(50, 40)))
    asked = [(batch.masks(k), i) for k, i in ((2, 1), (0, 0), (1, 0), (1, 1))]
    assert counts_of(asked) == [m.rle(i)["counts"] for m, i in asked]
    found = Candidates(asked, 0.5).measured
    for (masks, i), m in zip(asked, found, strict=True):
        assert m.area_px == masks.area()[i]
        assert list(m.box_xyxy) == masks.box()[i].tolist()
        inner, outer = (float(masks.area(t)[i]) for t in (0.5, -0.5))
        assert m.stability == float(np.float32(inner) / np.float32(outer)) if outer else math.isnan(m.stability)


def test_a_stack_of_which_nothing_is_wanted() -> None:
    """Masks of two sizes lie in two stacks, and suppression may leave none of either."""
    low = torch.full((4, 1, 64, 64), -9.0)
    low[0, 0, 4:60, 4:60] = low[1:, 0, 30:33, 30:33] = 9
    batch = LogitBatch(low, Geometry(low=(64, 64), size=(640, 640)))
    asked = [(batch.masks(k), 0) for k in range(4)]
    for wanted in ([0, 1], [3], []):
        found = Candidates(asked, 1.0)
        assert len({h.stack.height for h in found._held}) == 2
        assert found.counts(wanted, (0, 0), (640, 640)) == {k: asked[k][0].rle(0)["counts"] for k in wanted}
        found = Candidates(asked, 1.0)
        found.keep(wanted)
        found.reduce()
        assert found.counts(wanted, (0, 0), (640, 640)) == {k: asked[k][0].rle(0)["counts"] for k in wanted}


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.7, 1.0])
def test_suppression_keeps_the_same_boxes(threshold: float) -> None:
    rng = np.random.default_rng(7)
    for n in (300, 2100):
        corner = rng.integers(0, 60, (n, 2))
        boxes = np.concatenate([corner, corner + rng.integers(0, 40, (n, 2))], axis=1)  # some without area, many alike
        scores = np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 50, n) / 50)
        wanted = box_nms(boxes, scores, threshold)
        assert np.array_equal(box_nms(boxes, scores, threshold, "cpu"), wanted)
