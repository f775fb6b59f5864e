"""One file over HTTP into a part: ranges, retries, and the errors of networks and disks in words."""

from __future__ import annotations

# urllib rather than pooch: pooch has no resume, and ViT-H's 2.6 GB are what one wants to resume.
import http.client
import shutil
import socket
import ssl
import urllib.error
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import NamedTuple

from sambench import __version__
from sambench.errors import DownloadError
from sambench.getting import part_file, web
from sambench.getting.part_file import Part
from sambench.text import human_bytes

TIMEOUT_S = 30.0
AGENT = f"sambench/{__version__}"
BACKOFF_S = (1.0, 2.0, 4.0, 8.0)  # pauses between tries that brought nothing new; after the last one it is an error
_CHUNK = 1 << 18
_ROOM_CHECK = 64 << 20  # bytes between two looks at the free disk space
_SPARE = 1 << 30  # bytes of disk that a download of unknown length leaves free
_NEWS = 1 << 20  # fewer new bytes than this are no progress: a server that cuts at once must not hold us for ever
RETRIED = (408, 429, 500, 502, 503, 504)


class Job(NamedTuple):
    """What is wanted: an address, where it shall be, and what it must be (None: not known).

    variable: the one that names the folder which such files go to, for errors.
    """

    url: str
    dest: Path
    sha256: str | None
    n_bytes: int | None
    progress: Callable[[int, int | None], None]
    variable: str = "SAMBENCH_CACHE"

    def by_hand(self) -> str:
        """The remedy that always works."""
        return f"get the file by other means and put it at {self.dest}"


class _Cut(Exception):
    """A connection that failed or ended early; another try may succeed. The argument is the cause: text, or an error."""


def transfer(job: Job, part: Part) -> None:
    """Bring bytes into the part until it is complete; goes on after cuts as long as they leave more bytes than before.

    Raises DownloadError: refused, offline, timed out, cut too often, another size than expected, no disk space.
    """
    idle, best = 0, part.size()
    while True:
        try:
            _attempt(job, part)
            return
        except _Cut as e:
            cause = e.args[0]
        idle = 0 if part.size() >= best + _NEWS else idle + 1
        if (is_hopeless(cause) and best == 0) or isinstance(cause, ssl.SSLCertVerificationError) or idle > len(BACKOFF_S):
            raise _failed(job, part, cause)
        best = max(best, part.size())
        sleep(BACKOFF_S[max(idle - 1, 0)])


def _attempt(job: Job, part: Part) -> None:
    """One connection. Returns when all bytes are there."""
    if part.size() and not part.continues(job.url, trusted=job.sha256 is not None):
        part.restart()
    if job.n_bytes is not None and part.size() > job.n_bytes:
        part.restart()
    have = part.size()
    if job.n_bytes is not None and have == job.n_bytes:
        return
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if part.validator:
            headers["If-Range"] = part.validator
    try:
        response = web.opened(job.url, headers, timeout=TIMEOUT_S)
    except DownloadError as e:
        raise DownloadError(e.message, where=e.where, expected=e.expected, found=e.found, remedy=job.by_hand()) from e
    except urllib.error.HTTPError as e:
        with e:
            if e.code == 416 and have and _nothing_left(part, have, e):
                return
            if e.code in RETRIED or e.code == 416:
                raise _Cut(f"HTTP {e.code} {e.reason}") from e
            raise _refused(job, e) from e
    except urllib.error.URLError as e:
        raise _Cut(e.reason) from e
    except (OSError, http.client.HTTPException) as e:  # while the status line was awaited
        raise _Cut(e) from e
    with response:
        total = _begin(job, part, response, have)
        _pour(job, part, response, total)


def _nothing_left(part: Part, have: int, e: urllib.error.HTTPError) -> bool:
    """Whether "range not satisfiable" means that all bytes are here; else the file has become another, and we begin anew."""
    if _total_of(e.headers.get("Content-Range")) == have and part.total in (None, have):
        return True
    part.restart()
    return False


def _begin(job: Job, part: Part, response: http.client.HTTPResponse, have: int) -> int | None:
    """Look at the answer's headers before any byte is kept: where it starts, how long the whole is. Gives the total."""
    if response.status == 206:
        content_range = response.headers.get("Content-Range", "")
        total = _total_of(content_range)
        if not content_range.startswith(f"bytes {have}-") or (part.total is not None and total != part.total):
            part.restart()
            raise _Cut(f"the server answered with another range ({content_range!r})")
        part.pieced = True
    elif response.status != 200:
        found = f"HTTP {response.status} {response.reason}: no file"
        raise DownloadError("a download was refused", where=job.url, expected="HTTP 200", found=found, remedy=job.by_hand())
    else:  # from the first byte: the server does no ranges, or the file has changed
        part.restart()
        total = web.whole_number(response.headers.get("Content-Length"))
        part.note(job.url, response.headers.get("ETag"), response.headers.get("Last-Modified"), total)
    if total is not None and job.n_bytes is not None and total != job.n_bytes:
        part.restart()
        raise DownloadError(
            "the file at the source has another size than the expected one",
            where=job.url,
            expected=f"{job.n_bytes} bytes",
            found=f"{total} bytes",
            remedy=f"the file at the source has changed, or something stands in between: {job.by_hand()}",
        )
    return total if total is not None else job.n_bytes


def _pour(job: Job, part: Part, response: http.client.HTTPResponse, total: int | None) -> None:
    done = checked = part.size()
    _check_room(job, part, total, done)
    job.progress(done, total)
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as e:
            raise _Cut(e) from e
        if not chunk:
            break
        part.write(chunk)
        done += len(chunk)
        if total is not None and done > total:
            part.restart()
            raise _Cut(f"the server sent more than the {total} bytes expected")
        if done - checked >= _ROOM_CHECK:
            _check_room(job, part, total, done)
            checked = done
        job.progress(done, total)
    if total is not None and done < total:
        raise _Cut(f"the connection was cut after {done} of {total} bytes")


def _check_room(job: Job, part: Part, total: int | None, done: int) -> None:
    need = total - done if total is not None else _SPARE  # of a file without an end only the disk is one
    free = shutil.disk_usage(job.dest.parent).free
    if free < need:
        raise DownloadError(
            "there is not enough disk space for a download",
            where=job.dest.parent,
            expected=f"{human_bytes(need)} free",
            found=f"{human_bytes(free)} free",
            remedy=_make_room(job, part.path, done),
        )


def _total_of(content_range: str | None) -> int | None:
    """The total in `bytes 5-9/10` or `bytes */10`; None where it is absent or unknown."""
    return web.whole_number((content_range or "").rpartition("/")[2])


def is_hopeless(cause: str | BaseException) -> bool:
    """Whether waiting does not help: a host without a name, a certificate that is not trusted."""
    return isinstance(cause, ssl.SSLCertVerificationError | socket.gaierror)


def in_words(cause: str | BaseException) -> str:
    """Why a connection failed."""
    if isinstance(cause, socket.gaierror):
        return f"the host's name cannot be resolved ({cause.strerror}): is this machine offline?"
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    return str(cause) or repr(cause)


def refusal(e: urllib.error.HTTPError) -> str:
    """What a status that no second try mends means."""
    gone = "the file is no longer at this address"
    why = {404: gone, 410: gone, 401: "the server wants a login", 403: "the server refuses access"}.get(e.code)
    return f"HTTP {e.code} {e.reason}" + (f": {why}" if why else "")


def _failed(job: Job, part: Part, cause: str | BaseException) -> DownloadError:
    kept = f" (it goes on after the {human_bytes(part.size())} that are here)" if part.size() else ""
    remedy = f"check the connection and run the command again{kept}, or {job.by_hand()}"
    return DownloadError("a download failed", where=job.url, found=in_words(cause), remedy=remedy)


def _refused(job: Job, e: urllib.error.HTTPError) -> DownloadError:
    return DownloadError("a download was refused", where=job.url, found=refusal(e), remedy=job.by_hand())


def disk_error(job: Job, e: OSError) -> DownloadError:
    """The error for a file or folder that could not be written."""
    part = part_file.name_of(job.dest)
    if part_file.is_full(e):
        size = part.stat().st_size if part.exists() else 0
        return DownloadError(
            "the disk became full during a download", where=job.dest.parent, found=e.strerror, remedy=_make_room(job, part, size)
        )
    return DownloadError(
        "a download cannot be stored",
        where=e.filename or job.dest,
        expected="a folder that can be written",
        found=e.strerror or repr(e),
        remedy=f"mend the folder's permissions, or set {job.variable} to another one",
    )


def _make_room(job: Job, part: Path, size: int) -> str:
    kept = f" The {human_bytes(size)} so far are kept in {part} and resumed from; delete it to have the space back." if size else ""
    return f"make room, or set {job.variable} to a folder on another disk.{kept}"
