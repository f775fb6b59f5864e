"""How far two groups of objects of one run lie apart: a difference of means with an interval (Segment Anything, tables 2 and 6).

The groups are of other objects, but often of the same images: whole images are drawn again, so that what an image does to both
groups at once stays in both means of a draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sambench.metrics.bootstrap import percentile_interval, resampled_means
from sambench.results.rescore import DEFAULT_BOOTSTRAP, groups_of
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap


@dataclass(frozen=True)
class GroupDifference:
    """Mean of group a minus mean of group b, fractions; low, high: percentile interval, NaN where one image holds all."""

    a: str
    b: str
    mean_a: float
    mean_b: float
    low: float
    high: float
    n_a: int
    n_b: int

    @property
    def difference(self) -> float:
        return self.mean_a - self.mean_b


def group_difference(
    cell: CellView, group_by: str, a: str, b: str, *, k: int, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> GroupDifference | None:
    """a minus b in the IoU of the mask ranked first, at k clicks (0: from boxes); None where a group has no object.

    group_by: as `rescore` takes it. Raises UsageError as that does.
    """
    frame = cell.scored(["k", "iou_top", "cluster_id", "category", "attributes"])
    frame = frame[frame["k"] == k]
    groups = groups_of(frame, group_by, cell)
    values = frame["iou_top"].to_numpy(np.float64)
    columns = np.column_stack([np.where(groups == name, values, np.nan) for name in (a, b)])
    counts = (~np.isnan(columns)).sum(axis=0)
    if not counts.all():
        return None
    kept = ~np.isnan(columns).all(axis=1)
    columns, clusters = columns[kept], frame["cluster_id"].to_numpy()[kept]
    means = np.nanmean(columns, axis=0)
    low = high = float("nan")
    if len(np.unique(clusters)) > 1:
        drawn = resampled_means(columns, clusters, n_resamples=bootstrap.n_resamples, seed=bootstrap.seed)
        drawn = drawn[~np.isnan(drawn).any(axis=1)]
        low, high = percentile_interval(drawn[:, 0] - drawn[:, 1], level=bootstrap.level)
    return GroupDifference(a, b, float(means[0]), float(means[1]), low, high, int(counts[0]), int(counts[1]))
