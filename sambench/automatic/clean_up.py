"""Small components and holes of automatic masks, as the paper treats them and as the released code does.

Components are 8-connected; a hole is a small component of what is not the mask, also one that the image's border closes.
"""

from __future__ import annotations

import numpy as np

from sambench.pixels.region import Region, components
from sambench.types import BoolArray, Window


def cleaned_as_paper(region: Region, min_area_px: int) -> tuple[Region, bool]:
    """Components below `min_area_px` removed (an empty mask, if there are no others), then holes below it filled.

    Returns the mask and whether it changed.
    """
    kept = _without_islands(region, min_area_px, keep_largest=False)
    filled = _without_holes(kept or region, min_area_px) if kept is None or kept.area else None
    return filled or kept or region, bool(filled or kept)


def cleaned_as_code(region: Region, min_area_px: int) -> tuple[Region, bool]:
    """Holes below `min_area_px` filled, then components below it removed, of which the largest stays if all are so small.

    Returns the mask and whether it changed.
    """
    filled = _without_holes(region, min_area_px)
    kept = _without_islands(filled or region, min_area_px, keep_largest=True)
    return kept or filled or region, bool(kept or filled)


def _without_islands(region: Region, min_area_px: int, *, keep_largest: bool) -> Region | None:
    """None if nothing is small."""
    labels, areas = components(region.array) if region.area else (np.zeros((0, 0), np.int32), np.zeros(0, np.int64))
    if not (areas < min_area_px).any():
        return None
    stays = areas >= min_area_px
    if keep_largest and not stays.any():
        stays[int(areas.argmax())] = True
    mask: BoolArray = np.concatenate(([False], stays))[labels]
    return Region.from_window(mask, region.y0, region.x0, region.height, region.width)


def _without_holes(region: Region, min_area_px: int) -> Region | None:
    """None if there is none."""
    if not region.area:
        return None
    # Around the mask so much of the rest that whatever goes on beyond is large already.
    y0, x0, y1, x1 = region.window
    window = Window(
        max(y0 - min_area_px, 0),
        max(x0 - min_area_px, 0),
        min(y1 + min_area_px, region.height),
        min(x1 + min_area_px, region.width),
    )
    mask = region.cut(window)
    labels, areas = components(~mask)
    small = areas < min_area_px
    if not small.any():
        return None
    mask |= np.concatenate(([False], small))[labels]
    return Region.from_window(mask, window.y0, window.x0, region.height, region.width)
