"""What runs of the point and box tasks can be compared by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.tasks.object_measures import ObjectMeasure, column
from sambench.tasks.summary import oracle_at

if TYPE_CHECKING:
    import pandas as pd

NOC = "noc@"


def _of_top(name: str) -> Callable[[pd.DataFrame], Any]:
    return lambda frame: np.array([v[t] for v, t in zip(frame[name], frame["top_index"], strict=True)], np.float64)


def _oracle3(frame: pd.DataFrame) -> Any:
    return np.array([oracle_at(3, i, s) for i, s in zip(frame["ious"], frame["scores"], strict=True)], np.float64)


OVERLAPS: dict[str, ObjectMeasure] = {
    "iou_top": ObjectMeasure(("iou_top",), column("iou_top"), by_k=True),
    "iou_oracle": ObjectMeasure(("iou_oracle",), column("iou_oracle"), by_k=True),
    "iou_oracle@3": ObjectMeasure(("ious", "scores"), _oracle3, by_k=True),
    "boundary_iou_2pct": ObjectMeasure(("boundary_ious_2pct", "top_index"), _of_top("boundary_ious_2pct"), by_k=True),
    "boundary_iou_1pct": ObjectMeasure(("boundary_ious_1pct", "top_index"), _of_top("boundary_ious_1pct"), by_k=True),
}


def click_measures(noc: Sequence[float], last: int, until: float | None) -> dict[str, ObjectMeasure]:
    """Overlaps at each count, and the number of clicks to each IoU of `noc` (`noc@80`), of a run of `last` clicks.

    until: the IoU on which objects leave, if they do; overlaps are refused then.
    """
    targets = {f"{NOC}{100 * t:.0f}": _clicks_to(float(t), last) for t in noc}
    if until is None:
        return OVERLAPS | targets
    instead = f"--metric {' or '.join(targets) or NOC + 'NN'}"
    why = "objects leave that run on reaching an IoU, so {} at a click count compares only the hard ones"
    return {name: replace(m, refused=why.format(name), instead=instead) for name, m in OVERLAPS.items()} | targets


def _clicks_to(target: float, last: int) -> ObjectMeasure:
    """Clicks to reach an IoU, the last count for objects that never do; k is that count."""

    def objects(frame: pd.DataFrame) -> pd.DataFrame:
        key = ["image_id", "object_id"]
        out = frame.groupby(key, sort=False)[["prompt", "cluster_id", "area_px"]].first()
        reached = frame[frame["iou_top"] >= target].groupby(key)["k"].min()
        out["clicks"] = reached.reindex(out.index).fillna(last).astype(np.float64)
        return out.reset_index().assign(k=last)

    return ObjectMeasure(("iou_top",), column("clicks"), objects=objects, unit="clicks")
