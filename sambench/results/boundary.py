"""The boundary-IoU curve: how a run's mean boundary IoU grows with the width of the boundary (HQ-SAM; docs/protocol.md, `box@1`).

Rows hold boundary IoU at two widths; the curve is made of the stored masks, so that any run that kept them gives it at any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError
from sambench.metrics.bootstrap import mean_intervals
from sambench.metrics.boundary import boundary_ious
from sambench.results.measures import check_clicks, click_counts
from sambench.results.rescore import DEFAULT_BOOTSTRAP
from sambench.results.stored_masks import stored_rows
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap
from sambench.types import Dataset

# Shares of the diagonal: below 1 % a boundary of most images is a few pixels wide.
RATIOS = (0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05)


@dataclass(frozen=True)
class BoundaryCurve:
    """Mean boundary IoU in [0, 1] of the model's own mask, by ratio of the diagonal, with intervals; k: clicks, 0 for a box."""

    cell: CellView
    k: int
    ratios: tuple[float, ...]
    mean: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    n_objects: int
    n_images: int


def boundary_curve(
    cell: CellView,
    *,
    ratios: Sequence[float] = RATIOS,
    k: int | None = None,
    root: Path | None = None,
    dataset: Dataset | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> BoundaryCurve:
    """The curve of one cell. k: of the point task, the click count (default: the first that it has).

    Values at .02 and .01 equal the run's own `mbiou`. root, dataset and errors: see `stored_masks.stored_rows`; also UsageError for
    a click count without rows, or ratios that are not ascending numbers in (0, 1].
    """
    if not ratios or list(ratios) != sorted(set(ratios)) or min(ratios) <= 0 or max(ratios) > 1:
        raise UsageError("boundary ratios do not fit", expected="ascending numbers in (0, 1]", found=list(ratios))
    if "object_id" not in cell.store.columns or "k" not in cell.store.columns:
        raise UsageError(f"runs of the {cell.task.name} task have no masks of objects", where=cell.path)
    counts = click_counts(cell.scored(["k"]))
    if k is not None:
        check_clicks(k, counts)
    chosen = k if k is not None else counts[0] if counts else 0
    values, clusters, images = [], [], set()
    for row in stored_rows(cell, root=root, dataset=dataset, k=chosen):
        top = int(row.columns["top_index"])
        values.append(boundary_ious(row.masks[top], row.target, ratios, row.sample.ignore))
        clusters.append(row.columns["cluster_id"])
        images.add(row.sample.image_id)
    mean, low, high = mean_intervals(
        np.stack(values), np.array(clusters), n_resamples=bootstrap.n_resamples, level=bootstrap.level, seed=bootstrap.seed
    )
    return BoundaryCurve(cell, chosen, tuple(ratios), mean, low, high, len(values), len(images))
