"""How well two masks of each object agree: automatic masks and their corrections (Segment Anything, section 5), or two annotators'.

Section 5 of arXiv 2304.02643 gives the share of pairs whose IoU is greater than 90 % and 75 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sambench.metrics.bootstrap import mean_intervals
from sambench.metrics.proposals import AREA_SETS, reference_sets

ABOVE = (0.90, 0.75)  # the paper's thresholds
ALL = "all"
DEFAULT_LEVEL, DEFAULT_RESAMPLES = 0.95, 1000


@dataclass(frozen=True)
class MaskQuality:
    """Of the pairs of one size. group: `all`, or COCO's small, medium or large, by the area of the second mask.

    mean: (mean IoU, low, high); above: by threshold (share of pairs with a greater IoU, low, high). All NaN without pairs, low and
    high where all pairs are of one cluster. n: pairs; n_clusters: images that they lie in.
    """

    group: str
    n: int
    n_clusters: int
    mean: tuple[float, float, float]
    above: dict[float, tuple[float, float, float]]


def mask_quality(
    ious: npt.ArrayLike,
    areas_px: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    above: Sequence[float] = ABOVE,
    n_resamples: int = DEFAULT_RESAMPLES,
    level: float = DEFAULT_LEVEL,
    seed: int = 0,
) -> list[MaskQuality]:
    """The quality of all pairs, then of each size that has one.

    ious float [N] in [0, 1]; areas_px float [N], of the masks that are taken for right; clusters [N]: labels of the images, None
    where each pair is one of its own. Intervals: percentile bootstrap over clusters. Raises ValueError on shapes that do not fit.
    """
    values = np.asarray(ious, np.float64)
    areas = np.asarray(areas_px, np.float64)
    labels = np.arange(len(values)) if clusters is None else np.asarray(clusters)
    if values.ndim != 1 or areas.shape != values.shape or labels.shape != values.shape:
        raise ValueError(f"ious, areas_px and clusters must have one length: {values.shape}, {areas.shape}, {labels.shape}")
    if not np.all((values >= 0) & (values <= 1)):
        raise ValueError("IoUs must be numbers from 0 to 1")
    columns = np.column_stack([values, *(values > t for t in above)]).astype(np.float64)
    sets = reference_sets(areas, [None] * len(areas))
    members = {ALL: np.ones(len(values), bool)} | {name: sets[name] for name in AREA_SETS if sets[name].any()}
    out = []
    for group, member in members.items():
        here = columns[member], labels[member]
        means, low, high = mean_intervals(*here, n_resamples=n_resamples, level=level, seed=seed)
        found = [(float(m), float(a), float(b)) for m, a, b in zip(means, low, high, strict=True)]
        shares = dict(zip(above, found[1:], strict=True))
        out.append(MaskQuality(group, int(member.sum()), len(np.unique(here[1])), found[0], shares))
    return out
