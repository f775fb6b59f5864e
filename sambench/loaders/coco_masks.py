"""COCO's `segmentation` values as regions, checked before pycocotools sees them: it trusts its input, in C."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sambench.errors import DataError
from sambench.loaders import values
from sambench.pixels.region import RLE, Region, check_pixels, rle_runs, union
from sambench.types import EMPTY, NO_MASK, TOO_SHORT

_LONG = 100  # characters from which numpy is quicker than a loop
MOST_STEPS = 1 << 24  # of one polygon: some 300 MB in pycocotools


def region_of(segmentation: Any, height: int, width: int, *, where: str, skip_short: bool = True) -> Region:
    """The mask of a list of polygons (their union) or of an RLE object, compressed or not; empty where there is none.

    Rasterised as the COCO API does, clipped to the frame. One polygon that is not in a list (VGG's tool), points as pairs, and RLE
    objects in a list are taken too. Raises DataError naming `where`: a polygon with an odd number of coordinates or one that is no
    finite number, an RLE of another size or that does not add up.
    skip_short: polygons of fewer than three points, which have no area, are left out; else they are errors.
    """
    if _is_absent(segmentation):
        return _nothing(height, width)
    if isinstance(segmentation, list):
        parts = _parts(segmentation)
        regions = [region_of(p, height, width, where=where) for p in parts if isinstance(p, dict)]
        polygons = [p for p in parts if not (isinstance(p, dict) or (skip_short and _is_short(p)))]
        drawn = _from_polygons(polygons, height, width, where)
        return (union([drawn, *regions], height, width) or _nothing(height, width)) if regions else drawn
    if isinstance(segmentation, dict) and "counts" in segmentation:
        return _from_rle(segmentation, height, width, where)
    raise DataError(
        "an annotation has no segmentation",
        where=where,
        expected="a list of polygons, or RLE with size and counts",
        found=values.shown(segmentation),
    )


def has_pixels(segmentation: Any, height: int, width: int, *, where: str, skip_short: bool = True) -> bool:
    """Whether `region_of` gives a mask that is not empty, without decoding it. Raises DataError as that does, but reads
    an RLE only as far as its first foreground pixel."""
    if isinstance(segmentation, dict) and "counts" in segmentation:
        counts = segmentation["counts"]
        if isinstance(counts, str | bytes):
            counts = _runs(counts.encode("utf-8", "replace") if isinstance(counts, str) else counts, limit=2)
        first = counts[1] if isinstance(counts, list) and len(counts) > 1 else 0
        if segmentation.get("size") == [height, width] and type(first) is int and first > 0:
            return True
        return sum(_checked_runs(segmentation, height, width, where)[1::2]) > 0
    parts = _parts(segmentation) if isinstance(segmentation, list) else []
    if parts and not any(isinstance(p, dict) for p in parts):
        polygons = [p for p in parts if not (skip_short and _is_short(p))]
        return bool(polygons) and int(coco_mask.area(_merged(polygons, height, width, where))) > 0
    return region_of(segmentation, height, width, where=where, skip_short=skip_short).area > 0  # which says what is wrong


def why_empty(segmentation: Any, bbox: Any) -> str:
    """The kind (`types.NO_MASK`, `TOO_SHORT`, `EMPTY`) of an annotation whose mask is empty. bbox: as it has it, or None.

    An empty list beside a box is how many tools write that there is a box alone; without one it is a mask without pixels.
    """
    if _is_absent(segmentation):
        return EMPTY if segmentation == [] and not bbox else NO_MASK
    return TOO_SHORT if isinstance(segmentation, list) and all(map(_is_short, _parts(segmentation))) else EMPTY


def _is_absent(segmentation: Any) -> bool:
    """Whether there is no mask at all: null, NaN or an empty list, text or object in place of one, or nothing."""
    return values.absent(segmentation) or segmentation in ([], {}, "")


def _parts(segmentation: list[Any]) -> list[Any]:
    """The polygons (and RLE objects) of a list, each polygon a flat list of numbers as COCO has it.

    VGG's tool writes the numbers of one polygon without a list around them; others write points as pairs, and contours of OpenCV
    are lists of points in lists of their own. What is none of these is given as it is.
    """
    if segmentation and not any(isinstance(p, list | dict) for p in segmentation):
        return [segmentation]
    parts = [[c for point in p for c in point] if _are_points(p) else p for p in segmentation]
    if len(parts) > 2 and _are_points(parts):
        return [[c for point in parts for c in point]]
    return parts


def _are_points(given: Any) -> bool:
    """Whether it is a list of pairs of what may be numbers."""
    if not isinstance(given, list) or not given or not isinstance(given[0], list):
        return False
    return all(isinstance(p, list) and len(p) == 2 and not any(isinstance(c, list | dict) for c in p) for p in given)


def _nothing(height: int, width: int) -> Region:
    return Region(0, 0, np.zeros((0, 0), np.bool_), height, width)


def _from_polygons(polygons: list[Any], height: int, width: int, where: str) -> Region:
    if not polygons:
        return _nothing(height, width)
    return Region.from_rle(_merged(polygons, height, width, where))


def _merged(polygons: list[Any], height: int, width: int, where: str) -> RLE:
    check_pixels(height, width, where)
    read = [_coordinates(polygon, i, height, width, where) for i, polygon in enumerate(polygons)]
    steps = [_steps(p) for p in read]
    most = max(4 * MOST_STEPS, 20 * height * width)
    if max(steps) > MOST_STEPS or sum(steps) > most:
        raise _broken_polygon(
            where,
            f"a polygon's outline of at most {MOST_STEPS // 5:,} pixels, and all outlines together of {most // 5:,}",
            f"{sum(map(len, read)) // 2:,} points, {sum(steps) // 5:,} pixels of outline in an image of {width} x {height}",
        )
    merged: RLE = coco_mask.merge(coco_mask.frPyObjects(read, height, width))
    return merged


def _steps(polygon: list[float]) -> int:
    """How far the rasteriser walks: it keeps every step of every edge, five to a pixel, in memory."""
    xy = np.array(polygon, np.float64).reshape(-1, 2)
    return int(5 * np.abs(xy - np.roll(xy, -1, axis=0)).max(axis=1).sum()) + len(xy)


def _coordinates(polygon: Any, i: int, height: int, width: int, where: str) -> list[float]:
    """A polygon's numbers. Raises DataError where it is none."""
    expected = "each polygon a list x1, y1, x2, y2, ... of at least 6 finite numbers, even in count"
    if not isinstance(polygon, list):
        raise _broken_polygon(where, expected, f"polygon {i} is not a list: {values.shown(polygon, 60)}")
    if len(polygon) % 2 or len(polygon) < 6:
        raise _broken_polygon(where, expected, f"polygon {i} has {len(polygon)} numbers")
    limit = 16 * max(height, width) + 1024
    if {*map(type, polygon)} <= {int, float} and max(polygon) <= limit and min(polygon) >= -limit and math.isfinite(sum(polygon)):
        return [float(c) for c in polygon]  # nearly every one of the millions in a big file; what follows is for the others
    try:
        read = [values.number(c, f"polygon {i}", where) for c in polygon]
    except DataError as e:
        raise _broken_polygon(where, expected, f"polygon {i} has the coordinate {e.found}") from e
    # The rasteriser walks every step of an edge: a coordinate of 1e9 would take its memory, not clip.
    far = next((c for c in read if abs(c) > limit), None)
    if far is not None:
        raise _broken_polygon(where, expected, f"polygon {i} has the coordinate {far!r:.40}, far outside {width} x {height}")
    return read


def _is_short(polygon: Any) -> bool:
    return isinstance(polygon, list) and len(polygon) in (0, 2, 4) and not any(isinstance(c, list | dict) for c in polygon)


def _from_rle(rle: dict[str, Any], height: int, width: int, where: str) -> Region:
    runs = _checked_runs(rle, height, width, where)
    return Region.from_rle(coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width))


def _checked_runs(rle: dict[str, Any], height: int, width: int, where: str) -> list[int]:
    """Run lengths, none negative, that add up to the frame. Raises DataError."""
    check_pixels(height, width, where)
    _check_rle_size(rle.get("size"), height, width, where)
    counts, runs = rle["counts"], None
    if isinstance(counts, str | bytes):
        runs = _runs(counts.encode("utf-8", "replace") if isinstance(counts, str) else counts)
    elif isinstance(counts, list):
        runs = values.run_lengths(counts, "counts of an RLE", where)
    if runs is None or any(c < 0 for c in runs) or sum(runs) != height * width:
        found = "counts that do not decode" if runs is None else f"runs that add up to {sum(runs)}"
        raise _broken_rle(where, f"runs, none negative, that add up to {height * width} pixels", found)
    return runs


def _check_rle_size(size: Any, height: int, width: int, where: str) -> None:
    if size == [height, width]:
        return
    expected = f"size [{height}, {width}] (height, width), as the image"
    try:
        read = [values.whole(v, "size of an RLE", where) for v in size] if isinstance(size, list) else None
    except DataError as e:
        raise _broken_rle(where, expected, f"size {values.shown(size, 40)}") from e
    if read != [height, width]:
        raise _broken_rle(where, expected, f"size {values.shown(size, 40)}")


def _runs(counts: bytes, limit: int = 0) -> list[int] | None:
    """Run lengths of COCO's compressed counts (six bits a character from '0' on, five of payload; each run from the
    fourth on is the difference to the one two before), to check them: pycocotools reads beyond the end of malformed ones.
    limit: only the first so many, if not 0."""
    if len(counts) > _LONG and not limit:
        try:
            read: list[int] = rle_runs(counts).tolist()
            return read
        except ValueError:
            return None
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


def _broken_polygon(where: str, expected: str, found: str) -> DataError:
    return DataError("an annotation has a broken polygon", where=where, expected=expected, found=found)


def _broken_rle(where: str, expected: str, found: str) -> DataError:
    return DataError("an annotation has a broken RLE", where=where, expected=expected, found=found)
