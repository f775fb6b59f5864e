"""The orientation that a picture's EXIF data says, and files as Pillow must get them to leave it alone.

Looked for where cameras and tools write it: the first EXIF segment of a JPEG, the first directory of a TIFF, `eXIf` of a PNG or the
text in which ImageMagick keeps it there, `EXIF` of a WebP. Only these few bytes are read, in a bounded number of steps: what a
hostile file piles up elsewhere costs nothing.
"""

from __future__ import annotations

import io
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

TAG = 0x0112  # of EXIF 2.3, table 4
_MOST_STEPS = 100_000  # segments, chunks or directory entries that are walked
_PROFILE_BYTES = 1 << 14  # of a text that holds EXIF data; the orientation stands at their begin
_EXIF = b"Exif\0\0"
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # TIFF's types BYTE, SHORT and LONG: the tag is a SHORT, some tools write the others


class Edit(NamedTuple):
    """Bytes start..stop-1 of a file, and what stands there instead."""

    start: int
    stop: int
    instead: bytes


@dataclass(frozen=True)
class Found:
    """value: orientation 1 to 8; 1 where the file says none. edits: what makes Pillow read the file as it is stored."""

    value: int = 1
    edits: tuple[Edit, ...] = ()


def look(stream: BinaryIO) -> Found:
    """What a file says of its orientation; the stream is back at its begin afterwards. Damaged metadata say nothing."""
    stream.seek(0)
    try:
        head = stream.read(12)
        if head.startswith(b"\xff\xd8"):
            return _jpeg(stream)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(stream, 0)
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(stream)
        if head.startswith(b"RIFF") and head[8:] == b"WEBP":
            return _of_chunk(stream, 12, "<4sI", 0, b"EXIF") or Found()
        return Found()
    except (struct.error, ValueError, OverflowError, zlib.error):
        return Found()
    finally:
        stream.seek(0)


def plain(stream: BinaryIO) -> BinaryIO:
    """The same picture, its pixels as they are stored, for Pillow: that turns TIFFs by itself while it loads them, and joins all
    EXIF segments of a JPEG, again and again, while it opens it."""
    edits = look(stream).edits
    return io.BufferedReader(_Edited(stream, edits)) if edits else stream


def _jpeg(stream: BinaryIO) -> Found:
    segments = list(_exif_segments(stream))
    if not segments:
        return Found()
    value = _tiff(stream, segments[0][0] + 4 + len(_EXIF)).value
    return Found(value, tuple(Edit(*s, b"") for s in segments) if len(segments) > 1 else ())


def _exif_segments(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """(begin, end) of the segments before the pixels."""
    at = 2
    for _ in range(_MOST_STEPS):
        stream.seek(at)
        head = stream.read(4 + len(_EXIF))
        marker = head[1] if len(head) > 3 and head[0] == 0xFF else 0xDA
        if marker in (0xD9, 0xDA):  # the pixels begin, the file ends, or is no JPEG from here on
            return
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # a fill byte, or a marker without content
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + max(2, int.from_bytes(head[2:4], "big"))
        if marker == 0xE1 and head[4:] == _EXIF:
            yield at, end
        at = end


def _png(stream: BinaryIO) -> Found:
    found = _of_chunk(stream, 8, ">I4s", 4, b"eXIf")
    if found is not None:
        return found
    for name, begin, length in _chunks(stream, 8, ">I4s", 4):
        if name not in (b"tEXt", b"zTXt"):
            continue
        stream.seek(begin)
        key, _, held = stream.read(min(length, _PROFILE_BYTES)).partition(b"\0")
        if key == b"Raw profile type exif":
            text = zlib.decompressobj().decompress(held[1:], _PROFILE_BYTES) if name == b"zTXt" else held
            digits = b"".join(text.split()[2:])  # after the profile's name and its length
            raw = bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
            return Found(_tiff(io.BytesIO(raw.removeprefix(_EXIF)), 0).value)
    return Found()


def _of_chunk(stream: BinaryIO, at: int, form: str, after: int, wanted: bytes) -> Found | None:
    """Of the first chunk of that name, None where there is none."""
    for name, begin, _ in _chunks(stream, at, form, after):
        if name == wanted:
            stream.seek(begin)
            prefixed = stream.read(len(_EXIF)) == _EXIF
            return Found(_tiff(stream, begin + (len(_EXIF) if prefixed else 0)).value)
    return None


def _chunks(stream: BinaryIO, at: int, form: str, after: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its content begins, its length) of each. form: length and name before a chunk; after: bytes behind it, its
    checksum."""
    for _ in range(_MOST_STEPS):
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            return
        first, second = struct.unpack(form, head)
        name, length = (first, second) if isinstance(first, bytes) else (second, first)
        yield name, at + 8, length
        at += 8 + length + after + (length & 1 if not after else 0)  # RIFF's chunks are padded to even length


def _tiff(stream: BinaryIO, base: int) -> Found:
    """Of the first directory of a TIFF structure that begins at `base`."""
    stream.seek(base)
    order = {b"II": "<", b"MM": ">"}.get(stream.read(2), "")
    if not order:
        return Found()
    big = struct.unpack(f"{order}H", stream.read(2))[0] == 43
    stream.seek(base + (8 if big else 4))
    directory = base + _number(stream, f"{order}Q" if big else f"{order}I")
    stream.seek(directory)
    n, length = _number(stream, f"{order}Q" if big else f"{order}H"), 20 if big else 12
    begin = stream.tell()
    value, edits = 1, []
    for k, raw in enumerate(_entries(stream.read(min(n, _MOST_STEPS) * length), length)):
        tag, kind = struct.unpack(f"{order}HH", raw[:4])
        if tag != TAG:
            continue
        count, held = raw[4 : 12 if big else 8], raw[12:] if big else raw[8:]
        alone = struct.unpack(f"{order}{'Q' if big else 'I'}", count)[0] == 1
        found = struct.unpack_from(order + _INTEGERS[kind], held)[0] if kind in _INTEGERS and alone else 1
        value = found if found in range(1, 9) else 1
        entry = struct.pack(f"{order}HH{'QHHI' if big else 'IHH'}", TAG, 3, 1, 1, *([0, 0] if big else [0]))
        edits.append(Edit(begin + k * length, begin + (k + 1) * length, entry))
    return Found(value, tuple(edits) if value != 1 else ())


def _number(stream: BinaryIO, form: str) -> int:
    return int(struct.unpack(form, stream.read(struct.calcsize(form)))[0])


def _entries(raw: bytes, length: int) -> Iterator[bytes]:
    return (raw[at : at + length] for at in range(0, len(raw) - length + 1, length))


class _Edited(io.RawIOBase):
    """A file of which some bytes are others, or left out. Reads of the file itself; nothing is copied but what is asked for."""

    def __init__(self, stream: BinaryIO, edits: tuple[Edit, ...]) -> None:
        super().__init__()
        self._stream, self._at = stream, 0
        end = stream.seek(0, io.SEEK_END)
        self._pieces: list[tuple[int, int, bytes | None]] = []  # where it begins here, where in the file, or its bytes
        here = there = 0
        for start, stop, instead in sorted(edits):
            start, stop = min(max(start, there), end), min(max(stop, there), end)
            for length, piece in ((max(0, start - there), None), (len(instead), instead)):
                if length:
                    self._pieces.append((here, there, piece))
                    here += length
            there = stop
        self._pieces.append((here, there, None))
        self._begins = [here for here, _, _ in self._pieces]
        self._length = here + end - there

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        k = bisect_right(self._begins, self._at) - 1
        here, there, held = self._pieces[k]
        end = self._pieces[k + 1][0] if k + 1 < len(self._pieces) else self._length
        n = max(0, min(len(buffer), end - self._at))
        if held is not None:
            got = held[self._at - here : self._at - here + n]
        else:
            self._stream.seek(there + self._at - here)
            got = self._stream.read(n)
        buffer[: len(got)] = got
        self._at += len(got)
        return len(got)
