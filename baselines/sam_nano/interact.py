"""Simulated interaction: one encoder pass, a first prompt for every object, then clicks where the mask is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from data import STRIDE, Example
from losses import first_round, later_round
from torch import Tensor

from sambench.models.sam.nano import NanoSam
from sambench.models.sam.nano_encoder import plain_colours
from sambench.models.sam.nano_layers import NanoInput
from sambench.models.sam.nano_prompts import hinted, prompt_maps, smoothed


@dataclass(frozen=True)
class Batch:
    """Examples as tensors. Objects of all images in one row of B = images * prompts; owner [B] is the image of each."""

    pixels: Tensor
    origin_xy: Tensor
    owner: Tensor
    targets: Tensor
    centre_xy: Tensor
    random_xy: Tensor
    box_xyxy: Tensor
    loose_xyxy: Tensor
    things8: Tensor
    wholes8: Tensor
    things4: Tensor

    @classmethod
    def of(cls, examples: list[Example]) -> Batch:
        def rows(name: str) -> Tensor:
            return torch.from_numpy(np.concatenate([getattr(e, name) for e in examples]))

        owner = torch.arange(len(examples)).repeat_interleave(len(examples[0].targets))
        pixels = torch.from_numpy(np.stack([e.pixels for e in examples]))
        origin = torch.from_numpy(np.stack([e.origin_xy for e in examples]))
        of_objects = (rows(n) for n in ("targets", "centre_xy", "random_xy", "box_xyxy", "loose_xyxy"))
        maps = (torch.from_numpy(np.stack([getattr(e, n) for e in examples])) for n in ("things8", "wholes8", "things4"))
        return cls(pixels, origin, owner, *of_objects, *maps)


@dataclass
class Rounds:
    """loss: scalar. iou: per round, [B, 4] then [B, 1]. predicted: the same, predicted. dense: the loss of `DenseHead`."""

    loss: Tensor
    iou: list[Tensor]
    predicted: list[Tensor]
    dense: Tensor | None = None


def image_side(model: NanoSam, batch: Batch) -> NanoInput:
    """Encoder's maps of all images, with each crop's part of the frame's position features."""
    kind = model.mask_decoder.iou_token.weight.dtype
    x16, x8, x4 = model.image_encoder.pyramid(batch.pixels.to(kind))
    h, w = x16.shape[2:]
    grid = model.prompt_encoder.dense_pe().unflatten(0, model.prompt_encoder.embedding_size)
    pe = [grid[y : y + h, x : x + w].flatten(0, 1) for x, y in (batch.origin_xy / 16).int().tolist()]
    image = x16.flatten(2).transpose(1, 2).contiguous()
    colours = plain_colours(batch.pixels)
    return NanoInput(
        image=image, image_pe=torch.stack(pe).to(kind), size=(h, w), fine8=x8, fine4=x4, colours=colours, smooth=smoothed(colours)
    )


def play(
    model: NanoSam,
    batch: Batch,
    *,
    rounds: int,
    generator: torch.Generator,
    protocol: bool = False,
    head: DenseHead | None = None,
    iou_weight: float = 1.0,
    box_hints: bool = True,
) -> Rounds:
    """The first half of the objects' list starts with points, the other half with boxes (a random split); then clicks.

    protocol: as the benchmark asks: centre clicks and tight boxes, and each further click at the middle of the largest error.
    """
    state = image_side(model, batch)
    b = len(batch.owner)
    half = b // 2
    order = torch.randperm(b, generator=generator)
    target, owner = batch.targets[order], batch.owner[order]
    origin = batch.origin_xy[owner][:, None]
    where = torch.where(torch.rand(b, 1, generator=generator) < 0.5, batch.centre_xy, batch.random_xy)
    points = (batch.centre_xy if protocol else where)[order][:half, None]
    labels = torch.ones(half, 1, dtype=torch.int8)
    boxes = (batch.box_xyxy if protocol else batch.loose_xyxy)[order][half:]
    more_points, more_labels = torch.zeros(b - half, 0, 2), torch.zeros(b - half, 0, dtype=torch.int8)
    masks: Tensor | None = None
    out = Rounds(torch.zeros(()), [], [], None if head is None else head(model, state, batch, generator))
    none = torch.full((half, 4), float("nan"))
    for k in range(rounds):
        one = model.tokens(state, points, labels, None, origin_xy=origin[:half], owner=owner[:half])
        if k == 0:
            two = model.tokens(state, None, None, boxes, origin_xy=origin[half:], owner=owner[half:])
        else:
            two = model.tokens(state, more_points, more_labels, boxes, origin_xy=origin[half:], owner=owner[half:])
        all_points = torch.cat((points, F.pad(more_points, (0, 0, 1, 0))))
        all_labels = torch.cat((labels, F.pad(more_labels, (1, 0), value=-1)))
        all_boxes = torch.cat((none, boxes))
        maps = prompt_maps(state, all_points, all_labels, all_boxes, masks, b, owner, box_hints=box_hints)
        dense = (
            model.prompt_encoder.no_mask_embed.weight[None]
            if masks is None
            else model.prompt_encoder.dense(masks.to(state.image.dtype))
        )
        chosen = slice(0, None) if k == 0 else slice(0, 1)
        clicks, kinds = hinted(all_points, all_labels, all_boxes if box_hints else None)
        assert clicks is not None
        assert kinds is not None
        alike = model.mask_decoder.affinities(state, clicks, kinds, owner)
        logits, predicted = model.mask_decoder.predict(state, torch.cat((one, two)), dense, maps, alike, chosen, owner)
        loss, true = (first_round if k == 0 else later_round)(logits, predicted, target, iou_weight)
        out.loss = out.loss + loss.mean()
        out.iou.append(true)
        out.predicted.append(predicted.detach())
        if k + 1 < rounds:
            # As in use: after a point the candidate that the model ranks first goes on, after a box its single output.
            top = predicted[:, 1:].argmax(1) + 1 if k == 0 else torch.zeros(b, dtype=torch.long)
            top[half:] = 0
            masks = logits.detach()[torch.arange(b), top][:, None]
            xy, positive = next_clicks(masks[:, 0], target, generator, protocol)
            points, labels = torch.cat((points, xy[:half]), 1), torch.cat((labels, positive[:half]), 1)
            more_points, more_labels = torch.cat((more_points, xy[half:]), 1), torch.cat((more_labels, positive[half:]), 1)
    out.loss = out.loss / max(rounds, 1)
    return out


@torch.no_grad()
def next_clicks(logits: Tensor, target: Tensor, generator: torch.Generator, protocol: bool) -> tuple[Tensor, Tensor]:
    """logits and target [B, h, w] -> points [B, 1, 2] in pixels and labels [B, 1], in the error region (or on the target).

    Half of the clicks fall anywhere in the error, half about the middle of its largest part (all, with protocol).
    """
    b, h, w = target.shape
    inside = target > 0.5
    wrong = ((logits > 0) ^ inside).float()
    wrong = torch.where(wrong.sum((1, 2), keepdim=True) > 0, wrong, target)
    # How much of the neighbourhoods is wrong too, and in the same way: highest deep inside large errors.
    same = torch.where(inside, wrong, -wrong)[:, None]
    near, coarse = F.avg_pool2d(same, 3, 1, 1), F.avg_pool2d(same, 4)
    wide = F.interpolate(coarse + 2 * F.avg_pool2d(coarse, 3, 1, 1) + 3 * F.avg_pool2d(coarse, 5, 1, 2), scale_factor=4.0)
    total = (near + wide)[:, 0].abs()
    anywhere = wrong * torch.rand(b, h, w, generator=generator)
    middle = wrong * (total + 0.01 * torch.rand(b, h, w, generator=generator))
    score = middle if protocol else torch.where(torch.rand(b, 1, 1, generator=generator) < 0.5, anywhere, middle)
    at = score.flatten(1).argmax(1)
    jitter = torch.zeros(b, 2) if protocol else (torch.rand(b, 2, generator=generator) - 0.5) * (STRIDE - 1)
    xy = torch.stack((at % w, at // w), dim=1) * float(STRIDE) + (STRIDE - 1) / 2 + jitter
    return xy[:, None], inside.flatten(1)[torch.arange(b), at][:, None].to(torch.int8)


class DenseHead(torch.nn.Module):
    """What a picture teaches the encoder beside its prompts. One prompt is about one object; this is about all of them at once.

    Boundaries (the head itself is for training alone): do two cells some way apart, right or down, belong to different things?
    Affinities (the decoder's own): does a cell belong with what is under an anchor, as a part (first kind) or as a whole (second)?
    """

    DISTANCES: ClassVar = {8: (1, 3, 8), 4: (1, 2, 6)}  # stride -> in cells
    ANCHORS = 48

    def __init__(self, fine_chans: tuple[int, int]) -> None:
        super().__init__()
        self.of8 = torch.nn.Conv2d(fine_chans[0], 2 * len(self.DISTANCES[8]), 1)
        self.of4 = torch.nn.Conv2d(fine_chans[1], 2 * len(self.DISTANCES[4]), 1)

    def forward(self, model: NanoSam, state: NanoInput, batch: Batch, generator: torch.Generator) -> Tensor:
        """Scalar: mean binary cross-entropy of both."""
        total = torch.zeros(())
        for stride, net, fine, things in ((8, self.of8, state.fine8, batch.things8), (4, self.of4, state.fine4, batch.things4)):
            logits = net(fine).float()
            for i, d in enumerate(self.DISTANCES[stride]):
                right, down = things[:, :, d:] != things[:, :, :-d], things[:, d:] != things[:, :-d]
                total = total + F.binary_cross_entropy_with_logits(logits[:, 2 * i, :, :-d], right.float())
                total = total + F.binary_cross_entropy_with_logits(logits[:, 2 * i + 1, :-d], down.float())
        return total / 12 + self.affinity(model, state, batch, generator)

    def affinity(self, model: NanoSam, state: NanoInput, batch: Batch, generator: torch.Generator) -> Tensor:
        """Same and different cells weigh the same for every anchor; three quarters of the anchors lie on things."""
        images, _, w = batch.things8.shape
        on = (batch.things8 > 0).flatten(1).float() * 3 + 1
        at = torch.multinomial(on, self.ANCHORS, replacement=True, generator=generator)
        points = torch.stack((at % w, at // w), dim=2) * 8.0 + 3.5
        logits = model.mask_decoder.affinity_logits(state, points, torch.arange(images)).float()
        total = torch.zeros(())
        for kind, cells in enumerate((batch.things8, batch.wholes8)):
            flat = cells.flatten(1)
            same = (flat[:, None] == flat.gather(1, at)[:, :, None]).float()
            each = F.binary_cross_entropy_with_logits(logits[:, kind], same, reduction="none")
            yes = (each * same).sum(2) / same.sum(2).clamp(min=1)
            no = (each * (1 - same)).sum(2) / (1 - same).sum(2).clamp(min=1)
            total = total + (yes + no).mean() / 2
        return total / 2


class Game(torch.nn.Module):
    """`play` as a module, so that its parameters can be exchanged for copies of another precision."""

    def __init__(self, model: NanoSam, head: DenseHead) -> None:
        super().__init__()
        self.model = model
        self.head = head

    def forward(
        self, batch: Batch, rounds: int, generator: torch.Generator, *, dense: bool, iou_weight: float, box_hints: bool
    ) -> Rounds:
        head = self.head if dense else None
        return play(self.model, batch, rounds=rounds, generator=generator, head=head, iou_weight=iou_weight, box_hints=box_hints)
