"""What annotation tools draw besides polygons, as masks: circles, ellipses, rectangles, pasted bitmaps.

All in continuous coordinates, in which pixel (x, y) covers x..x+1 and y..y+1 and belongs to a shape that covers its centre: a
rectangle from 8 to 28 is 20 pixels wide, as COCO's rule for polygons has it. Everything is clipped to the frame.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sambench.errors import DataError
from sambench.files.picture import decode, opened_bytes
from sambench.loaders.coco_masks import region_of
from sambench.loaders.values import shown
from sambench.pixels.region import Region, union


def kind_of(record: Any, shape: Any, key: str, known: Sequence[str], form: str, where: str, *, default: str = "") -> str:
    """The kind of a shape, one of `known`: what it has under `key`, or `default` where that is empty.

    record: what the file has, for the error; shape: the part of it that describes the shape, or anything else where it has none.
    form: what a shape of that file is, for the error. Raises DataError naming `where`.
    """
    kind = (shape.get(key) or default) if isinstance(shape, dict) else None
    if isinstance(kind, str) and kind in known:
        return kind
    raise DataError(
        "a shape is of another kind",
        where=where,
        expected=f"{form}, one of {', '.join(known)}",
        found=shown(record, 160),
        remedy="mend that shape, or take it out of the file",
    )


def polygon(points_xy: Sequence[Sequence[float]], size: tuple[int, int], where: str) -> Region:
    """An outline of at least three points (x, y), closed and filled as COCO's API does. Raises DataError naming `where`."""
    return region_of([[float(c) for p in points_xy for c in p]], *size, where=where)


def rectangle(x0: float, y0: float, x1: float, y1: float, size: tuple[int, int], where: str) -> Region:
    """Between two opposite corners, whichever they are. Raises DataError naming `where`."""
    height, width = size
    # Clipped first: the rasteriser walks every step of an edge, and people draw far beyond the picture.
    left, right = sorted(min(max(x, 0), width) for x in (x0, x1))
    top, bottom = sorted(min(max(y, 0), height) for y in (y0, y1))
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], size, where)


def ellipse(
    cx: float, cy: float, rx: float, ry: float, size: tuple[int, int], where: str, *, theta: float = 0.0
) -> Region:
    """The pixels whose centre lies in an ellipse with radii rx and ry, turned by theta (radians, clockwise as y points down).

    Empty for a radius of 0. Raises DataError naming `where` on a negative one.
    """
    if min(rx, ry) < 0:
        raise DataError("a shape has a negative radius", where=where, expected="0 or more", found=f"{rx:g}, {ry:g}")
    height, width = size
    if not rx or not ry:
        return _nothing(size)
    reach = math.hypot(rx, ry)
    y0, y1 = (int(min(max(v, 0), height)) for v in (cy - reach, cy + reach + 1))
    x0, x1 = (int(min(max(v, 0), width)) for v in (cx - reach, cx + reach + 1))
    dy, dx = (np.arange(y0, y1) + 0.5 - cy)[:, None], (np.arange(x0, x1) + 0.5 - cx)[None, :]
    across, along = dx * math.cos(theta) + dy * math.sin(theta), dy * math.cos(theta) - dx * math.sin(theta)
    with np.errstate(over="ignore"):  # a radius of next to nothing
        return Region.from_window((across / rx) ** 2 + (along / ry) ** 2 <= 1, y0, x0, height, width)


def bitmap(encoded: Any, x0: int, y0: int, box: tuple[int, int], size: tuple[int, int], where: str) -> Region:
    """A picture in base64 (the text of a PNG file) whose pixels that are not 0 are the mask, its top left pixel at (x0, y0).

    box: (height, width) that it must have. Raises DataError naming `where`: no such picture, or of another size.
    """
    if not (1 <= box[0] <= size[0] and 1 <= box[1] <= size[1]):
        raise _broken(where, f"two corners within {size[1]} x {size[0]} pixels", f"{box[1]} x {box[0]} pixels between its points")
    try:
        text = encoded.partition("base64,")[2] if isinstance(encoded, str) and encoded.startswith("data:") else encoded
        raw = base64.b64decode(text)
    except (TypeError, ValueError) as e:
        raise _broken(where, "a PNG in base64", str(e) or type(e).__name__) from e
    try:
        with opened_bytes(raw, where) as image:
            found = (image.height, image.width)
            if found == box:
                plain = decode(where, image)
                mask = np.asarray(plain.convert(plain.mode.removesuffix("A")) if plain.mode in ("LA", "PA", "RGBA") else plain) != 0
    except DataError as e:
        raise _broken(where, "a PNG in base64", str(e.found or e.message)) from e
    if found != box:
        raise _broken(where, f"{box[1]} x {box[0]} pixels, as between its points", f"{found[1]} x {found[0]}")
    mask = mask.any(axis=2) if mask.ndim == 3 else mask
    top, left = max(0, -y0), max(0, -x0)
    inside = mask[top : max(top, size[0] - y0), left : max(left, size[1] - x0)]
    return Region.from_window(inside, y0 + top, x0 + left, *size) if inside.size else _nothing(size)


def joined(parts: Sequence[Region], size: tuple[int, int]) -> Region:
    """The union of the parts of one object."""
    return parts[0] if len(parts) == 1 else union(parts, *size) or _nothing(size)


def _nothing(size: tuple[int, int]) -> Region:
    return Region(0, 0, np.zeros((0, 0), np.bool_), *size)


def _broken(where: str, expected: str, found: str) -> DataError:
    return DataError("the mask of a shape cannot be used", where=where, expected=expected, found=found)
