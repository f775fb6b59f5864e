"""The compiled part of `sambench.metrics.proposals`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sambench.pixels.jit import jit


@jit
def greedy(
    ious: npt.NDArray[np.float64],
    rank_of: npt.NDArray[np.int64],
    members: npt.NDArray[np.int64],
    thresholds: npt.NDArray[np.float64],
    ranks: npt.NDArray[np.int32],
) -> None:
    """Fill ranks [T, G] at the columns `members`; row d of ious is the proposal of rank rank_of[d]."""
    for t in range(len(thresholds)):
        for d in range(len(ious)):
            best = thresholds[t]
            taken = -1
            for g in members:
                if ranks[t, g] < 0 and ious[d, g] >= best:  # of equal IoUs the later object, as COCO's
                    best = ious[d, g]
                    taken = g
            if taken >= 0:
                ranks[t, taken] = rank_of[d]
