"""Automatic masks of any segmenter: what the edge and proposal tasks share. Numpy.

So far: non-maximum suppression of boxes, in the convention of SAM's mask generator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def box_nms(boxes_xyxy: npt.NDArray[Any], scores: npt.NDArray[Any], iou_threshold: float) -> npt.NDArray[np.int64]:
    """Indices of the boxes that stay, best first: greedy suppression by intersection over union.

    boxes_xyxy: [N, 4], (x_min, y_min, x_max, y_max); scores: [N], higher is better. A box goes if its IoU with a better one that
    stays is *above* `iou_threshold`. Of equal scores the earlier box is the better; NaN scores come last. Areas are
    (x_max - x_min) * (y_max - y_min): with boxes of inclusive pixels, one less each way than their pixels, as SAM's generator
    computes it (torchvision's `nms` on `masks_to_boxes`). In float32, for the same decisions at the threshold. Boxes without
    area neither suppress nor are suppressed.
    """
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    scores = np.asarray(scores, np.float32)
    if len(scores) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes and {len(scores)} scores")
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    x0, y0, x1, y1 = np.ascontiguousarray(boxes[order].T)
    area = (x1 - x0) * (y1 - y0)
    left = np.arange(len(order))
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        across = np.minimum(x1[best], x1[left]) - np.maximum(x0[best], x0[left])
        down = np.minimum(y1[best], y1[left]) - np.maximum(y0[best], y0[left])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        union = area[best] + area[left] - shared
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        left = left[iou <= np.float32(iou_threshold)]
    return np.asarray(order[kept], np.int64)
