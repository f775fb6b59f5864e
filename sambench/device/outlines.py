"""Outlines of candidates on the device, many at once: what `sambench.automatic.outlines.mask_outline` makes of one on the host.

Equal to it where the masks agree, but for the last bits of the sigmoid and of Sobel's sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sambench.device.copies import to_device
from sambench.device.masks import TensorMasks
from sambench.device.windows import Stack, logits_on, low_res_of, stacks

MARGIN = 2  # the ring reaches one pixel beyond the mask, Sobel's square one more

Points = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]]


def outlines_of(asked: Sequence[tuple[TensorMasks, int]], boxes_xyxy: npt.NDArray[np.int64]) -> list[Points]:
    """Of candidates of one image, none empty, in order: flat indices into the image, the probability's derivatives along x and y.

    boxes_xyxy: int64 [N, 4], of the masks, inclusive pixels.
    """
    out: list[Points | None] = [None] * len(asked)
    batches: dict[int, list[int]] = {}
    for k, (masks, _) in enumerate(asked):
        batches.setdefault(id(masks.batch), []).append(k)
    with torch.inference_mode():
        for members in batches.values():
            found = _of_one_batch([asked[k] for k in members], boxes_xyxy[members])
            for k, points in zip(members, found, strict=True):
                out[k] = points
    return [points for points in out if points is not None]


def _of_one_batch(asked: Sequence[tuple[TensorMasks, int]], boxes_xyxy: npt.NDArray[np.int64]) -> list[Points]:
    geometry = asked[0][0].geometry
    height, width = geometry.size
    x0, y0, x1, y1 = boxes_xyxy.T
    corners = [np.maximum(y0 - MARGIN, 0), np.maximum(x0 - MARGIN, 0)]
    ends = [np.minimum(y1 + 1 + MARGIN, height), np.minimum(x1 + 1 + MARGIN, width)]
    low = low_res_of(asked)
    out: dict[int, Points] = {}
    for stack in stacks(np.stack([*corners, *ends], axis=1), geometry.size, low.device):
        owner, pixels, grad_x, grad_y = _ring(logits_on(low, stack, geometry), stack, width)
        bounds = np.searchsorted(owner, np.arange(len(stack.members) + 1))
        for k, first, last in zip(stack.members.tolist(), bounds[:-1], bounds[1:], strict=True):
            part = slice(first, last)
            out[k] = pixels[part].astype(np.int32), grad_x[part], grad_y[part]
    return [out[k] for k in range(len(asked))]


def _ring(
    logits: Tensor, stack: Stack, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Of all pixels of the outlines of a stack, by window and row-major: window, place in the image, and the derivatives."""
    outside = (logits <= 0).float()[:, None]
    # Beyond the array is nothing, which neither grows nor shrinks a mask; within the image the ring does not come near it.
    grown, kept = -F.max_pool2d(-outside, 3, 1, 1), F.max_pool2d(outside, 3, 1, 1)
    which, y, x = (grown[:, 0] != kept[:, 0]).nonzero().unbind(1)
    grad_x, grad_y = _sobel_at(logits.sigmoid(), which, y, x)
    y0, x0 = to_device(stack.y0, logits.device), to_device(stack.x0, logits.device)
    places = torch.stack([which, (y + y0[which]) * width + x + x0[which]]).cpu().numpy()
    derivatives = torch.stack([grad_x, grad_y]).cpu().numpy()
    return places[0], places[1], derivatives[0], derivatives[1]


def _sobel_at(prob: Tensor, which: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's derivatives at pixels [m]; at the border of prob, [n, h, w], as reflected about the last pixel."""
    _n, height, width = prob.shape
    rows, columns = (_around(at, length) for at, length in ((y, height), (x, width)))
    (a, b, c), (d, _, e), (f, g, h) = (prob[which, row, columns] for row in rows)
    grad_x = (c - a) + (h - f) + 2 * (e - d)
    grad_y = (f + h + 2 * g) - (a + c + 2 * b)
    return grad_x, grad_y


def _around(at: Tensor, length: int) -> Tensor:
    """int64 [3, m]: the place before, the place, and the one after."""
    before, after = (at - 1).abs(), at + 1
    after = torch.where(after < length, after, (2 * (length - 1) - after).abs())
    if length == 1:
        before = after = at
    return torch.stack([before, at, after])
