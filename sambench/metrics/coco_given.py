"""Annotations and results in COCO's form as `json.load` gives them, checked before they are counted: pycocotools would take a
fraction for an id, and trusts masks, in C. Everything here raises UsageError that names the first that does not fit.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sambench.errors import UsageError
from sambench.metrics.given import is_number
from sambench.metrics.instances import Floats, Ints

Frames = Mapping[Any, tuple[int, int, int]]  # by id of the image: its number in ascending order of ids, height, width
EXACT = 1 << 53  # beyond it a float skips whole numbers
_MOST_SIDE = 1 << 31
_MOST_STEPS = 1 << 24  # of one polygon: some 300 MB in pycocotools


def loaded(given: Any, what: str) -> Any:
    """What a file holds, or what was given."""
    if not isinstance(given, str | os.PathLike):
        return given
    try:
        return json.loads(Path(given).read_bytes())
    except (OSError, ValueError, RecursionError) as e:
        raise UsageError(f"the {what} cannot be read", where=given, expected="a JSON file in COCO's form", found=str(e)) from e


def frames_of(truth: Any) -> Frames:
    """The images of the annotations."""
    try:
        images = {i["id"]: (_side(i["height"]), _side(i["width"])) for i in truth["images"]}
        return {image_id: (n, *images[image_id]) for n, image_id in enumerate(sorted(images))}
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as e:
        expected = "what json.load gives of an annotation file: images with id, height and width"
        raise UsageError("the annotations have no images", where="truth", expected=expected, found=repr(e)) from e


def _side(value: Any) -> int:
    side = int(value)
    if side != float(value) or not 0 < side < _MOST_SIDE:
        raise ValueError(f"a side of {value!r:.40} pixels")
    return side


def categories_of(truth: Mapping[str, Any]) -> set[int]:
    """Ids of the categories."""
    given = _list_of(truth, "categories")
    found = whole_ids([c.get("id") if isinstance(c, Mapping) else None for c in given])
    if found is None:
        bad = next(c for c in given if not isinstance(c, Mapping) or whole_ids([c.get("id")]) is None)
        _refuse("a category", f"{given.index(bad)} (from 0)", "an id, a whole number", f"{bad!r:.80}")
    return set(found.tolist())


def annotations_of(truth: Mapping[str, Any], frames: Frames, known: set[int]) -> tuple[list[Mapping[str, Any]], Ints]:
    """The annotations of the images and categories that there are, and the category of each int64 [N]."""
    given = _list_of(truth, "annotations")
    for n, a in enumerate(given):
        if not isinstance(a, Mapping):
            _refuse("an annotation", f"{n} (from 0)", "an object", f"{a!r:.80}")
    category = whole_ids([a.get("category_id") for a in given])
    if category is None:
        n = next(n for n, a in enumerate(given) if whole_ids([a.get("category_id")]) is None)
        _refuse("an annotation", f"{n} (from 0)", "category_id, a whole number", f"{given[n].get('category_id')!r:.80}")
    try:
        here = [n for n, a in enumerate(given) if a.get("image_id") in frames]
    except TypeError as e:  # a list, say
        raise UsageError("an annotation cannot be used", expected="image_id, a number or text", found=str(e)) from e
    kept = [n for n in here if int(category[n]) in known]
    return [given[n] for n in kept], category[kept]


def crowds_of(annotations: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.bool_]:
    """bool [N]: their `iscrowd`."""
    flags = [a.get("iscrowd") for a in annotations]
    for a, flag in zip(annotations, flags, strict=True):
        if flag is not None and not (isinstance(flag, int | float) and flag in (0, 1)):
            _refuse("an annotation", f"of id {a.get('id')}", "iscrowd 0 or 1", f"{flag!r:.80}")
    return np.array([bool(flag) for flag in flags], np.bool_)


def areas_of(annotations: Sequence[Mapping[str, Any]], of_masks: Ints) -> Floats:
    """float64 [N] pixels: their `area`, or that of the mask where it is absent (None, NaN), as runs have it."""
    out = of_masks.astype(np.float64)
    for n, a in enumerate(annotations):
        area = a.get("area")
        if area is None or area != area:  # NaN
            continue
        if not is_number(area) or not 0 <= area < math.inf:
            _refuse("an annotation", f"of id {a.get('id')}", "area, a number of pixels", f"{area!r:.80}")
        out[n] = area
    return out


def mask_of(annotation: Mapping[str, Any], height: int, width: int) -> bytes:
    """Compressed counts of an annotation's mask, as pycocotools' annToRLE makes them."""
    given: Any = annotation.get("segmentation")
    try:
        if isinstance(given, list):
            if not all(map(_is_polygon, given)):
                raise ValueError("no polygons of numbers")
            return bytes(coco_mask.merge(coco_mask.frPyObjects(given, height, width))["counts"])
        counts, size = given["counts"], given.get("size")
        if size is not None and list(size) != [height, width]:
            raise ValueError(f"of size {size!r:.40} in an image of {height} x {width}")
        if isinstance(counts, list):
            return bytes(coco_mask.frPyObjects({"counts": counts, "size": [height, width]}, height, width)["counts"])
        if not isinstance(counts, str | bytes):
            raise TypeError(f"counts {counts!r:.40}")
        return counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    except Exception as e:  # pycocotools raises those without a class of their own
        raise broken(f"annotation {annotation.get('id')}", f"{e!s:.120}" or None) from e


def _is_polygon(given: Any) -> bool:
    """Whether pycocotools can draw it: finite numbers, and an outline that fits in memory."""
    corners = np.array(given, np.float64)
    if corners.ndim != 1 or not np.isfinite(corners).all():
        return False
    x, y = corners[: len(corners) // 2 * 2].reshape(-1, 2).T
    steps = np.maximum(*(np.abs(np.diff(c, append=c[:1])) for c in (x, y)))
    return bool(5 * steps.sum() <= _MOST_STEPS)


def whole_ids(given: Sequence[Any]) -> Ints | None:
    """int64 [N] of whole numbers, also written as 1.0; None where one is none."""
    try:
        found = np.asarray(given if len(given) else np.zeros(0, np.int64))
    except ValueError:  # lists of several lengths
        return None
    if found.ndim != 1 or found.dtype.kind not in "if":
        return None
    if found.dtype.kind == "f" and not (np.isfinite(found) & (np.abs(found) < EXACT) & (np.floor(found) == found)).all():
        return None
    return found.astype(np.int64)


def boxes_of(results: Sequence[Mapping[str, Any]]) -> Floats:
    """float64 [N, 4] x, y, width, height."""
    try:
        boxes = np.array([d["bbox"] for d in results], np.float64).reshape(len(results), 4)
        if not np.isfinite(boxes).all():
            raise ValueError("a number that is not finite")
    except (KeyError, TypeError, ValueError) as e:
        expected = "a bbox x, y, width, height of every detection, as the first has one, or of none"
        raise UsageError("the boxes of the results do not fit", where="results", expected=expected, found=str(e)) from e
    return boxes


def results_of(
    results: Any, frames: Frames, known: set[int]
) -> tuple[Ints, Ints, Floats, list[str | bytes]]:
    """Of D detections: (number, height, width) of the image int64 [D, 3], category int64 [D], score float64 [D], and counts."""
    if not isinstance(results, Sequence) or isinstance(results, str | bytes):
        found = f"a {type(results).__name__}"
        raise UsageError("the results cannot be used", where="results", expected="a list of detections", found=found)
    try:
        table = np.array([frames[d["image_id"]] for d in results], np.int64).reshape(-1, 3)
        category = whole_ids([d["category_id"] for d in results])
        scores = np.asarray([d["score"] for d in results])
        counts = [d["segmentation"]["counts"] for d in results]
        stated = np.asarray([d["segmentation"]["size"] for d in results]).reshape(-1, 2)
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise _unusable(results, frames, known) from e
    fits = (
        category is not None
        and (not len(results) or scores.dtype.kind in "if")
        and np.isfinite(scores.astype(np.float64)).all()
        and np.isin(category, sorted(known)).all()
        and np.array_equal(stated, table[:, 1:])
        and all(isinstance(c, str | bytes) for c in counts)
    )
    if not fits or category is None:
        raise _unusable(results, frames, known)
    return table, category, scores.astype(np.float64), counts


def _list_of(truth: Mapping[str, Any], key: str) -> Sequence[Any]:
    given = truth.get(key) if isinstance(truth, Mapping) else None
    if not isinstance(given, list | tuple):
        expected = f"a list, as an annotation file has under {key!r}"
        raise UsageError(f"the annotations have no {key}", where="truth", expected=expected, found=f"{given!r:.80}")
    return given


def broken(where: str, found: str | None = None) -> UsageError:
    """The error of a mask that cannot be read."""
    expected = "COCO's compressed counts, whose runs fill the image (of annotations also runs as a list, or polygons)"
    return UsageError("a mask is broken", where=where, expected=expected, found=found or "a string or runs that do not")


def _refuse(what: str, which: str, expected: str, found: str) -> NoReturn:
    raise UsageError(f"{what} cannot be used", where=f"{what.rpartition(' ')[2]} {which} of truth", expected=expected, found=found)


def _unusable(results: Sequence[Any], frames: Frames, known: set[int]) -> UsageError:
    """The first detection that does not fit, and why."""
    expected = "image_id and category_id of the annotations, a finite score, and a compressed RLE of the image's size"
    why, n = next(((w, n) for n, d in enumerate(results) if (w := _why(d, frames, known))), ("numbers that do not fit", None))
    where = "results" if n is None else f"detection {n} (from 0)"
    return UsageError("a detection cannot be used", where=where, expected=expected, found=why)


def _why(d: Any, frames: Frames, known: set[int]) -> str:
    if not isinstance(d, Mapping):
        return f"{d!r:.80}"
    try:
        height, width = frames[d["image_id"]][1:]
    except (KeyError, TypeError):
        return f"image_id {d.get('image_id')!r:.80}"
    category = whole_ids([d.get("category_id")])
    if category is None or int(category[0]) not in known:
        return f"category_id {d.get('category_id')!r:.80}"
    score = d.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        return f"score {score!r:.80}"
    mask = d.get("segmentation")
    if not isinstance(mask, Mapping) or not isinstance(mask.get("counts"), str | bytes):
        return f"segmentation {mask!r:.60}"
    size = mask.get("size")
    return "" if isinstance(size, list | tuple) and list(size) == [height, width] else f"a mask of size {size!r:.40}"
