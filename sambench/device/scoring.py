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
import torch.nn.functional as F
from torch import Tensor

from sambench.device.copies import to_device
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
        self._ignore = to_device(ignore.full(), self.device) if ignore is not None and ignore.area else None
        self._stacks = stacks(self.windows, self.size, self.device)
        self._masks = [_drawn(regions, stack) for stack in self._stacks]
        # A pixel's code, one byte: bit 0, of the object; bit i + 1, of its boundary of width i. A ring of zeros is around a stack,
        # so that any pixel of the image is a place in it.
        self._bits = to_device(2 ** np.arange(1 + len(self.widths), dtype=np.uint8), self.device)[:, None, None, None]
        self.device = self._bits.device  # with its number, which `cuda` alone does not say
        self._codes = torch.cat([self._coded(masks).flatten() for masks in self._masks])
        self._at = np.zeros((len(regions), 5), np.int64)  # of each object: its first code, its stack's corner and size
        first = 0
        for stack in self._stacks:
            n, tall, wide = len(stack.members), stack.height, stack.width
            starts = first + np.arange(n) * (tall + 2) * (wide + 2)
            self._at[stack.members] = np.stack([starts, stack.y0, stack.x0, np.full(n, tall), np.full(n, wide)], axis=1)
            first += n * (tall + 2) * (wide + 2)

    def _coded(self, masks: Tensor) -> Tensor:
        """uint8 [n, h + 2, w + 2]."""
        parts = torch.stack([masks, *boundaries(masks, self.widths)])
        return F.pad((parts * self._bits).sum(0, dtype=torch.uint8), (1, 1, 1, 1))

    def on(self, which: npt.NDArray[np.int64], stack: Stack) -> Tensor:
        """uint8 [n, h, w]: the codes of objects `which`, int64 [n], on a stack's windows."""
        start, y0, x0, tall, wide = (column[:, None] for column in self._at[which].T)
        row = start + np.clip(stack.rows - y0 + 1, 0, tall + 1) * (wide + 2)
        at = to_device(np.concatenate([row, np.clip(stack.columns - x0 + 1, 0, wide + 1)], axis=1), self.device)
        return self._codes[at[:, : stack.height, None] + at[:, None, stack.height :]]

    def of(self, codes: Tensor) -> Tensor:
        """bool [1 + widths, n, h, w]: the objects, and their boundaries, of codes uint8 [n, h, w]."""
        return (codes & self._bits).bool()

    def counted(self, stack: Stack) -> Tensor | None:
        """bool [n, h, w]: pixels that are not ignored; None where none of the image is."""
        if self._ignore is None:
            return None
        rows, columns = stack.places
        return ~self._ignore[rows[:, :, None], columns[:, None, :]]

    def deepest(self) -> list[Deepest | None]:
        """Of each object the deepest pixel that is not ignored, in pixels of the image; None where all of it is."""
        out: list[Deepest | None] = [None] * len(self.windows)
        for stack, masks in zip(self._stacks, self._masks, strict=True):
            counted = self.counted(stack)
            free = masks if counted is None else masks & counted
            for k, found in zip(stack.members.tolist(), _placed(deepest_of(free), stack), strict=True):
                out[k] = found
        return out


def _drawn(regions: Sequence[Region], stack: Stack) -> Tensor:
    """bool [n, h, w] on the device: regions on a stack's windows, which hold them."""
    drawn = np.zeros((len(stack.members), stack.height, stack.width), np.bool_)
    for mask, k, y0, x0 in zip(drawn, stack.members.tolist(), stack.y0.tolist(), stack.x0.tolist(), strict=True):
        top, left, bottom, right = regions[k].window
        mask[top - y0 : bottom - y0, left - x0 : right - x0] = regions[k].array
    return to_device(drawn, stack.device)


def boundaries(masks: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """bool [n, h, w] for each width: pixels of the masks within it (chessboard) of the outside; as `pixels.region.boundary`."""
    found: dict[int, Tensor] = {}
    inner, done = masks, 0
    for width in sorted(set(widths)):
        inner, done = eroded(inner, width, done), width
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
        which = np.array([a.object for a in asked], np.int64)
        low = low_res_of([(a.masks, a.candidate) for a in asked])
        geometry = asked[0].masks.geometry
        windows = _cover(windows_above(low, geometry, 0.0), objects.windows[which])
        self._held = [
            _Held(stack, logits_on(low, stack, geometry) > 0, objects.on(which[stack.members], stack))
            for stack in stacks(windows, objects.size, objects.device)
        ]
        self._n = len(asked)

    @cached_property
    def overlaps(self) -> npt.NDArray[np.int64]:
        """[n, 1 + widths, 2]: pixels in both and in either, of the masks and then of their boundaries; ignored ones in neither."""
        out = np.zeros((self._n, 1 + len(self.objects.widths), 2), np.int64)
        for held in self._held:
            ours = torch.stack([held.masks, *boundaries(held.masks, self.objects.widths)])
            theirs, counted = self.objects.of(held.codes), self.objects.counted(held.stack)
            both, either = ours & theirs, ours | theirs
            if counted is not None:
                both, either = both & counted, either & counted
            # Without a type the sum is made of copies in eight bytes a pixel.
            counts = torch.stack([v.sum((2, 3), dtype=torch.int32) for v in (both, either)])
            out[held.stack.members] = counts.cpu().numpy().transpose(2, 1, 0)
        return out

    def ious(self) -> npt.NDArray[np.float64]:
        """[n, 1 + widths], in [0, 1]: of the masks, and of their boundaries; 0 where the union is empty."""
        both, either = self.overlaps[..., 0], self.overlaps[..., 1]
        return np.divide(both, either, out=np.zeros(both.shape, np.float64), where=either > 0)

    def counts(self, wanted: Sequence[int]) -> list[bytes]:
        """COCO's compressed counts of the candidates of these numbers."""
        found: dict[int, bytes] = {}
        for held in self._chosen(wanted):
            found |= zip(held.stack.members.tolist(), rle_counts(held.masks, held.stack, self.objects.size), strict=True)
        return [found[k] for k in wanted]

    def deepest_errors(
        self, wanted: Sequence[int], clicked: Sequence[Sequence[XY]]
    ) -> list[tuple[Deepest | None, Deepest | None]]:
        """Of the candidates of these numbers the deepest pixel that they miss, and that they have too much, but those clicked."""
        found: dict[int, tuple[Deepest | None, Deepest | None]] = {}
        points = dict(zip(wanted, clicked, strict=True))
        for held in self._chosen(wanted):
            here, theirs = held.stack.members.tolist(), (held.codes & 1).bool()
            errors = torch.cat([theirs > held.masks, theirs < held.masks])
            if (counted := self.objects.counted(held.stack)) is not None:
                errors &= counted.repeat(2, 1, 1)
            deepest = deepest_of(errors, _in_stack(held.stack, [points[k] for k in here]))
            missed, excess = _placed(deepest[: len(here)], held.stack), _placed(deepest[len(here) :], held.stack)
            found |= zip(here, zip(missed, excess, strict=True), strict=True)
        return [found[k] for k in wanted]

    def _chosen(self, wanted: Sequence[int]) -> list[_Held]:
        """What is held, less what is not wanted."""
        here = [(held, np.flatnonzero(np.isin(held.stack.members, wanted))) for held in self._held]
        return [held.only(which) for held, which in here if len(which)]


@dataclass(frozen=True)
class _Held:
    """A stack with its masks, bool [n, h, w], and the codes of the objects there, uint8 [n, h, w]."""

    stack: Stack
    masks: Tensor
    codes: Tensor

    def only(self, which: npt.NDArray[np.int64]) -> _Held:
        """Number `which` of it, ascending."""
        if len(which) == len(self.masks):
            return self
        at = to_device(which, self.masks.device)
        return _Held(self.stack.only(which), self.masks[at], self.codes[at])


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
