"""ODS, OIS, AP and R50 from counts: the boundary benchmark's summary numbers.

Source: the BSDS500 benchmark (Arbelaez et al., PAMI 2011); R50 as in structured forests' toolbox (Dollár and Zitnick,
2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError
from sambench.metrics.bootstrap import Seed, cluster_weights, percentile_interval

from .boundaries import Float64Array

STEPS_BETWEEN_THRESHOLDS = 100
RECALL_GRID = np.arange(101) / 100


@dataclass(frozen=True, eq=False)
class EdgeScores:
    """Scores in [0, 1], higher is better; 0 where nothing matches.

    ods: best F of the summed counts over all thresholds, interpolated between neighbours, with its threshold, recall
    and precision. ois: F of the counts summed at each image's own best threshold (no interpolation), with recall and
    precision. ap: area under precision over recall. r50: recall at 50 % precision. thresholds, recall, precision, f:
    float64 [T], the curve. image_f, image_threshold: float64 [N], each image's best F and the first threshold at
    which it has it.
    """

    ods: float
    ods_threshold: float
    ods_recall: float
    ods_precision: float
    ois: float
    ois_r: float
    ois_p: float
    ap: float
    r50: float
    thresholds: Float64Array
    recall: Float64Array
    precision: Float64Array
    f: Float64Array
    image_f: Float64Array
    image_threshold: Float64Array


def edge_scores(counts: npt.NDArray[Any], thresholds: npt.NDArray[Any]) -> EdgeScores:
    """Scores of a set of images.

    counts: int [N, T, 4], (cnt_r, sum_r, cnt_p, sum_p) by image and threshold. thresholds: float [T], ascending.
    Raises UsageError where the shapes do not fit or there is no image.
    """
    counts, t = np.asarray(counts), np.asarray(thresholds, np.float64)
    if counts.ndim != 3 or counts.shape[1:] != (len(t), 4) or not counts.shape[0] or not len(t):
        raise UsageError("counts do not fit", expected=f"[images >= 1, {len(t)} thresholds, 4]", found=list(counts.shape))
    recall, precision = _recall_precision(counts.sum(axis=0))
    ods, ods_t, ods_r, ods_p = _best_interpolated(t, recall, precision)
    image_f = f_measure(*_recall_precision(counts))
    best = image_f.argmax(axis=1)
    at_best = counts[np.arange(len(counts)), best].sum(axis=0)
    ois_r, ois_p = (float(x) for x in _recall_precision(at_best))
    return EdgeScores(
        ods=ods,
        ods_threshold=ods_t,
        ods_recall=ods_r,
        ods_precision=ods_p,
        ois=float(f_measure(np.float64(ois_r), np.float64(ois_p))),
        ois_r=ois_r,
        ois_p=ois_p,
        ap=_average_precision(recall, precision),
        r50=_recall_at_half(recall, precision),
        thresholds=t,
        recall=recall,
        precision=precision,
        f=f_measure(recall, precision),
        image_f=image_f[np.arange(len(counts)), best],
        image_threshold=t[best],
    )


def edge_intervals(
    counts: npt.NDArray[Any], thresholds: npt.NDArray[Any], clusters: npt.ArrayLike, *, n_resamples: int, level: float, seed: Seed
) -> tuple[Float64Array, Float64Array]:
    """Ends of the percentile intervals of (ODS, OIS, AP, R50), float64 [4] each, by a bootstrap over clusters of images.

    counts, thresholds: as :func:`edge_scores` takes them; clusters: a label by image. Every score is computed anew from the sums
    of a draw's counts. NaN for a single cluster: nothing is known then of how clusters vary.
    """
    counts, t = np.asarray(counts), np.asarray(thresholds, np.float64)
    labels, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if len(labels) < 2:
        return np.full(4, np.nan), np.full(4, np.nan)
    per_image = counts_to_draw(counts)
    per_cluster = np.zeros((len(labels), per_image.shape[1]))
    np.add.at(per_cluster, codes.reshape(-1), per_image)
    drawn = np.empty((n_resamples, 4))
    for start, weights in cluster_weights(len(labels), n_resamples, seed):
        drawn[start : start + len(weights)] = scores_of_draws(per_cluster, t, weights)
    low, high = zip(*(percentile_interval(column, level=level) for column in drawn.T), strict=True)
    return np.array(low), np.array(high)


def counts_to_draw(counts: npt.NDArray[Any]) -> Float64Array:
    """float64 [N, 4 T + 4] of counts [N, T, 4]: what is summed over the images of a draw. The counts of all thresholds and, last,
    those at each image's own best one. Whole numbers: no order of adding matters."""
    counts = np.asarray(counts)
    best = f_measure(*_recall_precision(counts)).argmax(axis=1)
    at_best = counts[np.arange(len(counts)), best]
    return np.concatenate([counts.reshape(len(counts), -1), at_best], axis=1).astype(np.float64)


def scores_of_draws(counts: Float64Array, thresholds: npt.NDArray[Any], weights: Float64Array) -> Float64Array:
    """float64 [R, 4], (ODS, OIS, AP, R50) of R draws. counts: as `counts_to_draw` gives them, or sums of its rows; weights [R, N]:
    how often each row stands in each draw."""
    t = np.asarray(thresholds, np.float64)
    out = np.empty((len(weights), 4))
    for i, sums in enumerate(weights @ counts):
        recall, precision = _recall_precision(sums[:-4].reshape(-1, 4))
        out[i] = (
            _best_interpolated(t, recall, precision)[0],
            f_measure(*_recall_precision(sums[-4:])),
            _average_precision(recall, precision),
            _recall_at_half(recall, precision),
        )
    return out


def f_measure(recall: npt.NDArray[Any] | np.float64, precision: npt.NDArray[Any] | np.float64) -> Any:
    """2 R P / (R + P), 0 where both are 0; any shape."""
    total = recall + precision
    return 2 * recall * precision / (total + (total == 0))


def _recall_precision(counts: npt.NDArray[Any]) -> tuple[Any, Any]:
    """counts [..., 4] -> recall and precision [...], 0 where nothing was annotated or predicted."""
    cnt_r, sum_r, cnt_p, sum_p = np.moveaxis(counts, -1, 0)
    return cnt_r / (sum_r + (sum_r == 0)), cnt_p / (sum_p + (sum_p == 0))


def _best_interpolated(t: Float64Array, r: Float64Array, p: Float64Array) -> tuple[float, float, float, float]:
    """(F, t, R, P) of the first best F among 100 points between each two neighbouring thresholds, ends included."""
    if len(t) == 1:
        return float(f_measure(r, p)[0]), float(t[0]), float(r[0]), float(p[0])
    d = np.linspace(0, 1, STEPS_BETWEEN_THRESHOLDS)
    t, r, p = ((x[1:, None] * d + x[:-1, None] * (1 - d)).ravel() for x in (t, r, p))
    f = f_measure(r, p)
    k = int(f.argmax())
    return float(f[k]), float(t[k]), float(r[k]), float(p[k])


def _average_precision(recall: Float64Array, precision: Float64Array) -> float:
    """Precision, linear between the distinct recalls and 0 outside their range, summed on recalls 0, .01, ..., 1,
    times .01."""
    r, first = np.unique(recall, return_index=True)
    if len(r) < 2:
        return 0.0
    return float(np.interp(RECALL_GRID, r, precision[first], left=0, right=0).sum() * 0.01)


def _recall_at_half(recall: Float64Array, precision: Float64Array) -> float:
    """Recall, linear between the distinct precisions, at precision .5 or the lowest one above; 0 if .5 is never
    reached."""
    p, first = np.unique(precision, return_index=True)
    if len(p) < 2:
        return float(recall[first[0]]) if p[0] >= 0.5 else 0.0
    return float(np.interp(max(p[0], 0.5), p, recall[first], right=0))
