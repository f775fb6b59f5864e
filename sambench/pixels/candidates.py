"""Candidate masks of one prompt, lazy: the implementations of :class:`~sambench.types.Masks`. Numpy and OpenCV.

Promptable models answer in low resolution; the official post-processing brings every candidate to the whole image, twice
interpolated, to look at a few pixels of it. A window of the image needs only a window of the low-resolution logits, and only the
window around the positive ones matters. :class:`~sambench.pixels.interpolation.Geometry` says how they lie on the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import ModelError, message_of
from sambench.pixels.interpolation import Geometry
from sambench.pixels.region import Region
from sambench.types import BoolArray, FloatArray, Masks, Window

__all__ = ["DenseMasks", "Geometry", "LogitMasks", "as_masks", "to_numpy"]


class DenseMasks:
    """Candidates as full boolean arrays [C, H, W], with foreground probabilities [C, H, W] if the model has them."""

    def __init__(self, array: BoolArray, probs: FloatArray | None = None) -> None:
        if array.ndim != 3 or array.dtype != np.bool_ or (probs is not None and probs.shape != array.shape):
            raise ValueError("DenseMasks takes bool [C, H, W] and probabilities of that shape; see as_masks")
        self._array = array
        self._probs = probs
        self._regions: dict[int, Region] = {}
        self.height, self.width = int(array.shape[1]), int(array.shape[2])

    def __len__(self) -> int:
        return len(self._array)

    def region(self, i: int) -> Region:
        """Candidate i as its tight window."""
        if i not in self._regions:
            self._regions[i] = Region.from_array(self._array[i])
        return self._regions[i]

    def area(self, threshold: float = 0.0) -> npt.NDArray[np.int64]:
        """[C] pixels. Dense masks have no logits: threshold must be 0, or ModelError is raised."""
        if threshold != 0:
            raise ModelError(
                "these masks have no logits to threshold",
                expected="a model that returns logits, or threshold 0",
                found=f"boolean masks and threshold {threshold}",
            )
        return np.array([self.region(i).area for i in range(len(self))], np.int64)

    def box(self) -> npt.NDArray[np.int64]:
        """[C, 4], xyxy inclusive; zeros where empty."""
        return _boxes(self)

    def iou(self, target: Region, ignore: Region | None = None) -> npt.NDArray[np.float64]:
        """[C], IoU with `target`; pixels of `ignore` count nowhere."""
        return _ious(self, target, ignore)

    def rle(self, i: int) -> dict[str, Any]:
        """COCO compressed RLE."""
        return self.region(i).rle()

    def array(self, i: int) -> BoolArray:
        """bool [H, W]; a view of the model's own array."""
        view: BoolArray = self._array[i]
        return view

    def prob(self, i: int, window: Window | None = None) -> FloatArray:
        """float32 on `window`: the model's probabilities, or 0 and 1 if it gave none."""
        y0, x0, y1, x1 = window or Window(0, 0, self.height, self.width)
        source = self._array if self._probs is None else self._probs
        return source[i, y0:y1, x0:x1].astype(np.float32)


class LogitMasks:
    """Candidates as low-resolution logits float32 [C, h, w]; a pixel is foreground where its interpolated logit is > 0.

    Everything stands on the logits of one candidate on a window; the region of a candidate is computed once and kept.
    """

    def __init__(self, logits: FloatArray, geometry: Geometry) -> None:
        if logits.ndim != 3 or logits.dtype != np.float32 or logits.shape[1:] != geometry.low:
            raise ValueError(f"LogitMasks takes float32 [C, {geometry.low}], not {logits.dtype} {logits.shape}")
        self._low_res = logits
        self._begin(geometry)

    def _begin(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.height, self.width = geometry.size
        self._regions: dict[tuple[int, float], Region] = {}

    def __len__(self) -> int:
        return len(self.low_res)

    @property
    def low_res(self) -> FloatArray:
        """float32 [C, h, w], as the model gave them."""
        return self._low_res

    def logits(self, i: int, window: Window | None = None) -> FloatArray:
        """float32 logits of candidate i on `window` (default: the whole frame)."""
        y0, x0, y1, x1 = window or Window(0, 0, self.height, self.width)
        out = np.empty((y1 - y0, x1 - x0), np.float32)
        for top, values in self._bands(self.low_res[i], Window(y0, x0, y1, x1)):
            out[top - y0 : top - y0 + len(values)] = values
        return out

    def region(self, i: int, threshold: float = 0.0) -> Region:
        """Candidate i (its pixels above `threshold`) as its tight window."""
        key = (i, float(threshold))
        if key not in self._regions:
            self._regions[key] = self._region(self.low_res[i], threshold)
        return self._regions[key]

    def area(self, threshold: float = 0.0) -> npt.NDArray[np.int64]:
        """[C], pixels whose logit is above `threshold`."""
        return np.array([self.region(i, threshold).area for i in range(len(self))], np.int64)

    def box(self) -> npt.NDArray[np.int64]:
        """[C, 4], xyxy inclusive; zeros where empty."""
        return np.array([self._box(i) for i in range(len(self))], np.int64).reshape(-1, 4)

    def iou(self, target: Region, ignore: Region | None = None) -> npt.NDArray[np.float64]:
        """[C], IoU with `target`; pixels of `ignore` count nowhere."""
        return _ious(self, target, ignore)

    def rle(self, i: int) -> dict[str, Any]:
        """COCO compressed RLE."""
        return self.region(i).rle()

    def array(self, i: int) -> BoolArray:
        """bool [H, W]."""
        return self.region(i).full()

    def prob(self, i: int, window: Window | None = None) -> FloatArray:
        """float32 on `window`: the sigmoid of the logits."""
        x = self.logits(i, window)
        np.negative(x, out=x)
        with np.errstate(over="ignore", under="ignore"):  # exp(large) is inf, and 1 / (1 + inf) is the right 0
            np.exp(x, out=x)
        x += 1
        return np.reciprocal(x, out=x)

    def _region(self, low: FloatArray, threshold: float) -> Region:
        # A weighted mean of values that are not above the threshold is not either: only outputs that see one that is matter.
        x, y, w, h = cv2.boundingRect((low > threshold).view(np.uint8))
        y0, y1 = self.geometry.axis(0).reached(y, y + h)
        x0, x1 = self.geometry.axis(1).reached(x, x + w)
        if not w or y0 >= y1 or x0 >= x1:  # nothing, or all of it beyond the crop
            return Region(0, 0, np.zeros((0, 0), np.bool_), self.height, self.width)
        out = np.empty((y1 - y0, x1 - x0), np.bool_)
        for top, values in self._bands(low, Window(y0, x0, y1, x1)):
            np.greater(values, threshold, out=out[top - y0 : top - y0 + len(values)])
        x, y, w, h = cv2.boundingRect(out.view(np.uint8))
        if not w:
            return Region(0, 0, np.zeros((0, 0), np.bool_), self.height, self.width)
        return Region(y0 + y, x0 + x, out[y : y + h, x : x + w].copy(), self.height, self.width)

    def _box(self, i: int) -> tuple[int, int, int, int]:
        """xyxy inclusive, from strips along the four sides: a box costs a fraction of the region, and nothing is kept."""
        if (i, 0.0) in self._regions:
            return self._regions[i, 0.0].box_xyxy
        x, y, w, h = cv2.boundingRect((self.low_res[i] > 0).view(np.uint8))
        y0, y1 = self.geometry.axis(0).reached(y, y + h)
        x0, x1 = self.geometry.axis(1).reached(x, x + w)
        if not w or y0 >= y1 or x0 >= x1:
            return (0, 0, 0, 0)

        def row_has(start: int, stop: int) -> BoolArray:
            return np.asarray((self.logits(i, Window(start, x0, stop, x1)) > 0).any(axis=1), np.bool_)

        top = _first(row_has, y0, y1)
        if top is None:
            return (0, 0, 0, 0)
        bottom = _last(row_has, top, y1)

        def column_has(start: int, stop: int) -> BoolArray:
            return np.asarray((self.logits(i, Window(top, start, bottom + 1, stop)) > 0).any(axis=0), np.bool_)

        left = _first(column_has, x0, x1)
        left = x0 if left is None else left
        return (left, top, _last(column_has, left, x1), bottom)

    def _bands(self, low: FloatArray, window: Window) -> Iterator[tuple[int, FloatArray]]:
        """The interpolated logits on a window, a band of rows at a time: (first row, float32 [rows, x1 - x0])."""
        y0, x0, y1, x1 = window
        rows, cols = self.geometry.axis(0), self.geometry.axis(1)
        if y0 >= y1 or x0 >= x1:
            return
        lo, hi = rows.support(y0, y1)
        if rows.factor and rows.factor == cols.factor:
            f, (left, right) = rows.factor, cols.support(x0, x1)
            crop = low[lo:hi, left:right]
            enlarged: Any = cv2.resize(crop, None, fx=f, fy=f, interpolation=cv2.INTER_LINEAR)
            yield y0, enlarged[y0 - f * lo : y1 - f * lo, x0 - f * left : x1 - f * left]
            return
        wide = cols.across(low[lo:hi], x0, x1)
        for s in rows.strips(y0, y1):
            yield s.start, s.matrix @ wide[s.lo - lo : s.hi - lo]


def as_masks(obj: object, height: int, width: int) -> Masks:
    """What a model returned as the masks of one prompt, as `Masks` of a height x width image.

    Taken: a `Masks`; bool [C, H, W]; numbers [C, H, W] that are all 0 or 1, or all 0 or 255; torch tensors of these.
    Raises ModelError for the rest: other sizes, no candidate, logits or probabilities (where to cut them is the model's to say).
    """
    if all(hasattr(obj, name) for name in ("region", "area", "box", "iou", "rle", "array", "prob")):
        masks: Masks = obj  # type: ignore[assignment]
        if (masks.height, masks.width) != (height, width) or not len(masks):
            raise _bad_masks(f"{len(masks)} candidates of {masks.height} x {masks.width}", height, width)
        return masks
    array = to_numpy(obj, "masks", "bool [C, H, W]")
    described = f"{array.dtype} {list(array.shape)}"
    if array.ndim != 3 or array.shape[1:] != (height, width) or not len(array):
        remedy = None
        if array.shape == (height, width):
            remedy = "add the axis of candidates: masks[None]"
        elif array.ndim == 3 and array.shape[1:] == (width, height):
            remedy = "height comes before width: transpose the last two axes"
        elif array.ndim == 3 and array.shape[:2] == (height, width):
            remedy = "candidates come first: masks.transpose(2, 0, 1)"
        raise _bad_masks(described, height, width, remedy)
    if array.dtype == np.bool_:
        return DenseMasks(array)
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise _bad_masks(described, height, width)
    low, high = array.min(), array.max()
    binary = np.array_equal(array, array.astype(np.bool_) * high) and low >= 0 and high in (0, 1, 255)
    if not binary:
        raise _bad_masks(
            f"{described} with values from {low:g} to {high:g}",
            height,
            width,
            "threshold them in the model: logits > 0, probabilities > 0.5",
        )
    return DenseMasks(array.astype(np.bool_))


def to_numpy(obj: object, what: str, expected: str) -> npt.NDArray[Any]:
    """An array or tensor that a model returned, on the CPU. Raises ModelError for what is none; what, expected: for its message."""
    try:
        if type(obj).__module__.partition(".")[0] == "torch" and hasattr(obj, "detach"):
            tensor: Any = obj
            obj = tensor.detach().cpu()
            if str(tensor.dtype) == "torch.bfloat16":  # numpy has no such type
                obj = tensor.detach().cpu().float()
        return np.asarray(obj)
    except (ValueError, TypeError, RuntimeError) as e:
        found = f"{type(obj).__name__}: {message_of(e)}"
        raise ModelError(f"a model returned {what} that are no array", expected=expected, found=found) from e


def _bad_masks(found: str, height: int, width: int, remedy: str | None = None) -> ModelError:
    return ModelError(
        "a model returned masks that can't be used",
        expected=f"bool [C, {height}, {width}] with C >= 1 candidates, or a Masks of that image",
        found=found,
        remedy=remedy or "return boolean masks in the pixels of the image that `encode` was given",
    )


_SIDE = 8  # rows or columns looked at together when a box is sought


def _first(has: Callable[[int, int], BoolArray], start: int, stop: int) -> int | None:
    """The first index of start..stop-1 that `has` (bool, of a range) finds, or None."""
    for a in range(start, stop, _SIDE):
        found = has(a, min(a + _SIDE, stop))
        if found.any():
            return a + int(found.argmax())
    return None


def _last(has: Callable[[int, int], BoolArray], start: int, stop: int) -> int:
    """The last index of start..stop-1 that `has` finds; `start` if there is no other."""
    for b in range(stop, start, -_SIDE):
        a = max(b - _SIDE, start)
        found = has(a, b)
        if found.any():
            return b - 1 - int(found[::-1].argmax())
    return start


def _boxes(masks: Masks) -> npt.NDArray[np.int64]:
    return np.array([masks.region(i).box_xyxy for i in range(len(masks))], np.int64).reshape(-1, 4)


def _ious(masks: Masks, target: Region, ignore: Region | None) -> npt.NDArray[np.float64]:
    return np.array([masks.region(i).iou(target, ignore) for i in range(len(masks))], np.float64)
