"""Single members out of a zip that stays on its server, by HTTP ranges: of some datasets one needs a thousandth."""

from __future__ import annotations

import http.client
import io
import shutil
import urllib.error
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from sambench.errors import DownloadError, message_of, shown
from sambench.files.writing import replacing
from sambench.getting import archives, transfer, web
from sambench.text import human_bytes

_TAIL = 1 << 20  # bytes read from the end at first: the directory of most archives
_LEAST = 1 << 16  # bytes of any other request
_MOST = 16 << 20  # bytes held in memory
_CHUNK = 1 << 20
_MOST_DIRECTORY = 256 << 20  # bytes read at once: the directory of some two million members

Progress = Callable[[int, int | None], None]  # (bytes done, bytes in all)


@contextmanager
def opened(url: str) -> Iterator[zipfile.ZipFile]:
    """The archive's directory, read; members come when they are asked for.

    Raises DownloadError: refused, offline, timed out, cut too often, a server that does not do ranges, no zip, damaged.
    """
    with _said_of(url):
        archive = zipfile.ZipFile(_Ranges(url))
    with archive:
        yield archive


@contextmanager
def _said_of(url: str) -> Iterator[None]:
    """What the bytes of an archive raise becomes a DownloadError that names its address."""
    try:
        yield
    except Exception as e:
        if not archives.is_damage(e):
            raise
        remedy = "run the command again; if it stays so, download the archive whole by other means and unpack it"
        raise DownloadError("an archive on its server cannot be read", where=url, found=message_of(e), remedy=remedy) from e


def fetch_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, into: Path, progress: Progress | None = None) -> Path:
    """One member of an `opened` archive at its path below the folder `into`; gives that path.

    The file has its name only when it is whole and its checksum right; one that is there with the right size is left alone.
    Raises as `opened`, and DataError for a path that leads outside.
    """
    path = into / archives.safe_path(archive.filename or "an archive", info.filename)
    if path.is_file() and path.stat().st_size == info.file_size:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_size(archive, info, path.parent)
    ranges: Any = archive.fp
    ranges.expect(info.header_offset, _header_bytes(info) + info.compress_size)
    # One name, so that what a killed process left is written over and not kept.
    aside = path.with_name(f"{path.name}.part")
    with (
        replacing(path, aside=aside) as part,
        _said_of(str(archive.filename)),
        archive.open(info) as source,
        part.open("wb") as out,
    ):
        done = 0
        while chunk := source.read(_CHUNK):  # the last read checks the sum
            out.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, info.file_size)
        if done != info.file_size:
            raise EOFError(f"{info.filename} ends after {done} of {info.file_size} bytes")
    return path


def _check_size(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> None:
    """Raise DownloadError for a member that is far larger than its bytes, or than the disk has room for."""
    most, free = archives.most_unpacked(info.compress_size), shutil.disk_usage(folder).free
    if info.file_size > most:
        expected, found = f"at most {human_bytes(most)}, for its {human_bytes(info.compress_size)}", human_bytes(info.file_size)
        message = f"a member of an archive unpacks to far more than its size: {shown(repr(info.filename))}"
        raise DownloadError(message, where=archive.filename, expected=expected, found=found, remedy=_BY_HAND)
    if info.file_size > free:
        message = "there is not enough disk space for a download"
        remedy = "make room, or set SAMBENCH_DATA to a folder on another disk"
        expected, found = f"{human_bytes(info.file_size)} free", f"{human_bytes(free)} free"
        raise DownloadError(message, where=folder, expected=expected, found=found, remedy=remedy)


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

    def read(self, n: int = -1, /) -> bytes:
        """As many bytes as asked, where the file has them: of a directory all at once."""
        left = (self.total or 0) - self.at
        n = left if n < 0 else min(n, left)
        if n > _MOST_DIRECTORY:
            raise zipfile.BadZipFile(f"a directory that says it has {n} bytes")
        out, done = bytearray(n), 0
        while done < n:
            done += self.readinto(memoryview(out)[done:])
        return bytes(out)

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
        with web.opened(self.name, headers, timeout=transfer.TIMEOUT_S) as answer:
            if answer.status != 206:
                raise DownloadError(
                    "a server does not give parts of a file",
                    where=self.name,
                    expected="HTTP 206 to a request for a range",
                    found=f"HTTP {answer.status}",
                    remedy=_BY_HAND,
                )
            start, stop, total = _span(answer.headers.get("Content-Range", ""), span, self.name)
            body = answer.read(stop - start + 1)
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if len(body) > stop - start:
            raise _nonsense(self.name, f"{stop - start} bytes", "more")
        if len(body) < stop - start:
            raise http.client.IncompleteRead(body, stop - start - len(body))
        if self.total is not None and (total, version) != (self.total, self.version):
            raise DownloadError("an archive was replaced while it was read", where=self.name, remedy=_AGAIN)
        self.total, self.version, self.start, self.block = total, version, start, body


_AGAIN = "check the connection and run the command again: what is here is kept"
_BY_HAND = "download the archive whole by other means and unpack it; `sambench show dataset NAME` has the steps"


def _span(content_range: str, asked: tuple[int, int] | None, url: str) -> tuple[int, int, int]:
    """(first byte, one past the last, total) in `bytes 5-9/10`, which must be what was asked for: a range, or the end (None)."""
    unit, _, rest = content_range.partition(" ")
    where, _, size = rest.partition("/")
    first, last, total = (web.whole_number(t) for t in (*where.partition("-")[::2], size))
    if unit != "bytes" or first is None or last is None or total is None:
        raise _nonsense(url, "Content-Range: bytes FIRST-LAST/TOTAL", shown(repr(content_range)))
    start, stop = asked or (max(0, total - _TAIL), total)
    if (first, last + 1) != (start, stop):
        raise _nonsense(url, f"the bytes {start} to {stop - 1}, which were asked for", shown(repr(content_range)))
    return start, stop, total


def _nonsense(url: str, expected: str, found: str) -> DownloadError:
    return DownloadError("a server's answer makes no sense", where=url, expected=expected, found=found, remedy=_BY_HAND)
