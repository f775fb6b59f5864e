"""Otsu's threshold (1979) driven by clicks or a box: a baseline without weights that sees the brightness alone.

Gray is 0.299 R + 0.587 G + 0.114 B, rounded (OpenCV's). Otsu's threshold of the whole image splits it into a bright
level (gray > threshold) and a dark one; their 4-connected components are the candidates' building blocks:

- one click: the component that holds it, whichever the level;
- more clicks: the union of the components with a positive click. In a component that also holds negative clicks, each
pixel goes with the nearest click in it (the positive one at equal distance); - a box: Otsu's threshold of the box's
pixels. The object is the level that has the smaller share of the box's outermost ring of pixels (the bright one at
equal shares), inside the box. Clicks beside a box choose components of the box's two levels.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import ModelError
from sambench.pixels.region import Region
from sambench.pixels.region_masks import RegionMasks
from sambench.types import BoolArray, Prediction, Prompt, UInt8Array, Window


@dataclass(frozen=True)
class Levels:
    """Two levels of a window of gray pixels: bright bool [h, w], labels int32 [h, w] of the components of both (from
    0), and each label's bounding box int32 [n, 4] as x, y, width, height (noise has millions of components).

    whole: components that a click alone chose, by label: the ground is asked for again and again.
    """

    bright: BoolArray
    labels: npt.NDArray[np.int32]
    boxes_xywh: npt.NDArray[np.int32]
    whole: dict[int, Region] = field(default_factory=dict)

    def window(self, label: int) -> Window:
        x, y, w, h = self.boxes_xywh[label].tolist()
        return Window(y, x, y + h, x + w)


@dataclass(frozen=True)
class State:
    gray: UInt8Array
    levels: Levels


class Otsu:
    """A Segmenter: one candidate a prompt, score 1, no memory (all clicks are in the prompt)."""

    max_batch = 64
    device_kind = "cpu"
    precision = "fp32"

    def __init__(self) -> None:
        self.identity: Mapping[str, Any] = {"model": "otsu"}

    def encode(self, image: UInt8Array) -> State:
        """image uint8 [H, W, 3] RGB -> its gray levels and their components."""
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        return State(gray, _two_levels(gray))

    def decode(self, state: State, prompts: list[Prompt]) -> list[Prediction]:
        """One candidate a prompt; empty where there is neither a positive click nor a box."""
        height, width = state.gray.shape
        ones = np.ones(1, np.float32)
        return [Prediction(RegionMasks([_segment(state, p)], height, width), ones.copy()) for p in prompts]


def _two_levels(gray: UInt8Array) -> Levels:
    threshold, _ = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    bright = gray > threshold
    labels = np.zeros(gray.shape, np.int32)
    boxes = np.zeros((0, 4), np.int32)
    for level in (bright, ~bright):
        _, part, stats, _ = cv2.connectedComponentsWithStats(level.view(np.uint8), connectivity=4)
        np.add(part, len(boxes) - 1, out=labels, where=level)
        boxes = np.concatenate((boxes, stats[1:, :4]))
        del part  # four bytes a pixel, beside the next one's
    return Levels(bright, labels, boxes)


def _segment(state: State, prompt: Prompt) -> Region:
    height, width = state.gray.shape
    points = np.rint(prompt.points_xy).astype(np.int64).clip(0, [width - 1, height - 1])
    positive = prompt.labels == 1
    if prompt.box_xyxy is None:
        return _of_clicks(state.levels, points, positive, Window(0, 0, height, width), height, width)
    x0, y0, x1, y1 = np.rint(prompt.box_xyxy).astype(np.int64).clip(0, [width - 1, height - 1] * 2).tolist()
    frame = Window(y0, x0, y1 + 1, x1 + 1)
    levels = _two_levels(np.ascontiguousarray(state.gray[y0 : y1 + 1, x0 : x1 + 1]))
    inside = (points >= (x0, y0)).all(axis=1) & (points <= (x1, y1)).all(axis=1)
    if (positive & inside).any():
        return _of_clicks(levels, points[inside], positive[inside], frame, height, width)
    h, w = levels.bright.shape
    ring = np.ones((h, w), np.bool_)
    ring[1:-1, 1:-1] = False
    mask = levels.bright if 2 * np.count_nonzero(levels.bright & ring) <= np.count_nonzero(ring) else ~levels.bright
    if not mask.any():  # one level only: nothing in the box to tell apart
        mask = ~mask
    return Region.from_window(mask, y0, x0, height, width)


def _of_clicks(
    levels: Levels, points: npt.NDArray[np.int64], positive: BoolArray, frame: Window, height: int, width: int
) -> Region:
    """The components (of the window `frame`) with positive clicks, shared between the clicks of either label where
    they hold both.
    """
    at = points - (frame.x0, frame.y0)
    owner = levels.labels[at[:, 1], at[:, 0]]
    chosen = np.unique(owner[positive]).tolist()
    if not chosen:
        return Region.from_window(np.zeros((0, 0), np.bool_), 0, 0, height, width)
    if len(chosen) == 1 and chosen[0] in levels.whole and positive[owner == chosen[0]].all():
        return levels.whole[chosen[0]]
    windows = [levels.window(k) for k in chosen]
    y0, x0 = min(w.y0 for w in windows), min(w.x0 for w in windows)
    y1, x1 = max(w.y1 for w in windows), max(w.x1 for w in windows)
    mask, split = np.zeros((y1 - y0, x1 - x0), np.bool_), False
    for label, (top, left, bottom, right) in zip(chosen, windows, strict=True):
        part = levels.labels[top:bottom, left:right] == label
        here = owner == label
        if not positive[here].all():
            split = True
            shifted = at[here] - (left, top)
            part &= _nearer(part.shape, shifted[positive[here]], shifted[~positive[here]])
        mask[top - y0 : bottom - y0, left - x0 : right - x0] |= part
    region = Region.from_window(mask, frame.y0 + y0, frame.x0 + x0, height, width)
    if len(chosen) == 1 and not split and 2 * mask.size > levels.labels.size:  # one or two, as large as the ground
        levels.whole.setdefault(chosen[0], region)
    return region


def _nearer(shape: tuple[int, ...], yes: npt.NDArray[np.int64], no: npt.NDArray[np.int64]) -> BoolArray:
    """bool `shape`: pixels at least as near to a point (x, y) of `yes` as to every one of `no`."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    to_yes, to_no = (
        functools.reduce(np.minimum, ((x - px) ** 2 + (y - py) ** 2 for px, py in points.tolist())) for points in (yes, no)
    )
    return np.asarray(to_yes <= to_no, np.bool_)


def otsu(*, device: str = "cpu", precision: str = "fp32", weights: Path | None = None) -> Otsu:
    """The factory of the card; there are no options. Raises ModelError for weights, or a device or precision it does
    not have.
    """
    if weights is not None or precision != "fp32" or not device.startswith("cpu"):
        raise ModelError(
            "otsu runs without weights, on the CPU, in fp32",
            found=f"weights={weights}, device={device}, precision={precision}",
            remedy="leave these flags out",
        )
    return Otsu()
