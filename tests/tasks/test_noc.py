"""Number of clicks as the papers on interactive segmentation report it, against their loop and their counting, stated anew here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.bench_clicks import peer_click
from sambench import cards, fixtures
from sambench.loaders.open import open_dataset
from sambench.models.otsu import Otsu
from sambench.tasks.point import PointTask
from sambench.tasks.prompted import Context
from sambench.tasks.settings.point import PointSettings, noc_settings
from sambench.tasks.summary import Bootstrap, reduce_prompted
from sambench.types import Prompt, Sample

QUICK = Bootstrap(n_resamples=100)


def their_noc(ious: list[list[float]], target: float, most: int) -> tuple[float, int]:
    """(mean clicks, objects at the limit): the first click count whose IoU reaches the target, `most` where none does."""
    counts = [next((k for k, iou in enumerate(one, 1) if iou >= target), most) for one in ious]
    return float(np.mean(counts)), sum(c == most for c in counts)


def frame_of(ious: list[list[float]]) -> pd.DataFrame:
    rows = [
        {"image_id": f"i{i}", "object_id": "0", "cluster_id": f"i{i}", "k": k, "iou_top": iou, "iou_oracle": iou, "ious": [iou],
         "scores": [1.0], "top_index": 0, "n_candidates": 1, "boundary_ious_2pct": [iou], "boundary_ious_1pct": [iou]}
        for i, one in enumerate(ious)
        for k, iou in enumerate(one, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def metrics_of(frame: pd.DataFrame, settings: PointSettings) -> dict[tuple[str, float], float]:
    most = max(settings.clicks)
    found = reduce_prompted(frame, QUICK, noc=settings.noc, max_clicks=most, until=settings.until_iou)
    return {(m["metric"], m["threshold"]): m["value"] for m in found}


def test_counts_are_theirs() -> None:
    """At once, late, at the very last click, never, and a curve that falls again."""
    settings = noc_settings(PointSettings(), until=0.9, max_clicks=5)
    ious = [
        [0.95],
        [0.5, 0.82, 0.9],
        [0.1, 0.2, 0.3, 0.4, 0.91],
        [0.1, 0.2, 0.81, 0.7, 0.6],
        [0.1] * 5,
        [0.86, 0.7, 0.75, 0.8, 0.84],
    ]
    found = metrics_of(frame_of(ious), settings)
    for target in (0.80, 0.85, 0.90):
        mean, at_limit = their_noc(ious, target, 5)
        assert found["noc", target] == pytest.approx(mean, abs=1e-12)
        assert found["noc_at_limit", target] == at_limit
    assert found["noc_at_limit", 0.90] == 4  # one of them gets there with the fifth click
    assert found["noc_failures", 0.90] == pytest.approx(3 / 6)
    assert not any(name == "miou" for name, _ in found)


def their_loop(sample: Sample, i: int, until: float, most: int) -> tuple[list[tuple[int, int, int]], list[float]]:
    """Clicks (x, y, positive) and IoUs of one object: full frames, OpenCV's distances, ignored pixels nowhere."""
    gt = sample.instances[i].region.full()
    valid = np.ones_like(gt) if sample.ignore is None else ~sample.ignore.full() | gt
    mask, free = np.zeros_like(gt), np.ones_like(gt)
    model, clicks, ious = Otsu(), [], []
    state = model.encode(sample.image)
    while len(clicks) < most and not (ious and ious[-1] >= until):
        click = peer_click(gt & valid, mask & valid, free)
        assert click is not None
        clicks.append((click.x, click.y, int(click.positive)))
        free[click.y, click.x] = False
        points = np.array(clicks)
        (answer,) = model.decode(state, [Prompt(points[:, :2].astype(np.float32), points[:, 2].astype(np.int8))])
        mask = answer.masks.array(0)
        ious.append(np.count_nonzero(mask & gt & valid) / np.count_nonzero((mask | gt) & valid))
    return clicks, ious


@pytest.mark.parametrize("name", ["grabcut", "berkeley", "davis345", "sbd"])
def test_the_four_datasets_of_these_papers(tmp_path: Path, name: str) -> None:
    """Generated copies in the authors' layouts: same clicks, same IoUs, same numbers as their loop."""
    fixtures.write(name, tmp_path / name)
    dataset = open_dataset(cards.dataset_card(name), root=tmp_path / name)
    settings = noc_settings(PointSettings(), until=0.9, max_clicks=20)
    task, model, rows, theirs = PointTask(settings), Otsu(), [], []
    for record in dataset.index():
        sample = dataset.load(record.image_id)
        own = task.rows(sample, model, Context(save_masks="none"))
        for i, instance in enumerate(sample.instances):
            mine = [r for r in own if r["object_id"] == instance.object_id]
            clicks, ious = their_loop(sample, i, 0.9, 20)
            assert [r["iou_top"] for r in mine] == pytest.approx(ious, abs=1e-12)
            xy, labels = np.array(mine[-1]["clicks_xy"]).reshape(-1, 2).tolist(), mine[-1]["clicks_label"]
            assert [(x, y, positive) for (x, y), positive in zip(xy, labels, strict=True)] == clicks
            theirs.append(ious)
        rows += own
    found = metrics_of(pd.DataFrame(rows), settings)
    assert len(theirs) == 3
    for target in (0.80, 0.85, 0.90):
        mean, at_limit = their_noc(theirs, target, 20)
        assert found["noc", target] == pytest.approx(mean, abs=1e-12)
        assert found["noc_at_limit", target] == at_limit
