"""How a picture that is not plain 8-bit becomes one: the rule that a card's option `depth` chooses, for every reader.

    auto     (default) whole numbers: 0 is black, white the largest number of 8, 10, 12, 14 or 16 bits, of which the fewest count
             that hold the picture's largest value, so that 12 bits in a 16-bit file come out as they were taken. Floats: white is 1
             where no value is above, else 255. Other values are an error that names the option.
    full     white is the largest number that the file could hold: 65535, or 1 for floats. Values beyond are cut off.
    window   black is the picture's 1st percentile, white its 99th, over all channels; NaN and infinities are black.

Pictures of 8 bits and fewer are taken as they are, whatever the option. CMYK, YCbCr and Lab become RGB (CMYK in JPEG files is taken
as Adobe stores it, inverted), alpha is dropped and not composited, a palette is looked up. What was converted is noted.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from sambench.errors import DataError
from sambench.files import content
from sambench.files.picture import BROKEN, broken, decode, describe, is_inverted, is_signed
from sambench.loaders import orientation
from sambench.notes import note
from sambench.types import UInt8Array

Depth = Literal["auto", "full", "window"]
DEPTHS: tuple[Depth, ...] = get_args(Depth)
WINDOW_PERCENT = (1, 99)
_BITS = (8, 10, 12, 14, 16)
_CONVERTED = {"CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "Lab", "HSV": "HSV"}
_depth: ContextVar[Depth] = ContextVar("depth", default="auto")


@contextmanager
def depth_is(depth: Depth) -> Iterator[None]:
    """While it holds, pictures of more than 8 bits are opened by that rule, in this thread."""
    token = _depth.set(depth)
    try:
        yield
    finally:
        _depth.reset(token)


def shown(path: Path, values: npt.NDArray[Any], bits: int, stored: str) -> UInt8Array:
    """uint8 [H, W, 3] of samples [H, W] or [H, W, 3] of `bits` bits. stored: in words, for errors, which are DataErrors."""
    found = _eight_bits(path, values, bits, stored)
    return np.repeat(found[:, :, None], 3, axis=2) if found.ndim == 2 else found


def eight_bit_rgb(path: Path, image: Image.Image, bits: int) -> UInt8Array:
    """uint8 [H, W, 3] of an opened picture with `bits` bits a sample. Raises DataError: damaged, or values beyond the rule."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        found = shown(path, np.asarray(decode(path, image)), bits, describe(image, bits))
        return 255 - found if is_inverted(image) else found
    if image.mode == "L" and is_signed(image):
        return shown(path, np.asarray(decode(path, image)).view(np.int8), bits, f"signed {describe(image, bits)}")
    if bits == 16 and image.mode in ("RGB", "RGBA", "RGBX", "LA", "L"):
        stored = describe(image, bits)
        decode(path, image)  # which notices what is damaged: OpenCV gives what it got so far
        return shown(path, _sixteen_bit_rgb(path), bits, stored)
    if image.mode in _CONVERTED:
        note(f"{_CONVERTED[image.mode]} images are converted to RGB")
    decoded = decode(path, image)
    try:
        if decoded.mode in ("RGBa", "La"):  # alpha multiplied into the colours
            decoded = decoded.convert({"RGBa": "RGBA", "La": "LA"}[decoded.mode])
        if decoded.mode in ("P", "PA") and "transparency" in decoded.info:
            decoded = decoded.convert("RGBA")
        return np.array(decoded.convert("RGB"))
    except BROKEN as e:
        raise broken(path, e) from e


def _sixteen_bit_rgb(path: Path) -> npt.NDArray[Any]:
    """uint16 [H, W, 3] or [H, W]: Pillow drops the low byte of 16-bit colour, OpenCV keeps it."""
    import cv2

    # As for Pillow: OpenCV turns TIFFs by itself.
    raw = orientation.plain(io.BytesIO(content.read_bytes(path))).read()
    found = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16:
        raise broken(path, ValueError("its 16-bit samples cannot be decoded"))
    if found.ndim == 2:
        return found
    return np.ascontiguousarray(found[:, :, 2::-1])


def _eight_bits(path: Path, values: npt.NDArray[Any], bits: int, stored: str) -> UInt8Array:
    """uint8 of the same shape, by the rule in force."""
    depth, kind = _depth.get(), f"{bits}-bit{' float' if values.dtype.kind == 'f' else ''} images"
    if depth == "window":
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        black, white = (float(x) for x in np.percentile(finite, WINDOW_PERCENT)) if finite.size else (0.0, 1.0)
        note(f"{kind} are brought to 8 bits by the window of their {WINDOW_PERCENT[0]}st to {WINDOW_PERCENT[1]}th percentile")
    else:
        black, white = 0.0, _white(path, values, bits, stored, depth)
        note(f"{kind} are brought to 8 bits: {white:g} becomes white (card option depth = {depth!r})")
    span = white - black if white > black else 1.0
    if values.dtype == np.uint16:  # by a table: no floats for every pixel
        table = np.clip(np.rint((np.arange(1 << 16) - black) * (255 / span)), 0, 255).astype(np.uint8)
        return np.asarray(table[values])
    scaled = (values.astype(np.float32) - np.float32(black)) * np.float32(255 / span)
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _white(path: Path, values: npt.NDArray[Any], bits: int, stored: str, depth: Depth) -> float:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if values.dtype.kind == "f":
        fits = low >= 0 and (high <= 1 if depth == "full" else high <= 255)  # not where there is a NaN
        white, expected = 1.0 if high <= 1 else 255.0, f"floats from 0 to 1{'' if depth == 'full' else ' or 0 to 255'}"
    elif depth == "full":
        fits, white, expected = bits == 16 and low >= 0, 65535.0, "whole numbers of 16 bits"
    else:
        fits, expected = low >= 0 and high < 1 << _BITS[-1], f"whole numbers from 0 to {(1 << _BITS[-1]) - 1}"
        white = float(next(((1 << b) - 1 for b in _BITS if high < 1 << b), 0))
    if not fits:
        raise DataError(
            "an image has values of which none is known to be white",
            where=path,
            expected=expected,
            found=f"{stored}, values from {low:g} to {high:g}",
            remedy='set depth = "window" under [options] of the card: the 1st percentile becomes black, the 99th white',
        )
    return white
