"""Files that are opened for reading, and why one cannot be: said in the same words wherever a file of pixels or arrays is read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from sambench.errors import DataError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_file(path: Path, what: str = "a file") -> os.stat_result:
    """What the system says of a file that is about to be opened; opening a pipe would wait without end.

    what: "an image file", for the message. Raises DataError: absent, not to be reached, a folder, a pipe or a device.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as e:  # ValueError: a NUL in the name
        raise cannot_open(path, e, what) from e
    if not stat.S_ISREG(found.st_mode):
        raise _no_file(path, found.st_mode, what)
    return found


def cannot_open(path: Path, e: BaseException, what: str = "a file") -> DataError:
    """The error of a file that the system does not let be read."""
    if isinstance(e, FileNotFoundError | NotADirectoryError):
        return DataError(f"{what} is missing", where=path, found="no such file")
    if isinstance(e, PermissionError):
        remedy = "give your user the right to read it and its folder, and issue the command again"
        return DataError(f"{what} cannot be read: permission denied", where=path, found="permission denied", remedy=remedy)
    if isinstance(e, OSError) and e.errno in (errno.EINVAL, errno.EISDIR):
        try:
            mode = path.stat().st_mode
        except OSError:
            mode = stat.S_IFREG
        if not stat.S_ISREG(mode):
            return _no_file(path, mode, what)
    found = (e.strerror if isinstance(e, OSError) else None) or str(e) or type(e).__name__
    return DataError(f"{what} cannot be read", where=path, found=found)


def _no_file(path: Path, mode: int, what: str) -> DataError:
    found = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "neither a file nor a folder")
    remedy = "put the file itself there"
    return DataError(f"{what} is no regular file", where=path, expected="a file", found=found, remedy=remedy)
