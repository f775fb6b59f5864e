"""Indexes that cost a look into every file, kept between runs: built once, read in milliseconds, rebuilt when files change.

    def index(self) -> Sequence[ImageRecord]:
        return cached_index({"dataset": self.name, "split": self.split}, self._label_files(), self._build_index)

Stored under `paths.cache()/index`, one JSON file for each key and place. It only saves time: a cache that cannot be written,
or holds something odd, costs a rebuild and never a run.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sambench import __version__, paths
from sambench.types import ImageRecord

Progress = Callable[[int, int], None]  # (done, in all)
Listener = Callable[[str, int, int], None]  # (what is indexed, done, in all)

_FORMAT = 1
_listener: ContextVar[Listener | None] = ContextVar("index_listener", default=None)
_remembered: dict[Path, tuple[str, list[ImageRecord]]] = {}  # of this process, the last few
_KEPT = 4


def cached_index(
    key: Mapping[str, Any],
    files: Iterable[Path],
    build: Callable[[Progress], list[ImageRecord]],
    progress: Progress | None = None,
) -> list[ImageRecord]:
    """The records that `build` gives, from the cache where the same key and unchanged files have been seen before.

    key: what decides about the records beside the files: dataset, split, options that select or count (JSON values or paths;
    `dataset` names it in progress messages). files: all files whose content is counted; a change of a name, size or mtime among
    them, of sambench's version, or of the module that holds `build`, makes the index be built anew. Absent files may be named.
    build: called with a progress function that it should call as `progress(done, total)` now and then.
    progress: receives these calls; without it, the listener of `telling` does. What `build` raises passes through.
    """
    listed = list(files)
    stored = _stored_at(key, listed)
    fingerprint = _fingerprint(key, listed, build)
    known = _remembered.get(stored)
    if known is None or known[0] != fingerprint:
        records = _read(stored, fingerprint)
        if records is None:
            records = list(build(progress or _teller(str(key.get("dataset") or "a dataset"))))
            _write(stored, fingerprint, records)
        known = (fingerprint, records)
        while len(_remembered) >= _KEPT:
            _remembered.pop(next(iter(_remembered)), None)
        _remembered[stored] = known
    return list(known[1])


@contextlib.contextmanager
def telling(listener: Listener) -> Iterator[None]:
    """While it holds, `listener(dataset, done, total)` hears of every index that is built in this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def _teller(name: str) -> Progress:
    listener = _listener.get()

    def tell(done: int, total: int) -> None:
        if listener is not None:
            listener(name, done, total)

    return tell


def _stored_at(key: Mapping[str, Any], files: list[Path]) -> Path:
    """One file for each key and folder, so that two copies of a dataset do not push each other out."""
    place = os.path.dirname(min(map(os.path.abspath, files))) if files else ""
    name = hashlib.sha256(_text({"key": dict(key), "place": place}).encode()).hexdigest()[:32]
    return paths.cache() / "index" / f"{name}.json"


def _fingerprint(key: Mapping[str, Any], files: list[Path], build: Callable[..., Any]) -> str:
    h = hashlib.sha256(_text([_FORMAT, __version__, dict(key), _source_of(build)]).encode())
    for path in sorted(files):
        try:
            stat = path.stat()
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            state = "absent"
        h.update(f"{path}\0{state}\n".encode("utf-8", "surrogateescape"))
    return h.hexdigest()


def _source_of(build: Callable[..., Any]) -> list[Any]:
    """Which code counts: a reader that was edited must not be answered with what its last version found."""
    while isinstance(build, functools.partial):
        build = build.func
    module = sys.modules.get(getattr(build, "__module__", None) or "")
    source = getattr(module, "__file__", None)
    try:
        stat = os.stat(source) if source else None
    except OSError:
        stat = None
    return [getattr(build, "__qualname__", ""), source, stat.st_size if stat else 0, stat.st_mtime_ns if stat else 0]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _read(path: Path, fingerprint: str) -> list[ImageRecord] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["fingerprint"] != fingerprint:
            return None
        return [ImageRecord(str(i), int(n), str(cluster), int(size)) for i, n, cluster, size in content["records"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, fingerprint: str, records: list[ImageRecord]) -> None:
    rows = [[r.image_id, r.n_masks, r.cluster_id, r.file_bytes] for r in records]
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps({"fingerprint": fingerprint, "records": rows}), encoding="utf-8")
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
