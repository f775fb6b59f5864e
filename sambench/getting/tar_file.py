"""The members of a tar, compressed or not, read in one pass without trusting what it says of itself.

Python's tarfile takes a damaged header in the middle for the end of the archive, holds headers of any announced size in memory, and
goes round for ever where a size is negative or a sparse file's map has holes. Here each of these is a tarfile.ReadError.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(_BLOCK)  # the block that a tar ends with
_MOST_HEAD = 1 << 20  # bytes of headers of one member: long names, attributes, the map of a sparse file
_MOST_AT_ONCE = 4 << 20  # bytes of one read of a member's content
_MOST_TAIL = 1 << 30  # bytes after the end
_MOST_SHARED = 1000  # entries that headers give for all members that follow
_DIGITS = re.compile(rb"\d{100}")  # tarfile's own search for a number takes quadratic time in these


def is_tar(raw: IO[bytes]) -> bool:
    """Whether the file begins as a tar does, after unpacking. The file's position is its start, before and after."""
    try:
        head = _unpacked(raw).read(_BLOCK)
        if head != _END:  # else a tar of nothing
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        return False
    finally:
        raw.seek(0)
    return True


def members(raw: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None, int]]:
    """(member, its bytes if it is a regular file, bytes of the archive unpacked when it is read) of each member, in order.

    Its bytes must be read before the next member is asked for. Raises tarfile.ReadError (damaged, cut, or lying) and what
    decompressors raise: EOFError, zlib.error, lzma.LZMAError, OSError, ValueError.
    """
    stream, holes, at = _Bounded(_unpacked(raw)), 0, -1
    with _Tar(fileobj=stream, mode="r") as tar:
        while (member := stream.next_of(tar)) is not None:
            if not at < member.offset < tar.offset or member.size < 0 or len(tar.pax_headers) > _MOST_SHARED:
                raise tarfile.ReadError("its headers contradict one another")
            at = member.offset
            tar.members.clear()  # each would be kept
            if member.issparse():
                _check_map(member)
                holes += member.size
            yield member, tar.extractfile(member) if member.isreg() else None, tar.offset + holes
        if len(stream.last) < _BLOCK or any(stream.last):  # the mark of a tar's end is a block of zeros
            raise tarfile.ReadError("the mark of its end is missing, or a header is damaged")
    if stream.inner is not raw:
        _read_out(stream.inner)


def _read_out(inner: Any) -> None:
    """Read to the end of the compressed bytes, where their checksum stands."""
    left = _MOST_TAIL
    try:
        while data := inner.read(_MOST_HEAD):
            left -= len(data)
            if left < 0:
                raise tarfile.ReadError("it goes on after its end")
    except gzip.BadGzipFile as e:  # bytes that are no gzip, after the end, are harmless: gzip itself only warns
        if not str(e).startswith("Not a gzipped"):
            raise


def _unpacked(raw: IO[bytes]) -> Any:
    head = raw.read(6)
    raw.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if head.startswith((b"\xfd7zXZ\x00", b"]\x00\x00")):
        return lzma.LZMAFile(raw)
    return raw


def _check_map(member: tarfile.TarInfo) -> None:
    """Raise ReadError unless the parts of a sparse file follow one another and lie within it."""
    end = 0
    parts: Any = member.sparse or []
    for offset, size in (p for p in parts if p[1]):  # those without a byte fill the header's places
        if offset < end or size < 0:
            raise tarfile.ReadError("the parts of a sparse file overlap")
        end = offset + size
    if end > member.size:
        raise tarfile.ReadError("a sparse file has parts beyond its end")


class _Tar(tarfile.TarFile):
    """Of Python's own, with the list of what was read so far, which typeshed does not declare."""

    members: list[tarfile.TarInfo]


class _Bounded(io.RawIOBase):
    """The unpacked archive as tarfile reads it. last: the block that was read last in search of a header."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.last = b""
        self.in_head, self.head, self.beyond = True, 0, 0

    def next_of(self, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
        """The next member; what is read meanwhile is headers."""
        self.in_head, self.head, self.beyond = True, 0, 0
        member = tar.next()
        self.in_head = False
        return member

    def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= (_MOST_HEAD if self.in_head else _MOST_AT_ONCE):
            raise tarfile.ReadError(f"a header that says it has {n} bytes")
        data: bytes = self.inner.read(n)
        if self.in_head:
            self.head += len(data)
            self.beyond += not data  # tarfile asks again for ever in one place
            if self.head > _MOST_HEAD or self.beyond > 2:
                raise tarfile.ReadError("headers without end")
            if n > _BLOCK and _DIGITS.search(data):
                raise tarfile.ReadError("a header with a number of more than 100 digits")
            if n == _BLOCK:
                self.last = data
        return data

    def seek(self, at: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or at < 0:
            raise tarfile.ReadError("a header leads before the archive's start")
        return int(self.inner.seek(at))

    def tell(self) -> int:
        return int(self.inner.tell())

    def seekable(self) -> bool:
        return True
