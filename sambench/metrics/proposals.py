"""Average recall of ranked class-agnostic masks (Segment Anything, section 7.3; protocol section 3), image by image.

Matching is COCO's: proposals in the order of their scores, each takes the object of the highest IoU that is still free and reaches
the threshold, one to one, for each of ten thresholds. An object group (small, rare, ...) is matched against that group alone, so
that a proposal never spends itself on an object that does not count. What is kept of an object is the rank of the proposal that
found it, by threshold: recall at any number of proposals follows, and images can be forgotten one after another.

Equal to pycocotools' `COCOeval` with `useCats = 0`, whose area ranges this has, both ends included: an object of exactly 32 x 32
pixels counts as small and as medium there and here. Crowds take part in no recall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sambench.pixels.region import RLE
from sambench.types import BoolArray

Ranks = npt.NDArray[np.int32]

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # pycocotools' own values: .6000000000000001 is one of them
UNMATCHED = -1
ALL = "all"
AREA_SETS = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}  # px, both ends included
FREQUENCY_SETS = {"frequent": "f", "common": "c", "rare": "r"}  # LVIS: in more than 100, 11 to 100, up to 10 training images
SETS = (ALL, *AREA_SETS, *FREQUENCY_SETS)


def reference_sets(areas_px: Sequence[float] | npt.NDArray[Any], frequencies: Sequence[str | None]) -> dict[str, BoolArray]:
    """Which of G objects are in each of SETS: bool [G] by name.

    areas_px: as the dataset counts them. frequencies: `f`, `c`, `r`, or None or "" where the dataset has none; such an object is in
    no frequency set.
    """
    area = np.asarray(areas_px, np.float64).reshape(-1)
    sets = {ALL: np.ones(len(area), np.bool_)}
    sets |= {name: (area >= low) & (area <= high) for name, (low, high) in AREA_SETS.items()}
    held = np.array([f or "" for f in frequencies], dtype=np.str_)
    return sets | {name: held == letter for name, letter in FREQUENCY_SETS.items()}


def mask_ious(proposals: Sequence[RLE], objects: Sequence[RLE]) -> npt.NDArray[np.float64]:
    """float64 [D, G] of COCO compressed RLEs of one image, in pycocotools' C."""
    if not proposals or not objects:
        return np.zeros((len(proposals), len(objects)))
    return np.asarray(coco_mask.iou(list(proposals), list(objects), [0] * len(objects)), np.float64)


def match_ranks(
    ious: npt.NDArray[np.float64], sets: Mapping[str, BoolArray], thresholds: npt.NDArray[np.float64] = THRESHOLDS
) -> dict[str, Ranks]:
    """For each set, int32 [T, G]: the rank (from 0) of the proposal that found an object at a threshold, UNMATCHED if none did.

    ious float64 [D, G], proposals by falling score. Outside a set an object is UNMATCHED.
    """
    n_objects = ious.shape[1]
    least = np.minimum(thresholds, 1 - 1e-10)  # COCO's: an IoU of 1 is reached
    useful = np.flatnonzero((ious >= least.min()).any(axis=1)) if n_objects else np.zeros(0, np.int64)
    near = np.ascontiguousarray(ious[useful], np.float64)
    from sambench.metrics._proposal_match import greedy  # compiles, which tables and plots need not wait for

    out = {}
    for name, member in sets.items():
        ranks = np.full((len(thresholds), n_objects), UNMATCHED, np.int32)
        index = np.flatnonzero(member)
        if len(useful) and len(index):
            greedy(near, useful, index, least, ranks)
        out[name] = ranks
    return out


def recalled(ranks: npt.NDArray[np.int32], max_dets: int) -> npt.NDArray[np.float64]:
    """Share of the T thresholds at which an object is found among the first `max_dets` proposals: [T, ...] -> float64 [...]."""
    return np.asarray(((ranks >= 0) & (ranks < max_dets)).mean(axis=0), np.float64)


class AverageRecall:
    """Average recall over images that come one after another; holds a count for each set, threshold and `max_dets`."""

    def __init__(self, max_dets: Sequence[int] = (1, 10, 100, 1000), thresholds: npt.NDArray[np.float64] = THRESHOLDS) -> None:
        self.max_dets, self.thresholds = tuple(max_dets), thresholds
        self.found = {name: np.zeros((len(thresholds), len(self.max_dets)), np.int64) for name in SETS}
        self.n_objects = dict.fromkeys(SETS, 0)

    def add(
        self,
        proposals: Sequence[RLE],
        objects: Sequence[RLE],
        areas_px: Sequence[float],
        frequencies: Sequence[str | None] | None = None,
    ) -> None:
        """One image: proposals by falling score (those beyond the largest `max_dets` do not count), objects in any order."""
        sets = reference_sets(areas_px, frequencies or [None] * len(objects))
        ranks = match_ranks(mask_ious(proposals[: max(self.max_dets)], objects), sets, self.thresholds)
        for name, member in sets.items():
            self.n_objects[name] += int(member.sum())
            for k, most in enumerate(self.max_dets):
                self.found[name][:, k] += ((ranks[name] >= 0) & (ranks[name] < most)).sum(axis=1)

    def value(self, name: str = ALL, max_dets: int | None = None) -> float:
        """AR in [0, 1] of a set at one of `max_dets` (default: the largest); NaN where the set has no object."""
        k = self.max_dets.index(max(self.max_dets) if max_dets is None else max_dets)
        n = self.n_objects[name]
        return float(np.mean(self.found[name][:, k] / n)) if n else float("nan")
