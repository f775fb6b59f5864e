"""SAM's edge map the straightforward way, for tests and benchmarks: every mask at full size, step by step as the protocol says.

Nothing here calls `sambench`: bilinear upscaling is torch's, suppression compares boxes one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

SQUARE = np.ones((3, 3), np.uint8)


class Reference(NamedTuple):
    """kept: indices of the masks that suppression leaves, best first. strength float32 [H, W]: the maximum, unscaled."""

    kept: list[int]
    strength: np.ndarray
    grad_x: np.ndarray
    grad_y: np.ndarray
    normalised: np.ndarray


def upscaled(low: np.ndarray, square: tuple[int, int], crop: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Logits float32 [h, w] -> [H, W]: to the model's square, its corner, the image."""
    t = F.interpolate(torch.from_numpy(low)[None, None], square, mode="bilinear", align_corners=False)
    return F.interpolate(t[:, :, : crop[0], : crop[1]], size, mode="bilinear", align_corners=False)[0, 0].numpy()


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    y, x = np.nonzero(mask)
    return int(x.min()), int(y.min()), int(x.max()), int(y.max())


def nms(boxes: list[tuple[int, int, int, int]], scores: list[float], threshold: float) -> list[int]:
    """Greedy, one pair at a time, areas without the last pixel."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for j in kept:
            a, b = boxes[i], boxes[j]
            w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
            h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
            if union > 0 and np.float32(w * h) / np.float32(union) > np.float32(threshold):
                break
        else:
            kept.append(i)
    return kept


def reference(
    low: np.ndarray,
    scores: np.ndarray,
    square: tuple[int, int],
    crop: tuple[int, int],
    size: tuple[int, int],
    nms_iou: float = 0.7,
) -> Reference:
    """low float32 [N, h, w]: all masks' logits; scores float32 [N]."""
    logits = [upscaled(one, square, crop, size) for one in low]
    held = [i for i, x in enumerate(logits) if (x > 0).any()]
    boxes = [box_of(logits[i] > 0) for i in held]
    kept = [held[k] for k in nms(boxes, [float(scores[i]) for i in held], nms_iou)]
    strength, grad_x, grad_y = (np.zeros(size, np.float32) for _ in range(3))
    for i in kept:
        mask = (logits[i] > 0).astype(np.uint8)
        outside = cv2.dilate(mask, SQUARE) - mask
        inside = mask - cv2.erode(mask, SQUARE)
        prob = torch.sigmoid(torch.from_numpy(logits[i])).numpy()
        gx, gy = cv2.Sobel(prob, cv2.CV_32F, 1, 0), cv2.Sobel(prob, cv2.CV_32F, 0, 1)
        magnitude = np.hypot(gx, gy) * (outside + inside)
        more = magnitude > strength
        strength[more], grad_x[more], grad_y[more] = magnitude[more], gx[more], gy[more]
    low_end, high_end = strength.min(), strength.max()
    normalised = (strength - low_end) / (high_end - low_end) if high_end > low_end else np.zeros_like(strength)
    return Reference(kept, strength, grad_x, grad_y, normalised)
