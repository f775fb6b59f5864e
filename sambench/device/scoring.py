"""Objects of one image and the masks that answer them, compared on the device: overlaps, RLE, and the deepest errors.

The host's way is `sambench.pixels` and `sambench.prompts`, object by object. Here the objects lie on the device as one byte a pixel
of their windows, the answers are brought to windows together (`windows`), and only counts, runs and clicks come back. Counts are
exact integers: where the masks agree, so does every number made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sambench.device.depth import deepest_of
from sambench.device.erosion import eroded
from sambench.device.masks import TensorMasks
from sambench.device.runs import rle_counts
from sambench.device.windows import Stack, logits_on, low_res_of, stacks, windows_above
from sambench.pixels.depth import Deepest
from sambench.pixels.region import Region

XY = tuple[int, int]


class Objects:
    """Annotated objects of one image on the device, with their boundaries.

    regions: none is empty. widths: of boundaries, in pixels, at most seven. ignore: pixels that count nowhere, or None.
    """

    def __init__(
        self, regions: Sequence[Region], widths: Sequence[int], ignore: Region | None, device: torch.device | str
    ) -> None:
        self.device = torch.device(device)
        self.widths = tuple(widths)
        self.size = (regions[0].height, regions[0].width)
        self.windows = np.array([r.window for r in regions], np.int64).reshape(-1, 4)
        areas = np.array([r.array.size for r in regions], np.int64)
        packed = np.concatenate([r.array.view(np.uint8).ravel() for r in regions])
        self._start = torch.from_numpy(np.cumsum(areas) - areas).to(self.device)
        self._window = torch.from_numpy(self.windows).to(self.device)
        self._codes = torch.from_numpy(packed).to(self.device)
        self._ignore = torch.from_numpy(ignore.full()).to(self.device) if ignore is not None and ignore.area else None
        self._mark_boundaries()

    def _mark_boundaries(self) -> None:
        """Bit 0 of a pixel's byte: of the object; bit i + 1: of its boundary of width i."""
        for stack in stacks(self.windows, self.size, self.device):
            which = torch.from_numpy(stack.members).to(self.device)
            at, inside = self._places(which, stack)
            mask = (self._codes[at] & 1).bool() & inside
            codes = mask.to(torch.uint8)
            for i, rim in enumerate(boundaries(mask, self.widths)):
                codes |= rim.to(torch.uint8) << (i + 1)
            self._codes[at[mask]] = codes[mask]

    def on(self, which: Tensor, stack: Stack) -> Tensor:
        """uint8 [n, h, w]: the codes of objects `which`, int64 [n], on a stack's windows."""
        at, inside = self._places(which, stack)
        return self._codes[at] * inside

    def counted(self, stack: Stack) -> Tensor | None:
        """bool [n, h, w]: pixels that are not ignored; None where none of the image is."""
        if self._ignore is None:
            return None
        return ~self._ignore[stack.rows()[:, :, None], stack.columns()[:, None, :]]

    def _places(self, which: Tensor, stack: Stack) -> tuple[Tensor, Tensor]:
        """Where the codes of a stack's pixels stand, int64 [n, h, w], and whether they do; else the place is any."""
        window = self._window[which]
        y, x = stack.rows() - window[:, :1], stack.columns() - window[:, 1:2]
        height, width = window[:, 2:3] - window[:, :1], window[:, 3:] - window[:, 1:2]
        tall, wide = (y >= 0) & (y < height), (x >= 0) & (x < width)
        row = torch.where(tall, y * width, 0) + self._start[which][:, None]
        return row[:, :, None] + torch.where(wide, x, 0)[:, None, :], tall[:, :, None] & wide[:, None, :]

    def deepest(self) -> list[Deepest | None]:
        """Of each object the deepest pixel that is not ignored, in pixels of the image; None where all of it is."""
        out: list[Deepest | None] = [None] * len(self.windows)
        for stack in stacks(self.windows, self.size, self.device):
            codes = self.on(torch.from_numpy(stack.members).to(self.device), stack)
            counted = self.counted(stack)
            free = (codes & 1).bool() if counted is None else (codes & 1).bool() & counted
            for k, found in zip(stack.members.tolist(), _placed(deepest_of(free), stack), strict=True):
                out[k] = found
        return out


def boundaries(masks: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """bool [n, h, w] for each width: pixels of the masks within it (chessboard) of the outside; as `pixels.region.boundary`."""
    found: dict[int, Tensor] = {}
    inner, done = masks, 0
    for width in sorted(set(widths)):
        inner, done = eroded(inner, width - done), width
        found[width] = masks & ~inner
    return [found[w] for w in widths]


def _placed(found: Sequence[Deepest | None], stack: Stack) -> list[Deepest | None]:
    """Pixels of a stack's windows as pixels of the image."""
    y0, x0 = stack.y0.tolist(), stack.x0.tolist()
    return [None if d is None else Deepest(d.depth_sq, d.y + y0[i], d.x + x0[i]) for i, d in enumerate(found)]


@dataclass(frozen=True)
class Asked:
    """A candidate as the answer for an object. object: its index in `Objects`."""

    object: int
    masks: TensorMasks
    candidate: int


class Answers:
    """Candidates on windows that hold them and the objects that they answer; kept on the device while this is."""

    def __init__(self, objects: Objects, asked: Sequence[Asked]) -> None:
        self.objects = objects
        self._which = torch.tensor([a.object for a in asked], device=objects.device)
        low = low_res_of([(a.masks, a.candidate) for a in asked])
        geometry = asked[0].masks.geometry
        windows = _cover(windows_above(low, geometry, 0.0), objects.windows[[a.object for a in asked]])
        self._stacks = stacks(windows, objects.size, objects.device)
        self._masks = [logits_on(low, stack, geometry) > 0 for stack in self._stacks]
        self._n = len(asked)

    @cached_property
    def overlaps(self) -> npt.NDArray[np.int64]:
        """[n, 1 + widths, 2]: pixels in both and in either, of the masks and then of their boundaries; ignored ones in neither."""
        out = np.zeros((self._n, 1 + len(self.objects.widths), 2), np.int64)
        for stack, mask in zip(self._stacks, self._masks, strict=True):
            codes, counted = self._codes(stack), self.objects.counted(stack)
            counts = []
            for bit, ours in enumerate([mask, *boundaries(mask, self.objects.widths)]):
                theirs = (codes & (1 << bit)).bool()
                both, either = ours & theirs, ours | theirs
                if counted is not None:
                    both, either = both & counted, either & counted
                counts += [both.sum((1, 2)), either.sum((1, 2))]
            out[stack.members] = torch.stack(counts, 1).view(len(mask), -1, 2).cpu().numpy()
        return out

    def ious(self) -> npt.NDArray[np.float64]:
        """[n, 1 + widths], in [0, 1]: of the masks, and of their boundaries; 0 where the union is empty."""
        both, either = self.overlaps[..., 0], self.overlaps[..., 1]
        return np.divide(both, either, out=np.zeros(both.shape, np.float64), where=either > 0)

    def counts(self, wanted: Sequence[int]) -> list[bytes]:
        """COCO's compressed counts of the candidates of these numbers."""
        found: dict[int, bytes] = {}
        for stack, mask, here in self._chosen(wanted):
            found |= zip(stack.members.tolist(), rle_counts(mask, stack, self.objects.size), strict=True)
            del here
        return [found[k] for k in wanted]

    def deepest_errors(
        self, wanted: Sequence[int], clicked: Sequence[Sequence[XY]]
    ) -> list[tuple[Deepest | None, Deepest | None]]:
        """Of the candidates of these numbers the deepest pixel that they miss, and that they have too much, but those clicked."""
        found: dict[int, tuple[Deepest | None, Deepest | None]] = {}
        points = dict(zip(wanted, clicked, strict=True))
        for stack, mask, here in self._chosen(wanted):
            theirs = (self._codes(stack) & 1).bool()
            errors = torch.cat([theirs & ~mask, mask & ~theirs])
            if (counted := self.objects.counted(stack)) is not None:
                errors &= torch.cat([counted, counted])
            deepest = deepest_of(errors, _in_stack(stack, [points[k] for k in here]))
            missed, excess = _placed(deepest[: len(here)], stack), _placed(deepest[len(here) :], stack)
            found |= zip(here, zip(missed, excess, strict=True), strict=True)
        return [found[k] for k in wanted]

    def _codes(self, stack: Stack) -> Tensor:
        return self.objects.on(self._which[torch.from_numpy(stack.members).to(self.objects.device)], stack)

    def _chosen(self, wanted: Sequence[int]) -> list[tuple[Stack, Tensor, list[int]]]:
        """The stacks less what is not wanted, with the masks and the numbers of those that are."""
        out = []
        for stack, mask in zip(self._stacks, self._masks, strict=True):
            here = np.flatnonzero(np.isin(stack.members, wanted))
            if len(here) == len(stack.members):
                out.append((stack, mask, stack.members.tolist()))
            elif len(here):
                at = torch.from_numpy(here).to(mask.device)
                part = Stack(stack.members[here], stack.y0[at], stack.x0[at], stack.height, stack.width)
                out.append((part, mask[at], part.members.tolist()))
        return out


def _in_stack(stack: Stack, points: Sequence[Sequence[XY]]) -> tuple[list[int], list[int], list[int]]:
    """Clicked pixels as places in the two error maps of each window: (map, y, x)."""
    n = len(points)
    y0, x0 = stack.y0.tolist(), stack.x0.tolist()
    places = [(k + shift, y - y0[k], x - x0[k]) for k in range(n) for x, y in points[k] for shift in (0, n)]
    which, y, x = (list(v) for v in zip(*places, strict=True)) if places else ([], [], [])
    return which, y, x


def _cover(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Windows [n, 4] that hold both, an empty a counting for nothing."""
    out = np.concatenate([np.minimum(a[:, :2], b[:, :2]), np.maximum(a[:, 2:], b[:, 2:])], axis=1)
    empty = (a[:, 0] == a[:, 2]) | (a[:, 1] == a[:, 3])
    out[empty] = b[empty]
    return out
