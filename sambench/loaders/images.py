"""Image and mask files as arrays. Every reader of a dataset reads pixels through these three functions.

Every picture is read in the frame of its stored pixels, whatever its EXIF orientation (`sambench.loaders.turned` turns those whose
annotations are of the turned picture). Anything that is not plainly 8-bit is refused unless the caller asks for a
conversion by name: a silent conversion is a number nobody can explain.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from sambench import content
from sambench.errors import DataError
from sambench.loaders import orientation
from sambench.types import BoolArray, UInt8Array

MAX_PIXELS = 1 << 30  # 3 GiB as RGB: far above real pictures, far below what a forged header may claim

_EIGHT_BIT = ("RGB", "RGBA", "RGBX", "L", "LA", "1")
_PALETTE = ("P", "PA")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_open_lock = threading.Lock()


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header, pixels unread. Raises DataError naming the file."""
    with _opened(path, whole=False) as image:
        return image.height, image.width


def read_rgb(
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    palette: Literal["convert", "refuse"] = "convert",
    wide: Literal["refuse", "high_byte"] = "refuse",
    cmyk: Literal["refuse", "convert"] = "refuse",
) -> UInt8Array:
    """uint8 [H, W, 3], RGB, of any file that Pillow reads.

    Gray is repeated, alpha is dropped (not composited), a palette is looked up. size: the (height, width) that the
    annotations are in; another size is an error. wide='high_byte' takes the high byte of 16-bit samples.
    Raises DataError naming the file: absent, empty, not an image, truncated, of another size, 16-bit, float or CMYK.
    """
    with _opened(path) as image:
        _check_size(path, image, size)
        bits, mode = _bit_depth(path, image), image.mode
        if bits == 16 and wide == "high_byte":
            return _high_byte(path, image)
        allowed = (*_EIGHT_BIT, *(_PALETTE if palette == "convert" else ()), *(("CMYK",) if cmyk == "convert" else ()))
        if bits > 8 or mode not in allowed:
            raise DataError(
                "an image is stored in a way that this dataset does not use",
                where=path,
                expected="8-bit gray, RGB or RGBA" + (" or palette" if palette == "convert" else ""),
                found=_describe(image, bits),
                remedy="compare the file with the official release; a re-encoded copy may have changed it",
            )
        return np.array(_decode(path, image).convert("RGB"))


def read_mask(path: Path, *, size: tuple[int, int] | None = None, above: int = 0) -> BoolArray:
    """bool [H, W] of a single-channel 8-bit or 1-bit file: pixels whose value is above `above` (of 255).

    Raises DataError naming the file, as `read_rgb`; a palette file is refused: its values are indices (`read_labels`).
    """
    with _opened(path) as image:
        _check_size(path, image, size, what="a mask", than="its image")
        bits = _bit_depth(path, image)
        if bits > 8 or image.mode not in ("L", "1"):
            raise DataError(
                "a mask is stored in a way that this dataset does not use",
                where=path,
                expected="8-bit gray or 1-bit, one channel",
                found=_describe(image, bits),
                remedy="compare the file with the official release; a re-encoded copy may have changed it",
            )
        return np.asarray(_decode(path, image).convert("L")) > above


def read_labels(path: Path, *, size: tuple[int, int] | None = None, colours: bool = False) -> npt.NDArray[np.int32]:
    """int32 [H, W]: the values as stored, of a palette (its indices), gray (1 to 16 bits) or 32-bit integer file.

    colours: an RGB or RGBA file is taken too, its values R * 65536 + G * 256 + B (alpha dropped).
    Raises DataError naming the file, as `read_rgb`; several channels are refused otherwise.
    """
    with _opened(path) as image:
        _check_size(path, image, size, what="a label map", than="its image")
        bits = _bit_depth(path, image)
        if colours and bits == 8 and image.mode in ("RGB", "RGBA"):
            rgb = np.array(_decode(path, image).convert("RGB")).astype(np.int32)
            return (rgb[:, :, 0] << 16) | (rgb[:, :, 1] << 8) | rgb[:, :, 2]
        if image.mode not in ("P", "L", "1", "I") and not image.mode.startswith("I;16"):
            raise DataError(
                "a label map has several channels or is not of integers",
                where=path,
                expected="palette, gray or 16-bit gray, one channel",
                found=_describe(image, bits),
            )
        gray = image.mode in ("L", "1")
        values = np.array(_decode(path, image)).astype(np.int32)
        # Pillow stretches 2- and 4-bit gray to 0..255; the stored values are wanted. (1-bit comes as booleans.)
        return values // (255 // ((1 << bits) - 1)) if gray and bits in (2, 4) else values


def read_orientation(path: Path) -> int:
    """EXIF orientation 1 to 8, 1 where the file says none (or not readably). Raises DataError naming the file if it is no image."""
    with _opened(path, whole=False), path.open("rb") as file:
        return orientation.look(file).value


def turn(image: UInt8Array, value: int) -> UInt8Array:
    """image [H, W, ...] as an EXIF orientation of 1 to 8 wants it shown: mirrored for 2, 4, 5, 7; axes swapped from 5 on."""
    if value >= 5:
        image = image.swapaxes(0, 1)
    if value in (3, 4, 7, 8):
        image = image[::-1]
    if value in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


@contextmanager
def _opened(path: Path, *, whole: bool = True) -> Iterator[Image.Image]:
    """The file with its header read, its pixels as they are stored.

    whole: what is decoded are the very bytes whose hash `sambench.content` notes; else only as much is read as the header takes.
    """
    with ExitStack() as held:
        yield held.enter_context(_open(path, whole, held))


def _open(path: Path, whole: bool, held: ExitStack) -> Image.Image:
    """Pillow's own limit on pixels is lifted for the moment of opening; ours holds."""
    try:
        file = io.BytesIO(content.read_bytes(path)) if whole else held.enter_context(path.open("rb"))
        with _open_lock:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(orientation.plain(file))
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except FileNotFoundError as e:
        raise DataError("an image file is missing", where=path, found="no such file") from e
    except UnidentifiedImageError as e:
        found = "an empty file" if path.stat().st_size == 0 else f"{path.stat().st_size} bytes that are no image"
        raise DataError("a file is not an image", where=path, expected="PNG, JPEG, ...", found=found) from e
    except _BROKEN as e:
        raise _broken(path, e) from e
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            "an image claims to be too large",
            where=path,
            expected=f"at most {MAX_PIXELS} pixels",
            found=f"{image.width} x {image.height}",
        )
    return image


def _decode(path: Path, image: Image.Image) -> Image.Image:
    try:
        image.load()
    except _BROKEN as e:
        raise _broken(path, e) from e
    return image


def _broken(path: Path, e: BaseException) -> DataError:
    text = str(e) or type(e).__name__
    return DataError(
        "an image file is truncated or damaged",
        where=path,
        expected="a complete image",
        found=text,
        remedy="fetch or unpack this file again",
    )


def _check_size(
    path: Path, image: Image.Image, size: tuple[int, int] | None, what: str = "an image", than: str = "its annotations"
) -> None:
    if size is not None and (image.height, image.width) != size:
        raise DataError(
            f"{what} has another size than {than}",
            where=path,
            expected=f"{size[1]} x {size[0]} (width x height)",
            found=f"{image.width} x {image.height}",
        )


def _bit_depth(path: Path, image: Image.Image) -> int:
    """Bits per sample as stored. Pillow opens 16-bit colour PNG as if it were 8-bit, so the file itself is asked."""
    if image.format == "PNG":
        with path.open("rb") as f:
            header = f.read(25)  # signature 8, length 4, 'IHDR' 4, width 4, height 4, bit depth 1
        return header[24] if len(header) == 25 else 8
    if image.mode in ("I", "F"):
        return 32
    raw = " ".join(str(tile[3]) for tile in image.tile) if hasattr(image, "tile") else ""
    return 16 if ";16" in raw or image.mode.startswith("I;16") else 8


def _high_byte(path: Path, image: Image.Image) -> UInt8Array:
    # For colour Pillow has dropped the low byte itself; for gray it is done here.
    array = np.array(_decode(path, image))
    if array.ndim == 2:
        return np.repeat((array.astype(np.int64) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def _describe(image: Image.Image, bits: int) -> str:
    names = {"P": "palette", "PA": "palette", "L": "gray", "LA": "gray and alpha", "1": "gray", "F": "float"}
    kind = "gray" if image.mode.startswith("I") else names.get(image.mode, image.mode)
    return f"{bits}-bit {kind} ({image.format}, Pillow mode {image.mode})"
