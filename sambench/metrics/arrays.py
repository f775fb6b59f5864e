"""The suite's metrics on plain arrays, for whoever has masks and edge maps at hand and no run: `from sambench.metrics import ...`.

The numbers are those of a run: the same functions, or, where a run computes image by image, the same arithmetic. Masks are [H, W],
of dtype bool or numbers where anything but zero is foreground; H rows from the top, W columns from the left. What is no such array,
and NaN in a mask, is a UsageError that names the argument, as is every number out of its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError
from sambench.metrics import given
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

    a, b: masks of one shape. ignore: pixels that count nowhere. Raises UsageError on other shapes, or NaN.
    """
    one, other, left_out = _regions(a, b, ignore)
    return one.iou(other, left_out)


def boundary_iou(a: Mask, b: Mask, ratio: float = 0.02, *, ignore: Mask | None = None) -> float:
    """Boundary IoU in [0, 1] (Cheng et al. 2021, arXiv 2103.16562): IoU of the two masks' pixels near their own boundary.

    a, b: masks of one shape. ratio: width of the boundary as a share of the image's diagonal; .02 is the authors', .01 HQ-SAM's
    stricter one. ignore: pixels that count nowhere. Raises UsageError on other shapes, or a ratio that is not in (0, 1].
    """
    ratio = given.real(ratio, "ratio", "the boundary's width, a share of the diagonal in (0, 1]", low=0, high=1, above=True)
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
    max_dist: tolerance as a share of the diagonal in [0, 1] (.0075; NYUDv2: .011). thresholds: how many, evenly spread, from 1 to
    100,000. Raises UsageError where there is no map or not one list of annotations a map, and for a tolerance or number out of its
    range, DataError for shapes and values that do not fit.
    """
    max_dist = given.real(max_dist, "max_dist", "a share of the diagonal in [0, 1]", low=0, high=1)
    thresholds = given.whole(thresholds, "thresholds", low=1, high=100_000)
    what = "for each map a list of boundaries [H, W]"
    maps = [given.mask(m, "maps") for m in given.listed(maps, "maps", "a list of edge maps [H, W]")]
    boundaries = [
        [given.mask(b, "boundaries") for b in given.listed(of, "boundaries", what)]
        for of in given.listed(boundaries, "boundaries", what)
    ]
    if not maps or len(maps) != len(boundaries):
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
    max_dets: proposals of an image that count, 1 or more. Raises UsageError where the images are not as many, or masks differ in
    shape.
    """
    max_dets = given.whole(max_dets, "max_dets", low=1, high=1 << 31)
    what = "for each image a list of masks [H, W]"
    proposals, objects = given.listed(proposals, "proposals", what), given.listed(objects, "objects", what)
    if len(proposals) != len(objects):
        found = f"{len(proposals)} and {len(objects)} images"
        raise UsageError("proposals and objects do not fit", expected="the same images, in one order", found=found)
    recall = AverageRecall((max_dets,))
    for found_here, annotated in zip(proposals, objects, strict=True):
        ours = [given.mask(m, "proposals") for m in given.listed(found_here, "proposals", what)]
        theirs = [given.mask(m, "objects") for m in given.listed(annotated, "objects", what)]
        shapes = {m.shape for m in (*ours, *theirs)}
        if len(shapes) > 1:
            raise UsageError("masks of one image do not fit", expected="one shape [H, W]", found=sorted(shapes))
        truth = [Region.from_array(m) for m in theirs]
        ranked = [Region.from_array(m).rle() for m in ours[:max_dets]]
        recall.add(ranked, [r.rle() for r in truth], [r.area for r in truth])
    return recall.value()


def number_of_clicks(ious: npt.ArrayLike, target: float = 0.9) -> Clicks:
    """NoC: how many clicks objects take until their IoU reaches a target (the measure of interactive segmentation).

    ious: float [N, K] in [0, 1], of N objects after 1, 2, ..., K clicks; NaN after an object's last. An object that never gets
    there counts as K. target: in [0, 1], reached where IoU >= target. Raises UsageError on other shapes, on numbers out of their
    range (percent, say), and on an object whose IoU after some click is NaN and after a later one is not.
    """
    target = given.real(target, "target", "an IoU in [0, 1]", low=0, high=1)
    expected = "float [objects, clicks] in [0, 1], at least one of each"
    values = given.numbers(ious, "ious", expected)
    if values.ndim != 2 or not values.size:
        raise UsageError("IoUs by click do not fit", where="ious", expected=expected, found=list(values.shape))
    absent = np.isnan(values)
    if ((values < 0) | (values > 1)).any():
        found = f"{np.nanmin(values):g} to {np.nanmax(values):g}"
        remedy = "divide percent by 100" if np.nanmax(values) > 1 else None
        raise UsageError("IoUs by click do not fit", where="ious", expected=expected, found=found, remedy=remedy)
    if absent[:, 0].any() or (absent[:, :-1] & ~absent[:, 1:]).any():
        row = int((absent[:, 0] | (absent[:, :-1] & ~absent[:, 1:]).any(axis=1)).argmax())
        expected = "an IoU after each object's first click, and NaN only after its last"
        raise UsageError("IoUs by click do not fit", where=f"ious, row {row}", expected=expected, found=values[row].tolist()[:20])
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

    values: float [N], finite, or NaN of an object that does not count. clusters: [N] labels, as the image of each object; without
    them every object is a cluster of its own. n_resamples: 1 or more. level: in (0, 1). seed: a whole number from 0 on, or several.
    Raises UsageError where the lengths differ, a value is infinite or a label is absent (None, NaN).
    """
    n_resamples, level, seed = given.bootstrap(n_resamples, level, seed)
    column, labels = _values(values, clusters, "values")
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

    a, b: float [N] in one unit, in one order, finite; an object with a NaN in one of them does not count. clusters, n_resamples,
    level, seed: as `mean_interval` takes them. Raises UsageError as it does.
    """
    n_resamples, level, seed = given.bootstrap(n_resamples, level, seed)
    left, labels = _values(a, clusters, "a")
    right, _ = _values(b, labels, "b")
    return paired_difference(left, right, labels, n_resamples=n_resamples, level=level, seed=seed)


def _values(values: npt.ArrayLike, clusters: npt.ArrayLike | None, where: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """Values float64 [N], and a label for each."""
    expected = "one finite number an object, or NaN of one that does not count"
    column = given.numbers(values, where, expected)
    labels = np.arange(column.size) if clusters is None else given.labels(clusters, "clusters")
    if column.ndim != 1 or labels.shape != column.shape:
        expected = "one number per object, and as many labels"
        found = f"{list(column.shape)}, {list(labels.shape)}"
        raise UsageError("values and clusters do not fit", where=where, expected=expected, found=found)
    if np.isinf(column).any():
        found = f"{int(np.isinf(column).sum()):,} infinite ones"
        raise UsageError("values are infinite", where=where, expected=expected, found=found)
    return column, labels


def _regions(a: Mask, b: Mask, ignore: Mask | None) -> tuple[Region, Region, Region | None]:
    """Masks of one shape."""
    named = {"a": a, "b": b, **({} if ignore is None else {"ignore": ignore})}
    arrays = [given.mask(m, name) for name, m in named.items()]
    if len({m.shape for m in arrays}) > 1:
        expected = "two masks [H, W] of one shape"
        raise UsageError("masks do not fit", expected=expected, found=" and ".join(str(list(m.shape)) for m in arrays))
    one, other, *rest = (Region.from_array(m) for m in arrays)
    return one, other, rest[0] if rest else None
