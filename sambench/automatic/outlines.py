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
from sambench.types import FloatArray, Masks, Window

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

    def outline(self) -> Outline:
        """Its outline; made anew each time unless it is reduced."""
        if self.made is not None:
            return self.made
        assert self.masks is not None
        return mask_outline(self.masks, self.index)

    def reduce(self) -> None:
        """Keep the outline alone."""
        self.made = self.outline()
        self.masks = None


class OutlineMap(NamedTuple):
    """strength float32 [H, W]: the largest Sobel magnitude of any mask, unscaled; grad_x, grad_y float32 [H, W]: of that mask.

    n_masks: how many masks were left by suppression.
    """

    strength: FloatArray
    grad_x: FloatArray
    grad_y: FloatArray
    n_masks: int


class Candidates:
    """All masks of an image that are not empty. held: how many may stay in the form in which the model gave them."""

    def __init__(self, held: int = MAX_HELD) -> None:
        self.held = held
        self.found: list[Candidate] = []
        self._n_reduced = 0

    def add(self, masks: Masks, scores: FloatArray) -> None:
        """The candidates of one prompt with their scores float32 [C]."""
        for i, box in enumerate(masks.box().tolist()):
            if any(box) or masks.region(i).area:  # a box of zeros is an empty mask, or a single pixel in the corner
                self.found.append(Candidate(tuple(box), float(scores[i]), masks, i))
        while len(self.found) - self._n_reduced > self.held:
            self.found[self._n_reduced].reduce()
            self._n_reduced += 1


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


def outline_map(found: Sequence[Candidate], height: int, width: int, *, nms_iou: float) -> OutlineMap:
    """The pixel-wise maximum over the masks that box suppression at `nms_iou` leaves; of equals, the better mask's."""
    strength, grad_x, grad_y = (np.zeros(height * width, np.float32) for _ in range(3))
    boxes = np.array([m.box_xyxy for m in found], np.float32).reshape(-1, 4)
    kept = box_nms(boxes, np.array([m.score for m in found], np.float32), nms_iou)
    for k in kept:
        pixels, along_x, along_y = found[k].outline()
        magnitude = np.hypot(along_x, along_y)
        more = magnitude > strength[pixels]
        where = pixels[more]
        strength[where], grad_x[where], grad_y[where] = magnitude[more], along_x[more], along_y[more]
    shape = (height, width)
    return OutlineMap(strength.reshape(shape), grad_x.reshape(shape), grad_y.reshape(shape), len(kept))
