"""Image and mask files as arrays. Every reader of a dataset reads pixels through these functions.

Every picture is read in the frame of its stored pixels, whatever its EXIF orientation (`sambench.loaders.turned` turns those whose
annotations are of the turned picture). Pictures that are not plain 8-bit become so by one rule, `sambench.loaders.eight_bit`. Masks
and label maps are values, not pictures: none is converted, and formats that do not keep values are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sambench.errors import DataError
from sambench.files.picture import (
    UnknownTiffError,
    bit_depth,
    decode,
    describe,
    gray_of,
    is_inverted,
    is_signed,
    lossy_format,
    opened,
)
from sambench.loaders import deep_tiff, orientation
from sambench.loaders.eight_bit import depth_is, eight_bit_rgb, shown
from sambench.notes import note, noting
from sambench.types import BoolArray, UInt8Array

_SEVERAL = "the file holds several images (pages or frames): the first was taken"
_PLAIN = ("RGB", "RGBA", "RGBX", "L", "LA", "1")


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header, pixels unread. Raises DataError naming the file."""
    try:
        with _opened(path, whole=False) as image:
            return image.height, image.width
    except UnknownTiffError as e:
        return deep_tiff.header_of(path, e).size


def read_rgb(path: Path, *, size: tuple[int, int] | None = None, plain: bool = False) -> UInt8Array:
    """uint8 [H, W, 3], RGB, of any file that Pillow reads.

    Gray is repeated, alpha is dropped (not composited), a palette is looked up, deeper samples and other colours by the rule of
    `sambench.loaders.eight_bit`. size: the (height, width) that the annotations are in; another size is an error.
    plain: the release has 8-bit gray, RGB or RGBA alone, and another file is not of it.
    Raises DataError naming the file: absent, not to be read, empty, no image, truncated, too large, of another size or form.
    """
    try:
        return _rgb(path, size, plain)
    except UnknownTiffError as e:
        header = deep_tiff.header_of(path, e)
        _check_size(path, header.size, size)
        if plain:
            raise _not_used(path, header.stored) from e
        return shown(path, deep_tiff.samples_of(path, header, e), header.bits, header.stored)


def _rgb(path: Path, size: tuple[int, int] | None, plain: bool) -> UInt8Array:
    with _opened(path) as image:
        _check_size(path, (image.height, image.width), size)
        bits = bit_depth(image)
        if image.format != "MPO" and getattr(image, "is_animated", False):
            note(_SEVERAL)
        if plain and (bits > 8 or image.mode not in _PLAIN):
            raise _not_used(path, describe(image, bits))
        return eight_bit_rgb(path, image, bits)


def _not_used(path: Path, stored: str) -> DataError:
    return DataError(
        "an image is stored in a way that this dataset does not use",
        where=path,
        expected="8-bit gray, RGB or RGBA",
        found=stored,
        of_release="compare the file with the official release, which a re-encoded copy is not",
        remedy="if the images are your own, set plain = false under [options] of the card",
    )


def read_mask(path: Path, *, size: tuple[int, int] | None = None, above: int = 0) -> BoolArray:
    """bool [H, W] of a mask as a release has it: pixels whose value is above `above` (of 255). As `read_gray`."""
    return read_gray(path, size=size) > above


def read_gray(path: Path, *, size: tuple[int, int] | None = None) -> UInt8Array:
    """uint8 [H, W] of a single-channel 8-bit or 1-bit file (0 and 255).

    Raises DataError naming the file, as `read_rgb`; a palette file is refused: its values are indices (`read_labels`).
    """
    with _opened(path) as image:
        _check_size(path, (image.height, image.width), size, what="a mask", than="its image")
        bits = bit_depth(image)
        _check_values(path, image, "a mask")
        if bits > 8 or image.mode not in ("L", "1"):
            raise DataError(
                "a mask is stored in a way that this dataset does not use",
                where=path,
                expected="8-bit gray or 1-bit, one channel",
                found=describe(image, bits),
                of_release="compare the file with the official release; a re-encoded copy may have changed it",
            )
        return np.array(decode(path, image).convert("L"))


def read_mask_values(path: Path, *, lossy: bool = False) -> tuple[UInt8Array, UInt8Array | None]:
    """uint8 [H, W, 3] of a mask in any form (gray, colour, a palette looked up, 16 bits), and [H, W] of its alpha, if it has one.

    lossy: formats that do not keep values are taken too. Raises DataError naming the file, as `read_rgb`.
    """
    with _opened(path) as image:
        if lossy:
            _check_one_reading(path, image, "a mask")
        else:
            remedy = "write it as PNG; or, where its threshold leaves room for that, set lossy = true under [options] of the card"
            _check_values(path, image, "a mask", remedy)
        with depth_is("auto"), noting():  # what is noted is of pictures
            colours = eight_bit_rgb(path, image, bit_depth(image))
        if image.mode not in ("LA", "PA", "RGBA") and not (image.mode == "P" and "transparency" in image.info):
            return colours, None
        return colours, np.array(image.convert("RGBA").getchannel("A"))


def read_labels(path: Path, *, size: tuple[int, int] | None = None, colours: bool = False) -> npt.NDArray[np.int32]:
    """int32 [H, W]: the values as stored, of a palette (its indices), gray (1 to 16 bits) or 32-bit integer file.

    colours: an RGB or RGBA file is taken too, its values R * 65536 + G * 256 + B (alpha dropped). Otherwise one whose channels are
    equal is the gray that it shows, and floats are taken where all are whole.
    Raises DataError naming the file, as `read_rgb`; several channels are refused otherwise, and a lossy format always.
    """
    with _opened(path) as image:
        _check_size(path, (image.height, image.width), size, what="a label map", than="its image")
        bits = bit_depth(image)
        _check_values(path, image, "a label map")
        if colours and bits == 8 and image.mode in ("RGB", "RGBA"):
            rgb = np.array(decode(path, image).convert("RGB")).astype(np.int32)
            return (rgb[:, :, 0] << 16) | (rgb[:, :, 1] << 8) | rgb[:, :, 2]
        whole = _whole_values(path, image, bits)
        if whole is not None:
            return whole
        if image.mode not in ("P", "L", "1", "I") and not image.mode.startswith("I;16"):
            raise DataError(
                "a label map has several channels or is not of integers",
                where=path,
                expected="palette, gray or 16-bit gray, one channel",
                found=describe(image, bits),
                remedy="if every colour is one object, set colours = true under [options] of the card"
                if bits == 8 and image.mode in ("RGB", "RGBA") and not colours
                else "write it with one channel of whole numbers",
            )
        gray = image.mode in ("L", "1")
        values = np.array(decode(path, image)).astype(np.int32)
        # Pillow stretches 2- and 4-bit gray to 0..255; the stored values are wanted. (1-bit comes as booleans.)
        return values // (255 // ((1 << bits) - 1)) if gray and bits in (2, 4) else values


def _whole_values(path: Path, image: Image.Image, bits: int) -> npt.NDArray[np.int32] | None:
    """int32 [H, W] of a label map that is in a form of another: gray with equal channels, or whole numbers as floats; else None."""
    if bits == 8 and image.mode in ("LA", "RGB", "RGBA"):
        gray = gray_of(decode(path, image))
        return None if gray is None else np.array(gray).astype(np.int32)
    if image.mode != "F":
        return None
    values = np.array(decode(path, image))
    whole = np.isfinite(values) & (np.rint(values) == values) & (np.abs(values) <= 1 << 24)  # beyond it a float skips numbers
    return values.astype(np.int32) if whole.all() else None


def read_orientation(path: Path) -> int:
    """EXIF orientation 1 to 8, 1 where the file says none (or not readably). Raises DataError naming the file if it is no image."""
    try:
        with _opened(path, whole=False) as image:
            if image.format == "AVIF":  # whose frame is a property of the picture, which Pillow gives as if it were EXIF
                found = image.getexif().get(orientation.TAG)
                return found if isinstance(found, int) and found in range(1, 9) else 1
    except UnknownTiffError:
        read_size(path)
    with path.open("rb") as file:
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
    """The file with its header read, its pixels as they are stored."""
    with opened(path, whole=whole, prepare=orientation.plain) as image:
        yield image


def _check_values(path: Path, image: Image.Image, what: str, remedy: str = "write it as PNG, from what it was made of") -> None:
    """Raises DataError where it is not clear which values a file holds."""
    _check_one_reading(path, image, what)
    found = lossy_format(path, image)
    if found:
        raise DataError(
            f"{what} is in a lossy format, which does not keep its values",
            where=path,
            expected="PNG, BMP, TIFF or another lossless format",
            found=found,
            remedy=remedy,
        )


def _check_one_reading(path: Path, image: Image.Image, what: str) -> None:
    """Raises DataError where programs differ in what they read as the values: of several pictures, or a TIFF with 0 as white."""
    odd = ""
    if image.format != "MPO" and getattr(image, "is_animated", False):
        odd, expected = "several images (pages or frames)", "one image in the file"
    elif is_inverted(image):
        odd, expected = "a TIFF whose 0 is white, which some programs turn round and others do not", "0 as black"
    elif is_signed(image) and image.mode == "L":
        odd, expected = "signed 8-bit samples", "unsigned ones"
    if odd:
        raise DataError(
            f"{what} can be read in several ways",
            where=path,
            expected=expected,
            found=odd,
            remedy="write it as PNG, from what it was made of",
        )


def _check_size(
    path: Path, found: tuple[int, int], size: tuple[int, int] | None, what: str = "an image", than: str = "its annotations"
) -> None:
    if size is not None and found != size:
        raise DataError(
            f"{what} has another size than {than}",
            where=path,
            expected=f"{size[1]} x {size[0]} (width x height)",
            found=f"{found[1]} x {found[0]}",
        )
