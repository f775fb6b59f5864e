"""The pipeline of RITM and SimpleClick as a `Segmenter`: zoom-in, the network on the crop and its mirror image, paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sambench.errors import ModelError, unknown_name
from sambench.models.clicks.coding import Clicks
from sambench.models.clicks.probs import ProbMap, ProbMasks, regions_above
from sambench.models.clicks.session import (
    ClickImage,
    Memory,
    autocast,
    chunks,
    disks,
    limit,
    memory_of,
    network_clicks,
    network_input,
)
from sambench.models.clicks.zoom import View, ZoomIn
from sambench.types import Prediction, Prompt, UInt8Array

PRECISIONS = ("fp32", "bf16")


class ClickSegmenter:
    """A :class:`~sambench.types.Segmenter` around a click network.

    network: called with rgb [B, 3, h, w] in [0, 1] (it normalises itself), the previous probabilities [B, 1, h, w] and the
    click disks [B, 2, h, w]; gives logits [B, 1, h, w]. Its `disk_radius` is in pixels of that input. flip: the mirror image is
    seen too, and the two maps of logits averaged. cut: the mask is where the probability is above. max_side: of the network's
    input, in pixels (None: the authors' evaluation, which limits nothing). batched: whether inputs of one size go through the
    network together, `batch_pixels` at a time; so on a GPU, while on a CPU one by one is as fast and takes less memory.

    One candidate a prompt. These methods don't rate their masks: every score is 1.
    """

    max_batch: int = 16
    batch_pixels: int = 4_000_000

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        zoom: ZoomIn,
        flip: bool = True,
        cut: float = 0.49,
        max_side: int | None = None,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        if precision not in PRECISIONS:
            raise unknown_name("precision", precision, PRECISIONS, where=name)
        if max_side is not None and max_side < 32:
            raise ModelError(f"{name}: max_side does not fit", expected="32 pixels or more", found=max_side)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.name, self.zoom, self.flip, self.cut = name, zoom, flip, cut
        self.max_side, self.precision = max_side, precision
        self.batched = self.device.type != "cpu"

    @property
    def device_kind(self) -> str:
        return self.device.type

    @property
    def identity(self) -> Mapping[str, Any]:
        """What can change a number beside the weights."""
        own = {"model": self.name, "flip": self.flip, "cut": self.cut, "max_side": self.max_side}
        return {**own, "zoom": asdict(self.zoom)}

    def encode(self, image: UInt8Array) -> ClickImage:
        """image uint8 [H, W, 3] RGB -> itself, on the device. Raises ModelError for anything else."""
        return ClickImage.of(image, self.device, model=self.name)

    @torch.inference_mode()
    def decode(self, state: ClickImage, prompts: list[Prompt]) -> list[Prediction]:
        """One candidate a prompt, in order. carry: a `Memory`, or a Region (an initial mask) at the first click.

        Raises ModelError for prompts other than clicks.
        """
        clicks = [Clicks.of(p, model=self.name) for p in prompts]
        memories = [memory_of(p, state, model=self.name) for p in prompts]
        views = [self._view(state, c, m) for c, m in zip(clicks, memories, strict=True)]
        maps: dict[int, ProbMap] = {}
        together = self.batch_pixels // (2 if self.flip else 1) if self.batched else None
        for group in chunks(views, together):
            inputs = torch.stack([network_input(state, memories[i], views[i]) for i in group])
            seen = [network_clicks(clicks[i], views[i], state.size) for i in group]
            for i, probs in zip(group, self._probs(inputs, seen), strict=True):
                maps[i] = ProbMap.placed(probs, views[i].target, state.size)
        placed = [maps[i] for i in range(len(prompts))]
        found = regions_above([(probs, cut) for cut in (self.cut, self.zoom.cut) for probs in placed])
        masks, seen_next = found[: len(placed)], found[len(placed) :]
        return [
            Prediction(ProbMasks(probs, self.cut, mask), np.ones(1, np.float32), [Memory(probs, known, view.stored)])
            for probs, mask, known, view in zip(placed, masks, seen_next, views, strict=True)
        ]

    def _view(self, image: ClickImage, clicks: Clicks, memory: Memory | None) -> View:
        mask, stored = (None, None) if memory is None else (memory.mask, memory.stored)
        window = mask.window if mask is not None and mask.area else None
        return limit(self.zoom.view(image.size, clicks, window, stored), self.max_side)

    def _probs(self, inputs: Tensor, clicks: Sequence[Clicks]) -> Tensor:
        """inputs [B, 4, h, w] -> probabilities [B, h, w]."""
        if not self.flip:
            return self._logits(inputs, clicks)[:, 0].sigmoid()
        mirrored, theirs = inputs.flip(-1), [c.flipped(inputs.shape[-1]) for c in clicks]
        if self.batched:
            own, other = self._logits(torch.cat([inputs, mirrored]), [*clicks, *theirs]).chunk(2)
        else:
            own, other = self._logits(inputs, clicks), self._logits(mirrored, theirs)
        return (0.5 * (own + other.flip(-1)))[:, 0].sigmoid()

    def _logits(self, inputs: Tensor, clicks: Sequence[Clicks]) -> Tensor:
        size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
        maps = disks(clicks, size, int(self.network.disk_radius), self.device)  # type: ignore[arg-type]
        with autocast(self.device, self.precision):
            logits: Tensor = self.network(inputs[:, :3], inputs[:, 3:], maps)
        return logits.float()
