"""Files that are written aside and renamed, so that a reader sees the old one or the new one, and the error where that fails.

Every file that somebody reads later is written through `replacing`; folders that are filled aside and moved into place, and the
leases of the store, have rules of their own and say them.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sambench.errors import RunError, UsageError
from sambench.files.objects import Version
from sambench.files.places import ANY, place_of
from sambench.text import csv_text


def unreadable(message: str, path: Path, e: OSError) -> RunError:
    """The error for a file of results that is there and cannot be read: it may be whole, so nobody is told to delete it."""
    remedies = {
        errno.EACCES: f"allow it: chmod u+r {shlex.quote(str(path))} (and x on the folders above it); nothing of it is lost",
        errno.EISDIR: "that is a folder: move it away, and issue the run's command again",
        errno.EINVAL: "that is no file: move it away, and issue the run's command again",
        errno.ENOENT: "issue the run's command again: what is stored is kept, and the file is written again",
    }
    remedy = remedies.get(e.errno or 0, "mend that, and issue the command again; nothing was changed")
    return RunError(message, where=path, found=(e.strerror or repr(e)).lower(), remedy=remedy)


def storage_error(e: OSError, path: Path) -> RunError:
    """The error for a run directory that cannot be written."""
    remedies = {
        errno.ENOSPC: "free some space and issue the same command again: finished shards are kept",
        errno.EDQUOT: "free some of your quota and issue the same command again: finished shards are kept",
        errno.EROFS: "choose a writable directory with --out",
        errno.EEXIST: "that is a file where a folder has to be: move it away, or choose another directory with --out",
        errno.ENOTDIR: "a part of that path is a file: move it away, or choose another directory with --out",
        errno.EISDIR: "that is a folder where a file has to be: move it away, and issue the command again",
        errno.EACCES: "choose a writable directory with --out, or mend its permissions",
        errno.EPROTO: "check address, network and credentials, and issue the same command again: finished shards are kept",
    }
    return RunError(
        "results cannot be written",
        where=path,
        found=e.strerror or repr(e),
        remedy=remedies.get(e.errno or 0, "mend that, or choose another directory with --out"),
    )


@contextmanager
def replacing(
    path: Path, *, aside: Path | None = None, make_folder: bool = True, instead: Version | None = ANY
) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` at the end of the block; after an exception nothing of it is left.

    aside: that path, on the same file system, where its name matters; else one that nobody else takes. make_folder: make the
    folder of `path` if it is not there. instead: as `places.Place.publish`. Raises OSError as the system does: the caller says it,
    or does without the file.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside or path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        yield aside
        place_of(path).publish(aside, path, instead)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def write_synced(aside: Path, content: bytes) -> None:
    """Write a file, all of it on the disk before the next step: for what a crash of the machine must not lose. Raises OSError."""
    with aside.open("wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())


def write_text(path: Path, text: str) -> None:
    """A file of results in UTF-8. Raises RunError where it cannot be written."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """A file of results. Raises RunError where it cannot be written."""
    write_aside(path, lambda aside: write_synced(aside, content))


def write_file(path: Path, text: str, remedy: str) -> None:
    """A file that the user asked for, and that is none of results. remedy: where else it may go. Raises UsageError."""
    try:
        with replacing(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as e:
        raise UsageError("a file cannot be written", where=path, found=e.strerror or repr(e), remedy=remedy) from e


def write_json(path: Path, value: Any) -> None:
    """As `write_text`, indented."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_aside(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside `path`, and rename it; returns `path`. Raises RunError where that cannot be done."""
    try:
        with replacing(path) as aside:
            write(aside)
    except OSError as e:
        raise storage_error(e, path) from e
    return path


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> Path:
    """A CSV file of these columns; returns `path`. Raises RunError where that cannot be done."""
    return write_aside(path, lambda aside: aside.write_bytes(csv_text(header, rows).encode()))

