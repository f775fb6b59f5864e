"""Outlines filled as OpenCV does, for datasets whose authors rasterise theirs with it (COCO's rule is in `coco_masks`)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import DataError
from sambench.pixels.region import Region, check_pixels

MOST_CROSSING = 8192  # edges
Polygon = npt.NDArray[np.int32]  # [N, 2], x and y of pixels


def integer_points(points_xy: Sequence[Sequence[float]], scale_xy: tuple[float, float] = (1.0, 1.0)) -> Polygon:
    """int32 [N, 2] of float points, scaled and then cut to integers towards zero, as a cast does."""
    with np.errstate(invalid="ignore"):  # what is no number becomes the lowest integer, for the caller to refuse
        return (np.asarray(points_xy, np.float64).reshape(-1, 2) * scale_xy).astype(np.int32)


def fill_even_odd(polygons: Sequence[Polygon], height: int, width: int, *, where: str = "") -> Region:
    """All polygons filled in one call of cv2.fillPoly: where two overlap is a hole, their outlines belong to the mask.

    Clipped to the frame; empty without points. Polygons without points are left out. Raises DataError naming `where` for a frame
    that is none, and where so many edges cross one row that OpenCV, which sorts them by exchange, would take minutes.
    """
    check_pixels(height, width, where or None)
    drawn = [p for p in polygons if len(p)]
    crossing = _most_crossing(drawn, height)
    if crossing > MOST_CROSSING:
        raise DataError(
            "an outline is too ragged to be filled",
            where=where or None,
            expected=f"at most {MOST_CROSSING:,} edges on one row of pixels",
            found=f"{crossing:,}, of {sum(map(len, drawn)):,} points",
        )
    empty = np.zeros((0, 0), np.uint8)
    if not drawn:
        return Region.from_window(empty, 0, 0, height, width)
    points = np.concatenate(drawn)
    (x0, y0), (x1, y1) = np.clip(points.min(0), 0, None), np.minimum(points.max(0) + 1, (width, height))
    if x0 >= x1 or y0 >= y1:
        return Region.from_window(empty, 0, 0, height, width)
    window = np.zeros((int(y1 - y0), int(x1 - x0)), np.uint8)
    cv2.fillPoly(window, drawn, (1,), offset=(-int(x0), -int(y0)))
    return Region.from_window(window, int(y0), int(x0), height, width)


def _most_crossing(polygons: Sequence[Polygon], height: int) -> int:
    """The number of edges that cross the row which most of them cross."""
    if sum(map(len, polygons)) <= MOST_CROSSING:
        return 0
    change = np.zeros(height + 1, np.int64)
    for p in polygons:
        ends = np.clip(np.stack([p[:, 1], np.roll(p[:, 1], -1)]), 0, height)
        np.add.at(change, ends.min(0), 1)
        np.add.at(change, ends.max(0), -1)
    return int(np.cumsum(change).max())
