"""cgF1 and its parts: how well a model finds all instances of a phrase, and whether it knows that there are none. Arrays in,
numbers out.

The metric of *SAM 3: Segment Anything with Concepts* (arXiv 2511.16719), as its released evaluator computes it (`cgf1_eval.py` of
facebookresearch/sam3; PyPI sam3 0.1.4), to the last digits: its small constants (1e-4, 1e-6) that keep 0 from being divided by 0
are part of it. A *pair* is an image with a phrase. Of a pair the masks of a score of at least .5 count; they are matched one to one
with the annotated instances so that the sum of IoUs is greatest, and those that reach a threshold (.50, .55, ..., .95) are hits.

    pmF1     F1 of hits, summed over pairs that have an instance (recall over all pairs, precision over those)
    IL_MCC   Matthews' correlation of "there is one" over all pairs
    cgF1     their product, at each threshold; then the mean over thresholds

Of several annotators the one with the best mean F1 of the pair counts; where nothing was answered, the last who drew nothing.
What is summed over pairs (`counts_of`) is small, so that sums of resamples, and every number of them, take no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sambench.metrics.instances import AveragePrecision, Batch

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # pycocotools' own values
SCORE = 0.5
BINS = 10
MAX_DETS = 100  # of AP: COCO's, masks of a pair that count, those of highest score
_EPS, _IMAGE_EPS = 1e-4, 1e-6
_T = len(THRESHOLDS)


class PairCount(NamedTuple):
    """What is counted of one pair against one annotator. hits int64 [T] at THRESHOLDS."""

    n_truth: int
    n_found: int
    hits: Ints

    @property
    def local_f1(self) -> Floats | None:
        """F1 of the pair at each threshold [T]; None where nothing is there and nothing was answered."""
        if not self.n_truth and not self.n_found:
            return None
        if not self.n_found:
            return np.zeros(_T)
        hits = self.hits.astype(np.float64)
        precision, recall = hits / (self.n_found + _EPS), hits / (self.n_truth + _EPS)
        return np.asarray(2 * precision * recall / (precision + recall + _EPS), np.float64)


def count_pair(ious: Floats, scores: Floats, threshold: float = SCORE) -> PairCount:
    """Match the answers of a pair with an annotator's instances. ious float64 [D, G] in [0, 1]; scores [D]; answers of a score of
    at least `threshold` count."""
    from scipy.optimize import linear_sum_assignment

    kept = ious[np.asarray(scores) >= threshold]
    n_found, n_truth = kept.shape
    if not n_found or not n_truth:
        return PairCount(n_truth, n_found, np.zeros(_T, np.int64))
    rows, columns = linear_sum_assignment(-kept)
    matched = kept[rows, columns]
    return PairCount(n_truth, n_found, (matched[None, :] >= THRESHOLDS[:, None]).sum(axis=1).astype(np.int64))


def best_annotator(counts: Sequence[PairCount]) -> int:
    """Which annotator a pair is scored by: the first of the best mean local F1; the last who drew nothing, where nothing was
    answered."""
    best = 0
    for i, current in enumerate(counts[1:], 1):
        ours, theirs = counts[best].local_f1, current.local_f1
        if theirs is None or (ours is not None and theirs.mean() > ours.mean()):
            best = i
    return best


# What is summed over pairs, as columns: pairs of each of the four kinds, instances and answers, answers where there is an instance,
# pairs with both, then hits and local F1 at each threshold.
_TP, _FP, _TN, _FN, _TRUTH, _FOUND, _FOUND_POSITIVE, _BOTH = range(8)
_HITS, _LOCAL = slice(8, 8 + _T), slice(8 + _T, 8 + 2 * _T)
N_COUNTS = 8 + 2 * _T


def counts_of(n_truth: Ints, n_found: Ints, hits: Ints) -> Floats:
    """float64 [N, N_COUNTS] of N pairs, to be summed over any of them. n_truth, n_found int64 [N]; hits int64 [N, T]."""
    there, answered = n_truth > 0, n_found > 0
    out = np.zeros((len(n_truth), N_COUNTS))
    out[:, _TP], out[:, _FP] = there & answered, ~there & answered
    out[:, _TN], out[:, _FN] = ~there & ~answered, there & ~answered
    out[:, _TRUTH], out[:, _FOUND], out[:, _FOUND_POSITIVE] = n_truth, n_found, np.where(there, n_found, 0)
    out[:, _BOTH] = there & answered
    out[:, _HITS] = hits
    precision = hits / (n_found + _EPS)[:, None]
    recall = hits / (n_truth + _EPS)[:, None]
    out[:, _LOCAL] = np.where((there & answered)[:, None], 2 * precision * recall / (precision + recall + _EPS), 0.0)
    return out


class ConceptScores(NamedTuple):
    """Numbers of sums of pairs; arrays with the leading axes of the sums, those by threshold with [T] last.

    All in [0, 1], but `image_mcc` and `cgf1` in [-1, 1]. As the reference has it, `image_mcc` is 0 where no phrase is absent or
    none is present, or all or none are answered; `positive_f1` is 0 where there is no instance. positive_macro_f1: the mean of the
    pairs' own F1 over pairs with an instance and an answer; NaN without one.
    """

    cgf1: Floats
    positive_f1: Floats
    positive_precision: Floats
    recall: Floats
    precision: Floats
    f1: Floats
    positive_macro_f1: Floats
    image_precision: Floats
    image_recall: Floats
    image_f1: Floats
    image_fpr: Floats
    image_mcc: Floats


def concept_scores(sums: Floats) -> ConceptScores:
    """The scores of sums float64 [..., N_COUNTS] of `counts_of`."""
    tp, fp, tn, fn = (sums[..., i] for i in (_TP, _FP, _TN, _FN))
    hits, truth = sums[..., _HITS], sums[..., _TRUTH, None]
    recall = hits / (truth + _EPS)
    precision = hits / (sums[..., _FOUND, None] + _EPS)
    positive_precision = hits / (sums[..., _FOUND_POSITIVE, None] + _EPS)
    positive_f1 = 2 * positive_precision * recall / (positive_precision + recall + _EPS)
    image_recall, image_precision = tp / (tp + fn + _IMAGE_EPS), tp / (tp + fp + _IMAGE_EPS)
    mcc = (tp * tn - fp * fn) / (((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5 + _IMAGE_EPS)
    n_both = sums[..., _BOTH, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        macro = np.where(n_both > 0, sums[..., _LOCAL] / n_both, np.nan)
    return ConceptScores(
        cgf1=positive_f1 * mcc[..., None],
        positive_f1=positive_f1,
        positive_precision=positive_precision,
        recall=recall,
        precision=precision,
        f1=2 * precision * recall / (precision + recall + _EPS),
        positive_macro_f1=macro,
        image_precision=image_precision,
        image_recall=image_recall,
        image_f1=2 * image_precision * image_recall / (image_precision + image_recall + _IMAGE_EPS),
        image_fpr=fp / (fp + tn + _IMAGE_EPS),
        image_mcc=mcc,
    )


def at_threshold(values: Floats, threshold: float | None = None) -> Floats:
    """[..., T] -> [...]: the mean over THRESHOLDS, or the value at one of them."""
    if threshold is None:
        return np.asarray(values.mean(axis=-1), np.float64)
    (at,) = np.flatnonzero(np.isclose(THRESHOLDS, threshold))
    return np.asarray(values[..., at], np.float64)


@dataclass(frozen=True)
class Pair:
    """A pair for average precision and calibration. phrase: its category; scores [D]; ious [D, G] with the instances of the
    annotator that counts; exhaustive: whether what matches nothing is wrong, or may be an instance that nobody drew."""

    phrase: str
    scores: Floats
    ious: Floats
    exhaustive: bool = True


def average_precision(pairs: Iterable[Pair]) -> dict[float | None, float]:
    """Mask AP over phrases as COCO has it over categories, by IoU threshold (None: the mean over THRESHOLDS; .5; .75). In [0, 1];
    NaN without an instance.

    Answers of every score count, the MAX_DETS of highest score of each pair; of equal scores those of earlier pairs come first.
    Pairs that are not exhaustive are judged as LVIS judges its categories that are not (`metrics.instances`).
    """
    evaluator, numbers, first = AveragePrecision(max_dets=(1, 10, MAX_DETS)), dict[str, int](), 0
    for some in _chunks(pairs):
        evaluator.add(_batch(some, first, numbers))
        first += len(some)
    found = evaluator.evaluation()
    return {t: found.ap(threshold=t) for t in (None, 0.5, 0.75)}


def _chunks(pairs: Iterable[Pair], size: int = 4096) -> Iterator[list[Pair]]:
    left = iter(pairs)
    while some := list(islice(left, size)):
        yield some


def _batch(pairs: Sequence[Pair], first: int, numbers: dict[str, int]) -> Batch:
    """Some pairs as the evaluator takes images, numbered from `first` on. numbers: of phrases, to which new ones are added."""
    found, truth = (np.array([p.ious.shape[axis] for p in pairs], np.int64) for axis in (0, 1))
    index = np.arange(first, first + len(pairs), dtype=np.int64)
    phrase = np.array([numbers.setdefault(p.phrase, len(numbers)) for p in pairs], np.int64)
    start = np.concatenate([[0], np.cumsum(found * truth)[:-1]])
    return Batch(
        image=np.repeat(index, found),
        category=np.repeat(phrase, found),
        scores=np.concatenate([np.asarray(p.scores, np.float64) for p in pairs]),
        areas=np.zeros(found.sum()),
        exhaustive=np.repeat([p.exhaustive for p in pairs], found),
        row_of=np.repeat(start, found) + _within(found) * np.repeat(truth, found),
        gt_image=np.repeat(index, truth),
        gt_category=np.repeat(phrase, truth),
        gt_areas=np.zeros(truth.sum()),
        gt_crowd=np.zeros(truth.sum(), np.bool_),
        column_of=_within(truth),
        ious=np.concatenate([np.asarray(p.ious, np.float64).reshape(-1) for p in pairs]),
    )


def _within(sizes: Ints) -> Ints:
    """0, 1, ..., n - 1 for every n of sizes, one after another."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def right_answers(pair: Pair, threshold: float = 0.5) -> Bools:
    """bool [D]: which answers are right. By falling score each takes the free instance of the highest IoU, if that reaches the
    threshold."""
    right = np.zeros(len(pair.scores), np.bool_)
    if not pair.ious.size:
        return right
    free = pair.ious.copy()
    for d in np.argsort(-np.asarray(pair.scores), kind="stable"):
        g = int(free[d].argmax())
        if free[d, g] >= threshold:
            right[d] = True
            free[:, g] = -1.0
    return right


class Reliability(NamedTuple):
    """Answers by their score, in BINS bins of equal width (a score of 1 is in the last). n int64 [BINS]; mean_score and share_right
    float64 [BINS] in [0, 1], NaN in an empty bin; ece in [0, 1], NaN without answers."""

    n: Ints
    mean_score: Floats
    share_right: Floats
    ece: float


def reliability(scores: Floats, right: Bools) -> Reliability:
    """How far scores [D] in [0, 1] are from the share of answers that are right (bool [D]): the expected calibration error
    (Naeini et al. 2015), the mean over answers of |share right - mean score| of their bin."""
    bins = np.minimum((np.asarray(scores, np.float64) * BINS).astype(np.int64), BINS - 1)
    n = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_score = np.bincount(bins, scores, BINS) / n
        share = np.bincount(bins, right.astype(np.float64), BINS) / n
    ece = float(np.nansum(n * np.abs(share - mean_score)) / n.sum()) if n.sum() else float("nan")
    return Reliability(n, mean_score, share, ece)


def summary(n_truth: Ints, n_found: Ints, hits: Ints) -> Mapping[str, Any]:
    """All of `ConceptScores` of N pairs, as floats: means over thresholds, and `name@0.5`, `name@0.75`."""
    scores = concept_scores(counts_of(n_truth, n_found, hits).sum(axis=0))
    out: dict[str, float] = {}
    for name, value in scores._asdict().items():
        if np.ndim(value) == 0:
            out[name] = float(value)
            continue
        out |= {name: float(at_threshold(value)), **{f"{name}@{t}": float(at_threshold(value, t)) for t in (0.5, 0.75)}}
    return out
