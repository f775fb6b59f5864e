"""The point and the box task on models whose every answer is known: what is asked, what is carried on, and what is written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sambench.pixels.region import Region
from sambench.tasks.box import BoxTask
from sambench.tasks.point import PointSettings, PointTask
from sambench.tasks.prompted import Context
from sambench.tasks.summary import Bootstrap
from sambench.types import BoolArray, Instance, Prediction, Prompt, Sample

H, W = 40, 120
CLICKS = (1, 2, 3, 5)
SIDES = ((2, 2), (25, 2), (48, 2), (71, 2), (94, 2))  # x, y of the objects' corners
IOUS = ("iou_top", "iou_oracle")
BOUNDARIES = ("boundary_ious_2pct", "boundary_ious_1pct")


def square(x: int, y: int, side: int = 19) -> BoolArray:
    mask = np.zeros((H, W), np.bool_)
    mask[y : y + side, x : x + side] = True
    return mask


def world(n: int = 1) -> Sample:
    instances = tuple(Instance(f"o{i}", Region.from_array(square(*SIDES[i]))) for i in range(n))
    return Sample("made", "one", H, W, instances, lambda: np.zeros((H, W, 3), np.uint8))


def target_of(prompt: Prompt) -> BoolArray:
    """The object that a prompt is on: its first click, or its box."""
    x = float(prompt.points_xy[0, 0]) if len(prompt.points_xy) else float(prompt.box_xyxy[0])  # type: ignore[index]
    return square(*max(s for s in SIDES if s[0] <= x))


Answer = Callable[[Prompt, int], tuple[list[BoolArray], list[float]]]


class Recorder:
    """Answers as told, remembers what it was asked. A candidate's state is (call, prompt of the call, candidate)."""

    def __init__(self, answer: Answer, max_batch: int = 64) -> None:
        self.answer, self.max_batch = answer, max_batch
        self.calls: list[list[Prompt]] = []

    def encode(self, image: Any) -> None:
        return None

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        call = len(self.calls)
        self.calls.append(list(prompts))
        out = []
        for i, prompt in enumerate(prompts):
            masks, scores = self.answer(prompt, call)
            carry = [(call, i, c) for c in range(len(masks))]
            out.append(Prediction(np.stack(masks), np.array(scores, np.float32), carry))  # type: ignore[arg-type]
        return out


def knows(prompt: Prompt, call: int) -> tuple[list[BoolArray], list[float]]:
    return [target_of(prompt)], [0.5]


def nothing(prompt: Prompt, call: int) -> tuple[list[BoolArray], list[float]]:
    return [np.zeros((H, W), np.bool_)], [0.5]


def part(prompt: Prompt, call: int) -> tuple[list[BoolArray], list[float]]:
    """Three candidates at first, the second ranked highest, the last the best; then one. None is ever right."""
    x, y = np.argwhere(target_of(prompt))[0][::-1]
    if not prompt.multimask:
        return [square(x, y, 12 + call % 5)], [0.5]
    return [square(x, y, side) for side in (6, 9, 15)], [0.1, 0.9, 0.3]


def point(answer: Answer, *, n: int = 1, max_batch: int = 64, **settings: Any) -> tuple[Recorder, list[dict[str, Any]], PointTask]:
    model = Recorder(answer, max_batch)
    task = PointTask(PointSettings(**{"clicks": CLICKS, **settings}))
    return model, task.rows(world(n), model, Context()), task


def metrics(task: Any, rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], float]:
    frame = pd.DataFrame(rows).reindex(columns=list(task.columns))
    found = task.reduce(frame, Bootstrap(n_resamples=20))
    return {(r["metric"], r["variant"], r["threshold"], r["k"]): r["value"] for r in found if r["metric"] != "noc"}


@pytest.mark.parametrize(("answer", "value"), [(knows, 1.0), (nothing, 0.0)])
def test_a_model_that_knows_the_answer_has_ones_and_one_that_answers_nothing_zeros(answer: Answer, value: float) -> None:
    _, rows, task = point(answer, n=3)
    assert sorted((r["object_id"], r["k"]) for r in rows) == [(f"o{i}", k) for i in range(3) for k in CLICKS]
    assert {r[c] for r in rows for c in IOUS} == {value}
    assert {v for r in rows for c in BOUNDARIES for v in r[c]} == {value}
    assert set(metrics(task, rows).values()) == {value}
    boxes = BoxTask().rows(world(3), Recorder(answer), Context())
    assert {r[c] for r in boxes for c in IOUS} == {value}
    assert set(metrics(BoxTask(), boxes).values()) == {value}


def test_what_a_model_is_asked() -> None:
    model, rows, _ = point(part)
    asked = [call[0] for call in model.calls]
    assert [len(p.points_xy) for p in asked] == [1, 2, 3, 4, 5]
    assert [p.multimask for p in asked] == [True, False, False, False, False]
    assert asked[0].points_xy.tolist() == [[11, 11]]  # the middle of the square
    assert all(p.box_xyxy is None for p in asked)
    for before, after in pairwise(asked):  # clicks are only added
        assert after.points_xy[:-1].tolist() == before.points_xy.tolist()
        assert after.labels[:-1].tolist() == before.labels.tolist()
    for row in rows:
        assert row["clicks_xy"] == asked[row["k"] - 1].points_xy.ravel().tolist()
        assert row["clicks_label"] == asked[row["k"] - 1].labels.tolist()
    assert [row["n_candidates"] for row in rows] == [3, 1, 1, 1]


def test_where_nothing_is_answered_every_click_is_on_the_object() -> None:
    model, _, _ = point(nothing)
    assert model.calls[-1][0].labels.tolist() == [1] * 5
    assert len({tuple(p) for p in model.calls[-1][0].points_xy.tolist()}) == 5


def test_the_state_of_the_candidate_that_is_ranked_first_goes_on() -> None:
    model, rows, _ = point(part)
    first = rows[0]
    assert (first["top_index"], int(np.argmax(first["ious"]))) == (1, 2)  # not the first one, nor the best
    assert [call[0].carry for call in model.calls] == [None, (0, 0, 1), (1, 0, 0), (2, 0, 0), (3, 0, 0)]


def test_without_mask_feedback_no_state_goes_on() -> None:
    model, rows, _ = point(part, mask_feedback=False)
    assert [call[0].carry for call in model.calls] == [None] * 5
    with_feedback = point(part)[1]
    assert [r["clicks_xy"] for r in rows] == [r["clicks_xy"] for r in with_feedback]  # the clicks follow from the masks alone


def test_the_states_of_a_batch_stay_with_their_objects() -> None:
    model, _, _ = point(part, n=3)
    assert [[p.carry for p in call] for call in model.calls[:3]] == [
        [None] * 3,
        [(0, i, 1) for i in range(3)],
        [(1, i, 0) for i in range(3)],
    ]


def right_at_once(prompt: Prompt, call: int) -> tuple[list[BoolArray], list[float]]:
    masks, scores = part(prompt, call)
    return [masks[0], target_of(prompt), *masks[2:]], scores


def test_a_perfect_mask_is_carried_on_and_nothing_more_is_asked() -> None:
    model, rows, _ = point(right_at_once)
    assert len(model.calls) == 1
    assert [r["k"] for r in rows] == list(CLICKS)
    assert (rows[0]["n_candidates"], len(rows[0]["mask_rles"]), rows[0]["iou_top"]) == (3, 3, 1.0)
    for row in rows[1:]:
        assert (row["n_candidates"], row["ious"], row["scores"], row["top_index"]) == (1, [1.0], [pytest.approx(0.9)], 0)
        assert row["mask_rles"] == [rows[0]["mask_rles"][1]]
        assert (row["clicks_xy"], row["decode_ms"]) == (rows[0]["clicks_xy"], 0.0)


def test_an_object_that_has_reached_its_iou_has_no_later_rows() -> None:
    model, rows, _ = point(right_at_once, until_iou=0.9)
    assert (len(model.calls), [r["k"] for r in rows]) == (1, [1])


def test_objects_are_asked_for_in_dataset_order_by_the_models_batch() -> None:
    model, rows, _ = point(part, n=5, max_batch=2, clicks=(1, 3))
    assert [len(call) for call in model.calls] == [2, 2, 2, 2, 2, 2, 1, 1, 1]  # three clicks a batch
    on = [[SIDES.index((int(np.argwhere(target_of(p))[0][1]), 2)) for p in call] for call in model.calls]
    assert on == [[0, 1]] * 3 + [[2, 3]] * 3 + [[4]] * 3
    assert [(r["object_id"], r["k"]) for r in rows] == [
        (f"o{i}", k) for batch in ((0, 1), (2, 3), (4,)) for k in (1, 3) for i in batch
    ]
    box = Recorder(part, 2)
    rows = BoxTask().rows(world(5), box, Context())
    assert [len(call) for call in box.calls] == [2, 2, 1]
    assert [r["object_id"] for r in rows] == [f"o{i}" for i in range(5)]
    x, y = SIDES[3]
    assert box.calls[1][1].box_xyxy == (x, y, x + 18, y + 18)
    assert [p.multimask for call in box.calls for p in call] == [False] * 5


def test_a_finished_object_leaves_its_batch_and_the_others_stay_in_theirs() -> None:
    def answer(prompt: Prompt, call: int) -> tuple[list[BoolArray], list[float]]:
        return right_at_once(prompt, call) if prompt.points_xy[0, 0] < 25 and prompt.multimask else part(prompt, call)

    model, rows, _ = point(answer, n=3, max_batch=2, clicks=(1, 2))
    assert [len(call) for call in model.calls] == [2, 1, 1, 1]  # the third object does not move up
    assert len(rows) == 6
