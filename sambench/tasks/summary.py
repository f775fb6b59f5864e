"""From rows of the prompted tasks to metric rows: means over objects with intervals by a bootstrap over clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.metrics.bootstrap import check_wanted, mean_intervals

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: percentile bootstrap over clusters, the same resamples for every metric of a cell.

    Raises UsageError for values that no bootstrap can have, or that would take days.
    """

    n_resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        check_wanted(self.n_resamples, self.level, self.seed)

    def columns(self, low: float, high: float) -> dict[str, Any]:
        """What a metric row holds of an interval that was made so: its ends, in the unit of the value, its level and its method."""
        method = f"percentile bootstrap over clusters, {self.n_resamples} resamples, seed {self.seed}"
        return {"ci_low": float(low), "ci_high": float(high), "ci_level": self.level, "ci_method": method}


@dataclass(frozen=True)
class Column:
    """One value per object, and the name it goes by. counted: the number of objects with value 1 is meant, not their share."""

    metric: str
    variant: str
    threshold: float | None
    values: np.ndarray[Any, np.dtype[np.float64]]
    unit: str = "fraction"
    higher_is_better: bool = True
    counted: bool = False


def reduce_prompted(
    frame: pd.DataFrame,
    bootstrap: Bootstrap,
    *,
    noc: tuple[float, ...] = (),
    max_clicks: int = 0,
    until: float | None = None,
) -> list[dict[str, Any]]:
    """Metric rows of rows with status `ok` (columns of `schema.PROMPTED_COLUMNS`), [] for an empty frame.

    miou in [0, 1] by variant: `top`, `oracle`, and `oracle@3` (the best of at most three candidates that the model ranks first) at
    the counts where it gave several; mbiou at thresholds .02 and .01 of the diagonal. noc: mean clicks to reach the target, objects
    that never do count `max_clicks`; noc_failures: their share; noc_at_limit: the number of objects that take `max_clicks`, those
    that get there with the last click among them: what papers on interactive segmentation print as ">=20". With `until` the means
    at each count are left out, since objects leave on reaching it.
    """
    if frame.empty:
        return []
    # Failed images' rows have no numbers: a frame that held some comes with its integers as floats.
    frame = frame.astype(dict.fromkeys(("k", "top_index", "n_candidates"), np.int64))
    out = []
    if until is None:
        for k, rows in frame.groupby("k", sort=True):
            out += _metric_rows(rows, _overlap_columns(rows), bootstrap, int(str(k)))
    if noc:
        objects = frame.groupby(["image_id", "object_id"], sort=False)
        first = objects.first().reset_index()
        columns = []
        for target in noc:
            reached = frame[frame["iou_top"] >= target].groupby(["image_id", "object_id"])["k"].min()
            counts = (
                first.set_index(["image_id", "object_id"]).index.map(reached.to_dict().get).to_numpy(np.float64, na_value=np.nan)
            )
            failed = np.isnan(counts)
            clicks = np.where(failed, max_clicks, counts)
            at_limit = (clicks >= max_clicks).astype(np.float64)
            columns.append(Column("noc", "top", target, clicks, "clicks", False))
            columns.append(Column("noc_at_limit", "top", target, at_limit, "objects", False, counted=True))
            columns.append(Column("noc_failures", "top", target, failed.astype(np.float64), "fraction", False))
        out += _metric_rows(first, columns, bootstrap, max_clicks)
    return out


def _overlap_columns(rows: pd.DataFrame) -> list[Column]:
    columns = [Column("miou", "top", None, rows["iou_top"].to_numpy(np.float64))]
    if rows["n_candidates"].max() > 1:
        columns.append(Column("miou", "oracle", None, rows["iou_oracle"].to_numpy(np.float64)))
        best3 = [oracle_at(3, i, s) for i, s in zip(rows["ious"], rows["scores"], strict=True)]
        columns.append(Column("miou", "oracle@3", None, np.array(best3)))
    for name, ratio in (("boundary_ious_2pct", 0.02), ("boundary_ious_1pct", 0.01)):
        values = np.array([v[t] for v, t in zip(rows[name], rows["top_index"], strict=True)], np.float64)
        columns.append(Column("mbiou", "top", ratio, values))
    return columns


def oracle_at(n: int, ious: Any, scores: Any) -> float:
    """The best IoU among the n candidates that the model ranks first (earlier ones among equals; NaN scores last)."""
    ranked = np.argsort(-np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf), kind="stable")
    return float(np.max(np.asarray(ious, np.float64)[ranked[:n]]))


def _metric_rows(rows: pd.DataFrame, columns: list[Column], bootstrap: Bootstrap, k: int) -> list[dict[str, Any]]:
    values = np.stack([c.values for c in columns], axis=1)
    clusters = rows["cluster_id"].to_numpy()
    means, low, high = mean_intervals(
        values, clusters, n_resamples=bootstrap.n_resamples, level=bootstrap.level, seed=bootstrap.seed
    )
    shared = {
        "k": k,
        "n_images": int(rows["image_id"].nunique()),
        "n_objects": len(rows),
        "n_clusters": int(rows["cluster_id"].nunique()),
        "n_candidates": int(rows["n_candidates"].max()),
        "source_kind": "measured",
    }
    return [
        {
            **shared,
            "metric": c.metric,
            "variant": c.variant,
            "threshold": c.threshold,
            "unit": c.unit,
            "higher_is_better": c.higher_is_better,
            "aggregate": "count_of_masks" if c.counted else "mean_over_masks",
            "value": float(np.round(c.values.sum())) if c.counted else float(means[j]),
            **bootstrap.columns(*(float(end[j]) * (len(rows) if c.counted else 1) for end in (low, high))),
        }
        for j, c in enumerate(columns)
    ]
