"""Mask AP of a results file against an annotation file: what pycocotools' COCO, loadRes and COCOeval do, from the strings of the
masks to the numbers, without a pixel of them.

Overlaps are counted from run lengths (`pixels.rles`), matching and accumulation are those of `instances`: precision and recall are
pycocotools' to the last bit. Images are taken some at a time, so that beside the two inputs little is in memory.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sambench.errors import UsageError
from sambench.metrics.instances import COCO_MAX_DETS, AveragePrecision, Batch, Evaluation, Floats, Ints
from sambench.pixels.rles import RunMasks, run_masks

AT_ONCE = 1 << 15  # detections


def average_precision(
    truth: Mapping[str, Any] | str | Path,
    results: Sequence[Mapping[str, Any]] | str | Path,
    *,
    max_dets: Sequence[int] = COCO_MAX_DETS,
) -> Evaluation:
    """AP and AR of masks by COCO's rules, of files or of what `json.load` gives of them.

    truth: images (id, height, width), categories (id) and annotations (image_id, category_id, segmentation, area, iscrowd), as the
    file has them. results: detections (image_id, category_id, score, segmentation as compressed RLE of the image's size), as the
    results file has them; where the first has a bbox, boxes say which are small and large, as pycocotools' loadRes does. max_dets:
    ascending, detections an image and category; the last is AP's. Returns an `Evaluation`: `.ap()`, `.ap(threshold=0.5)`,
    `.ap(area="small")`, `.ar(max_dets=1)` and so on, in [0, 1], NaN where there is no object. Raises UsageError naming the first
    annotation or detection that does not fit: an image or category that the file does not have, a broken mask, no score;
    or a file that cannot be read.
    """
    with _without_collection():  # which would go through millions of objects that are all in use
        return _evaluated(_loaded(truth, "truth"), _loaded(results, "results"), max_dets)


def _evaluated(truth: Any, results: Any, max_dets: Sequence[int]) -> Evaluation:
    sizes = _sizes(truth)
    known = {c["id"] for c in truth.get("categories", ())}
    objects = _Objects(truth, sizes, known)
    found = _Detections(results, sizes, known)
    counted = AveragePrecision(tuple(max_dets))
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


def _loaded(given: Any, what: str) -> Any:
    if not isinstance(given, str | os.PathLike):
        return given
    try:
        return json.loads(Path(given).read_bytes())
    except (OSError, ValueError) as e:
        raise UsageError(f"the {what} cannot be read", where=given, expected="a JSON file in COCO's form", found=str(e)) from e


def _sizes(truth: Mapping[str, Any]) -> dict[Any, tuple[int, int, int]]:
    """(number in ascending order of ids, height, width) of each image."""
    try:
        images = {i["id"]: (int(i["height"]), int(i["width"])) for i in truth["images"]}
        return {image_id: (n, *images[image_id]) for n, image_id in enumerate(sorted(images))}
    except (KeyError, TypeError, ValueError) as e:
        expected = "what json.load gives of an annotation file: images with id, height and width"
        raise UsageError("the annotations have no images", where="truth", expected=expected, found=repr(e)) from e


class _Objects:
    """Annotations by image and category, in the file's order within each."""

    def __init__(self, truth: Mapping[str, Any], sizes: Mapping[Any, tuple[int, int, int]], known: set[Any]) -> None:
        every = [a for a in truth.get("annotations", ()) if a.get("image_id") in sizes and a.get("category_id") in known]
        image = np.array([sizes[a["image_id"]][0] for a in every], np.int64)
        category = np.array([a["category_id"] for a in every], np.int64)
        order = np.lexsort((category, image))
        frames = [sizes[a["image_id"]][1:] for a in every]
        self.masks = _read([_rle(every[i], *frames[i]) for i in order], [frames[i] for i in order], "annotation")
        self.image, self.category = image[order], category[order]
        self.areas = np.array([every[i]["area"] for i in order], np.float64)
        self.crowd = np.array([bool(every[i].get("iscrowd")) for i in order], np.bool_)
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
        here = slice(*np.searchsorted(self.image, [image[0], image[-1] + 1]))
        areas = found.areas[part] if found.areas is not None else masks.areas.astype(np.float64)
        ious = masks.overlaps(self.masks, self.crowd, first, last)
        return self._batch(here, image, category, found.scores[part], areas, np.cumsum(width) - width, ious)

    def alone(self, found: _Detections) -> Batch:
        """Of the images without a detection."""
        here = np.flatnonzero(~np.isin(self.image, found.image))
        none, no_ids = np.zeros(0), np.zeros(0, np.int64)
        return self._batch(here, no_ids, no_ids, none, none, no_ids, none)

    def _batch(
        self, here: slice | Ints, image: Ints, category: Ints, scores: Floats, areas: Floats, row_of: Ints, ious: Floats
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

    def __init__(self, results: Sequence[Mapping[str, Any]], sizes: Mapping[Any, tuple[int, int, int]], known: set[Any]) -> None:
        try:
            frames = [sizes[d["image_id"]] for d in results]
            category = np.array([d["category_id"] for d in results], np.int64)
            scores = np.array([d["score"] for d in results], np.float64)
            counts = [d["segmentation"]["counts"] for d in results]
            stated = [d["segmentation"]["size"] for d in results]
        except (KeyError, TypeError, ValueError) as e:
            raise _unusable(results, sizes) from e
        table = np.array(frames, np.int64).reshape(-1, 3)
        if not (np.isfinite(scores).all() and np.isin(category, sorted(known)).all()):
            raise _unusable(results, sizes, known)
        if len(results) and not np.array_equal(np.array(stated, np.int64), table[:, 1:]):
            raise _unusable(results, sizes, known)
        order = np.argsort(table[:, 0], kind="stable")
        self.image, self.heights, self.widths = table[order].T
        self.category, self.scores, self.order = category[order], scores[order], order
        self.counts = [c.encode("ascii", "replace") if isinstance(c, str) else c for c in (counts[i] for i in order.tolist())]
        self.areas = _box_areas(results)[order] if len(results) and results[0].get("bbox") else None

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
            raise _broken(f"detection {self.order[part.start + int(masks.ok.argmin())]} (from 0)")
        return masks


def _rle(annotation: Mapping[str, Any], height: int, width: int) -> bytes:
    """Compressed counts of an annotation, as pycocotools' annToRLE makes them."""
    given: Any = annotation.get("segmentation")
    try:
        if isinstance(given, list):
            return bytes(coco_mask.merge(coco_mask.frPyObjects(given, height, width))["counts"])
        if isinstance(given["counts"], list):
            return bytes(coco_mask.frPyObjects(given, height, width)["counts"])
        return given["counts"].encode("ascii", "replace") if isinstance(given["counts"], str) else bytes(given["counts"])
    except (KeyError, TypeError, ValueError, IndexError) as e:
        raise _broken(f"annotation {annotation.get('id')}") from e


def _read(counts: Sequence[bytes], frames: Sequence[tuple[int, int]], what: str) -> RunMasks:
    heights, widths = np.array(frames, np.int64).reshape(-1, 2).T
    masks = run_masks(counts, heights, widths)
    if not masks.ok.all():
        raise _broken(f"{what} {int(masks.ok.argmin())} (from 0, by image and category)")
    return masks


def _box_areas(results: Sequence[Mapping[str, Any]]) -> Floats:
    try:
        boxes = np.array([d["bbox"] for d in results], np.float64).reshape(len(results), 4)
    except (KeyError, TypeError, ValueError) as e:
        expected = "a bbox x, y, width, height of every detection, as the first has one, or of none"
        raise UsageError("the boxes of the results do not fit", where="results", expected=expected, found=str(e)) from e
    out: Floats = boxes[:, 2] * boxes[:, 3]
    return out


def _broken(what: str) -> UsageError:
    expected = "COCO's compressed counts, whose runs fill the image"
    return UsageError("a mask is broken", where=what, expected=expected, found="a string or runs that do not")


def _unusable(results: Sequence[Mapping[str, Any]], sizes: Mapping[Any, Any], known: set[Any] | None = None) -> UsageError:
    """The first detection that does not fit, and why."""
    for n, d in enumerate(results):
        why = _why(d, sizes, known)
        if why:
            expected = "image_id and category_id of the annotations, a finite score, and a compressed RLE of the image's size"
            return UsageError("a detection cannot be used", where=f"detection {n} (from 0)", expected=expected, found=why)
    return UsageError("the results cannot be used", where="results", expected="a list of detections", found=str(type(results)))


def _why(d: Mapping[str, Any], sizes: Mapping[Any, Any], known: set[Any] | None) -> str:
    if d.get("image_id") not in sizes:
        return f"image_id {d.get('image_id')!r}"
    if type(d.get("category_id")) is not int or (known is not None and d["category_id"] not in known):
        return f"category_id {d.get('category_id')!r}"
    if type(d.get("score")) not in (int, float) or not np.isfinite(d["score"]):
        return f"score {d.get('score')!r}"
    mask = d.get("segmentation")
    if not isinstance(mask, dict) or not isinstance(mask.get("counts"), str | bytes):
        return f"segmentation {mask!r:.60}"
    return "" if list(mask.get("size") or ()) == list(sizes[d["image_id"]][1:]) else f"a mask of size {mask.get('size')}"
