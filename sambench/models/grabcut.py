"""GrabCut (Rother et al. 2004), OpenCV's, driven by clicks or a box: a baseline without weights. Frozen: bars refer
to it.

A call works in the bounding box of its clicks (and box) plus half a `window` of pixels on every side. For as long as the
mask touches a border of that window which is not the image's, it begins again with twice the margin, or twice the window if
that is more. A window longer than `max_side` is worked on at that length (image averaged, mask of whole blocks), so that
a large object costs what a medium one does.

What GrabCut starts from; later statements win over earlier ones:

1. everything is probably background; with a box, what is inside it is probably object;
2. the previous mask (carry) is probably object; without one, discs of `probable_radius` around the positive clicks are;
3. with a box, what is outside it is certainly background, and the ellipse of half the box's axes at its centre is certainly
   object (without such a core GrabCut can't tell an object from its like beside it: mIoU .49 instead of .75 on nuclei);
4. discs of `certain_radius` around the clicks are certainly object or background, but never reach halfway to the nearest
   click of the other label; the clicked pixel itself always is.

Then `iterations` rounds. Of the result, the 4-connected components that hold a positive click are the mask; with a
box and no positive click, all of it. Radii are in pixels of the image as worked on. GrabCut initialises its colour
models by k-means from OpenCV's global random state, which is set to `seed` before every call: nothing else may depend
on that state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import ModelError
from sambench.pixels.region import Region
from sambench.pixels.region_masks import RegionMasks
from sambench.types import BoolArray, BoxXYXY, Prediction, Prompt, UInt8Array, Window

_CORE = 0.5  # axes of the ellipse that is certainly object, relative to the box's
_FEWEST = 5  # OpenCV's colour models have five components and need a pixel for each


@dataclass(frozen=True)
class Options:
    """All in pixels but iterations and seed."""

    window: int = 96
    max_side: int = 200
    iterations: int = 1
    probable_radius: int = 8
    certain_radius: int = 3
    seed: int = 0


class GrabCut:
    """A Segmenter: the state is the image, the carry is the previous mask (a Region), one candidate a prompt, score
    1.
    """

    max_batch = 64
    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, options: Options) -> None:
        self.options = options
        self.identity: Mapping[str, Any] = {"model": "grabcut", **asdict(options)}

    def encode(self, image: UInt8Array) -> UInt8Array:
        """image uint8 [H, W, 3] RGB -> itself."""
        return image

    def decode(self, state: UInt8Array, prompts: list[Prompt]) -> list[Prediction]:
        """One candidate a prompt; empty where there is neither a positive click nor a box."""
        height, width = state.shape[:2]
        out = []
        for prompt in prompts:
            region = self._segment(state, prompt)
            out.append(Prediction(RegionMasks([region], height, width), np.ones(1, np.float32), [region]))
        return out

    def _segment(self, image: UInt8Array, prompt: Prompt) -> Region:
        height, width = image.shape[:2]
        points = np.rint(prompt.points_xy).astype(np.int64).clip(0, [width - 1, height - 1])
        positive = prompt.labels == 1
        if prompt.box_xyxy is None and not positive.any():
            return Region.from_window(np.zeros((0, 0), np.bool_), 0, 0, height, width)
        corners = points
        if prompt.box_xyxy is not None:
            ends = np.rint(np.reshape(prompt.box_xyxy, (2, 2))).astype(np.int64).clip(0, [width - 1, height - 1])
            corners = np.concatenate([points, ends])
        margin = self.options.window // 2
        low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        while True:
            x0, y0, x1, y1 = low[0] - margin, low[1] - margin, high[0] + margin + 1, high[1] + margin + 1
            window = Window(max(0, y0), max(0, x0), min(height, y1), min(width, x1))
            mask = self._in_window(image, prompt, points, positive, window)
            if not _touches(mask, window, height, width):
                return Region.from_window(mask, window.y0, window.x0, height, width)
            margin += max(margin, max(x1 - x0, y1 - y0) // 2)  # at least twice the margin, and twice the window

    def _in_window(
        self, image: UInt8Array, prompt: Prompt, points: npt.NDArray[np.int64], positive: BoolArray, window: Window
    ) -> BoolArray:
        """The mask on the window, bool [h, w]."""
        h, w = window.y1 - window.y0, window.x1 - window.x0
        scale = min(1.0, self.options.max_side / max(h, w))
        rows, cols = max(1, round(h * scale)), max(1, round(w * scale))
        crop = np.ascontiguousarray(image[window.y0 : window.y1, window.x0 : window.x1])
        if (rows, cols) != (h, w):
            crop = cv2.resize(crop, (cols, rows), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        # Pixel i of n, worked on, is pixel floor((i + 1/2) size / n) of the window, and back.
        down_y, down_x = ((2 * np.arange(n) + 1) * size // (2 * n) for n, size in ((rows, h), (cols, w)))
        up_y, up_x = ((2 * np.arange(size) + 1) * n // (2 * size) for n, size in ((rows, h), (cols, w)))
        at = np.stack([up_x[points[:, 0] - window.x0], up_y[points[:, 1] - window.y0]], axis=1)

        trimap = np.full((rows, cols), cv2.GC_PR_BGD, np.uint8)
        box = _box(prompt.box_xyxy, down_y + window.y0, down_x + window.x0)
        if box is not None:
            trimap[box.in_box] = cv2.GC_PR_FGD
        if isinstance(prompt.carry, Region):
            trimap[prompt.carry.cut(window)[down_y[:, None], down_x[None, :]]] = cv2.GC_PR_FGD
        else:
            for x, y in at[positive].tolist():
                cv2.circle(trimap, (x, y), self.options.probable_radius, cv2.GC_PR_FGD, -1)
        if box is not None:
            trimap[~box.in_box] = cv2.GC_BGD
            trimap[box.core] = cv2.GC_FGD
        self._draw_certain(trimap, at, positive)
        mask = _grab(crop, trimap, self.options)
        if positive.any():
            _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
            kept = np.unique(labels[at[positive, 1], at[positive, 0]])
            mask = np.isin(labels, kept[kept > 0])
        return mask[up_y[:, None], up_x[None, :]]

    def _draw_certain(self, trimap: UInt8Array, at: npt.NDArray[np.int64], positive: BoolArray) -> None:
        values = np.where(positive, cv2.GC_FGD, cv2.GC_BGD).tolist()
        for (x, y), is_positive, value in zip(at.tolist(), positive, values, strict=True):
            others = at[positive != is_positive]
            nearest = float(np.hypot(*(others - (x, y)).T).min()) if len(others) else np.inf
            radius = int(min(self.options.certain_radius, max(0.0, (nearest - 1) / 2)))
            cv2.circle(trimap, (x, y), radius, value, -1)
        for (x, y), value in zip(at.tolist(), values, strict=True):
            trimap[y, x] = value


def _grab(crop: UInt8Array, trimap: UInt8Array, options: Options) -> BoolArray:
    """GrabCut on uint8 [h, w, 3] from a trimap uint8 [h, w] -> bool [h, w]."""
    n_object = int(np.count_nonzero(trimap & 1))  # certain and probable object are the odd codes
    if n_object >= _FEWEST and trimap.size - n_object >= _FEWEST:
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(options.seed)
        # Channel order is of no consequence to a Gaussian mixture but for rounding; BGR is what OpenCV documents.
        bgr = np.ascontiguousarray(crop[..., ::-1])
        cv2.grabCut(bgr, trimap, (0, 0, 0, 0), background, foreground, options.iterations, cv2.GC_INIT_WITH_MASK)
    return (trimap & 1).view(np.bool_)


class _Box(NamedTuple):
    """in_box, core: bool [h, w], the pixels inside the box, and inside the ellipse of half its axes."""

    in_box: BoolArray
    core: BoolArray


def _box(box_xyxy: BoxXYXY | None, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> _Box | None:
    """For pixels in rows y [h] and columns x [w] of the image."""
    if box_xyxy is None:
        return None
    x0, y0, x1, y1 = box_xyxy
    in_box = ((y >= y0) & (y <= y1))[:, None] & ((x >= x0) & (x <= x1))[None, :]
    up = ((2 * y - y0 - y1) / (y1 - y0 + 1)) ** 2
    across = ((2 * x - x0 - x1) / (x1 - x0 + 1)) ** 2
    return _Box(in_box, in_box & (up[:, None] + across[None, :] <= _CORE**2))


def _touches(mask: BoolArray, window: Window, height: int, width: int) -> bool:
    """Whether the mask reaches a side of the window beyond which the image goes on."""
    return bool(
        (window.y0 > 0 and mask[0].any())
        or (window.x0 > 0 and mask[:, 0].any())
        or (window.y1 < height and mask[-1].any())
        or (window.x1 < width and mask[:, -1].any())
    )


def grabcut(
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: Path | None = None,
    window: int = Options.window,
    max_side: int = Options.max_side,
    iterations: int = Options.iterations,
    probable_radius: int = Options.probable_radius,
    certain_radius: int = Options.certain_radius,
    seed: int = Options.seed,
) -> GrabCut:
    """The factory of the card; the options are those of :class:`Options`.

    Raises ModelError for weights, a device or precision that it does not have, or an option's value that does not fit.
    """
    if weights is not None or precision != "fp32" or not device.startswith("cpu"):
        raise ModelError(
            "grabcut runs without weights, on the CPU, in fp32",
            found=f"weights={weights}, device={device}, precision={precision}",
            remedy="leave these flags out",
        )
    options = Options(window, max_side, iterations, probable_radius, certain_radius, seed)
    for key, value in asdict(options).items():
        least = 0 if key in ("seed", "probable_radius", "certain_radius") else 2 if key == "window" else 1
        if type(value) is not int or value < least:
            raise ModelError(f"grabcut's {key} does not fit", expected=f"an integer from {least}", found=repr(value))
    return GrabCut(options)
