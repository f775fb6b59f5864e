"""From rows of the concept task to metric rows: cgF1 and its parts, AP, the IoU of the best mask, calibration; people's own
cgF1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.metrics import concepts as metric
from sambench.metrics.bootstrap import mean_intervals, percentile_interval, resampled_sums
from sambench.metrics.concepts import ConceptScores, Floats, Pair, at_threshold

if TYPE_CHECKING:
    import pandas as pd

    from sambench.tasks.summary import Bootstrap

PEOPLE = "people"  # the variant of metric rows whose answers are the annotators'
# Metric by the field of `ConceptScores`, and whether more is better.
SET_METRICS = {
    "cgf1": ("cgf1", True),
    "pmf1": ("positive_f1", True),
    "il_mcc": ("image_mcc", True),
    "positive_precision": ("positive_precision", True),
    "recall": ("recall", True),
    "precision": ("precision", True),
    "f1": ("f1", True),
    "positive_macro_f1": ("positive_macro_f1", True),
    "il_precision": ("image_precision", True),
    "il_recall": ("image_recall", True),
    "il_f1": ("image_f1", True),
    "il_fpr": ("image_fpr", False),
}
AT = (None, 0.5, 0.75)  # IoU thresholds of the rows; None: the mean over .50 to .95
COUNT_COLUMNS = ("exhaustive", "n_truth", "n_found", "hits")


def counted(frame: pd.DataFrame) -> Floats:
    """`metric.counts_of` of rows (COUNT_COLUMNS), those of pairs that are not exhaustive all zero, [N, K]."""
    if frame.empty:
        return np.zeros((0, metric.N_COUNTS))
    hits = np.array(frame["hits"].to_list(), np.int64)
    counts = metric.counts_of(frame["n_truth"].to_numpy(np.int64), frame["n_found"].to_numpy(np.int64), hits)
    return counts * (frame["exhaustive"].to_numpy(np.int64) > 0)[:, None]


def value_of(scores: ConceptScores, name: str, threshold: float | None = None) -> Floats:
    """One of SET_METRICS, of scores with any leading axes."""
    field = SET_METRICS[name][0]
    value: Floats = getattr(scores, field)
    return value if field.startswith("image_") else at_threshold(value, threshold)


def metric_rows(frame: pd.DataFrame, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """Metric rows of rows with status `ok` (`schema.CONCEPT_COLUMNS`), [] for an empty frame.

    cgf1, pmf1 (positive micro F1) and their kin with threshold None (the mean over .50 to .95), .5 and .75, il_mcc and other
    numbers of images without, of exhaustive pairs alone, in the whole set and, where it has several subsets, in each (group_by
    `subset`); ap over phrases; miou, the mean over present phrases of the best IoUs of masks that count; ece of all masks.
    Variant `people`: each annotator against the others, the mean over annotators.
    """
    if frame.empty:
        return []
    return [
        *_set_rows(frame, bootstrap),
        *_overlap_rows(frame, bootstrap),
        *_people_rows(frame),
        *_subset_rows(frame, bootstrap),
    ]


def _set_rows(frame: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict[str, Any]]:
    here = frame[frame["exhaustive"] > 0]
    if here.empty:
        return
    counts, clusters = counted(here), here["cluster_id"].to_numpy()
    scores = metric.concept_scores(counts.sum(axis=0))
    drawn = resampled_sums(counts, clusters, n_resamples=bootstrap.n_resamples, seed=bootstrap.seed)
    draws = metric.concept_scores(drawn)
    many = len(set(clusters)) > 1
    for name, (field, better) in SET_METRICS.items():
        for threshold in (None,) if field.startswith("image_") else AT:
            value = float(value_of(scores, name, threshold))
            if np.isnan(value):
                continue
            interval = _interval(value_of(draws, name, threshold), bootstrap) if many else {}
            unit = "correlation" if name == "il_mcc" else "fraction"
            yield _about(here) | interval | {
                "metric": name, "variant": "", "threshold": threshold, "value": value, "unit": unit,
                "aggregate": "of_sums_over_pairs", "higher_is_better": better,
            }  # fmt: skip


def _interval(draws: Floats, bootstrap: Bootstrap) -> dict[str, Any]:
    known = draws[~np.isnan(draws)]
    if not len(known):
        return {}
    return bootstrap.columns(*percentile_interval(known, level=bootstrap.level))


def _about(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "n_images": int(rows["image_id"].nunique()),
        "n_objects": len(rows),
        "n_clusters": int(rows["cluster_id"].nunique()),
        "source_kind": "measured",
    }


def pairs_of(frame: pd.DataFrame) -> Iterator[Pair]:
    """The pairs of a frame for AP and calibration, by image and phrase, whatever the order of rows."""
    columns = ["image_id", "object_id", "category", "exhaustive", "n_truth", "scores", "ious"]
    ordered = frame[columns].sort_values(["image_id", "object_id"], kind="stable")
    for _, _, phrase, exhaustive, n_truth, given, ious in zip(*(ordered[c].tolist() for c in columns), strict=True):
        scores = np.asarray(given, np.float64)
        yield Pair(phrase, scores, np.asarray(ious, np.float64).reshape(len(scores), n_truth), bool(exhaustive))


def _overlap_rows(frame: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict[str, Any]]:
    shared = _about(frame) | {"variant": "", "unit": "fraction", "higher_is_better": True}
    for threshold, value in metric.average_precision(pairs_of(frame)).items():
        if not np.isnan(value):
            yield shared | {"metric": "ap", "threshold": threshold, "value": value, "aggregate": "mean_over_phrases"}
    there = frame[frame["iou_best"].notna()]
    if not there.empty:
        values = there["iou_best"].to_numpy(np.float64)[:, None]
        (mean,), (low,), (high,) = mean_intervals(
            values, there["cluster_id"].to_numpy(), n_resamples=bootstrap.n_resamples, level=bootstrap.level, seed=bootstrap.seed
        )
        known = {"metric": "miou", "value": float(mean), "aggregate": "mean_over_pairs"}
        yield shared | _about(there) | bootstrap.columns(low, high) | known
    found = calibration(frame)
    if not np.isnan(found.ece):
        ece = {"metric": "ece", "value": found.ece, "aggregate": "mean_over_masks", "higher_is_better": False}
        yield shared | ece | {"n_objects": int(found.n.sum())}


def calibration(frame: pd.DataFrame) -> metric.Reliability:
    """Of all masks of exhaustive pairs."""
    pairs = list(pairs_of(frame[frame["exhaustive"] > 0]))
    scores = np.concatenate([p.scores for p in pairs]) if pairs else np.zeros(0)
    right = np.concatenate([metric.right_answers(p) for p in pairs]) if pairs else np.zeros(0, np.bool_)
    return metric.reliability(scores, right)


def _people_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The means over annotators of each one's numbers, over pairs that they and others drew."""
    here = frame[(frame["exhaustive"] > 0) & (frame["n_annotators"] > 1)]
    if here.empty:
        return
    found: list[ConceptScores] = []
    for a in range(int(here["n_annotators"].max())):
        theirs = here[here["n_annotators"] > a]
        truth, n_found = (np.array([v[a] for v in theirs[c]], np.int64) for c in ("human_truth", "human_found"))
        hits = np.array([np.asarray(v, np.int64).reshape(-1, len(metric.THRESHOLDS))[a] for v in theirs["human_hits"]])
        found.append(metric.concept_scores(metric.counts_of(truth, n_found, hits).sum(axis=0)))
    for name in SET_METRICS:
        field, better = SET_METRICS[name]
        for threshold in (None,) if field.startswith("image_") else AT:
            value = float(np.mean([value_of(s, name, threshold) for s in found]))
            if not np.isnan(value):
                yield _about(here) | {
                    "metric": name, "variant": PEOPLE, "threshold": threshold, "value": value, "higher_is_better": better,
                    "unit": "correlation" if name == "il_mcc" else "fraction", "aggregate": "mean_over_annotators",
                }  # fmt: skip


def _subset_rows(frame: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict[str, Any]]:
    subsets = sorted(frame["subset"].unique())
    if len(subsets) < 2:
        return
    for name in subsets:
        for row in _set_rows(frame[frame["subset"] == name], bootstrap):
            yield row | {"group_by": "subset", "group": name or "(none)"}


def set_value(name: str, sums: Floats) -> Floats:
    """One of SET_METRICS of sums [..., K] of `counted`."""
    return value_of(metric.concept_scores(sums), name)

