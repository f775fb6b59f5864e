"""Outlines filled as OpenCV does, for datasets whose authors rasterise theirs with it (COCO's rule is in `coco_masks`)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from sambench.masks import Region

Polygon = npt.NDArray[np.int32]  # [N, 2], x and y of pixels


def integer_points(points_xy: Sequence[Sequence[float]], scale_xy: tuple[float, float] = (1.0, 1.0)) -> Polygon:
    """int32 [N, 2] of float points, scaled and then cut to integers towards zero, as a cast does."""
    with np.errstate(invalid="ignore"):  # what is no number becomes the lowest integer, for the caller to refuse
        return (np.asarray(points_xy, np.float64).reshape(-1, 2) * scale_xy).astype(np.int32)


def fill_even_odd(polygons: Sequence[Polygon], height: int, width: int) -> Region:
    """All polygons filled in one call of cv2.fillPoly: where two overlap is a hole, their outlines belong to the mask.

    Clipped to the frame; empty without points. Polygons without points are left out.
    """
    drawn = [p for p in polygons if len(p)]
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
