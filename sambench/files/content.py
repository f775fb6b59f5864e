"""What files hold, as sha256: the part of every identity that comes from disk. Names, sizes and times never stand for content.

Hashing a large dataset takes as long as reading it, so hashes are remembered in `paths.cache()/content.sqlite`, by path, size,
mtime, ctime and inode. ctime cannot be set back, so that a file put in place of another with equal size and mtime is noticed. A
file changed less than two seconds ago is never remembered: the clock of a file system is too coarse to tell two such changes
apart. The memory only saves time; where it cannot be read or written every file is read again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from sambench import paths

Listener = Callable[[str, int, int], None]  # (what is read, files done, files in all)

_SETTLED_NS = 2_000_000_000  # age from which a file's times tell its versions apart
MOST_FILES = 1_000_000  # of a folder that an option names
_FLUSHED = 512  # hashes that are kept before they are written
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  folder TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (folder, name)) WITHOUT ROWID
"""


class Stamp(NamedTuple):
    """By what a file's version is recognised without reading it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class _Memory:
    """Hashes by folder and name; a folder's are read when one of them is first asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.folders: dict[str, dict[str, tuple[Stamp, str]]] = {}
        self.fresh: list[tuple[str, str, Stamp, str]] = []

    def get(self, folder: str, name: str, stamp: Stamp) -> str | None:
        held = self.folders.get(folder)
        if held is None:
            held = self.folders[folder] = self._read(folder)
        known = held.get(name)
        return known[1] if known is not None and known[0] == stamp else None

    def put(self, folder: str, name: str, stamp: Stamp, sha256: str) -> None:
        if time.time_ns() - max(stamp.mtime_ns, stamp.ctime_ns) < _SETTLED_NS:
            return
        self.folders.setdefault(folder, {})[name] = (stamp, sha256)
        self.fresh.append((folder, name, stamp, sha256))
        if len(self.fresh) >= _FLUSHED:
            self.flush()

    def flush(self) -> None:
        fresh, self.fresh = self.fresh, []
        if not fresh or _unwritten.get():
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self.file, timeout=5)) as db, db:
                db.execute(_SCHEMA)
                rows = [(folder, name, *stamp, sha256) for folder, name, stamp, sha256 in fresh]
                db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _read(self, folder: str) -> dict[str, tuple[Stamp, str]]:
        if not self.file.is_file():
            return {}
        try:
            with contextlib.closing(sqlite3.connect(self.file, timeout=5)) as db:
                query = "SELECT name, size, mtime_ns, ctime_ns, inode, sha256 FROM files WHERE folder = ?"
                return {r[0]: (Stamp(*r[1:5]), r[5]) for r in db.execute(query, (folder,))}
        except (sqlite3.Error, OSError, TypeError):
            return {}


_PLACING = ("SAMBENCH_CACHE", "SAMBENCH_HOME", "XDG_DATA_HOME", "HOME")  # variables that decide where the cache is
_memories: dict[tuple[str | None, ...], _Memory] = {}
_listener: ContextVar[Listener | None] = ContextVar("content_listener", default=None)
_unwritten: ContextVar[bool] = ContextVar("content_unwritten", default=False)
_reading: ContextVar[dict[str, str] | None] = ContextVar("content_reading", default=None)


@contextlib.contextmanager
def unwritten() -> Iterator[None]:
    """Within it hashes are remembered by this process alone: for looking that changes nothing on disk."""
    token = _unwritten.set(True)
    try:
        yield
    finally:
        _unwritten.reset(token)


def file_sha256(path: Path) -> str:
    """sha256 hex of a file's bytes, remembered. Raises OSError."""
    value = _sha256(str(path))
    flush()
    return value


def stamp(path: Path) -> Stamp:
    """By what the file's version is told from others while this process runs. Raises OSError."""
    return _stamp(os.stat(path))


def flush() -> None:
    """Write what was hashed since the last time. Needed where `read_bytes` was used; the other functions do it themselves."""
    memory().flush()


def files_sha256(files: Mapping[str, Path | str], what: str = "files", *, regular_alone: bool = False) -> dict[str, str]:
    """sha256 hex by name, remembered; the listener of `progress_to` hears how far it is. Raises OSError.

    regular_alone: what is absent, or a folder, is left out rather than an error.
    """
    out: dict[str, str] = {}
    held, folders = memory(), dict[str, str]()  # what costs microseconds is done once, for there may be 100,000 files
    for done, (name, path) in enumerate(files.items()):
        place, slash, last = str(path).rpartition(os.sep)
        folder = folders.get(place)
        if folder is None:
            folder = folders[place] = os.path.abspath(place + slash)
        try:
            out[name] = _known_or_read(held, folder, last)
        except OSError as e:
            if not (regular_alone and e.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL)):
                raise
        if done % 256 == 255:
            report_progress(what, done + 1, len(files))
    flush()
    return out


def files_digest(files: Mapping[str, Path], what: str = "files") -> str:
    """sha256 hex over the names and the bytes of files: the same wherever they lie, and in whatever order they are given.

    what: named in progress messages. Raises OSError.
    """
    return digest_of(files_sha256(files, what))


def digest_of(hashes: Mapping[str, str]) -> str:
    """As `files_digest`, of the sha256 hex of each file by its name."""
    h = hashlib.sha256()
    for name, value in sorted(hashes.items()):
        h.update(f"{name}\0{value}\n".encode("utf-8", "surrogateescape"))
    return h.hexdigest()


def tree_digest(root: Path, files: Iterable[Path], what: str = "files") -> str:
    """As `files_digest`, the names relative to a folder."""
    return files_digest({f.relative_to(root).as_posix(): f for f in files}, what)


def by_content(value: Any, *, absolute: bool = False) -> Any:
    """Options as they go into an identity: a text that is the path of a file or folder becomes what that holds.

    value: any nesting of dicts, lists and plain values; a new one is returned. absolute: only absolute paths are looked for, as the
    others are relative to something else than the working directory. A bare word, which may be meant as a word, stays beside the
    content of the file that happens to have its name. Raises OSError where one cannot be read, or a folder is too large.
    """
    if isinstance(value, Mapping):
        return {k: by_content(v, absolute=absolute) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [by_content(v, absolute=absolute) for v in value]
    if not isinstance(value, str | Path) or not str(value):
        return value
    text = str(value)
    word = {} if isinstance(value, Path) or any(mark in text for mark in "/\\.~") else {"text": text}
    path = Path(value)
    try:
        if text.startswith("~"):
            path = path.expanduser()
        if absolute and not path.is_absolute():
            return value
        if path.is_file():
            return {**word, "file_sha256": file_sha256(path)}
        if path.is_dir():
            return {**word, "folder_sha256": folder_digest(path)}
    except (OSError, ValueError, RuntimeError):  # a text that no file system takes as a name; no such ~user
        if _is_there(path):
            raise
    return text


def _is_there(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:  # a NUL
        return False


def folder_digest(folder: Path) -> str:
    """sha256 hex over the relative names and the bytes of all files below a folder, hidden ones left out.

    Raises OSError, also for a folder of more than a million files: a wrong path would be read for hours.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, names in paths.walk(folder):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        found += [p for p in (Path(place, n) for n in sorted(names) if not n.startswith(".")) if p.is_file()]
        if len(found) > MOST_FILES:
            raise OSError(errno.EFBIG, f"a folder of more than {MOST_FILES:,} files", str(folder))
    return tree_digest(folder, found, folder.name)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; their hash is noted for `reading` and remembered, so that it costs no second reading. Raises OSError."""
    absolute = os.path.abspath(path)
    regular(absolute)
    with open(absolute, "rb") as f:
        before = _stamp(os.fstat(f.fileno()))
        raw = f.read()
        unchanged = _stamp(os.fstat(f.fileno())) == before and len(raw) == before.size
    value = hashlib.sha256(raw).hexdigest()
    if unchanged:
        memory().put(*os.path.split(absolute), before, value)
    noted = _reading.get()
    if noted is not None:
        noted[absolute] = value
    return raw


def regular_bytes(path: Path) -> bytes:
    """The bytes of a file of ours, not hashed: of what is no file an error, where a pipe would be waited for. Raises OSError."""
    regular(path)
    return path.read_bytes()


@contextlib.contextmanager
def reading() -> Iterator[dict[str, str]]:
    """While it holds, gets sha256 hex by absolute path of every file that this thread reads through `read_bytes`, or asks the hash
    of: of one that is read and hashed, of the bytes that were read."""
    noted: dict[str, str] = {}
    token = _reading.set(noted)
    try:
        yield noted
    finally:
        _reading.reset(token)


def note_file(path: Path) -> None:
    """For `reading`: a file was read by a library that opens files itself. Raises OSError."""
    if _reading.get() is not None:
        file_sha256(path)


def note_read(hashes: Mapping[str, str]) -> None:
    """For `reading`: sha256 hex by absolute path of files that were read for this thread, by another one."""
    noted = _reading.get()
    if noted is not None:
        noted.update(hashes)


@contextlib.contextmanager
def progress_to(listener: Listener) -> Iterator[None]:
    """While it holds, `listener(what, done, total)` hears of all long reading of this thread: hashes and indexes."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_progress(what: str, done: int, total: int) -> None:
    """Progress for the listener of `progress_to`, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


def memory() -> _Memory:
    """The memory of the cache folder that is in force."""
    where = tuple(map(os.environ.get, _PLACING))  # to make the path anew for every picture would cost more than to hash it
    held = _memories.get(where)
    if held is None:
        held = _memories[where] = _Memory(paths.cache() / "content.sqlite")
    return held


def _sha256(path: str) -> str:
    return _known_or_read(memory(), *os.path.split(os.path.abspath(path)))


def _known_or_read(held: _Memory, folder: str, name: str) -> str:
    """The hash of the file of that name in an absolute folder."""
    path = f"{folder}{os.sep}{name}"
    value = held.get(folder, name, _stamp(regular(path))) or _read_sha256(held, folder, name, path)
    noted = _reading.get()
    if noted is not None:
        noted.setdefault(path, value)
    return value


def _read_sha256(held: _Memory, folder: str, name: str, path: str) -> str:
    with open(path, "rb") as f:
        before = _stamp(os.fstat(f.fileno()))
        value = hashlib.file_digest(f, "sha256").hexdigest()
        unchanged = _stamp(os.fstat(f.fileno())) == before
    if unchanged:
        held.put(folder, name, before, value)
    return value


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def regular(path: Path | str) -> os.stat_result:
    """The status of a file. Raises OSError, also for a folder or a pipe: opening one would wait without end."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return found
