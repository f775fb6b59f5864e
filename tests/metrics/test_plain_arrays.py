"""Metrics on plain arrays are the numbers of a run, and refuse what does not fit."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sambench import metrics
from sambench.errors import UsageError
from sambench.metrics.bootstrap import paired_difference
from sambench.tasks.summary import Bootstrap, reduce_prompted
from tests.helpers import ROOT


def disc(y: float, x: float, r: float, size: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - y) ** 2 + (columns - x) ** 2 <= r * r


def test_the_names_are_listed_and_load_nothing() -> None:
    code = "import sys, sambench.metrics as m; print(m.__all__ == [n for n in dir(m) if n[0] != '_'], 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    assert all(getattr(metrics, name).__doc__ for name in metrics.__all__)


def test_iou_of_masks_of_any_dtype() -> None:
    a, b = disc(30, 30, 10), disc(33, 30, 10)
    expected = (a & b).sum() / (a | b).sum()
    assert metrics.mask_iou(a, b) == pytest.approx(expected, abs=1e-15)
    assert metrics.mask_iou(a.astype(np.uint8) * 255, b.astype(float)) == metrics.mask_iou(a, b)
    ignore = np.zeros_like(a)
    ignore[:30] = True
    assert metrics.mask_iou(a, b, ignore=ignore) == pytest.approx((a & b & ~ignore).sum() / ((a | b) & ~ignore).sum(), abs=1e-15)
    assert metrics.mask_iou(a & False, b & False) == 0


def test_boundary_iou_looks_at_the_rim() -> None:
    from scipy.ndimage import binary_erosion

    a, b = disc(30, 30, 15), disc(31, 31, 15)
    width = round(0.02 * np.hypot(64, 64))
    rims = [m & ~binary_erosion(m, np.ones((3, 3)), iterations=width) for m in (a, b)]
    assert metrics.boundary_iou(a, b) == pytest.approx((rims[0] & rims[1]).sum() / (rims[0] | rims[1]).sum(), abs=1e-15)
    assert metrics.boundary_iou(a, b, 0.01) < metrics.boundary_iou(a, b, 0.05) < metrics.mask_iou(a, b)
    with pytest.raises(UsageError, match="such a width"):
        metrics.boundary_iou(a, b, 2)


def test_a_perfect_edge_map_scores_one() -> None:
    line = np.zeros((40, 60), bool)
    line[20, 5:50] = True
    found = metrics.boundary_benchmark([line.astype(float)], [[line, line]])
    assert (found.ods, found.ois) == (1, 1)
    far = np.zeros_like(line)
    far[5, 5:50] = True
    assert metrics.boundary_benchmark([far.astype(float)], [[line]]).ods == 0
    with pytest.raises(UsageError, match="do not fit"):
        metrics.boundary_benchmark([line.astype(float)], [])


def test_average_recall_counts_thresholds_that_are_reached() -> None:
    truth = [disc(20, 20, 8), disc(45, 45, 8)]
    near = disc(21, 20, 8)
    reached = (metrics.mask_iou(near, truth[0]) >= np.linspace(0.5, 0.95, 10)).mean()
    assert metrics.average_recall([[near]], [truth]) == pytest.approx(reached / 2)
    assert metrics.average_recall([[near, truth[1]]], [truth], max_dets=1) == pytest.approx(reached / 2)
    assert metrics.average_recall([truth], [truth]) == 1
    assert np.isnan(metrics.average_recall([[near]], [[]]))
    with pytest.raises(UsageError, match="one image do not fit"):
        metrics.average_recall([[near[:10]]], [truth])


def test_clicks_are_counted_as_runs_count_them() -> None:
    ious = np.array([[0.5, 0.85, 0.95], [0.2, 0.3, 0.4], [0.91, np.nan, np.nan]])
    found = metrics.number_of_clicks(ious, 0.9)
    assert (found.mean, found.share_failed, found.clicks.tolist(), found.limit) == (7 / 3, 1 / 3, [3, 3, 1], 3)
    rows = [
        {"image_id": f"i{n}", "object_id": "o", "cluster_id": f"i{n}", "k": k + 1, "iou_top": v, "n_candidates": 1, "top_index": 0}
        for n, object_ious in enumerate(ious) for k, v in enumerate(object_ious) if not np.isnan(v)
    ]  # fmt: skip
    reduced = reduce_prompted(pd.DataFrame(rows), Bootstrap(n_resamples=100), noc=(0.9,), max_clicks=3, until=0.9)
    by_name = {r["metric"]: r["value"] for r in reduced}
    assert (by_name["noc"], by_name["noc_failures"]) == pytest.approx((found.mean, found.share_failed))
    with pytest.raises(UsageError, match="objects, clicks"):
        metrics.number_of_clicks([0.1, 0.2])


def test_differences_are_paired_and_clustered() -> None:
    rng = np.random.default_rng(0)
    b = rng.random(60)
    a, images = b + rng.normal(0.05, 0.02, 60), np.repeat(np.arange(12), 5)
    found = metrics.paired_bootstrap(a, b, images)
    assert found == paired_difference(a, b, images, n_resamples=2000, level=0.95, seed=0)
    assert found.low < found.mean < found.high
    assert found.n_clusters == 12
    assert metrics.paired_bootstrap(a, b).n_clusters == 60
    mean, low, high = metrics.mean_interval(a - b, images)
    assert (mean, low, high) == (found.mean, found.low, found.high)
    with pytest.raises(UsageError, match="do not fit"):
        metrics.paired_bootstrap(a, b[:-1], images)


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\[64, 64\] and \[10, 64\]"):
        metrics.mask_iou(disc(1, 1, 1), disc(1, 1, 1)[:10])


def test_the_example_of_the_page_runs() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if "metrics." in block)
    exec(code, {})
