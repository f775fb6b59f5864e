"""Label maps: integer arrays in which every distinct value is one object."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.pixels.region import Region

_DENSE = 1 << 17  # a range of values up to this is counted directly, a wider one is sorted


def values_of(labels: npt.NDArray[Any]) -> list[int]:
    """The distinct values of an integer array, ascending."""
    if not labels.size:
        return []
    low = int(labels.min())
    if int(labels.max()) - low > _DENSE:
        return [int(v) for v in np.unique(labels)]
    return [int(v) + low for v in np.flatnonzero(np.bincount(labels.ravel().astype(np.int64) - low))]


def regions_of(labels: npt.NDArray[Any], skip: Collection[int] = ()) -> dict[int, Region]:
    """The pixels of every distinct value of labels [H, W] but those of `skip`, by value, ascending."""
    from scipy.ndimage import find_objects

    height, width = labels.shape
    values = values_of(labels)
    if not values:
        return {}
    if values[-1] - values[0] > _DENSE:
        compact = np.searchsorted(values, labels).astype(np.int32) + 1
        index_of = {v: i for i, v in enumerate(values)}
    else:
        compact = (labels.astype(np.int64) - (values[0] - 1)).astype(np.int32)
        index_of = {v: v - values[0] for v in values}
    windows = find_objects(compact)
    out = {}
    for value in values:
        if value in skip:
            continue
        rows, cols = windows[index_of[value]]
        out[value] = Region.from_window(labels[rows, cols] == value, rows.start, cols.start, height, width)
    return out
