"""One object between two clicks, and the image that all its objects share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sambench.device.copies import to_device
from sambench.errors import ModelError
from sambench.models.clicks.coding import Clicks, disk_maps
from sambench.models.clicks.probs import ProbMap, resize
from sambench.models.clicks.zoom import View, limited
from sambench.pixels.region import Region
from sambench.types import Prompt, UInt8Array, Window


@dataclass(frozen=True, eq=False)
class ClickImage:
    """rgb float32 [3, H, W] in [0, 1], not normalised, on the model's device."""

    rgb: Tensor
    height: int
    width: int

    @classmethod
    def of(cls, image: UInt8Array, device: torch.device, *, model: str) -> ClickImage:
        """image uint8 [H, W, 3] RGB. Raises ModelError for anything else."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ModelError(
                f"{model} got an image that it can't read",
                expected="uint8 [H, W, 3], RGB",
                found=f"{image.dtype} {list(image.shape)}",
            )
        pixels = to_device(image.transpose(2, 0, 1), device)
        return cls(pixels.float().div_(255), image.shape[0], image.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    def crop(self, window: Window | None) -> Tensor:
        """float32 [3, h, w], a view."""
        if window is None:
            return self.rgb
        return self.rgb[:, window.y0 : window.y1, window.x0 : window.x1]


@dataclass(frozen=True, eq=False)
class Memory:
    """What a click leaves for the next: the carry of all click models.

    probs: the previous probability map. mask: what zoom-in takes for the previous mask, None before the first click (then an
    initial mask may stand in `probs`). stored: zoom-in's window. merging: whether masks are merged progressively (FocalClick).
    """

    probs: ProbMap
    mask: Region | None
    stored: Window | None
    merging: bool = False


def memory_of(prompt: Prompt, image: ClickImage, *, model: str) -> Memory | None:
    """The prompt's carry: a Memory, an initial mask (a Region), or None. Raises ModelError for others, or one of another image."""
    carry = prompt.carry
    if carry is None:
        return None
    if isinstance(carry, Region) and (carry.height, carry.width) == image.size:
        return Memory(ProbMap.of_region(carry, image.rgb.device), None, None, merging=True)
    if isinstance(carry, Memory) and (carry.probs.height, carry.probs.width) == image.size:
        return carry
    raise ModelError(
        f"{model} can't read a prompt's carry",
        expected="an entry of its own Prediction.carry, or an initial mask (a sambench.pixels.region.Region), of this image",
        found=type(carry).__name__,
    )


def limit(view: View, max_side: int | None) -> View:
    """The view with the network's input limited to `max_side` pixels on its longer side (None: not)."""
    if max_side is None or max(view.size) <= max_side:
        return view
    return View(view.window, limited(*view.size, max_side), view.target, view.stored)


def network_input(image: ClickImage, memory: Memory | None, view: View) -> Tensor:
    """float32 [4, h, w]: RGB in [0, 1] and the previous probabilities of what is seen, resized together."""
    rgb = image.crop(view.window)
    previous = torch.zeros_like(rgb[0]) if memory is None else memory.probs.crop(view.window)
    return resize(torch.cat([rgb, previous[None]])[None], view.size)[0]


def network_clicks(clicks: Clicks, view: View, size: tuple[int, int]) -> Clicks:
    """The clicks in the pixels of what is seen. size: (height, width) of the image."""
    if view.window is None and view.size == size:
        return clicks
    return clicks.into(view.window or Window(0, 0, *size), view.size)


def disks(clicks: Sequence[Clicks], size: tuple[int, int], radius: int, device: torch.device) -> Tensor:
    """float32 [B, 2, h, w]; see `disk_maps`. On a GPU drawn there: maps are large, and clicks few."""
    if device.type == "cpu":
        return torch.from_numpy(disk_maps(clicks, size, radius))
    return disks_on(clicks, size, radius, device)


def disks_on(clicks: Sequence[Clicks], size: tuple[int, int], radius: int, device: torch.device) -> Tensor:
    """As `disks`, by arithmetic on whole maps: a click of every map at a time, in the same float32 steps."""
    most = max(len(c) for c in clicks)
    table = np.full((most, 3, len(clicks)), -1, np.float32)  # y, x and channel of each map's click; absent: all negative
    for i, one in enumerate(clicks):
        table[: len(one), :, i] = np.concatenate([one.yx, ~one.positive[:, None]], axis=1)
        table[: len(one), 2, i][one.yx.astype(np.float32).max(axis=1) < 0] = -1
    there = to_device(table, device)
    y, x = (torch.arange(n, dtype=torch.float32, device=device) for n in size)
    channel = torch.arange(2, dtype=torch.float32, device=device)
    out = torch.zeros((len(clicks), 2, *size), dtype=torch.bool, device=device)
    for at in there:
        dy, dx = y - at[0, :, None], x - at[1, :, None]
        near = (dy * dy)[:, :, None] + (dx * dx)[:, None, :] <= radius * radius
        out |= near[:, None] & (at[2, :, None] == channel)[:, :, None, None]
    return out.float()


def chunks(views: Sequence[View], max_pixels: int | None) -> Iterator[list[int]]:
    """Indices of views of one size, that go through the network together: one at a time if max_pixels is None, else as many as
    have that many pixels together (at least one).
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for i, view in enumerate(views):
        by_size.setdefault(view.size, []).append(i)
    for (h, w), indices in by_size.items():
        step = 1 if max_pixels is None else max(1, max_pixels // (h * w))
        for start in range(0, len(indices), step):
            yield indices[start : start + step]


def autocast(device: torch.device, precision: str) -> Any:
    """The context that the network runs in: bfloat16 where the precision is 'bf16'; elsewhere float32 throughout."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
