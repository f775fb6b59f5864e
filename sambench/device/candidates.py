"""Many candidates of one crop measured together on the device, and held there as masks until suppression has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sambench.device.copies import to_device
from sambench.device.masks import TensorMasks
from sambench.device.runs import rle_counts
from sambench.device.windows import Stack, logits_on, low_res_of, stacks, windows_above

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Measured:
    """Of one candidate. box_xyxy: inclusive pixels, zeros where empty. stability: IoU of the masks at plus and minus an offset.

    NaN where both are empty.
    """

    box_xyxy: Box
    area_px: int
    stability: float


@dataclass
class _Held:
    """A stack of masks, bool [n, h, w]; once it is reduced their counts alone, by number."""

    stack: Stack
    masks: Tensor | None
    counts: dict[int, bytes]


class Candidates:
    """Candidates of prompts on one image (or crop), as `measured`; numbered in the order in which they are given."""

    def __init__(self, asked: Sequence[tuple[TensorMasks, int]], offset: float) -> None:
        """asked: (masks, candidate), all of one image. offset: of the logits, for stability."""
        geometry = asked[0][0].geometry
        self.size = geometry.size
        self.measured = [Measured((0, 0, 0, 0), 0, float("nan"))] * len(asked)
        self._held: list[_Held] = []
        with torch.inference_mode():
            low = low_res_of(asked)
            # Outputs beyond these windows see no logit above minus the offset, and are not above it either.
            for stack in stacks(windows_above(low, geometry, -offset), self.size, low.device):
                values = logits_on(low, stack, geometry)
                masks = values > 0
                self._measure(stack, masks, [(values > edge).sum((1, 2), dtype=torch.int32) for edge in (offset, -offset)])
                self._held.append(_Held(stack, masks, {}))

    def _measure(self, stack: Stack, masks: Tensor, inner_outer: Sequence[Tensor]) -> None:
        rows, cols = masks.any(dim=2), masks.any(dim=1)
        first = [seen.byte().argmax(dim=1) for seen in (cols, rows)]  # the first of equals
        last = [seen.shape[1] - 1 - seen.flip(1).byte().argmax(dim=1) for seen in (cols, rows)]
        numbers = torch.stack([masks.sum((1, 2), dtype=torch.int32), *inner_outer, *first, *last], 1).tolist()
        for k, x0, y0, values in zip(stack.members.tolist(), stack.x0.tolist(), stack.y0.tolist(), numbers, strict=True):
            area, inner, outer, left, top, right, bottom = values
            box = (x0 + left, y0 + top, x0 + right, y0 + bottom) if area else (0, 0, 0, 0)
            stability = float(np.float32(inner) / np.float32(outer)) if outer else float("nan")
            self.measured[k] = Measured(box, area, stability)

    @property
    def held_bytes(self) -> int:
        """What the masks take on the device."""
        return sum(h.masks.numel() for h in self._held if h.masks is not None)

    def keep(self, wanted: Sequence[int]) -> None:
        """The others will not be asked for."""
        with torch.inference_mode():
            for held in self._held:
                here = np.flatnonzero(np.isin(held.stack.members, wanted))
                if held.masks is not None and len(here) < len(held.stack.members):
                    held.stack = held.stack.only(here)
                    held.masks = held.masks[to_device(here, held.masks.device)]

    def reduce(self) -> None:
        """Hold RLE on the host instead of masks on the device."""
        for held in self._held:
            if held.masks is not None:
                held.counts = dict(zip(held.stack.members.tolist(), self._counts(held, (0, 0), self.size), strict=True))
                held.masks = None

    def counts(self, wanted: Sequence[int], corner_yx: tuple[int, int], size: tuple[int, int]) -> dict[int, bytes]:
        """COCO's compressed counts of candidates by number, in an image of (height, width) where theirs lies at `corner_yx`."""
        from sambench.pixels.region import Region

        self.keep(wanted)
        out: dict[int, bytes] = {}
        for held in self._held:
            if held.masks is not None:
                out |= zip(held.stack.members.tolist(), self._counts(held, corner_yx, size), strict=True)
                continue
            for k in set(held.counts) & set(wanted):
                part = Region.from_rle({"size": list(self.size), "counts": held.counts[k]})
                whole = Region(part.y0 + corner_yx[0], part.x0 + corner_yx[1], part.array, *size)
                out[k] = whole.rle()["counts"]
        empty = Region.from_array(np.zeros(size, np.bool_)).rle()["counts"] if len(out) < len(set(wanted)) else b""
        return {k: out.get(k, empty) for k in wanted}

    def _counts(self, held: _Held, corner_yx: tuple[int, int], size: tuple[int, int]) -> list[bytes]:
        assert held.masks is not None
        with torch.inference_mode():
            moved = replace(held.stack, y0=held.stack.y0 + corner_yx[0], x0=held.stack.x0 + corner_yx[1])
            return rle_counts(held.masks, moved, size)


def counts_of(asked: Sequence[tuple[TensorMasks, int]]) -> list[bytes]:
    """COCO's compressed counts of candidates of one image, in order."""
    found = Candidates(asked, 0.0)
    counts = found.counts(range(len(asked)), (0, 0), found.size)
    return [counts[k] for k in range(len(asked))]
