"""Average precision of detections, image by image: COCO's (Lin et al. 2014) and LVIS's (Gupta et al. 2019). Arrays in, numbers out.

IoUs come with the detections, computed by pycocotools. Matching and accumulation are those of its `COCOeval`, compiled
(`_instance_match.py`): the same comparisons and divisions, so that precision and recall are equal to the last bit. What is kept
of a detection is its score and at which thresholds it matched (44 bytes), so that images can be forgotten one after another. Why
not one of the fast evaluators: docs/dependencies.md. `coco_reference.py` runs pycocotools' own code.

LVIS (section 3): two rules of federated annotation more. A detection of a category that is neither annotated on its image nor
listed there as absent is not judged (the caller leaves it out); one that matches nothing, of a category listed as not exhaustively
annotated, is ignored. Why not the `lvis` package: its PyPI release (0.5.3) uses `np.float`, which numpy removed, and depends on
opencv-python, which unpacks into the folder of the opencv-python-headless that sambench needs. Its git version is the reference of
our tests.

Everything is in [0, 1]; NaN where there is nothing to average (no object of that size, frequency or category).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sambench.errors import UsageError
from sambench.metrics.given import listed, real, whole
from sambench.pixels.region import RLE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

AREAS = ("all", "small", "medium", "large")  # pixels: below 32 squared, to 96 squared, above; both ends count to both
AREA_RANGES = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]], np.float64)
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # pycocotools' own values: .6000000000000001 is one of them
RECALLS = np.linspace(0.0, 1.0, 101)
COCO_MAX_DETS = (1, 10, 100)
LVIS_MAX_DETS = (300,)
_MOST_ID = (1 << 63) - 1


@dataclass(frozen=True)
class Batch:
    """Detections and objects of some images, each image whole; those of an image and category in the dataset's order.

    Of D detections: image and category int64 [D], scores and areas float64 [D] (pixels of the mask, or of the box, as compared),
    exhaustive bool [D] (see the module), row_of int64 [D]. Of G objects: gt_image, gt_category int64 [G], gt_areas float64 [G] as
    the annotations say, gt_crowd bool [G], column_of int64 [G]. Images are numbered in ascending order of their ids: of equal
    scores, those of earlier images come first. ious float64, flat: that of detection d with object g, both of one image and
    category, is at row_of[d] + column_of[g]; of a crowd it is the share of the detection inside.
    """

    image: Ints
    category: Ints
    scores: Floats
    areas: Floats
    exhaustive: Bools
    row_of: Ints
    gt_image: Ints
    gt_category: Ints
    gt_areas: Floats
    gt_crowd: Bools
    column_of: Ints
    ious: Floats


@dataclass(frozen=True)
class Group:
    """Detections and objects of one image and category, both in the dataset's order.

    scores [D]; areas [D]; ious [D, G]; gt_areas [G]; gt_crowd bool [G]; exhaustive: as those of a `Batch`.
    """

    scores: Floats
    areas: Floats
    ious: Floats
    gt_areas: Floats
    gt_crowd: Bools
    exhaustive: bool = True


@dataclass(frozen=True)
class Evaluation:
    """precision float64 [T, R, K, A, M] and recall [T, K, A, M] as pycocotools has them (-1: no object): THRESHOLDS, RECALLS,
    categories with an object, AREAS, max_dets."""

    precision: Floats
    recall: Floats
    thresholds: Floats
    category_ids: tuple[int, ...]
    max_dets: tuple[int, ...]

    def ap(self, *, threshold: float | None = None, area: str = "all", categories: Iterable[int] | None = None) -> float:
        """Mean of the precision over thresholds (or at one), recalls and categories, with all detections that count.

        Raises UsageError for a threshold or area that there is not.
        """
        values = self.precision[self._at(threshold), :, :, _place(area, AREAS, "area"), -1]
        return _mean(values[:, :, self._of(categories)])

    def ar(self, *, max_dets: int | None = None, area: str = "all", categories: Iterable[int] | None = None) -> float:
        """Mean of the recall over thresholds and categories, with at most max_dets detections an image and category.

        Raises UsageError for max_dets or an area that there are not.
        """
        m = len(self.max_dets) - 1 if max_dets is None else _place(max_dets, self.max_dets, "max_dets")
        return _mean(self.recall[:, :, _place(area, AREAS, "area"), m][:, self._of(categories)])

    def _at(self, threshold: float | None) -> Any:
        if threshold is None:
            return slice(None)
        at = np.flatnonzero(np.isclose(self.thresholds, real(threshold, "threshold", "an IoU in [0, 1]", low=0, high=1)))
        if not len(at):
            raise _unknown("threshold", self.thresholds.round(2).tolist(), threshold)
        return at

    def _of(self, categories: Iterable[int] | None) -> Any:
        if categories is None:
            return slice(None)
        wanted = {whole(c, "categories", low=-_MOST_ID, high=_MOST_ID) for c in listed(categories, "categories", "ids")}
        return np.array([k for k, c in enumerate(self.category_ids) if c in wanted], np.int64)


class Evaluator(Protocol):
    """Takes batches of images, each image once, in any order."""

    def add(self, batch: Batch, /) -> None: ...

    def evaluation(self) -> Evaluation: ...


class _Matched(NamedTuple):
    """Detections [D] that were matched. rank: from 0 by score, in the image and category; [D, A]: bits, as in `_instance_match`."""

    category: Ints
    image: Ints
    score: Floats
    rank: npt.NDArray[np.int32]
    matched: npt.NDArray[np.uint16]
    ignored: npt.NDArray[np.uint16]


class _Counted(NamedTuple):
    """Objects [N, A] that count, of N images and categories."""

    category: Ints
    image: Ints
    n: Ints


@dataclass
class AveragePrecision:
    """The evaluator. max_dets: ascending, detections an image and category; the last is the one of AP."""

    max_dets: Sequence[int] = COCO_MAX_DETS
    by_image: bool = False  # whether objects that count are kept by image too, for `draws`
    _parts: list[_Matched] = field(default_factory=list)
    _objects: list[_Counted] = field(default_factory=list)
    _counted: dict[int, Ints] = field(default_factory=dict)  # by category with an object: how many count, [A]

    def add(self, batch: Batch) -> None:
        """Match the detections of a batch, of which nothing else is kept."""
        from sambench.metrics._instance_match import match  # compiles, which tables and plots need not wait for

        categories, of = np.unique(np.concatenate([batch.category, batch.gt_category]), return_inverse=True)
        n_found, n_categories = len(batch.category), len(categories)
        key = batch.image * n_categories + of[:n_found]
        gt_key = batch.gt_image * n_categories + of[n_found:]
        groups = np.unique(np.concatenate([key, gt_key]))
        order = np.lexsort((-batch.scores, key))
        rank = np.arange(n_found) - np.searchsorted(key[order], key[order])
        order, rank = order[rank < self.max_dets[-1]], rank[rank < self.max_dets[-1]]
        gt_order = np.argsort(gt_key, kind="stable")
        matched = np.zeros((len(order), len(AREAS)), np.uint16)
        ignored = np.zeros_like(matched)
        n_counted = np.zeros((len(groups), len(AREAS)), np.int64)
        match(
            batch.ious,
            batch.row_of[order],
            batch.areas[order],
            batch.exhaustive[order],
            _bounds(key[order], groups),
            batch.column_of[gt_order],
            batch.gt_areas[gt_order],
            batch.gt_crowd[gt_order],
            _bounds(gt_key[gt_order], groups),
            np.minimum(THRESHOLDS, 1 - 1e-10),  # COCO's: an IoU of 1 is reached
            AREA_RANGES,
            matched,
            ignored,
            n_counted,
        )
        self._parts.append(
            _Matched(batch.category[order], batch.image[order], batch.scores[order], rank.astype(np.int32), matched, ignored)
        )
        if self.by_image:
            self._objects.append(_Counted(categories[groups % n_categories], groups // n_categories, n_counted))
        totals = np.zeros((n_categories, len(AREAS)), np.int64)
        np.add.at(totals, groups % n_categories, n_counted)
        for k in np.unique(of[n_found:]).tolist():
            category = int(categories[k])
            self._counted[category] = self._counted.get(category, 0) + totals[k]

    def evaluation(self) -> Evaluation:
        """Of all that was added."""
        from sambench.metrics._instance_match import accumulate

        ids = sorted(self._counted)
        precision = -np.ones((len(THRESHOLDS), len(RECALLS), len(ids), len(AREAS), len(self.max_dets)))
        recall = -np.ones((len(THRESHOLDS), len(ids), len(AREAS), len(self.max_dets)))
        if ids:
            known = np.array(ids, np.int64)
            found = _joined(self._parts, known)
            accumulate(
                found.rank,
                found.matched,
                found.ignored,
                _bounds(found.category, known),
                np.array([self._counted[c] for c in ids]),
                np.array(self.max_dets, np.int64),
                RECALLS,
                precision,
                recall,
            )
        return Evaluation(precision, recall, THRESHOLDS, tuple(ids), tuple(self.max_dets))

    def draws(self) -> Draws:
        """What was added, to be weighted by image. Only of an evaluator that counts by image."""
        known = np.array(sorted(self._counted), np.int64)
        found = _joined(self._parts, known)
        counted = _Counted._make(np.concatenate(column) for column in zip(*self._objects, strict=True))
        order = np.argsort(counted.category, kind="stable")
        counted = _Counted._make(values[order] for values in counted)
        here = np.isin(counted.category, known)
        return Draws(known, found, _Counted._make(values[here] for values in counted))


@dataclass(frozen=True)
class Draws:
    """AP of draws of images, with the detections and objects that an `AveragePrecision` matched. category_ids int64 [K]: those
    with an object."""

    category_ids: Ints
    found: _Matched
    counted: _Counted

    def n_objects(self) -> Ints:
        """int64 [K, A] that count."""
        out = np.zeros((len(self.category_ids), len(AREAS)), np.int64)
        np.add.at(out, np.searchsorted(self.category_ids, self.counted.category), self.counted.n)
        return out

    def precision(self, weights: Floats, columns: Ints) -> Floats:
        """float64 [R, K, A, T], mean over recalls; NaN where nothing counts. weights [R, N]: how often each image stands in each
        draw; columns int64: the column of weights by image, as batches number them."""
        from sambench.metrics._instance_match import precision_of_draws

        found, counted = self.found, self.counted
        out = np.empty((len(weights), len(self.category_ids), len(AREAS), len(THRESHOLDS)))
        precision_of_draws(
            columns[found.image],
            found.matched,
            found.ignored,
            _bounds(found.category, self.category_ids),
            columns[counted.image],
            counted.n,
            _bounds(counted.category, self.category_ids),
            np.ascontiguousarray(weights, np.float64),
            RECALLS,
            len(THRESHOLDS),
            out,
        )
        return out


def _joined(parts: list[_Matched], categories: Ints) -> _Matched:
    """Those of the categories, by category and falling score: of equal scores by image, then as in the image."""
    kept = [np.isin(part.category, categories) for part in parts]
    columns = zip(*parts, strict=True)
    every = _Matched._make(np.concatenate([v[k] for v, k in zip(column, kept, strict=True)]) for column in columns)
    order = np.lexsort((every.rank, every.image, -every.score, every.category))
    return _Matched._make(values[order] for values in every)


def _bounds(keys: Ints, groups: Ints) -> Ints:
    """int64 [N + 1]: where each of N groups begins among ascending keys, and the end. Every key is of a group."""
    return np.append(np.searchsorted(keys, groups), len(keys)).astype(np.int64)


def batch_of(groups: Mapping[int, Sequence[Group]]) -> Batch:
    """The batch of groups by category. The n-th group of a category is that of the n-th image, whatever the category."""
    every = [(category, n, g) for category, of in groups.items() for n, g in enumerate(of)]
    found = [len(g.scores) for _, _, g in every]
    truth = [len(g.gt_areas) for _, _, g in every]
    category, image = (np.array([e[i] for e in every], np.int64) for i in (0, 1))
    width = np.repeat(truth, found).astype(np.int64)
    return Batch(
        image=np.repeat(image, found),
        category=np.repeat(category, found),
        scores=_joined_floats(g.scores for _, _, g in every),
        areas=_joined_floats(g.areas for _, _, g in every),
        exhaustive=np.repeat(np.array([g.exhaustive for _, _, g in every], np.bool_), found),
        row_of=np.cumsum(width) - width,
        gt_image=np.repeat(image, truth),
        gt_category=np.repeat(category, truth),
        gt_areas=_joined_floats(g.gt_areas for _, _, g in every),
        gt_crowd=_joined_floats(g.gt_crowd for _, _, g in every).astype(np.bool_),
        column_of=_joined_floats(np.arange(n) for n in truth).astype(np.int64),
        ious=_joined_floats(g.ious for _, _, g in every),
    )


def _joined_floats(arrays: Iterable[Any]) -> Floats:
    return np.concatenate([np.zeros(0), *(np.asarray(a, np.float64).ravel() for a in arrays)])


def evaluate(
    groups: Mapping[int, Sequence[Group]],
    *,
    max_dets: Sequence[int] = COCO_MAX_DETS,
    evaluator: Callable[[Sequence[int]], Evaluator] = AveragePrecision,
) -> Evaluation:
    """groups: by category, one an image that has objects or detections of it, images in ascending order of their ids (of equal
    scores, those of earlier images come first). max_dets, evaluator: as `AveragePrecision`.
    """
    counted = evaluator(max_dets)
    counted.add(batch_of(groups))
    return counted.evaluation()


def mask_ious(found: Sequence[RLE], truth: Sequence[RLE], crowd: Sequence[bool]) -> Floats:
    """float64 [D, G] IoU of compressed RLEs, as COCO counts it: with a crowd, the share of the detection inside."""
    return _ious(coco_mask.iou, list(found), list(truth), crowd)


def mask_areas(rles: Sequence[RLE]) -> list[float]:
    """Pixels of compressed RLEs."""
    # One by one: pycocotools counts those of a list in eight bits, and fails at the 256th.
    return [float(coco_mask.area(rle)) for rle in rles]


def box_ious(found: Floats, truth: Floats, crowd: Sequence[bool]) -> Floats:
    """float64 [D, G] of boxes xywh [D, 4] and [G, 4], as `mask_ious`."""
    return _ious(coco_mask.iou, np.ascontiguousarray(found), np.ascontiguousarray(truth), crowd)


def _ious(iou: Callable[..., Any], found: Any, truth: Any, crowd: Sequence[bool]) -> Floats:
    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    return np.asarray(iou(found, truth, [int(c) for c in crowd]), np.float64)


def _place(name: Any, known: Sequence[Any], what: str) -> int:
    if not isinstance(name, str | Integral) or name not in known:
        raise _unknown(what, known, name)
    return known.index(name)


def _unknown(what: str, known: Sequence[Any], found: Any) -> UsageError:
    expected = f"one of {', '.join(map(str, known))}"
    return UsageError(f"an evaluation has no such {what}", where=what, expected=expected, found=f"{found!r:.80}")


def _mean(values: Floats) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else float("nan")
