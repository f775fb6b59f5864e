"""TIFFs whose samples Pillow has no mode for, as several channels of floats: the header by Pillow's tags, the samples by OpenCV."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin

from sambench.files import content
from sambench.files.picture import UnknownTiffError, check_pixels, check_planes
from sambench.loaders import orientation

_WIDTH, _HEIGHT, _BITS, _CHANNELS, _PLANAR, _FORMAT = 256, 257, 258, 277, 284, 339  # TIFF 6.0
_KINDS = {1: "", 2: " signed", 3: " float"}


class Header(NamedTuple):
    """size: (height, width). stored: in words."""

    size: tuple[int, int]
    bits: int
    stored: str


def header_of(path: Path, e: UnknownTiffError) -> Header:
    """Of a TIFF that Pillow did not open; raises its error again where the file is damaged. Raises DataError: too large."""
    try:
        with path.open("rb") as f:
            tags = TiffImagePlugin.ImageFileDirectory_v2(f.read(8))
            f.seek(tags.next)
            tags.load(f)
        height, width, channels = (int(tags.get(k, 1)) for k in (_HEIGHT, _WIDTH, _CHANNELS))
        bits = {int(b) for b in np.atleast_1d(tags.get(_BITS, 1))}
        planar = channels > 1 and int(tags.get(_PLANAR, 1)) == 2
        kind = int(np.atleast_1d(tags.get(_FORMAT, 1))[0])
    except Exception:  # noqa: BLE001 - Pillow raises what it likes on forged tags
        raise e from None
    if len(bits) != 1 or height < 1 or width < 1 or kind not in _KINDS:
        raise e
    check_pixels(path, width, height)
    (n,) = bits
    check_planes(path, n, planar=planar)
    return Header((height, width), n, f"{channels} channels of {n}-bit{_KINDS[kind]} samples (TIFF)")


def samples_of(path: Path, header: Header, e: UnknownTiffError) -> npt.NDArray[Any]:
    """[H, W] or [H, W, 3] (RGB) as stored; alpha dropped. Raises the error of opening where OpenCV cannot read it either."""
    import cv2

    raw = orientation.plain(io.BytesIO(content.read_bytes(path))).read()  # OpenCV turns TIFFs by itself
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        found = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        found = None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if found is None or found.shape[:2] != header.size:
        e.found = f"{header.stored}, or a damaged file"
        raise e from None
    return found if found.ndim == 2 else np.ascontiguousarray(found[:, :, 2::-1] if found.shape[2] > 2 else found[:, :, 0])
