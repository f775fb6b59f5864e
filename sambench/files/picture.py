"""Picture files as Pillow opens them, behind the checks that a file of anyone's needs: what every reader of pixels begins with."""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from sambench.errors import DataError, UsageError
from sambench.files import content
from sambench.files.opening import cannot_open, check_file

# Decoding takes up to 10 bytes a pixel (Pillow's 4, an RGB array's 3, one more while it is converted): 1.3 GB here. The largest
# pictures that are photographed have 10^8 pixels; a PNG of 120 KB can announce ten times as many.
MAX_PIXELS = 1 << 27
VARIABLE = "SAMBENCH_MAX_PIXELS"
_MOST_BYTES_A_PIXEL = 16  # of a file: four channels of 32 bits, not compressed

BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError, OverflowError, RuntimeError)
_DRAWN = ("EPS", "WMF")  # Pillow would have another program draw them
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _PHOTOMETRIC, _PLANAR, _FORMAT = 258, 262, 284, 339  # TIFF 6.0
_SEPARATE, _SIGNED = 2, 2
_open_lock = threading.Lock()


class UnknownTiffError(DataError):
    """A TIFF that Pillow does not open: damaged, or of samples that it has no mode for."""


def most_pixels() -> int:
    """How many pixels a picture may have: MAX_PIXELS, or what SAMBENCH_MAX_PIXELS says. Raises UsageError if that is no count."""
    given = os.environ.get(VARIABLE, "")
    if not given:
        return MAX_PIXELS
    if not (given.isascii() and given.isdigit() and 0 < int(given[:20]) < 1 << 40):
        raise UsageError("a limit on pixels does not fit", where=VARIABLE, expected="a count, as 134217728", found=repr(given[:40]))
    return int(given)


@contextmanager
def opened(
    path: Path, *, whole: bool = True, prepare: Callable[[BinaryIO], BinaryIO] | None = None, what: str = "an image file"
) -> Iterator[Image.Image]:
    """The picture with its header read, its size within the limit. Pillow's own limit is lifted for the moment of opening.

    whole: what is decoded are the very bytes whose hash `sambench.files.content` notes; else only as much is read as the header
    takes.
    prepare: what Pillow is given instead of the file. Raises DataError naming the file: absent, not to be read, a pipe or folder,
    empty, no picture, damaged, too large.
    """
    n_bytes = check_file(path, what).st_size
    if n_bytes > _MOST_BYTES_A_PIXEL * most_pixels():
        expected = f"at most {_MOST_BYTES_A_PIXEL} bytes for each of {most_pixels()} pixels"
        raise DataError("an image file is too large", where=path, expected=expected, found=f"{n_bytes} bytes")
    try:
        with path.open("rb") as header, _header(header, prepare) as image:
            check_pixels(path, image.width, image.height)
            if image.format in _DRAWN:
                raise UnidentifiedImageError(image.format)
            if not whole:
                yield image
                return
        with _header(io.BytesIO(content.read_bytes(path)), prepare) as image:
            check_pixels(path, image.width, image.height)  # the file may be another by now
            yield image
    except UnidentifiedImageError as e:
        with path.open("rb") as f:
            raise _no_picture(path, f.read(4), path.stat().st_size) from e
    except BROKEN as e:
        raise broken(path, e) from e


@contextmanager
def opened_bytes(raw: bytes, where: object) -> Iterator[Image.Image]:
    """A picture that lies within another file, as `opened`. where: that file and the place in it. Raises DataError naming it."""
    try:
        with _header(io.BytesIO(raw), None) as image:
            check_pixels(where, image.width, image.height)
            if image.format in _DRAWN:
                raise UnidentifiedImageError(image.format)
            yield image
    except UnidentifiedImageError as e:
        raise _no_picture(where, raw[:4], len(raw)) from e
    except BROKEN as e:
        raise broken(where, e) from e


@contextmanager
def _header(stream: BinaryIO, prepare: Callable[[BinaryIO], BinaryIO] | None) -> Iterator[Image.Image]:
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(stream if prepare is None else prepare(stream))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def decode(where: object, image: Image.Image) -> Image.Image:
    """The image with its pixels. Raises DataError naming the file where it is cut off or damaged."""
    rows = max((tile[1][3] for tile in getattr(image, "tile", ())), default=image.height)
    if image.format == "TIFF":
        if rows < image.height:  # Pillow would leave the rest black
            raise broken(where, ValueError(f"it has {rows} of {image.height} rows"))
        bits = max(tag_of(image, _BITS), default=1)
        if len(image.getbands()) > 1:
            check_planes(where, bits, planar=tag_of(image, _PLANAR) == (_SEPARATE,))
    try:
        image.load()
    except BROKEN as e:
        raise broken(where, e) from e
    return image


def gray_of(image: Image.Image) -> Image.Image | None:
    """The gray picture that a decoded one of 8 bits is, if its channels are equal (as OpenCV and matplotlib write gray), else None.

    An alpha channel must say nothing: be the same everywhere.
    """
    if image.mode == "L":
        return image
    if image.mode not in ("LA", "RGB", "RGBA", "RGBX"):
        return None
    *colours, last = image.split()
    if image.mode in ("LA", "RGBA"):
        low, high = last.getextrema()
        if low != high:
            return None
    else:
        colours.append(last)
    first = colours[0].tobytes()
    return colours[0] if all(c.tobytes() == first for c in colours[1:3]) else None


def broken(where: object, e: BaseException) -> DataError:
    """The error of a picture that cannot be read: what the system says, or that its content is damaged."""
    if isinstance(where, Path) and isinstance(e, OSError) and e.errno is not None:
        return cannot_open(where, e, "an image file")
    return DataError(
        "an image file is truncated or damaged",
        where=where,
        expected="a complete image",
        found=str(e) or type(e).__name__,
        of_release="fetch or unpack this file again",
    )


def tag_of(image: Image.Image, tag: int) -> tuple[int, ...]:
    """The whole numbers of a TIFF's tag; () where it has none, and of other formats."""
    held = getattr(image, "tag_v2", {}).get(tag, ())
    return tuple(v for v in (held if isinstance(held, tuple) else (held,)) if isinstance(v, int))


def is_inverted(image: Image.Image) -> bool:
    """Whether a TIFF's 0 is white. Pillow turns the values of 8 bits and fewer round by itself, not those of more."""
    return tag_of(image, _PHOTOMETRIC) == (0,)


def is_signed(image: Image.Image) -> bool:
    """Whether a TIFF's samples may be negative. Pillow takes those of 8 bits as if they could not."""
    return _SIGNED in tag_of(image, _FORMAT)


def check_planes(where: object, bits: int, *, planar: bool) -> None:
    """Raises DataError for channels in planes of more than 8 bits, which neither Pillow nor OpenCV reads rightly."""
    if planar and bits > 8:
        raise DataError(
            "a TIFF cannot be read",
            where=where,
            expected="channels that are interleaved, or of 8 bits",
            found=f"channels of {bits} bits in planes of their own (PlanarConfiguration 2)",
            remedy="save it as PNG, or as TIFF with interleaved channels",
        )


def bit_depth(image: Image.Image) -> int:
    """Bits a sample as stored, of an image whose pixels are not loaded yet.

    Pillow opens 16-bit colour as if it had 8 bits, so that its decoder's settings are asked.
    """
    raw = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if image.format == "PNG":
        return {"1": 1, "L;2": 2, "L;4": 4, "P;1": 1, "P;2": 2, "P;4": 4}.get(raw, 16 if ";16" in raw else 8)
    if image.mode in ("I", "F"):
        return 16 if image.format == "PPM" and image.mode == "I" else 32
    return 16 if ";16" in raw or image.mode.startswith("I;16") else 8


def lossy_format(path: Path, image: Image.Image) -> str:
    """The name of a format that does not keep values as they were, or ''. Raises DataError where the file cannot be read."""
    if image.format in ("JPEG", "MPO"):
        return "JPEG"
    if image.format == "AVIF":
        return "AVIF"
    compression = str(image.info.get("compression", ""))
    if image.format == "TIFF" and compression in ("jpeg", "tiff_jpeg", "webp"):
        return f"TIFF with {'WebP' if compression == 'webp' else 'JPEG'} compression"
    if image.format not in ("WEBP", "JPEG2000"):
        return ""
    head = content.read_bytes(path)
    if image.format == "WEBP":
        return "" if b"VP8L" in head[12:64] and b"VP8 " not in head[12:64] else "lossy WebP"
    return "" if _is_reversible(head) else "lossy JPEG 2000"


def _is_reversible(raw: bytes) -> bool:
    """Whether a JPEG 2000 codestream uses the 5-3 transform: the last byte of its COD segment (ISO 15444-1, A.6.1)."""
    start = raw.find(b"\xff\x4f\xff\x51")
    cod = raw.find(b"\xff\x52", start + 4) if start >= 0 else -1
    return cod >= 0 and raw[cod + 13 : cod + 14] == b"\x01"


def describe(image: Image.Image, bits: int) -> str:
    """How a picture is stored, in words."""
    names = {"P": "palette", "PA": "palette", "L": "gray", "LA": "gray and alpha", "1": "gray", "F": "float"}
    kind = "gray" if image.mode.startswith("I") else names.get(image.mode, image.mode)
    return f"{bits}-bit {kind} ({image.format}, Pillow mode {image.mode})"


def check_pixels(where: object, width: int, height: int) -> None:
    """Raises DataError where a picture has more pixels than are allowed."""
    if width * height > most_pixels():
        raise DataError(
            "an image is too large",
            where=where,
            expected=f"at most {most_pixels()} pixels; decoding takes up to 10 bytes for each",
            found=f"{width} x {height}, {width * height} pixels",
            remedy=f"make it smaller, or allow more where there is memory for it: {VARIABLE}=NUMBER",
        )


def _no_picture(where: object, head: bytes, size: int) -> DataError:
    if head in _TIFF:
        return UnknownTiffError(
            "a TIFF cannot be read",
            where=where,
            expected="samples of 1 to 64 bits, compressed in a common way",
            found="samples of another kind, or a damaged file",
            remedy="save it as PNG of 8 or 16 bits",
        )
    found = "an empty file" if size == 0 else f"{size} bytes that are no image"
    return DataError("a file is not an image", where=where, expected="PNG, JPEG, ...", found=found)
