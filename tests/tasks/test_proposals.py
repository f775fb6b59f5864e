"""The proposal task: matching against pycocotools, rows, metrics and settings."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from sambench import tasks
from sambench.errors import DataError, ModelError, UsageError
from sambench.metrics.proposals import SETS, AverageRecall, mask_ious, match_ranks, recalled, reference_sets
from sambench.sources.proposals import ProposalFile
from sambench.tasks.prompted import Context
from sambench.tasks.proposals import ProposalTask
from sambench.tasks.settings.proposals import PRESETS, ProposalSettings, preset
from sambench.tasks.summary import Bootstrap
from sambench.types import Prediction
from tests.helpers.proposal_worlds import H, W, official, rect, rle, sample, scene


def test_average_recall_equals_pycocotools() -> None:
    """Ties of scores and IoUs, an object of exactly 32 x 32 pixels, more proposals than count."""
    rng = np.random.default_rng(0)
    images = [scene(rng, int(rng.integers(1, 12)), 150) for _ in range(25)]
    max_dets = [1, 10, 100]
    counted = AverageRecall(max_dets)
    for objects, proposals, areas, _ in images:
        counted.add(proposals, objects, areas)
    for (name, k), wanted in official(images, max_dets).items():
        assert counted.value(name, k) == pytest.approx(wanted, abs=1e-12), (name, k)
        assert 0 < wanted < 1 or k == 1
    assert np.isnan(counted.value("rare"))
    assert counted.n_objects["small"] + counted.n_objects["medium"] + counted.n_objects["large"] > counted.n_objects["all"]


def test_sets_are_matched_each_by_itself() -> None:
    """One proposal on a pair of overlapping objects: it finds the better one, or whichever a set has."""
    objects = [rle(rect(0, 0, 30, 30)), rle(rect(0, 0, 30, 36))]
    proposals = [rle(rect(0, 0, 30, 31))]
    sets = reference_sets([900, 1080], ["f", "r"])
    ranks = match_ranks(mask_ious(proposals, objects), sets)
    assert ranks["all"][0].tolist() == [0, -1]
    assert ranks["rare"][0].tolist() == [-1, 0]
    assert ranks["frequent"][0].tolist() == [0, -1]
    assert ranks["small"][0].tolist() == [0, -1]
    assert ranks["medium"][0].tolist() == [-1, 0]
    assert (ranks["common"] == -1).all()
    assert (ranks["large"] == -1).all()
    assert recalled(ranks["all"], 1).tolist() == [1.0, 0.0]  # IoU .968 reaches every threshold
    assert recalled(ranks["rare"], 1)[1] == pytest.approx(0.8)  # IoU .861


def test_nothing_to_match() -> None:
    sets = reference_sets([900], [None])
    assert (match_ranks(mask_ious([], [rle(rect(0, 0, 30, 30))]), sets)["all"] == -1).all()
    assert match_ranks(mask_ious([rle(rect(0, 0, 3, 3))], []), reference_sets([], []))["all"].shape == (10, 0)
    assert np.isnan(AverageRecall().value())


def test_memory_does_not_grow_with_images() -> None:
    rng = np.random.default_rng(0)
    objects, proposals, areas, _ = scene(rng, 8, 60)

    def peak(n: int) -> int:
        counted = AverageRecall()
        counted.add(proposals, objects, areas)  # compiled
        tracemalloc.start()
        for _ in range(n):
            counted.add(proposals, objects, areas)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)
    assert peak(200) < peak(10) + (64 << 10)  # one image's IoUs alone are 4 kB


class Discs:
    """Three concentric discs about a click, as logits; scores fall with the size, and a second click point gives the same."""

    max_batch = 32

    def encode(self, image: np.ndarray) -> tuple[int, int]:
        return image.shape[:2]

    def decode(self, state: tuple[int, int], prompts: list[Any]) -> list[Prediction]:
        from sambench.pixels.candidates import Geometry, LogitMasks

        height, width = state
        y, x = np.mgrid[:height, :width].astype(np.float32)
        out = []
        for p in prompts:
            px, py = p.points_xy[0]
            far = np.hypot(x - px, y - py)
            low = np.stack([r - far for r in (6, 14, 30)][: 3 if p.multimask else 1]).astype(np.float32)
            out.append(
                Prediction(LogitMasks(low, Geometry(low=state, size=state)), np.array([0.9, 0.8, 0.7], np.float32)[: len(low)])
            )
        return out


def test_rows_and_metrics_of_a_segmenter() -> None:
    task = ProposalTask(ProposalSettings(grid=6, max_dets=(1, 5, 20)))
    rows = task.rows(sample((20, 20, 40, 40), (60, 100, 20, 20)), Discs(), Context())
    proposals = [r for r in rows if r["kind"] == "proposal"]
    objects = [r for r in rows if r["kind"] == "object"]
    assert len(proposals) == 20
    assert [r["rank"] for r in proposals] == list(range(20))
    scores = [r["score"] for r in proposals]
    assert scores == sorted(scores, reverse=True)
    for r in proposals:
        assert r["score"] == pytest.approx((r["predicted_iou"] + r["stability"]) / 2)
        mask = coco_mask.decode({"size": [H, W], "counts": r["mask_rle"]})
        assert mask.sum() == r["area_px"]
    assert [r["object_id"] for r in objects] == ["0", "1"]
    assert all(r["n_proposals"] == 20 and len(r["ranks_all"]) == 10 for r in objects)
    assert "ranks_medium" in objects[0]
    assert "ranks_small" not in objects[0]
    assert "ranks_rare" not in objects[0]
    assert set(rows[0]) <= set(task.columns)
    assert set(objects[0]) <= set(task.columns)
    metrics = task.reduce(pd.DataFrame(rows, columns=list(task.columns)), Bootstrap(100))
    groups = {(m.get("group"), m["max_dets"]) for m in metrics}
    assert groups == {(g, k) for g in (None, "small", "medium") for k in (1, 5, 20)}  # no frequencies here: absent, not zero
    assert task.rows(sample(), Discs(), Context()) == []
    kept = task.rows(sample((20, 20, 40, 40)), Discs(), Context(save_masks="none"))
    assert [r["kind"] for r in kept] == ["object"]


class InParts:
    """Stored rows that are never there at once."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.whole = frame

    def frame(self) -> pd.DataFrame:
        raise AssertionError("all rows at once")

    def parts(self, columns: Any) -> Any:
        return (part[list(columns)] for _, part in self.whole.groupby("image_id"))


def test_metrics_are_made_in_parts_and_are_those_of_recalls_mean() -> None:
    rng, rows = np.random.default_rng(0), []
    for image in range(12):
        shared = {"image_id": f"i{image:02}", "cluster_id": f"c{image // 2}", "status": "ok"}
        rows += [{**shared, "kind": "proposal"} for _ in range(3)]
        for g in range(int(rng.integers(0, 6))):
            ranks = rng.integers(-1, 20, 10).astype(np.int32)
            rows.append({**shared, "kind": "object", "ranks_all": ranks, f"ranks_{('small', 'large')[g % 2]}": ranks})
    frame = pd.DataFrame(rows).assign(ranks_medium=None, ranks_frequent=None, ranks_common=None, ranks_rare=None)
    task = ProposalTask(ProposalSettings(max_dets=(1, 10)))
    found = task.reduce_stored(InParts(frame), Bootstrap())
    assert found == task.reduce(frame, Bootstrap())
    assert [(r.get("group", "all"), r["max_dets"]) for r in found] == [(s, k) for s in ("all", "small", "large") for k in (1, 10)]
    objects = frame[frame["kind"] == "object"]
    for row in found:
        here = objects[objects[f"ranks_{row.get('group', 'all')}"].notna()]
        hits = np.stack(here["ranks_all"].to_list())
        assert row["value"] == pytest.approx(((hits >= 0) & (hits < row["max_dets"])).mean(), abs=1e-12)
        assert (row["n_objects"], row["n_images"]) == (len(here), here["image_id"].nunique())
        assert row["n_clusters"] == here["cluster_id"].nunique()


def test_area_and_frequency_are_the_datasets_own() -> None:
    rows = ProposalTask(ProposalSettings(grid=4)).rows(
        sample((20, 20, 40, 40), (60, 100, 20, 20), frequencies="rf", annotated=True), Discs(), Context(save_masks="none")
    )
    assert [r["area"] for r in rows] == [5000.0, 5001.0]
    assert [r["area_px"] for r in rows] == [1600, 400]
    assert [r["frequency"] for r in rows] == ["r", "f"]
    assert "ranks_rare" in rows[0]
    assert "ranks_frequent" in rows[1]
    assert "ranks_medium" in rows[1]


def test_rankings() -> None:
    one = sample((20, 20, 40, 40))

    def ranked(**settings: Any) -> list[tuple[float, ...]]:
        task = ProposalTask(ProposalSettings(grid=5, max_dets=(10,), **settings))
        return [(*r["point_xy"], r["area_px"]) for r in task.rows(one, Discs(), Context()) if r["kind"] == "proposal"]

    assert ranked(rank="random", seed=1) == ranked(rank="random", seed=1) != ranked(rank="random", seed=2)
    assert ranked(rank="iou") != ranked()
    assert PRESETS["single"] == ProposalSettings(grid=128, multimask=False, nms_iou=0.95, rank="random")
    assert preset("paper", grid=8).nms_iou == 0.9


def test_identity_holds_what_moves_the_number() -> None:
    plain = ProposalTask().identity()
    assert plain["grid"] == 64
    assert plain["nms_iou"] == 0.9
    assert plain["rank"] == "mean"
    assert plain["max_dets"] == (1, 10, 100, 1000)
    assert "seed" not in plain
    assert "stability_offset" in plain
    drawn = ProposalTask(PRESETS["single"]).identity()
    assert drawn["seed"] == 0
    assert "stability_offset" not in drawn


@pytest.mark.parametrize(
    "changes",
    [
        {"rank": "menn"},
        {"max_dets": ()},
        {"max_dets": (10, 1)},
        {"max_dets": (0,)},
        {"grid": 0},
        {"nms_iou": 1.5},
        {"stability": -1},
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ProposalSettings(**changes)


def test_models_without_logits_say_what_to_do() -> None:
    class Dense(Discs):
        def decode(self, state: Any, prompts: list[Any]) -> list[Prediction]:
            found = super().decode(state, prompts)
            return [Prediction(np.stack([f.masks.array(i) for i in range(len(f.masks))]), f.scores) for f in found]

    one = sample((20, 20, 40, 40))
    with pytest.raises(ModelError, match="stability") as told:
        ProposalTask(ProposalSettings(grid=4)).rows(one, Dense(), Context())
    assert "--rank iou" in str(told.value)
    assert ProposalTask(ProposalSettings(grid=4, rank="iou")).rows(one, Dense(), Context())


def test_task_is_found() -> None:
    task = tasks.build("proposals", {"max_dets": [1, 5]})
    assert task.protocol == "proposals@1"
    assert set(SETS) == {c.removeprefix("ranks_") for c in task.columns if c.startswith("ranks_")}
    with pytest.raises(DataError):
        ProposalFile(Path("absent.json"))
