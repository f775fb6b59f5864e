"""Greedy box suppression of many boxes: the overlaps on the device, the choice, which goes one by one, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_BLOCK = 2048  # boxes that are compared with all at once


def suppressed_by(boxes_xyxy: npt.NDArray[Any], iou_threshold: float, device: torch.device | str) -> npt.NDArray[np.uint8]:
    """uint8 [N, ceil(N / 8)], packed as `numpy.packbits` does: bit j of row i, whether box j overlaps box i above the threshold.

    boxes_xyxy: float32 [N, 4], in order, best first. The arithmetic is `automatic.generate.box_nms`'s, step by step in float32.
    """
    boxes = torch.from_numpy(np.ascontiguousarray(boxes_xyxy, np.float32)).to(device)
    x0, y0, x1, y1 = boxes.unbind(1)
    area = (x1 - x0) * (y1 - y0)
    rows = []
    for start in range(0, len(boxes), _BLOCK):
        i = slice(start, start + _BLOCK)
        across = torch.minimum(x1[i, None], x1) - torch.maximum(x0[i, None], x0)
        down = torch.minimum(y1[i, None], y1) - torch.maximum(y0[i, None], y0)
        shared = across.clamp_(min=0) * down.clamp_(min=0)
        union = area[i, None] + area - shared
        over = torch.where(union > 0, shared / union, 0.0).gt(float(np.float32(iou_threshold)))
        rows.append(np.packbits(over.cpu().numpy(), axis=1))
    return np.concatenate(rows) if rows else np.zeros((0, 0), np.uint8)


def chosen(suppressed: npt.NDArray[np.uint8], n: int) -> npt.NDArray[np.int64]:
    """Indices of the boxes that stay, ascending: each that no better one which stays overlaps."""
    gone = np.zeros(suppressed.shape[1] if n else 0, np.uint8)
    kept = []
    for i in range(n):
        if not gone[i >> 3] & (128 >> (i & 7)):
            kept.append(i)
            gone |= suppressed[i]
    return np.array(kept, np.int64)
