"""Sobel's magnitude and Canny's detector, as models of the edge task. Frozen: other numbers are compared with them.

Both blur the colour image with a Gaussian (OpenCV's kernel size for float images, border reflect-101), take the gray image's
3x3 Sobel derivatives, and thin their magnitude along the gradient (`edge_maps.canny_nms`). All in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import ModelError, UsageError
from sambench.pixels.edge_maps import canny_nms
from sambench.types import FloatArray, UInt8Array

_FLAT = 1e-4  # largest magnitude of an image without edges: rounding, far below a step of one grey level


class Gradient(NamedTuple):
    """float32 [H, W] each: Sobel derivatives along x and y of a gray image in [0, 1], and their length."""

    x: FloatArray
    y: FloatArray
    magnitude: FloatArray


def gradient(image: UInt8Array, sigma: float) -> Gradient:
    """Of an image uint8 [H, W, 3], RGB, blurred by `sigma` pixels (0: not at all)."""
    colour = image.astype(np.float32) / 255
    if sigma > 0:
        colour = cv2.GaussianBlur(colour, (0, 0), sigma).astype(np.float32, copy=False)
    gray = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    x, y = (np.asarray(cv2.Sobel(gray, cv2.CV_32F, dx, 1 - dx), np.float32) for dx in (1, 0))
    return Gradient(x, y, np.hypot(x, y))


class Sobel:
    """The magnitude's crests. scale: the magnitude that becomes 1 (more is cut off); None: the image's largest.

    eight_bit: values are rounded to 1/255, as when maps are written to image files; published rows were.
    """

    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, sigma: float = 1.0, scale: float | None = None, eight_bit: bool = True) -> None:
        self.sigma, self.scale, self.eight_bit = sigma, scale, eight_bit
        self.identity: Mapping[str, Any] = {"model": "sobel", "sigma": sigma, "scale": scale, "eight_bit": eight_bit}

    def edges(self, image: UInt8Array) -> npt.NDArray[np.float64]:
        """image uint8 [H, W, 3] RGB -> float64 [H, W] in [0, 1]."""
        g = gradient(image, self.sigma)
        crests = canny_nms(_scaled(g.magnitude, self.scale), g.x, g.y).astype(np.float64)
        return np.rint(crests * 255) / 255 if self.eight_bit else crests


class Canny:
    """Canny 1986 for all thresholds at once: a pixel's value is the highest threshold at which hysteresis keeps it.

    Components are 8-connected, and magnitudes are divided by the image's largest. sweep: which of the two thresholds the value is.
    'low': the higher one is low / low_ratio, at most 1. Precision is then known at all recalls down to 0, and the average
    precision on BSDS500 is .586 (an independent measurement: .583, which is what every second threshold gives; published: .580).
    'high': the lower one is low_ratio * high. The strongest edge is then never without what hangs on it down to low_ratio, recall
    ends at .04, and the average precision counts 0 below that: .559. ODS, OIS and R50 differ by less than .002.
    """

    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, sigma: float = 3.0, low_ratio: float = 0.4, sweep: Literal["low", "high"] = "low") -> None:
        if not 0 < low_ratio <= 1:
            raise UsageError("a ratio of thresholds does not fit", where="-M low_ratio", expected="0 < x <= 1", found=low_ratio)
        if sweep not in ("low", "high"):
            raise UsageError("a threshold to sweep does not fit", where="-M sweep", expected="low or high", found=repr(sweep))
        self.sigma, self.low_ratio, self.sweep = sigma, low_ratio, sweep
        self.identity: Mapping[str, Any] = {"model": "canny", "sigma": sigma, "low_ratio": low_ratio, "sweep": sweep}

    def edges(self, image: UInt8Array) -> npt.NDArray[np.float64]:
        """image uint8 [H, W, 3] RGB -> float64 [H, W] in [0, 1]."""
        g = gradient(image, self.sigma)
        return surviving_threshold(canny_nms(_scaled(g.magnitude, None), g.x, g.y), self.low_ratio, self.sweep)


def surviving_threshold(
    crests: npt.NDArray[Any], low_ratio: float, sweep: Literal["low", "high"]
) -> npt.NDArray[np.float64]:
    """float64 [H, W]: the highest threshold at which hysteresis keeps each pixel; 0 where crests are.

    crests: float [H, W] in [0, 1]. A pixel is kept where the 8-connected component of values >= low that it lies in reaches `high`
    somewhere. sweep: 'high', of the pair low_ratio * high and high; or 'low', of the pair low and low / low_ratio (at most 1).
    """
    from sambench.models.edges._hysteresis import highest_survived

    values = crests.astype(np.float64)
    pixels = np.flatnonzero(values)
    order = pixels[np.argsort(-values.reshape(-1)[pixels], kind="stable")]
    padded = np.zeros((values.shape[0] + 2, values.shape[1] + 2))
    padded[1:-1, 1:-1] = values
    y, x = np.divmod(order, values.shape[1])
    at = ((y + 1) * padded.shape[1] + x + 1).astype(np.int64)
    highest_survived(padded.reshape(-1), at, padded.shape[1], low_ratio, sweep == "low")
    return np.ascontiguousarray(padded[1:-1, 1:-1])


def _scaled(magnitude: FloatArray, scale: float | None) -> FloatArray:
    largest = np.float32(magnitude.max() if scale is None else scale)
    if magnitude.max() < _FLAT:
        return np.zeros_like(magnitude)
    out: FloatArray = np.minimum(magnitude / largest, np.float32(1))
    return out


def sobel(
    *,
    sigma: float = 1.0,
    scale: float | None = None,
    eight_bit: bool = True,
    device: str = "cpu",
    precision: str = "fp32",
    weights: Path | None = None,
) -> Sobel:
    """The factory of the card `sobel`."""
    check_plain("sobel", device, precision, weights)
    _check_positive("scale", scale)
    return Sobel(_checked_sigma(sigma), scale, eight_bit)


def canny(
    *,
    sigma: float = 3.0,
    low_ratio: float = 0.4,
    sweep: Literal["low", "high"] = "low",
    device: str = "cpu",
    precision: str = "fp32",
    weights: Path | None = None,
) -> Canny:
    """The factory of the card `canny`."""
    check_plain("canny", device, precision, weights)
    return Canny(_checked_sigma(sigma), low_ratio, sweep)


def check_plain(name: str, device: str, precision: str, weights: Path | None) -> None:
    """Raises ModelError unless the model is asked for as it can run: without weights, on the CPU, in fp32."""
    if weights is not None or precision != "fp32" or not device.startswith("cpu"):
        raise ModelError(
            f"{name} runs without weights, on the CPU, in fp32",
            found=f"weights={weights}, device={device}, precision={precision}",
            remedy="leave these flags out",
        )


def _checked_sigma(sigma: float) -> float:
    if not 0 <= sigma <= 100:
        raise UsageError("a blur does not fit", where="-M sigma", expected="pixels, from 0 to 100", found=sigma)
    return float(sigma)


def _check_positive(name: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise UsageError(f"{name} does not fit", where=f"-M {name}", expected="a number above 0", found=value)
