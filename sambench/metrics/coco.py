"""Mask AP of a results file against an annotation file: what pycocotools' COCO, loadRes and COCOeval do, from the strings of the
masks to the numbers, without a pixel of them.

Overlaps are counted from run lengths (`pixels.rles`), matching and accumulation are those of `instances`: precision and recall are
pycocotools' to the last bit. Images are taken some at a time, so that beside the two inputs little is in memory.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sambench.metrics.coco_given import (
    Frames,
    annotations_of,
    areas_of,
    boxes_of,
    broken,
    categories_of,
    crowds_of,
    frames_of,
    loaded,
    mask_of,
    results_of,
)
from sambench.metrics.given import ascending
from sambench.metrics.instances import COCO_MAX_DETS, AveragePrecision, Batch, Evaluation, Floats, Ints
from sambench.pixels.rles import RunMasks, run_masks

AT_ONCE = 1 << 15  # detections
_MOST = (1 << 31) - 1  # detections of an image


def average_precision(
    truth: Mapping[str, Any] | str | Path,
    results: Sequence[Mapping[str, Any]] | str | Path,
    *,
    max_dets: Sequence[int] = COCO_MAX_DETS,
) -> Evaluation:
    """AP and AR of masks by COCO's rules, of files or of what `json.load` gives of them.

    truth: images (id, height, width), categories (id) and annotations (image_id, category_id, segmentation, area, iscrowd), as the
    file has them; an absent area is the mask's. Annotations of other images or categories count for nothing. results: detections
    (image_id, category_id, score, segmentation as compressed RLE of the image's size), as the results file has them; where the
    first has a bbox, boxes say which are small and large, as pycocotools' loadRes does. max_dets: ascending, from 1 on, detections
    an image and category; the last is AP's. Returns an `Evaluation`: `.ap()`, `.ap(threshold=0.5)`, `.ap(area="small")`,
    `.ar(max_dets=1)` and so on, in [0, 1], NaN where there is no object. Raises UsageError naming the first annotation or detection
    that does not fit: a detection of an image or category that the annotations do not have, an id that is not whole, a broken
    mask, no score; or a file that cannot be read, and max_dets that do not ascend.

    One difference from pycocotools: it takes a match with an annotation of id 0 for none, for it knows matches by ids; here every
    annotation can be matched, whatever its id.
    """
    wanted = ascending(max_dets, "max_dets", low=1, high=_MOST)
    with _without_collection():  # which would go through millions of objects that are all in use
        return _evaluated(loaded(truth, "truth"), loaded(results, "results"), wanted)


def _evaluated(truth: Any, results: Any, max_dets: Sequence[int]) -> Evaluation:
    sizes = frames_of(truth)
    known = categories_of(truth)
    objects = _Objects(truth, sizes, known)
    found = _Detections(results, sizes, known)
    counted = AveragePrecision(max_dets)
    for part in found.parts():
        counted.add(objects.batch(found, part))
    counted.add(objects.alone(found))
    return counted.evaluation()


@contextmanager
def _without_collection() -> Iterator[None]:
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Objects:
    """Annotations by image and category, in the file's order within each."""

    def __init__(self, truth: Mapping[str, Any], sizes: Frames, known: set[int]) -> None:
        given, category = annotations_of(truth, sizes, known)
        image = np.array([sizes[a["image_id"]][0] for a in given], np.int64)
        order = np.lexsort((category, image))
        every = [given[i] for i in order]
        frames = [sizes[a["image_id"]][1:] for a in every]
        self.masks = _read([mask_of(a, *frame) for a, frame in zip(every, frames, strict=True)], frames, every)
        self.image, self.category = image[order], category[order]
        self.areas, self.crowd = areas_of(every, self.masks.areas), crowds_of(every)
        self.categories = np.array(sorted(known), np.int64)
        self.key = self._key(self.image, self.category)

    def _key(self, image: Ints, category: Ints) -> Ints:
        """One number of both, ascending with (image, category)."""
        out: Ints = image * len(self.categories) + np.searchsorted(self.categories, category)
        return out

    def batch(self, found: _Detections, part: slice) -> Batch:
        """Of some detections, whole images of them, and the objects of these images."""
        image, category, masks = found.image[part], found.category[part], found.masks(part)
        key = self._key(image, category)
        first, last = np.searchsorted(self.key, key), np.searchsorted(self.key, key, side="right")
        width = last - first
        # Not all from the first image to the last: those without a detection lie between them and are counted by `alone`.
        here = np.flatnonzero(np.isin(self.image, image))
        areas = found.areas[part] if found.areas is not None else masks.areas.astype(np.float64)
        ious = masks.overlaps(self.masks, self.crowd, first, last)
        return self._batch(here, image, category, found.scores[part], areas, np.cumsum(width) - width, ious)

    def alone(self, found: _Detections) -> Batch:
        """Of the images without a detection."""
        here = np.flatnonzero(~np.isin(self.image, found.image))
        none, no_ids = np.zeros(0), np.zeros(0, np.int64)
        return self._batch(here, no_ids, no_ids, none, none, no_ids, none)

    def _batch(
        self, here: Ints, image: Ints, category: Ints, scores: Floats, areas: Floats, row_of: Ints, ious: Floats
    ) -> Batch:
        key = self.key[here]
        return Batch(
            image=image,
            category=category,
            scores=scores,
            areas=areas,
            exhaustive=np.ones(len(image), np.bool_),
            row_of=row_of,
            gt_image=self.image[here],
            gt_category=self.category[here],
            gt_areas=self.areas[here],
            gt_crowd=self.crowd[here],
            column_of=np.arange(len(key)) - np.searchsorted(key, key),
            ious=ious,
        )


class _Detections:
    """Results by image, in the file's order within each. areas: of boxes, where these count; None: the masks'."""

    def __init__(self, results: Sequence[Mapping[str, Any]], sizes: Frames, known: set[int]) -> None:
        table, category, scores, counts = results_of(results, sizes, known)
        order = np.argsort(table[:, 0], kind="stable")
        self.image, self.heights, self.widths = table[order].T
        self.category, self.scores, self.order = category[order], scores[order], order
        self.counts = [c.encode("ascii", "replace") if isinstance(c, str) else c for c in (counts[i] for i in order.tolist())]
        self.areas = boxes_of(results)[order, 2:].prod(axis=1) if len(results) and results[0].get("bbox") else None

    def parts(self) -> Iterator[slice]:
        """Whole images, about AT_ONCE detections."""
        first, ends = 0, [*(np.flatnonzero(np.diff(self.image)) + 1).tolist(), len(self.image)] if len(self.image) else []
        for end in ends:
            if end - first >= AT_ONCE or end == ends[-1]:
                yield slice(first, end)
                first = end

    def masks(self, part: slice) -> RunMasks:
        """Of some detections. Raises UsageError where one is broken."""
        masks = run_masks(self.counts[part], self.heights[part], self.widths[part])
        if not masks.ok.all():
            raise broken(f"detection {self.order[part.start + int(masks.ok.argmin())]} (from 0)")
        return masks


def _read(counts: Sequence[bytes], frames: Sequence[tuple[int, int]], annotations: Sequence[Mapping[str, Any]]) -> RunMasks:
    heights, widths = np.array(frames, np.int64).reshape(-1, 2).T
    masks = run_masks(counts, heights, widths)
    if not masks.ok.all():
        raise broken(f"annotation {annotations[int(masks.ok.argmin())].get('id')}")
    return masks
