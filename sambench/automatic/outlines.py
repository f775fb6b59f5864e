"""An edge map out of a segmenter's masks (Segment Anything, section 7.2 and D.2; protocol section 2).

Every mask gives its outline: the Sobel magnitude of its probability map, on the ring of one pixel inside and one outside of it.
The map is the pixel-wise maximum over the masks that box suppression leaves.

Suppression needs boxes alone, and most masks go: outlines are made of what stays, on windows of the image. Until all masks are
known their low-resolution form is held, up to a fixed number of them; older ones are reduced to their outlines, a few thousand
pixels each, so that memory hardly follows the size of the grid. No mask is ever held at full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sambench.automatic.generate import box_nms
from sambench.types import FloatArray, Masks, Prediction, Window

Box = tuple[int, int, int, int]

_SQUARE = np.ones((3, 3), np.uint8)
MAX_HELD = 768  # as many as the protocol has: 200 MB of SAM's logits
_MARGIN = 2  # the ring reaches one pixel beyond the mask, Sobel's square one more


class Outline(NamedTuple):
    """pixels int32 [n]: flat indices into the image; grad_x, grad_y float32 [n]: the probability's Sobel derivatives there."""

    pixels: npt.NDArray[np.int32]
    grad_x: FloatArray
    grad_y: FloatArray


@dataclass
class Candidate:
    """A mask with its box and score; masks and index, or once it is reduced its outline."""

    box_xyxy: tuple[int, int, int, int]
    score: float
    masks: Masks | None
    index: int
    made: Outline | None = None


class OutlineMap(NamedTuple):
    """strength float32 [H, W]: the largest Sobel magnitude of any mask, unscaled; grad_x, grad_y float32 [H, W]: of that mask.

    n_masks: how many masks were left by suppression.
    """

    strength: FloatArray
    grad_x: FloatArray
    grad_y: FloatArray
    n_masks: int


class Candidates:
    """All masks of an image that are not empty. held: how many may stay in the form in which the model gave them.

    device: torch's name of where the model answers, if boxes and outlines are to be made there of masks that lie there.
    """

    def __init__(self, held: int = MAX_HELD, device: str | None = None) -> None:
        self.held = held
        self.device = device
        self.found: list[Candidate] = []
        self._n_reduced = 0

    def add(self, predictions: Sequence[Prediction]) -> None:
        """The candidates of prompts that were asked together."""
        for p, boxes in zip(predictions, self._boxes(predictions), strict=True):
            self.found += [Candidate(box, float(p.scores[i]), p.masks, i) for i, box in boxes.items()]
        excess = len(self.found) - self._n_reduced - self.held
        if excess > 0:
            self._reduce(self.found[self._n_reduced : self._n_reduced + excess])
            self._n_reduced += excess

    def _boxes(self, predictions: Sequence[Prediction]) -> list[dict[int, Box]]:
        """By prediction and candidate, of those that are not empty."""
        if self.device:
            from sambench.automatic.on_device import boxes_on_device  # imports torch

            found = boxes_on_device(predictions)
            if found is not None:
                return found
        out = []
        for p in predictions:
            boxes = (tuple(box) for box in p.masks.box().tolist())
            # A box of zeros is an empty mask, or a single pixel in the corner.
            out.append({i: box for i, box in enumerate(boxes) if any(box) or p.masks.region(i).area})
        return out

    def outlines(self, which: Sequence[Candidate]) -> list[Outline]:
        """Of some of the masks."""
        self._reduce(which)
        return [c.made for c in which if c.made is not None]

    def _reduce(self, which: Sequence[Candidate]) -> None:
        """Keep their outlines alone."""
        left = [c for c in which if c.made is None]
        if self.device:
            from sambench.automatic.on_device import outline_on_device  # imports torch

            outline_on_device(left)
        for c in left:
            if c.masks is not None:
                c.made, c.masks = mask_outline(c.masks, c.index), None


def mask_outline(masks: Masks, i: int) -> Outline:
    """The outline of candidate i, which must not be empty.

    The ring is the mask's dilation by a 3x3 square less its erosion, pixels beyond the image counting as whatever lies inside: an
    object that the frame cuts off has no edge there. Sobel's derivatives take the frame's border as reflect-101.
    """
    region = masks.region(i)
    window = Window(
        max(region.y0 - _MARGIN, 0),
        max(region.x0 - _MARGIN, 0),
        min(region.window.y1 + _MARGIN, masks.height),
        min(region.window.x1 + _MARGIN, masks.width),
    )
    inside = region.cut(window).view(np.uint8)
    # OpenCV's default border for either never wins.
    y, x = np.nonzero(cv2.dilate(inside, _SQUARE) != cv2.erode(inside, _SQUARE))
    grad_x, grad_y = _sobel_at(masks.prob(i, window), y, x)
    return Outline(((y + window.y0) * masks.width + x + window.x0).astype(np.int32), grad_x, grad_y)


def _sobel_at(prob: FloatArray, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    return tuple(cv2.Sobel(prob, cv2.CV_32F, dx, 1 - dx)[y, x] for dx in (1, 0))  # type: ignore[return-value]


def outline_map(candidates: Candidates, height: int, width: int, *, nms_iou: float) -> OutlineMap:
    """The pixel-wise maximum over the masks that box suppression at `nms_iou` leaves; of equals, the better mask's."""
    strength, grad_x, grad_y = (np.zeros(height * width, np.float32) for _ in range(3))
    found = candidates.found
    boxes = np.array([m.box_xyxy for m in found], np.float32).reshape(-1, 4)
    kept = box_nms(boxes, np.array([m.score for m in found], np.float32), nms_iou, candidates.device)
    for pixels, along_x, along_y in candidates.outlines([found[k] for k in kept]):
        magnitude = np.hypot(along_x, along_y)
        more = magnitude > strength[pixels]
        where = pixels[more]
        strength[where], grad_x[where], grad_y[where] = magnitude[more], along_x[more], along_y[more]
    shape = (height, width)
    return OutlineMap(strength.reshape(shape), grad_x.reshape(shape), grad_y.reshape(shape), len(kept))
