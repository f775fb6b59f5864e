"""The field's clicker, written plainly: whole-frame distance transforms."""

from __future__ import annotations

import cv2
import numpy as np


def plain_next_click(gt: np.ndarray, mask: np.ndarray, clicked: list[tuple[int, int, bool]]) -> tuple[int, int, bool]:
    """Full-frame transforms of both error regions, deepest pixel, as the field's clickers do it."""
    depth = {}
    for positive, region in ((True, gt & ~mask), (False, ~gt & mask)):
        padded = np.pad(region.astype(np.uint8), 1)
        d = cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1].astype(np.float64)
        squared = np.rint(d * d)
        for x, y, _ in clicked:
            squared[y, x] = 0
        depth[positive] = squared
    positive = bool(depth[True].max() > depth[False].max())
    y, x = np.unravel_index(np.argmax(depth[positive]), gt.shape)
    return int(x), int(y), positive
