"""Whether a file is the one that a card or a source describes: by its size, and by the sha256 of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from sambench.files.content import file_sha256


class Difference(NamedTuple):
    """Of a file that is another: what was expected and what was found, each in words ('123 bytes', 'sha256 9f86...')."""

    expected: str
    found: str


def difference(path: Path, n_bytes: int | None, sha256: str | None, *, remember: bool = True) -> Difference | None:
    """How a file differs from the one that is wanted, or None. What is None is not known, and not compared.

    n_bytes: its size. sha256: of its bytes, 64 hexadecimal digits in any case. remember: take the hash from the memory of
    `sambench.files.content`, else the bytes are read. Raises OSError.
    """
    size = path.stat().st_size
    if n_bytes is not None and size != n_bytes:
        return Difference(f"{n_bytes} bytes", f"{size} bytes")
    if sha256 is None:
        return None
    found = file_sha256(path) if remember else _read(path)
    return None if found == sha256.lower() else Difference(f"sha256 {sha256}", f"sha256 {found}")


def _read(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
