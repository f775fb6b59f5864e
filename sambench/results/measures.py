"""What can be compared object by object: the measures that rows give, one value a row, or an object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.errors import UsageError, unknown_name
from sambench.metrics.proposals import recalled
from sambench.store.views import CellView
from sambench.tasks.summary import oracle_at

if TYPE_CHECKING:
    import pandas as pd

PAIR = ["image_id", "object_id", "k", "prompt"]


def _column(name: str) -> Callable[[pd.DataFrame], Any]:
    return lambda frame: frame[name].to_numpy(np.float64)


def _of_top(name: str) -> Callable[[pd.DataFrame], Any]:
    return lambda frame: np.array([v[t] for v, t in zip(frame[name], frame["top_index"], strict=True)], np.float64)


def _oracle3(frame: pd.DataFrame) -> Any:
    return np.array([oracle_at(3, i, s) for i, s in zip(frame["ious"], frame["scores"], strict=True)], np.float64)


@dataclass(frozen=True)
class _Metric:
    """columns: what must be read; values: float64 [n] of n rows, in [0, 1]."""

    columns: tuple[str, ...]
    values: Callable[[pd.DataFrame], Any]


METRICS: dict[str, _Metric] = {
    "iou_top": _Metric(("iou_top",), _column("iou_top")),
    "iou_oracle": _Metric(("iou_oracle",), _column("iou_oracle")),
    "iou_oracle@3": _Metric(("ious", "scores"), _oracle3),
    "boundary_iou_2pct": _Metric(("boundary_ious_2pct", "top_index"), _of_top("boundary_ious_2pct")),
    "boundary_iou_1pct": _Metric(("boundary_ious_1pct", "top_index"), _of_top("boundary_ious_1pct")),
}
NOC = "noc@"
RECALL = "ar@"  # of the proposal task, with one of its numbers of proposals
IOU_BEST = "iou_best"  # of the instance task: the best IoU of a detection of the object's category, 0 without one


def object_values(cell: CellView, metric: str, k: int | None = None) -> pd.DataFrame:
    """A frame of PAIR, cluster_id, area_px and `value`: a row an object and click count, failed images left out.

    metric: one of METRICS (values in [0, 1]; k: this count alone), IOU_BEST for the instance task, `ar@1000` for the proposal task,
    or `noc@80` (clicks to an IoU: a row an object, whose k is the last count). Raises UsageError on a metric or k that the cell
    does not have.
    """
    if "object_id" not in cell.store.columns:
        raise UsageError(f"runs of the {cell.task.name} task have no objects to compare", where=cell.path)
    if "iou_best" in cell.store.columns:
        if metric != IOU_BEST:
            raise unknown_name("metric", metric, [IOU_BEST], where="--metric")
        return _best_rows(cell)
    if cell.task.name == "proposals":
        return _recall_rows(cell, metric)
    targets = noc_targets(cell)
    if metric in targets:
        return _noc_rows(cell, targets[metric])
    if metric not in METRICS:
        raise unknown_name("metric", metric, [*METRICS, *targets], where="--metric")
    return _rows(cell, metric, k)


def default_metric(cells: Sequence[CellView]) -> str:
    """What is compared where nobody says what."""
    if cells and cells[0].task.name == "proposals":
        return f"{RECALL}{max(cells[0].task.settings.max_dets)}"
    return IOU_BEST if cells and "iou_best" in cells[0].store.columns else "iou_top"


def _recall_rows(cell: CellView, metric: str) -> pd.DataFrame:
    """As `_rows`, one row an object of the proposal task: the share of IoU thresholds at which it is among the first n; k is 0."""
    numbers = {f"{RECALL}{n}": n for n in cell.task.settings.max_dets}
    if metric not in numbers:
        raise unknown_name("metric", metric, numbers, where="--metric")
    frame = cell.scored(["image_id", "object_id", "cluster_id", "area_px", "ranks_all"], ("kind", "object"))
    ranks = np.array(frame["ranks_all"].to_list(), np.int32).reshape(len(frame), -1).T
    value = recalled(ranks, numbers[metric]) if len(frame) else np.zeros(0)
    return frame.drop(columns="ranks_all").assign(k=0, prompt="grid", value=value)


def _best_rows(cell: CellView) -> pd.DataFrame:
    """As `_rows`, of the objects of the instance task that are no crowds; there are no clicks: k is 0."""
    frame = cell.scored(["image_id", "object_id", "cluster_id", "area", "is_crowd", IOU_BEST], ("kind", "object"))
    frame = frame[frame["is_crowd"] == 0].rename(columns={"area": "area_px", IOU_BEST: "value"})
    return frame.drop(columns="is_crowd").assign(k=0, prompt="box")


def noc_targets(cell: CellView) -> dict[str, float]:
    """NoC metrics by name (`noc@80`) and their IoUs, as the run's settings have them."""
    return {f"{NOC}{100 * t:.0f}": float(t) for t in getattr(cell.task.settings, "noc", ())}


def _rows(cell: CellView, metric: str, k: int | None) -> pd.DataFrame:
    """PAIR, cluster_id, area_px and `value` of every object and count."""
    if getattr(cell.task.settings, "until_iou", None) is not None:
        raise UsageError(
            f"objects leave that run on reaching an IoU, so {metric} at a click count compares only the hard ones",
            where=cell.path,
            expected=f"--metric {' or '.join(noc_targets(cell)) or NOC + 'NN'}",
            found=f"--metric {metric}",
        )
    wanted = METRICS[metric]
    frame = cell.scored([*PAIR, "cluster_id", "area_px", *wanted.columns])
    counts = sorted({int(c) for c in frame["k"]})
    if k is not None:
        if counts and k not in counts:
            known = ", ".join(map(str, counts))
            raise UsageError("no rows at that click count", where="--k", expected=f"one of {known}", found=k)
        frame = frame[frame["k"] == k]
    out = frame[[*PAIR, "cluster_id", "area_px"]].copy()
    out["value"] = wanted.values(frame)
    return out


def _noc_rows(cell: CellView, target: float) -> pd.DataFrame:
    """As `_rows`, one row an object: clicks to reach `target`, the last count for those that never do; k is that count."""
    frame = cell.scored([*PAIR, "cluster_id", "area_px", "iou_top"])
    last = max(cell.task.settings.clicks)
    key = ["image_id", "object_id"]
    objects = frame.groupby(key, sort=False)[["prompt", "cluster_id", "area_px"]].first()
    reached = frame[frame["iou_top"] >= target].groupby(key)["k"].min()
    objects["value"] = reached.reindex(objects.index).fillna(last).astype(np.float64)
    return objects.reset_index().assign(k=last)
