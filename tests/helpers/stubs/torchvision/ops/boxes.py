"""`box_area` and `batched_nms` for boxes xyxy [N, 4], sides without the + 1."""

from __future__ import annotations

import torch
from torch import Tensor


def box_area(boxes: Tensor) -> Tensor:
    """[N]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Indices kept, by falling score; a box goes if one kept before it in the same group overlaps it by more than the threshold."""
    order = torch.argsort(scores, descending=True, stable=True)
    areas = box_area(boxes)
    gone = torch.zeros(len(boxes), dtype=torch.bool)
    kept = []
    for i in order.tolist():
        if gone[i]:
            continue
        kept.append(i)
        sides = torch.minimum(boxes[i, 2:], boxes[:, 2:]) - torch.maximum(boxes[i, :2], boxes[:, :2])
        shared = sides.clamp(min=0).prod(dim=1)
        overlap = shared / (areas[i] + areas - shared)
        gone |= (overlap > iou_threshold) & (idxs == idxs[i])
    return torch.tensor(kept, dtype=torch.int64)
