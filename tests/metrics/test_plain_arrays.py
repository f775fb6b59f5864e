"""Metrics on plain arrays are the numbers of a run, and refuse what does not fit."""

from __future__ import annotations

import contextlib
import inspect
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sambench import metrics
from sambench.errors import SambenchError, UsageError
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
    with pytest.raises(UsageError, match="share of the diagonal"):
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


ONE = np.ones((5, 5), np.bool_)
MAP = ONE.astype(float)
# Of each function a call that is right, by the names of its arguments.
RIGHT: dict[str, dict[str, Any]] = {
    "mask_iou": {"a": ONE, "b": ONE, "ignore": ONE},
    "boundary_iou": {"a": ONE, "b": ONE, "ratio": 0.02, "ignore": ONE},
    "boundary_benchmark": {"maps": [MAP], "boundaries": [[ONE]], "max_dist": 0.0075, "thresholds": 3},
    "average_recall": {"proposals": [[ONE]], "objects": [[ONE]], "max_dets": 10},
    "number_of_clicks": {"ious": [[0.5, 0.9]], "target": 0.9},
    "mean_interval": {"values": [0.1, 0.2], "clusters": ["a", "b"], "n_resamples": 9, "level": 0.9, "seed": 0},
    "paired_bootstrap": {"a": [0.1, 0.2], "b": [0.3, 0.2], "clusters": [1, 2], "n_resamples": 9, "level": 0.9, "seed": [0, 1]},
    "average_precision": {"truth": {"images": [], "categories": [], "annotations": []}, "results": [], "max_dets": (1, 10)},
}
NONSENSE = [
    None, True, -1, 0, 3, 1.5, 1e300, 10**30, float("nan"), float("inf"), 1j, "", "0.5", b"x", object(), {}, {"a": 1}, {1, 2}, [],
    [[]], [[], []], [[[]]], [None], ["a"], [["a", "b"]], [[1], [1, 2]], [object()], [float("nan")], [[float("nan")]], [1, "a"],
    [1, None],
    iter([1]), (1, 0), np.ones(3), np.ones((0, 0)), np.ones((1, 5, 5)), np.array(3.0), np.full((5, 5), np.nan),
    np.full((5, 5), None), np.full((5, 5), "x"), np.ones((5, 5), complex), np.ones((5, 5), "datetime64[s]"), [[70, 95]],
    [np.full((5, 5), np.nan)],
    [[np.full((5, 5), np.nan)]], pd.Series([None, pd.NA]), pd.Series([pd.NaT, pd.NaT]),
    ONE[:4], [ONE[:4]],
]  # fmt: skip


def test_every_function_is_tried() -> None:
    assert set(RIGHT) == set(metrics.__all__)
    for name, right in RIGHT.items():
        assert [*inspect.signature(getattr(metrics, name)).parameters] == [*right]
        getattr(metrics, name)(**right)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "argument"), [(name, argument) for name, right in RIGHT.items() for argument in right])
def test_nonsense_is_a_number_or_an_error_of_ours(name: str, argument: str) -> None:
    for wrong in NONSENSE:
        with contextlib.suppress(SambenchError):
            getattr(metrics, name)(**{**RIGHT[name], argument: wrong})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mask_iou", {"a": np.full((5, 5), np.nan)}),
        ("mask_iou", {"ignore": np.full((5, 5), np.nan)}),
        ("mask_iou", {"b": [[None] * 5] * 5}),
        ("boundary_iou", {"ratio": "0.02"}),
        ("boundary_iou", {"ratio": True}),
        ("boundary_iou", {"ratio": float("nan")}),
        ("boundary_benchmark", {"max_dist": float("nan")}),
        ("boundary_benchmark", {"max_dist": -1}),
        ("boundary_benchmark", {"thresholds": 0}),
        ("boundary_benchmark", {"thresholds": 2.5}),
        ("boundary_benchmark", {"boundaries": [[np.full((5, 5), np.nan)]]}),
        ("average_recall", {"max_dets": 0}),
        ("average_recall", {"max_dets": -1}),
        ("average_recall", {"objects": [[np.full((5, 5), np.nan)]]}),
        ("number_of_clicks", {"ious": [[70, 95]]}),
        ("number_of_clicks", {"ious": [[-0.1, 0.5]]}),
        ("number_of_clicks", {"ious": [[0.9], [0.1, 0.2]]}),
        ("number_of_clicks", {"ious": [[float("nan"), 0.9]]}),
        ("number_of_clicks", {"ious": [[0.1, float("nan"), 0.9]]}),
        ("number_of_clicks", {"ious": [[float("nan")]]}),
        ("number_of_clicks", {"target": 90}),
        ("number_of_clicks", {"target": float("nan")}),
        ("mean_interval", {"values": [0.1, float("inf")]}),
        ("mean_interval", {"values": ["0.1", "0.2"]}),
        ("mean_interval", {"level": 95}),
        ("mean_interval", {"n_resamples": 0}),
        ("mean_interval", {"seed": -1}),
        ("paired_bootstrap", {"clusters": ["a", None]}),
        ("paired_bootstrap", {"clusters": [1.0, float("nan")]}),
        ("paired_bootstrap", {"clusters": [pd.NA, "a"]}),
        ("paired_bootstrap", {"b": [0.1, float("inf")]}),
    ],
)
def test_nonsense_that_once_made_a_number_or_a_traceback(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as e:
        getattr(metrics, name)(**RIGHT[name] | change)
    (argument,) = change
    assert e.value.where is None or str(e.value.where).startswith(argument)
    assert e.value.expected


def test_what_was_not_measured_is_left_out_of_means() -> None:
    assert metrics.mean_interval([0.1, float("nan"), 0.3]).mean == pytest.approx(0.2)
    assert metrics.paired_bootstrap([0.1, None, 0.3], [0.1, 0.2, 0.2]).n == 2  # type: ignore[list-item]


def test_the_example_of_the_page_runs() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if "metrics." in block)
    exec(code, {})
