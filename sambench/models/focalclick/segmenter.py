"""FocalClick as a `Segmenter`: coarse segmentation of the target crop, refinement of the focus crop, paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sambench.device.copies import to_device
from sambench.errors import unknown_name
from sambench.models.clicks.coding import Clicks
from sambench.models.clicks.probs import ProbMap, ProbMasks, regions_above, resize
from sambench.models.clicks.segmenter import PRECISIONS
from sambench.models.clicks.session import ClickImage, Memory, autocast, disks, memory_of, network_input
from sambench.models.clicks.zoom import View, ZoomIn
from sambench.models.focalclick.focus import focus_window, merged
from sambench.models.focalclick.network import FocalNetwork
from sambench.models.focalclick.refiner import CoarseOutput
from sambench.pixels.region import Region, cover
from sambench.types import Prediction, Prompt, UInt8Array, Window

# The crop keeps its own size: the network's input is squashed afterwards, whatever its shape. A new window at every click.
ZOOM = ZoomIn(target=None, skip_clicks=1, expansion=1.4, min_side=10, keep=None, cut=0.49)
COARSE_CUT = 0.49  # of coarse logits, where the focus crop is chosen


@dataclass(frozen=True, eq=False)
class _Job:
    """One object at one click. whole: the window of the image that the coarse network's answer is put in."""

    clicks: Clicks
    memory: Memory | None
    view: View
    whole: Window
    click_yx: tuple[int, int]


class FocalSegmenter:
    """A :class:`~sambench.types.Segmenter` around a :class:`FocalNetwork`.

    input_side: of both networks' square inputs, in pixels. cut: the mask is where the probability is above. expansion: of the
    focus crop. keep_after: after so many clicks the coarse map is not taken over any more; only the focus crop changes.
    batched: whether objects go through the networks together, `max_batch` at a time; so on a GPU, one by one on a CPU.

    One candidate a prompt, score 1. With an initial mask (a Region as the first carry) masks are merged progressively, as the
    authors evaluate from initial masks; without, they are not.
    """

    max_batch: int = 16

    def __init__(
        self,
        network: FocalNetwork,
        *,
        name: str,
        input_side: int = 256,
        cut: float = 0.5,
        expansion: float = 1.4,
        keep_after: int = 10,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        if precision not in PRECISIONS:
            raise unknown_name("precision", precision, PRECISIONS, where=name)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.name, self.side, self.cut, self.expansion, self.keep_after = name, input_side, cut, expansion, keep_after
        self.precision = precision
        self.batched = self.device.type != "cpu"

    @property
    def device_kind(self) -> str:
        return self.device.type

    @property
    def identity(self) -> Mapping[str, Any]:
        """What can change a number beside the weights."""
        own = {"model": self.name, "input_side": self.side, "cut": self.cut, "expansion": self.expansion}
        return {**own, "keep_after": self.keep_after, "zoom": asdict(ZOOM), "halved": self.network.config.halved}

    def encode(self, image: UInt8Array) -> ClickImage:
        """image uint8 [H, W, 3] RGB -> itself, on the device. Raises ModelError for anything else."""
        return ClickImage.of(image, self.device, model=self.name)

    @torch.inference_mode()
    def decode(self, state: ClickImage, prompts: list[Prompt]) -> list[Prediction]:
        """One candidate a prompt, in order. carry: a `Memory`, or a Region (an initial mask) at the first click.

        Raises ModelError for prompts other than clicks.
        """
        jobs = [self._job(state, p) for p in prompts]
        step = self.max_batch if self.batched else 1
        pasted: list[ProbMap] = []
        for start in range(0, len(jobs), step):
            part = jobs[start : start + step]
            coarse = self._coarse(state, part)
            focus = self._focus(state, part, coarse)
            refined = self._refined(state, part, coarse, [window for _, window in focus])
            for job, (probs, window), logits in zip(part, focus, refined, strict=True):
                pasted.append(self._pasted(job, probs, window, logits))
        found = regions_above([(probs, cut) for cut in (self.cut, ZOOM.cut) for probs in pasted])
        masks, known = found[: len(jobs)], found[len(jobs) :]
        return [self._prediction(*of_one) for of_one in zip(jobs, pasted, masks, known, strict=True)]

    def _job(self, image: ClickImage, prompt: Prompt) -> _Job:
        clicks = Clicks.of(prompt, model=self.name)
        memory = memory_of(prompt, image, model=self.name)
        known = memory.mask if memory is not None else None
        seen = known.window if known is not None and known.area else None
        view = ZOOM.view(image.size, clicks, seen, memory.stored if memory is not None else None)
        y, x = np.clip(clicks.yx[-1].astype(np.int64), 0, (image.height - 1, image.width - 1)).tolist()
        return _Job(clicks, memory, view, view.target or Window(0, 0, *image.size), (y, x))

    def _coarse(self, image: ClickImage, jobs: Sequence[_Job]) -> CoarseOutput:
        """The coarse network on what each job sees, squashed to the square."""
        size = (self.side, self.side)
        inputs = torch.stack([network_input(image, j.memory, View(j.view.window, size, None, None)) for j in jobs])
        clicks = [j.clicks.into(j.view.window or Window(0, 0, *image.size), size) for j in jobs]
        maps = disks(clicks, size, self.network.config.disk_radius, self.device)
        with autocast(self.device, self.precision):
            out = self.network.coarse(inputs[:, :3], inputs[:, 3:], maps)
        return CoarseOutput(out.logits.float(), out.features.float())

    def _focus(self, image: ClickImage, jobs: Sequence[_Job], coarse: CoarseOutput) -> list[tuple[ProbMap, Window]]:
        """The coarse probabilities in the image, and the crop to refine, for each job."""
        placed = [
            ProbMap.placed(resize(probs[None], job.view.size)[0, 0], job.view.target, image.size)
            for job, probs in zip(jobs, coarse.logits.sigmoid(), strict=True)
        ]
        # Probabilities are compared as the logits that the authors turn them back into: infinite at 0 and 1.
        logits = [ProbMap(_logit(probs.values), probs.window, *image.size) for probs in placed]
        before = [j.memory.probs for j in jobs if j.memory is not None]
        found = regions_above([(m, COARSE_CUT) for m in logits] + [(m, ZOOM.cut) for m in before])
        old, nothing = iter(found[len(jobs) :]), Region(0, 0, np.zeros((0, 0), np.bool_), *image.size)
        out = []
        for job, probs, new in zip(jobs, placed, found[: len(jobs)], strict=True):
            then = nothing if job.memory is None else next(old)
            out.append((probs, focus_window(new, then, job.whole, job.click_yx, self.expansion)))
        return out

    def _refined(self, image: ClickImage, jobs: Sequence[_Job], coarse: CoarseOutput, focus: Sequence[Window]) -> Tensor:
        """Refined logits [B, 1, side, side] of the focus crops."""
        size = (self.side, self.side)
        windows = [f if _is_some(f) else j.whole for f, j in zip(focus, jobs, strict=True)]
        rgb = torch.cat([resize(image.crop(w)[None], size) for w in windows])
        maps = disks([j.clicks.into(w, size) for j, w in zip(jobs, windows, strict=True)], size, 5, self.device)
        boxes = [_within(w, j.whole, self.side) for w, j in zip(windows, jobs, strict=True)]
        at = to_device(np.array(boxes, np.float32), self.device)
        with autocast(self.device, self.precision):
            out = self.network.refine(rgb, maps, coarse, at)
        return out.logits.float()

    def _pasted(self, job: _Job, probs: ProbMap, focus: Window, refined: Tensor) -> ProbMap:
        """The new probabilities: refined in the focus crop, elsewhere coarse, or the previous ones after many clicks."""
        window = probs.window
        if len(job.clicks) > self.keep_after and job.memory is not None:
            window = cover(job.memory.probs.window, focus) if _is_some(focus) else job.memory.probs.window
            logits = _logit(job.memory.probs.crop(window))
        else:
            logits = _logit(probs.values)
        if _is_some(focus):
            sharp = resize(refined[None], (focus.y1 - focus.y0, focus.x1 - focus.x0))[0, 0]
            logits[focus.y0 - window.y0 : focus.y1 - window.y0, focus.x0 - window.x0 : focus.x1 - window.x0] = sharp
        return ProbMap(logits.sigmoid(), window, probs.height, probs.width)

    def _prediction(self, job: _Job, probs: ProbMap, mask: Region, known: Region) -> Prediction:
        """mask, known: `probs` above this model's cut, and above zoom-in's."""
        merging = job.memory is not None and job.memory.merging
        if merging and job.memory is not None:
            before = job.memory.mask if job.memory.mask is not None else job.memory.probs.above(self.cut)
            mask = known = merged(mask, before, job.click_yx)
        memory = Memory(probs, known, job.view.stored, merging)
        return Prediction(ProbMasks(probs, self.cut, mask), np.ones(1, np.float32), [memory])


def _logit(probs: Tensor) -> Tensor:
    """A new tensor; infinite at 0 and 1."""
    return torch.log(probs / (1 - probs))


def _within(window: Window, whole: Window, side: int) -> tuple[float, float, float, float]:
    """xyxy of `window` where `whole` is a square of that side, clipped to it."""
    y, x = side / (whole.y1 - whole.y0), side / (whole.x1 - whole.x0)
    return (
        max((window.x0 - whole.x0) * x, 0.0),
        max((window.y0 - whole.y0) * y, 0.0),
        min((window.x1 - whole.x0) * x, side),
        min((window.y1 - whole.y0) * y, side),
    )


def _is_some(window: Window) -> bool:
    return window.y0 < window.y1 and window.x0 < window.x1
