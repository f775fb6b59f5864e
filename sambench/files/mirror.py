"""The copy that this machine keeps of a place in an object store: files by key, and beside each which version it is.

`<cache>/stores/<name>/files/<key>` is the copy, `versions/<key>` says of which version it is. A file of the copy is replaced whole,
and under a lock of its own: what a process has read of it is never older than the version it was given. Files of the copy have
the time of change of their objects.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sambench import paths
from sambench.errors import UsageError
from sambench.files.content import report_progress
from sambench.files.objects import Address, Listed, Objects, Version, address, endpoint

FOLDER = "stores"
RECORDS = (f"/{paths.RECORD}", f"/{paths.RUN_FILE}")  # endings of the keys by which runs are known and named
AT_ONCE = 16  # transfers
_MARK = "store.json"
_VERSION = ".version"  # of names: an object may have the name of a folder of others
_mirrors: dict[Path, Mirror] = {}
_in_memory: dict[str, tempfile.TemporaryDirectory[str]] = {}


class Mirror:
    """One bucket's copy. root: its folder; store: the bucket. Methods raise OSError."""

    def __init__(self, root: Path, store: Objects) -> None:
        self.root, self.store = root, store
        self.files, self.versions = root / "files", root / "versions"

    def key(self, path: Path) -> str:
        """The key of a file of the copy; '' for the bucket itself."""
        key = Path(os.path.abspath(path)).relative_to(self.files).as_posix()
        return "" if key == "." else key

    def refresh(self, path: Path) -> Version | None:
        """Make one file what it is in the store; gives its version, None where it is not there.

        A file that never was in the store stays.
        """
        key = self.key(path)
        with self._locked(key) as held:
            known = held.version if held.fits(path) else None
            aside = _aside(path)
            try:
                got = self.store.get(key, aside, unless=known)
                if got is None:
                    return known
                _settle(aside, path, got.changed)
            except FileNotFoundError:
                if held.version is not None:
                    path.unlink(missing_ok=True)
                    held.note(None, path)
                return None
            finally:
                aside.unlink(missing_ok=True)
            held.note(got.version, path)
            return got.version

    def known(self, path: Path) -> Version | None:
        """Which version the file of the copy is of; None where it is of none. No request is made."""
        with self._locked(self.key(path)) as held:
            return held.version if held.fits(path) else None

    def refresh_below(self, folder: Path, wanted: Callable[[str], bool] | None = None) -> int:
        """As `refresh`, all files below a folder, or those whose key is wanted; the listener of `progress_to` hears of it.

        Gives how many there are.
        """
        prefix = self.key(folder)
        there = {o.key: o for o in self.store.listed(prefix) if wanted is None or wanted(f"/{o.key}")}
        old = [key for key, o in there.items() if not self._is_current(o)]
        gone = [key for key in self._known(prefix) if key not in there and (wanted is None or wanted(f"/{key}"))]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done, _ in enumerate(pool.map(lambda key: self.refresh(self.files / key), old + gone), 1):
                report_progress(f"{self.store.root}/{prefix}", done, len(old) + len(gone))
        return len(there)

    def write(self, path: Path, raw: bytes, *, create: bool = False, instead: Version | None = None) -> Version:
        """Write a file, in the store and in the copy. create, instead: as `Objects.put`, and `Changed` is raised as there."""
        key = self.key(path)
        with self._locked(key) as held:
            version = self.store.put(key, raw, create=create, instead=instead)
            aside = _aside(path)
            try:
                aside.write_bytes(raw)
                os.replace(aside, path)
            finally:
                aside.unlink(missing_ok=True)
            held.note(version, path)
        return version

    def remove(self, path: Path) -> None:
        """Remove a file, in the store and in the copy."""
        key = self.key(path)
        with self._locked(key) as held:
            self.store.delete(key)
            path.unlink(missing_ok=True)
            held.note(None, path)

    def remove_below(self, folder: Path, last: Callable[[str], bool]) -> None:
        """Remove all files below a folder; those of which `last` is true of the key after the others, so that what an interrupted
        removal leaves can be named again."""
        found = sorted((o.key for o in self.store.listed(self.key(folder))), key=last)
        for key in found:
            self.remove(self.files / key)

    def _is_current(self, found: Listed) -> bool:
        held = _Held.read(self._version_file(found.key))
        return held.version == found.version and held.fits(self.files / found.key)

    def _known(self, prefix: str) -> Iterator[str]:
        """Keys below a prefix of which the copy has, or had, the file."""
        for place, _, names in paths.walk(self.versions / prefix):
            for name in names:
                path = Path(place, name)
                if _Held.read(path).version is not None:
                    yield path.relative_to(self.versions).as_posix().removesuffix(_VERSION)

    def _version_file(self, key: str) -> Path:
        return self.versions / f"{key}{_VERSION}"

    @contextmanager
    def _locked(self, key: str) -> Iterator[_Held]:
        import fcntl

        path = self._version_file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            yield _Held.read(path)


class _Held:
    """Which version a file of the copy is of: None where the store has none, or had none. stamp: of the file."""

    def __init__(self, path: Path, version: Version | None, stamp: list[int]) -> None:
        self.path, self.version, self.stamp = path, version, stamp

    @classmethod
    def read(cls, path: Path) -> _Held:
        try:
            raw = json.loads(path.read_bytes() or b"{}")
            return cls(path, Version(raw["e_tag"], raw["generation"]) if raw else None, raw.get("stamp", []))
        except (OSError, ValueError, LookupError, AttributeError, TypeError):  # not there, or damaged: it is fetched again
            return cls(path, None, [])

    def fits(self, file: Path) -> bool:
        """Whether the file is the one that it was noted of."""
        return self.version is not None and _stamp(file) == self.stamp

    def note(self, version: Version | None, file: Path) -> None:
        self.version, self.stamp = version, _stamp(file)
        raw = {**version._asdict(), "stamp": self.stamp} if version else None
        self.path.write_bytes(json.dumps(raw).encode() if raw else b"")


def _stamp(path: Path) -> list[int]:
    try:
        s = path.stat()
    except OSError:
        return []
    return [s.st_size, s.st_mtime_ns, s.st_ino]


def _aside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")


def _settle(aside: Path, path: Path, changed: float) -> None:
    os.utime(aside, (changed, changed))
    os.replace(aside, path)


def here(named: str | Path) -> Path:
    """The path on this machine of what a user names: of a URL that in its copy, of any other the path itself."""
    at_store = address(named)
    return Path(named) if at_store is None else _of(at_store).files / at_store.key


def at(path: Path | str) -> Mirror | None:
    """The copy that a path lies in, or None. Raises UsageError for a copy of a store that the environment does not lead to."""
    text = os.path.abspath(path) + os.sep
    for root, found in _mirrors.items():
        if text.startswith(f"{root}{os.sep}"):
            return found
    base = f"{_base()}{os.sep}"
    if not text.startswith(base):
        return None
    root = Path(base) / text[len(base) :].split(os.sep)[0]
    with suppress(OSError, ValueError, LookupError):
        said = json.loads((root / _MARK).read_bytes())
        found = _of(Address(said["root"], ""))
        if found.root != root:
            raise UsageError(
                "that is the copy of an object store which the environment does not lead to",
                where=path,
                expected=str(said["endpoint"]) or "no endpoint of its own",
                found=endpoint() or "none",
                remedy=f"set it, and name the store: {said['root']}/...",
            )
        return found
    return None


def url_of(path: Path | str) -> str | None:
    """The URL of what a file or folder is the copy of; None for a place of its own."""
    found = at(path)
    return None if found is None else f"{found.store.root}/{found.key(Path(path))}".rstrip("/")


def named(path: Path | str) -> str:
    """A path as its user calls it: the URL, where it is a copy."""
    return url_of(path) or str(path)


def with_urls(text: str) -> str:
    """A message in which paths of copies are the URLs of what they are copies of, and URLs have both slashes after `Path` too."""
    for found in _mirrors.values():
        text = text.replace(f"{found.files}{os.sep}", f"{found.store.root}/")
    return _ONE_SLASH.sub(r"\1://", text)


def with_copies(text: str, bring: Callable[[Path], object] | None = None) -> str:
    """A name made of several parts, in which every URL is the path of its copy. bring: called with each such path."""

    def replaced(found: re.Match[str]) -> str:
        path = here(found[0])
        if bring is not None:
            bring(path)
        return str(path)

    return _IN_TEXT.sub(replaced, text)


_ONE_SLASH = re.compile(r"(?<![\w/.-])(s3|gs|az|abfss|memory):/(?=[^/\s])")
_IN_TEXT = re.compile(r"\b(?:s3|gs|az|abfss|memory)://[^,\"']+")


def _base() -> Path:
    return (paths.cache() / FOLDER).resolve()


def _of(place: Address) -> Mirror:
    where = endpoint()
    if place.root.startswith("memory:"):
        folder = _in_memory.setdefault(place.root, tempfile.TemporaryDirectory(prefix="sambench-"))
        root = Path(folder.name).resolve()
    else:
        digest = hashlib.sha256(f"{place.root}\n{where}".encode()).hexdigest()
        root = _base() / f"{re.sub(r'[^0-9A-Za-z.-]+', '-', place.root)}-{digest[:8]}"
    found = _mirrors.get(root)
    if found is None:
        root.mkdir(parents=True, exist_ok=True)
        said: dict[str, Any] = {"root": place.root, "endpoint": where}
        aside = _aside(root / _MARK)
        aside.write_text(json.dumps(said))
        os.replace(aside, root / _MARK)
        found = _mirrors[root] = Mirror(root, Objects(place.root))
    return found
