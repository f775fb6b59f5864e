"""The thinning loop, compiled. Imported only when a map is thinned: it loads numba."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sambench.pixels.jit import jit
from sambench.types import UInt8Array

INTERIOR = 255  # all eight neighbours set: never deletable


@jit
def thin_kernel(mask: UInt8Array, steps: npt.NDArray[np.int64], deletable: UInt8Array) -> None:
    """Thin `mask` in place: uint8 0 / 1, flat, with a border of zeros of one pixel; `steps` [8] to the neighbours.

    Only pixels whose neighbourhood changed since a sub-iteration last saw them can become deletable in it, so each
    sub-iteration has a queue of those and looks at nothing else.
    """
    code = np.zeros(mask.size, np.uint8)
    waiting = np.zeros(mask.size, np.uint8)  # bit s: in the queue of sub-iteration s
    set_pixels = np.flatnonzero(mask)
    queue = np.empty((2, set_pixels.size), np.int64)
    n_queued = np.zeros(2, np.int64)
    doomed = np.empty(set_pixels.size, np.int64)
    for p in set_pixels:
        for i in range(8):
            code[p] |= mask[p + steps[i]] << i
        if code[p] != INTERIOR:
            waiting[p] = 3
            for s in range(2):
                queue[s, n_queued[s]] = p
                n_queued[s] += 1
    while n_queued[0] + n_queued[1] > 0:
        for s in range(2):
            bit = 1 << s
            n_doomed = 0
            for k in range(n_queued[s]):
                p = queue[s, k]
                waiting[p] &= ~bit
                if mask[p] and deletable[code[p]] & bit:
                    doomed[n_doomed] = p
                    n_doomed += 1
            n_queued[s] = 0
            for k in range(n_doomed):
                mask[doomed[k]] = 0
            for k in range(n_doomed):
                for i in range(8):
                    q = doomed[k] + steps[i]
                    if not mask[q]:
                        continue
                    code[q] &= ~(1 << ((i + 4) % 8))  # the deleted pixel, seen from the other side
                    for other in range(2):
                        if not waiting[q] & (1 << other):
                            waiting[q] |= 1 << other
                            queue[other, n_queued[other]] = q
                            n_queued[other] += 1
