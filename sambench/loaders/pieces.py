"""Annotation files as one piece an image. Big ones are cut up once, into the cache, so that a process reads only what it needs.

LVIS v1's validation file takes seconds and gigabytes to parse; without this every worker would do so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sambench import __version__, paths
from sambench.errors import DataError
from sambench.files.content import file_sha256
from sambench.files.unchanged import check_still
from sambench.files.writing import replacing
from sambench.provenance import canonical_json

# (file, key) -> (head, (image id, piece) ...), all of them values that JSON has
Split = Callable[[Path, str], tuple[dict[str, Any], Iterable[tuple[str, Any]]]]

BIG = 48 << 20  # bytes from which a file is cut up; smaller ones are parsed as fast as a cut one is opened
_FORMAT = 2
_END = 8  # bytes at the end of a store: the length of its table, little endian


@dataclass(frozen=True)
class Pieces:
    """path: the annotation file. head: what concerns it as a whole. `pieces[image_id]` gives a piece, iteration the ids in order.

    at: by image id the piece, or its (offset, length) in `store`.
    """

    path: Path
    head: dict[str, Any]
    at: Mapping[str, Any]
    store: Path | None = None

    def __len__(self) -> int:
        return len(self.at)

    def __iter__(self) -> Iterator[str]:
        return iter(self.at)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.at

    def __getitem__(self, image_id: str) -> Any:
        if self.store is None:
            return self.at[image_id]
        offset, length = self.at[image_id]
        try:
            with self.store.open("rb") as f:
                f.seek(offset)
                return json.loads(f.read(length))
        except (OSError, ValueError) as e:
            raise DataError(
                "a part of the cache is gone or damaged",
                where=self.store,
                expected=f"the annotations of {self.path}, cut up",
                found=str(e),
                remedy="delete that file and start again",
            ) from e


def read_pieces(path: Path, split: Split, key: str = "") -> Pieces:
    """The pieces that `split` cuts a file into, cut again when it has changed. What `split` raises passes through.

    key: what the function is called with, beside the file.
    """
    return _read(path, path.stat().st_size, file_sha256(path), split, key)


@lru_cache(maxsize=4)
def _read(path: Path, size: int, sha256: str, split: Split, key: str) -> Pieces:
    if size < BIG:
        return _in_memory(path, sha256, split, key)
    told = canonical_json([_FORMAT, __version__, *_source_of(split), key, str(path.absolute()), sha256])
    # One store for each file, so that a changed one takes the place of its last version.
    name = hashlib.sha256(canonical_json([split.__qualname__, key, str(path.absolute())]).encode()).hexdigest()[:32]
    store = paths.cache() / "index" / f"{name}.pieces"
    opened = _open(path, store, told)
    if opened is None:
        head, pieces = split(path, key)
        check_still(path, sha256)
        _write(path, store, told, head, pieces)
        opened = _open(path, store, told)
    return opened or _in_memory(path, sha256, split, key)  # a cache that cannot be written costs memory, and no run


def _source_of(split: Split) -> tuple[str, int]:
    """Which code cuts: what another version of it has cut is not to be used."""
    source = getattr(sys.modules.get(split.__module__), "__file__", None)
    with contextlib.suppress(OSError):
        return split.__qualname__, os.stat(source).st_mtime_ns if source else 0
    return split.__qualname__, 0


def _in_memory(path: Path, sha256: str, split: Split, key: str) -> Pieces:
    head, pieces = split(path, key)
    check_still(path, sha256)
    return Pieces(path, head, dict(pieces))


def _open(path: Path, store: Path, told: str) -> Pieces | None:
    """A store that was made with the same words, or None."""
    try:
        with store.open("rb") as f:
            f.seek(-_END, os.SEEK_END)
            end = f.tell()
            length = int.from_bytes(f.read(_END), "little")
            f.seek(end - length)
            table = json.loads(f.read(length))
        return Pieces(path, table["head"], table["at"], store) if table["told"] == told else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, store: Path, told: str, head: dict[str, Any], pieces: Iterable[tuple[str, Any]]) -> None:
    at: dict[str, tuple[int, int]] = {}
    try:
        with replacing(store) as aside, aside.open("wb") as f:
            for image_id, piece in pieces:
                raw = json.dumps(piece, separators=(",", ":")).encode()
                at[image_id] = (f.tell(), len(raw))
                f.write(raw)
            table = json.dumps({"told": told, "head": head, "at": at}, separators=(",", ":")).encode()
            f.write(table + len(table).to_bytes(_END, "little"))
    except RecursionError as e:
        raise DataError(
            "an annotation file is nested too deeply",
            where=path,
            expected="records of lists and objects in one another a few levels deep",
            of_release="fetch that file again",
            remedy="write it again",
        ) from e
    except OSError:
        pass
