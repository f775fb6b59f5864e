"""Losses of the recipe (Segment Anything, appendix A): focal and dice at 20 to 1, the best of several masks, predicted IoU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_WEIGHT, DICE_WEIGHT = 20.0, 1.0


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """logits [B, M, h, w], target [B, h, w] coverage in 0..1 -> [B, M]: 20 x focal (gamma 2) + dice.

    The paper's focal term is a mean over all pixels, in which one huge object outweighs a hundred small ones: with 48 prompts a
    step, and not thousands, the huge ones alone decide where a step goes. Here the sum is divided by 16 times the object's own
    area (within bounds), which is the paper's for an object of 1/16 of the picture.
    """
    t = target[:, None].expand_as(logits)
    p = torch.sigmoid(logits)
    # Soft targets (a boundary cell is partly covered): the modulating factor is the distance from the target.
    focal = (F.binary_cross_entropy_with_logits(logits, t, reduction="none") * (p - t).square()).sum((2, 3))
    cells = target[0].numel()
    focal = focal / (16 * target.sum((1, 2))).clamp(cells / 16, cells * 2)[:, None]
    inter, total = (p * t).sum((2, 3)), p.sum((2, 3)) + t.sum((2, 3))
    return FOCAL_WEIGHT * focal + DICE_WEIGHT * (1 - (2 * inter + 1) / (total + 1))


@torch.no_grad()
def iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU [B, M] of the masks logits > 0 with target > 0.5."""
    p, t = logits > 0, (target > 0.5)[:, None]
    union = (p | t).sum((2, 3))
    return (p & t).sum((2, 3)) / union.clamp(min=1)


def first_round(logits: Tensor, predicted_iou: Tensor, target: Tensor, iou_weight: float) -> tuple[Tensor, Tensor]:
    """All four masks of the first prompt: the single-output mask, and the best of the three others. -> loss [B], IoU [B, 4]."""
    each, true = mask_loss(logits, target), iou(logits, target)
    return each[:, 0] + each[:, 1:].min(dim=1).values + iou_weight * (predicted_iou - true).square().sum(1), true


def later_round(logits: Tensor, predicted_iou: Tensor, target: Tensor, iou_weight: float) -> tuple[Tensor, Tensor]:
    """The single-output mask alone. logits [B, 1, h, w] -> loss [B], IoU [B, 1]."""
    true = iou(logits, target)
    return (mask_loss(logits, target) + iou_weight * (predicted_iou - true).square())[:, 0], true
