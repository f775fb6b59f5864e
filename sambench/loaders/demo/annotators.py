"""Boundaries of the demo scenes as several people would draw them, for the edge task: simulated, and the same on every machine.

Each annotator draws the outlines of the things that are large enough to bother, every outline off by at most a pixel, and of two
things that touch the one in front. They disagree as people do: about small things, and about where exactly an edge is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sambench.provenance import keyed_hash
from sambench.types import BoolArray, Instance

MAX_DIST = 0.0075  # of the diagonal, as BSDS500 has it
# The smallest thing that an annotator draws, in pixels.
SMALLEST = (12, 48, 160, 500)


def boundaries(instances: Sequence[Instance], height: int, width: int) -> tuple[BoolArray, ...]:
    """One bool [height, width] map an annotator, its lines one pixel wide (8-connected)."""
    return tuple(_outlines(_painted(instances, height, width, a)) for a in range(len(SMALLEST)))


def _painted(instances: Sequence[Instance], height: int, width: int, annotator: int) -> np.ndarray:
    """int32 [H, W]: 0 is ground, higher numbers lie in front: the smaller of two things, as a window on its house."""
    labels = np.zeros((height, width), np.int32)
    drawn = [i for i in instances if i.region.area >= SMALLEST[annotator]]
    for number, instance in enumerate(sorted(drawn, key=lambda i: (-i.region.area, i.object_id)), 1):
        off = keyed_hash("annotator", str(annotator), instance.object_id)
        dy, dx = off % 3 - 1, off // 3 % 3 - 1
        y, x = np.nonzero(instance.region.cut(instance.region.window))
        y, x = y + instance.region.window[0] + dy, x + instance.region.window[1] + dx
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        labels[y[inside], x[inside]] = number
    return labels


def _outlines(labels: np.ndarray) -> BoolArray:
    """Pixels beside one that lies further back (4 neighbours): each edge once, on the side of the thing in front."""
    edge = np.zeros(labels.shape, np.bool_)
    edge[:, 1:] |= labels[:, 1:] > labels[:, :-1]
    edge[:, :-1] |= labels[:, :-1] > labels[:, 1:]
    edge[1:] |= labels[1:] > labels[:-1]
    edge[:-1] |= labels[:-1] > labels[1:]
    return edge
