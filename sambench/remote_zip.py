"""Single members out of a zip that stays on its server, by HTTP ranges: of some datasets one needs a thousandth."""

from __future__ import annotations

import http.client
import io
import os
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from sambench import archives, transfer
from sambench.errors import DownloadError

_TAIL = 1 << 20  # bytes read from the end at first: the directory of most archives
_LEAST = 1 << 16  # bytes of any other request
_MOST = 16 << 20  # bytes held in memory
_CHUNK = 1 << 20

Progress = Callable[[int, int | None], None]  # (bytes done, bytes in all)


@contextmanager
def opened(url: str) -> Iterator[zipfile.ZipFile]:
    """The archive's directory, read; members come when they are asked for.

    Raises DownloadError: refused, offline, timed out, cut too often, a server that does not do ranges, no zip, damaged.
    """
    try:
        with zipfile.ZipFile(_Ranges(url)) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as e:
        remedy = "run the command again; if it stays so, download the archive whole by other means and unpack it"
        raise DownloadError("an archive on its server cannot be read", where=url, found=str(e), remedy=remedy) from e


def fetch_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, into: Path, progress: Progress | None = None) -> Path:
    """One member of an `opened` archive at its path below the folder `into`; gives that path.

    The file has its name only when it is whole and its checksum right; one that is there with the right size is left alone.
    Raises as `opened`, and DataError for a path that leads outside.
    """
    path = into / archives.safe_path(archive.filename or "an archive", info.filename)
    if path.is_file() and path.stat().st_size == info.file_size:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    ranges: Any = archive.fp
    ranges.expect(info.header_offset, _header_bytes(info) + info.compress_size)
    with archive.open(info) as source, part.open("wb") as out:
        done = 0
        while chunk := source.read(_CHUNK):  # the last read checks the sum
            out.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, info.file_size)
    os.replace(part, path)
    return path


def _header_bytes(info: zipfile.ZipInfo) -> int:
    return 30 + len(info.filename.encode()) + len(info.extra) + 64  # the member's own header may hold a little more


class _Ranges(io.RawIOBase):
    """A file at an address, read by ranges; one block of it is held. Raises DownloadError."""

    def __init__(self, url: str) -> None:
        self.name = url
        self.at, self.start, self.block = 0, 0, b""
        self.until = 0  # up to here reading ahead is worth it
        self.total: int | None = None
        self.version: str | None = None
        self._get(None)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.total or 0}[whence]
        self.at = max(0, base + offset)
        return self.at

    def expect(self, start: int, n: int) -> None:
        """The next reads go from `start` to `start + n`."""
        self.until = start + n

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), (self.total or 0) - self.at)
        if wanted <= 0:
            return 0
        if not self.start <= self.at < self.start + len(self.block):
            ahead = max(wanted, _LEAST, self.until - self.at)
            self._get((self.at, min(self.at + min(ahead, _MOST), self.total or 0)))
        first = self.at - self.start
        piece = self.block[first : first + wanted]
        view[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)

    def _get(self, span: tuple[int, int] | None) -> None:
        """Hold bytes start..stop-1; None: the end of the file. Tried again as a download is."""
        cause: str | BaseException = ""
        for pause in (*transfer.BACKOFF_S, None):
            try:
                self._ask(span)
                return
            except urllib.error.HTTPError as e:
                if e.code not in transfer.RETRIED:
                    found = transfer.refusal(e)
                    raise DownloadError("a download was refused", where=self.name, found=found, remedy=_BY_HAND) from e
                cause = f"HTTP {e.code} {e.reason}"
            except urllib.error.URLError as e:
                cause = e.reason
            except (OSError, http.client.HTTPException) as e:
                cause = e
            if pause is None or (transfer.is_hopeless(cause) and not self.block):
                break
            sleep(pause)
        raise DownloadError("a download failed", where=self.name, found=transfer.in_words(cause), remedy=_AGAIN)

    def _ask(self, span: tuple[int, int] | None) -> None:
        asked = f"bytes={span[0]}-{span[1] - 1}" if span else f"bytes=-{_TAIL}"
        headers = {"User-Agent": transfer.AGENT, "Accept-Encoding": "identity", "Range": asked}
        with urllib.request.urlopen(urllib.request.Request(self.name, headers=headers), timeout=transfer.TIMEOUT_S) as answer:
            if answer.status != 206:
                raise DownloadError(
                    "a server does not give parts of a file",
                    where=self.name,
                    expected="HTTP 206 to a request for a range",
                    found=f"HTTP {answer.status}",
                    remedy=_BY_HAND,
                )
            start, stop, total = _span(answer.headers.get("Content-Range", ""), self.name)
            body = answer.read()
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if len(body) != stop - start or (span and start != span[0]):
            raise http.client.IncompleteRead(body, stop - start - len(body))
        if self.total is not None and (total, version) != (self.total, self.version):
            raise DownloadError("an archive was replaced while it was read", where=self.name, remedy=_AGAIN)
        self.total, self.version, self.start, self.block = total, version, start, body


_AGAIN = "check the connection and run the command again: what is here is kept"
_BY_HAND = "download the archive whole by other means and unpack it; `sambench show dataset NAME` has the steps"


def _span(content_range: str, url: str) -> tuple[int, int, int]:
    """(first byte, one past the last, total) in `bytes 5-9/10`."""
    unit, _, rest = content_range.partition(" ")
    where, _, total = rest.partition("/")
    first, _, last = where.partition("-")
    if unit != "bytes" or not (first.isdigit() and last.isdigit() and total.isdigit()):
        expected, found = "Content-Range: bytes FIRST-LAST/TOTAL", repr(content_range)
        raise DownloadError("a server's answer makes no sense", where=url, expected=expected, found=found, remedy=_BY_HAND)
    return int(first), int(last) + 1, int(total)
