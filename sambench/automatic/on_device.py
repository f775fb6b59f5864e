"""Automatic masks whose candidates stay on the model's device: filtered by what is measured there, and written down once chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sambench.automatic.crops import Crop
from sambench.automatic.outlines import Box, Candidate, Outline
from sambench.device.candidates import Candidates, Measured
from sambench.device.masks import TensorMasks
from sambench.device.outlines import outlines_of
from sambench.pixels.region import RLE
from sambench.types import Prediction

MOST_BYTES = 1 << 30  # of masks on the device; older ones are reduced to RLE


@dataclass(frozen=True)
class OnDevice:
    """Number `index` of candidates that were measured together, on one crop."""

    together: Candidates
    index: int

    @property
    def measured(self) -> Measured:
        """Box in the crop's pixels, area and stability."""
        return self.together.measured[self.index]


def measured(predictions: Sequence[Prediction], wanted: Sequence[tuple[int, int]], offset: float) -> list[OnDevice] | None:
    """The candidates of (prediction, candidate), in order; None where their masks do not lie on a device."""
    asked = [(predictions[k].masks, i) for k, i in wanted]
    on_device = [(m, i) for m, i in asked if isinstance(m, TensorMasks)]
    if not asked or len(on_device) < len(asked):
        return None
    together = Candidates(on_device, offset)
    return [OnDevice(together, k) for k in range(len(asked))]


class Budget:
    """Keeps what is held on the device within MOST_BYTES."""

    def __init__(self) -> None:
        self._groups: list[Candidates] = []

    def keep(self, passing: Sequence[OnDevice]) -> None:
        """Of candidates that were just measured these alone are held on."""
        if passing:
            together = passing[0].together
            together.keep([p.index for p in passing])
            self._groups.append(together)
        for group in self._groups[:-1]:
            if sum(g.held_bytes for g in self._groups) <= MOST_BYTES:
                break
            group.reduce()

    def chosen(self, kept: Sequence[OnDevice]) -> None:
        """What suppression left."""
        for group in self._groups:
            group.keep([p.index for p in kept if p.together is group])


def rles(found: Sequence[tuple[OnDevice, Crop]], size: tuple[int, int]) -> list[RLE]:
    """The masks in the whole image of (height, width), in order."""
    groups: dict[int, tuple[Candidates, Crop, list[int]]] = {}
    for held, crop in found:
        groups.setdefault(id(held.together), (held.together, crop, []))[2].append(held.index)
    counts = {key: g.counts(wanted, (crop.y0, crop.x0), size) for key, (g, crop, wanted) in groups.items()}
    return [{"size": list(size), "counts": counts[id(held.together)][held.index]} for held, _ in found]


def boxes_on_device(predictions: Sequence[Prediction]) -> list[dict[int, Box]] | None:
    """Boxes of the candidates that are not empty, by prediction and candidate; None where the masks do not lie on a device."""
    asked = [(k, i) for k, p in enumerate(predictions) for i in range(len(p.masks))]
    on_device = measured(predictions, asked, 0.0)
    if on_device is None:
        return None
    out: list[dict[int, Box]] = [{} for _ in predictions]
    for (k, i), found in zip(asked, on_device, strict=True):
        if found.measured.area_px:
            out[k][i] = found.measured.box_xyxy
    return out


def outline_on_device(candidates: Sequence[Candidate]) -> None:
    """Reduce those whose masks lie on a device to their outlines."""
    there = [(c, c.masks) for c in candidates if isinstance(c.masks, TensorMasks)]
    if not there:
        return
    boxes = np.array([c.box_xyxy for c, _ in there], np.int64)
    for (c, _), points in zip(there, outlines_of([(m, c.index) for c, m in there], boxes), strict=True):
        c.made, c.masks = Outline(*points), None
