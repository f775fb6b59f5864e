"""The suite's metrics on plain arrays, for whoever has masks and edge maps at hand and no run: `from sambench.metrics import ...`.

The numbers are those of a run: the same functions, or, where a run computes image by image, the same arithmetic. Masks are [H, W],
of dtype bool or numbers where anything but zero is foreground; H rows from the top, W columns from the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError
from sambench.metrics.bootstrap import PairedDifference, Seed, mean_intervals, paired_difference
from sambench.metrics.edges import BSDS_MAX_DIST, N_THRESHOLDS, EdgeScores, edge_counts, edge_scores, threshold_values
from sambench.metrics.proposals import AverageRecall
from sambench.pixels import region
from sambench.pixels.region import Region

Mask = npt.NDArray[Any]
N_RESAMPLES = 2000


class Clicks(NamedTuple):
    """mean: clicks that an object takes, those that never get there counted as the limit. share_failed: in [0, 1], of these.

    clicks: int64 [N], of each object. limit: the most clicks.
    """

    mean: float
    share_failed: float
    clicks: npt.NDArray[np.int64]
    limit: int


class Interval(NamedTuple):
    """A mean with the ends of its interval, in the unit of the values; NaN where nothing is known."""

    mean: float
    low: float
    high: float


def mask_iou(a: Mask, b: Mask, *, ignore: Mask | None = None) -> float:
    """Intersection over union in [0, 1]; 0 where both masks are empty.

    a, b: masks of one shape. ignore: pixels that count nowhere. Raises UsageError on other shapes.
    """
    one, other, left_out = _regions(a, b, ignore)
    return one.iou(other, left_out)


def boundary_iou(a: Mask, b: Mask, ratio: float = 0.02, *, ignore: Mask | None = None) -> float:
    """Boundary IoU in [0, 1] (Cheng et al. 2021, arXiv 2103.16562): IoU of the two masks' pixels near their own boundary.

    a, b: masks of one shape. ratio: width of the boundary as a share of the image's diagonal; .02 is the authors', .01 HQ-SAM's
    stricter one. ignore: pixels that count nowhere. Raises UsageError on other shapes, or a ratio that is not in (0, 1].
    """
    if not 0 < ratio <= 1:
        expected = "a share of the diagonal in (0, 1]"
        raise UsageError("a boundary cannot have such a width", where="ratio", expected=expected, found=ratio)
    one, other, left_out = _regions(a, b, ignore)
    return region.boundary_iou(one, other, ratio, left_out)


def boundary_benchmark(
    maps: Sequence[npt.NDArray[Any]],
    boundaries: Sequence[Sequence[npt.NDArray[Any]]],
    *,
    max_dist: float = BSDS_MAX_DIST,
    thresholds: int = N_THRESHOLDS,
) -> EdgeScores:
    """ODS, OIS, AP and R50 of edge maps (BSDS500's benchmark; Arbelaez et al., PAMI 2011), in [0, 1].

    maps: N edge maps [H, W], float in [0, 1]. boundaries: for each the maps [H, W] of its annotators, bool or 0 / 1, thin.
    max_dist: tolerance as a share of the diagonal (.0075; NYUDv2: .011). thresholds: how many, evenly spread. Raises UsageError
    where there is no map or not one list of annotations a map, DataError for shapes and values that do not fit.
    """
    if not len(maps) or len(maps) != len(boundaries):
        found = f"{len(maps)} maps, {len(boundaries)} lists of annotations"
        raise UsageError("edge maps and annotations do not fit", expected="as many as there are images, one or more", found=found)
    counts = [
        edge_counts(one, truth, max_dist=max_dist, thresholds=thresholds).as_array()
        for one, truth in zip(maps, boundaries, strict=True)
    ]
    return edge_scores(np.stack(counts), threshold_values(thresholds))


def average_recall(
    proposals: Sequence[Sequence[Mask] | Mask], objects: Sequence[Sequence[Mask] | Mask], *, max_dets: int = 1000
) -> float:
    """Class-agnostic mask AR in [0, 1], over IoU thresholds .50 to .95 (COCO's); NaN without an object.

    proposals: by image the masks [D, H, W], those with the highest scores first. objects: by image the annotated masks [G, H, W].
    max_dets: proposals of an image that count. Raises UsageError where the images are not as many, or masks differ in shape.
    """
    if len(proposals) != len(objects):
        found = f"{len(proposals)} and {len(objects)} images"
        raise UsageError("proposals and objects do not fit", expected="the same images, in one order", found=found)
    recall = AverageRecall((max_dets,))
    for found_here, annotated in zip(proposals, objects, strict=True):
        shapes = {np.asarray(m).shape for m in (*found_here, *annotated)}
        if len(shapes) > 1 or any(len(s) != 2 for s in shapes):
            raise UsageError("masks of one image do not fit", expected="one shape [H, W]", found=sorted(shapes))
        truth = [Region.from_array(np.asarray(m)) for m in annotated]
        ranked = [Region.from_array(np.asarray(m)).rle() for m in found_here[:max_dets]]
        recall.add(ranked, [r.rle() for r in truth], [r.area for r in truth])
    return recall.value()


def number_of_clicks(ious: npt.ArrayLike, target: float = 0.9) -> Clicks:
    """NoC: how many clicks objects take until their IoU reaches a target (the measure of interactive segmentation).

    ious: float [N, K] in [0, 1], of N objects after 1, 2, ..., K clicks; NaN after an object's last. An object that never gets
    there counts as K. target: in [0, 1], reached where IoU >= target. Raises UsageError on other shapes.
    """
    values = np.asarray(ious, np.float64)
    if values.ndim != 2 or not values.size:
        expected = "float [objects, clicks], at least one of each"
        raise UsageError("IoUs by click do not fit", where="ious", expected=expected, found=list(values.shape))
    reached = values >= target
    done = reached.any(axis=1)
    limit = values.shape[1]
    clicks = np.where(done, reached.argmax(axis=1) + 1, limit).astype(np.int64)
    return Clicks(float(clicks.mean()), float((~done).mean()), clicks, limit)


def mean_interval(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
    seed: Seed = 0,
) -> Interval:
    """A mean over objects with its percentile interval by a bootstrap over clusters (`sambench.metrics.bootstrap`).

    values: float [N]. clusters: [N] labels, as the image of each object; without them every object is a cluster of its own. Raises
    UsageError where the lengths differ.
    """
    column, labels = _values(values, clusters)
    (mean,), (low,), (high,) = mean_intervals(column[:, None], labels, n_resamples=n_resamples, level=level, seed=seed)
    return Interval(float(mean), float(low), float(high))


def paired_bootstrap(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
    seed: Seed = 0,
) -> PairedDifference:
    """The mean of a - b over objects that two models were measured on, with interval and p-value, as `sambench compare` gives it.

    a, b: float [N] in one unit, in one order. clusters: [N] labels, as the image of each object; without them every object is a
    cluster of its own. Raises UsageError where the lengths differ.
    """
    left, labels = _values(a, clusters)
    right, _ = _values(b, labels)
    return paired_difference(left, right, labels, n_resamples=n_resamples, level=level, seed=seed)


def _values(values: npt.ArrayLike, clusters: npt.ArrayLike | None) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """Values float64 [N], and a label for each."""
    column = np.asarray(values, np.float64)
    labels = np.arange(column.size) if clusters is None else np.asarray(clusters)
    if column.ndim != 1 or labels.shape != column.shape:
        expected = "one number per object, and as many labels"
        found = f"{list(column.shape)}, {list(labels.shape)}"
        raise UsageError("values and clusters do not fit", expected=expected, found=found)
    return column, labels


def _regions(a: Mask, b: Mask, ignore: Mask | None) -> tuple[Region, Region, Region | None]:
    """Masks of one shape."""
    arrays = [np.asarray(m) for m in (a, b, *([] if ignore is None else [ignore]))]
    shapes = {m.shape for m in arrays}
    if len(shapes) > 1 or len(arrays[0].shape) != 2:
        expected = "two masks [H, W] of one shape"
        raise UsageError("masks do not fit", expected=expected, found=" and ".join(str(list(m.shape)) for m in arrays))
    one, other, *rest = (Region.from_array(m) for m in arrays)
    return one, other, rest[0] if rest else None
