"""Pictures in every way that files hold them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def save(array: Any, path: Path, mode: str | None = None, **kwargs: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array))
    (image.convert(mode) if mode else image).save(path, **kwargs)
    return path


def png(path: Path, depth: int, colour: int, rows: list[bytes], width: int, height: int) -> Path:
    """A PNG written by hand, for bit depths that Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + r for r in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def gray16(path: Path, value: int = 300) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return png(path, 16, 0, [struct.pack(">3H", value, value, value)] * 2, 3, 2)


RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
