"""COCO's `segmentation` values as regions, checked before pycocotools sees them: it trusts its input, in C."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sambench.errors import DataError
from sambench.masks import RLE, Region


def region_of(segmentation: Any, height: int, width: int, *, where: str, skip_short: bool = False) -> Region:
    """The mask of a list of polygons (their union) or of an RLE object, compressed or not; empty for an empty list.

    Rasterised as the COCO API does, clipped to the frame. Raises DataError naming `where`: a polygon with an odd or too small
    number of coordinates or one that is no finite number, an RLE of another size or that does not add up.
    skip_short: polygons of fewer than three points are left out instead.
    """
    if isinstance(segmentation, list):
        polygons = [p for p in segmentation if not (skip_short and _is_short(p))]
        return _from_polygons(polygons, height, width, where)
    if isinstance(segmentation, dict) and "counts" in segmentation:
        return _from_rle(segmentation, height, width, where)
    raise DataError(
        "an annotation has no segmentation",
        where=where,
        expected="a list of polygons, or RLE with size and counts",
        found=f"{segmentation!r:.80}",
    )


def has_pixels(segmentation: Any, height: int, width: int, *, where: str, skip_short: bool = False) -> bool:
    """Whether `region_of` gives a mask that is not empty, without decoding it. Raises DataError as that does, but reads
    an RLE only as far as its first foreground pixel."""
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if isinstance(counts, str | bytes):
            counts = _runs(counts.encode("utf-8", "replace") if isinstance(counts, str) else counts, limit=2)
        first = counts[1] if isinstance(counts, list) and len(counts) > 1 else 0
        if segmentation.get("size") == [height, width] and type(first) is int and first > 0:
            return True
    elif isinstance(segmentation, list):
        polygons = [p for p in segmentation if not (skip_short and _is_short(p))]
        return bool(polygons) and int(coco_mask.area(_merged(polygons, height, width, where))) > 0
    return region_of(segmentation, height, width, where=where, skip_short=skip_short).area > 0


def _from_polygons(polygons: list[Any], height: int, width: int, where: str) -> Region:
    if not polygons:
        return Region(0, 0, np.zeros((0, 0), np.bool_), height, width)
    return Region.from_rle(_merged(polygons, height, width, where))


def _merged(polygons: list[Any], height: int, width: int, where: str) -> RLE:
    for i, polygon in enumerate(polygons):
        problem = _problem_of(polygon, height, width)
        if problem:
            raise DataError(
                "an annotation has a broken polygon",
                where=where,
                expected="each polygon a list x1, y1, x2, y2, ... of at least 6 finite numbers, even in count",
                found=f"polygon {i} {problem}",
            )
    parts = coco_mask.frPyObjects([[float(c) for c in p] for p in polygons], height, width)
    merged: RLE = coco_mask.merge(parts)
    return merged


def _problem_of(polygon: Any, height: int, width: int) -> str | None:
    if not isinstance(polygon, list):
        return f"is not a list: {polygon!r:.60}"
    if len(polygon) % 2 or len(polygon) < 6:
        return f"has {len(polygon)} numbers"
    limit = 16 * max(height, width) + 1024
    if {*map(type, polygon)} <= {int, float} and max(polygon) <= limit and min(polygon) >= -limit and math.isfinite(sum(polygon)):
        return None  # nearly every one of the millions in a big file; what follows only says what is wrong
    odd = next((c for c in polygon if not _is_number(c)), None)
    if odd is not None or None in polygon:
        return f"has the coordinate {odd!r:.40}"
    # The rasteriser walks every step of an edge: a coordinate of 1e9 would take its memory, not clip.
    far = next((c for c in polygon if abs(c) > limit), None)
    return None if far is None else f"has the coordinate {far!r:.40}, far outside {width} x {height}"


def _is_short(polygon: Any) -> bool:
    return isinstance(polygon, list) and len(polygon) in (0, 2, 4) and all(map(_is_number, polygon))


def _is_number(value: Any) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))  # isfinite refuses huge integers


def _from_rle(rle: dict[str, Any], height: int, width: int, where: str) -> Region:
    if rle.get("size") != [height, width]:
        raise _broken_rle(where, f"size [{height}, {width}] (height, width), as the image", f"size {rle.get('size')!r:.40}")
    counts = rle["counts"]
    if isinstance(counts, str | bytes):
        runs = _runs(counts.encode("utf-8", "replace") if isinstance(counts, str) else counts)
    elif isinstance(counts, list) and all(type(c) is int for c in counts):
        runs = counts
    else:
        runs = None
    if runs is None or any(c < 0 for c in runs) or sum(runs) != height * width:
        found = "counts that do not decode" if runs is None else f"runs that add up to {sum(runs)}"
        raise _broken_rle(where, f"runs, none negative, that add up to {height * width} pixels", found)
    compressed = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return Region.from_rle(compressed)


def _runs(counts: bytes, limit: int = 0) -> list[int] | None:
    """Run lengths of COCO's compressed counts (six bits a character from '0' on, five of payload; each run from the
    fourth on is the difference to the one two before), to check them: pycocotools reads beyond the end of malformed ones.
    limit: only the first so many, if not 0."""
    runs: list[int] = []
    value = shift = 0
    for byte in counts:
        bits = byte - 48
        if not 0 <= bits < 64 or shift > 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
            if len(runs) == limit:
                return runs
    return None if shift else runs


def _broken_rle(where: str, expected: str, found: str) -> DataError:
    return DataError("an annotation has a broken RLE", where=where, expected=expected, found=found)
