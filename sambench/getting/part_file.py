"""The file that a download grows in: locked against other processes, with a note of where its bytes come from."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POLL_S = 0.2  # how often a process that waits for another's download looks again


class Part:
    """`<file>.part`, open and ours alone, and beside it `<file>.part.json`: address, validator and total of its bytes.

    pieced: its bytes come from an earlier call, or from several answers of the server, so that they may not belong together.
    """

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self.path = path
        self._file = file
        self._note = _note_of(path)
        self._known = _read_note(self._note)
        self.pieced = self.size() > 0

    @property
    def validator(self) -> str | None:
        """What If-Range wants: a strong ETag, else the date of the last change."""
        return self._known.get("validator")

    @property
    def total(self) -> int | None:
        """Bytes of the whole file, as announced when the part was begun."""
        return self._known.get("total")

    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def continues(self, url: str, *, trusted: bool) -> bool:
        """Whether more bytes of `url` may be put after these: the same address, and a way to notice that the file has changed.

        trusted: the whole will be checked against a hash.
        """
        return self._known.get("url") == url and (trusted or self.validator is not None or self.total is not None)

    def note(self, url: str, etag: str | None, last_modified: str | None, total: int | None) -> None:
        """Remember the source of the bytes that follow."""
        strong = etag if etag and not etag.startswith("W/") else None  # RFC 9110, 13.1.5: a weak one must not be used here
        validator = strong or last_modified
        if validator is not None and not (validator.isascii() and validator.isprintable()):
            validator = None  # it could not be sent back
        self._known = {"url": url, "validator": validator, "total": total}
        self._note.write_text(json.dumps(self._known), encoding="utf-8")

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:  # unbuffered, so that a full disk shows here, and a killed process loses nothing that was written
            view = view[self._file.write(view) :]

    def restart(self) -> None:
        """Forget all bytes."""
        self._file.truncate(0)
        self._known = {}
        self.pieced = False
        self._note.unlink(missing_ok=True)

    def become(self, dest: Path) -> None:
        """Take the final name, all bytes on the disk."""
        os.fsync(self._file.fileno())
        self._note.unlink(missing_ok=True)
        os.replace(self.path, dest)  # not `replacing`: what is there of it outlives the process, to be gone on with


def name_of(dest: Path) -> Path:
    """The part's path."""
    return dest.with_name(dest.name + ".part")


def _note_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def is_full(e: OSError) -> bool:
    """Whether an error says that no more can be written: disk full, or quota spent."""
    return e.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextlib.contextmanager
def locked(dest: Path) -> Iterator[Part]:
    """The part of `dest`, once no other process or thread has it; an empty part is removed afterwards. Raises OSError.

    The lock is the kernel's, on the part itself, and goes with the process that holds it, however it ends. Where files
    cannot be locked (some network disks), every process has a part of its own, which does not outlive it.
    """
    dest.parent.mkdir(parents=True, exist_ok=True)
    path = name_of(dest)
    file = _acquire(path)
    shared = file is not None
    if file is None:
        path = dest.with_name(f"{dest.name}.{uuid.uuid4().hex[:8]}.part")
        file = io.FileIO(path, "a+")
    try:
        part = Part(path, file)
        yield part
    finally:
        # While the lock is held: a later opener finds another file, or none, under the name, and opens anew.
        with contextlib.suppress(OSError):
            if _is_at(file, path) and (not shared or os.fstat(file.fileno()).st_size == 0):
                _note_of(path).unlink(missing_ok=True)
                path.unlink()
        file.close()


def _acquire(path: Path) -> io.FileIO | None:
    """The part, locked; waits for its turn. None where locks do not work."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        file = io.FileIO(path, "a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            time.sleep(POLL_S)
            continue
        except OSError:
            file.close()
            return None
        if _is_at(file, path):
            return file
        file.close()  # the holder before us renamed or removed it


def _is_at(file: io.FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    kinds = {"url": str, "validator": str | None, "total": int | None}
    return note if isinstance(note, dict) and all(isinstance(note.get(k), kind) for k, kind in kinds.items()) else {}
