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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sambench import __version__, paths
from sambench.files import content
from sambench.files.writing import replacing
from sambench.types import ImageRecord

Progress = Callable[[int, int], None]  # (done, in all)

_FORMAT = 2
_remembered: dict[Path, _Known] = {}  # of this process, the last few
_KEPT = 4


class _Known(NamedTuple):
    """fingerprint: of what the records are made from. folders: those of the pictures, and when names in them last changed."""

    fingerprint: str
    folders: dict[str, str]
    records: list[ImageRecord]

    def fits(self, fingerprint: str) -> bool:
        return self.fingerprint == fingerprint and all(_names_changed(f) == at for f, at in self.folders.items())


def cached_index(
    key: Mapping[str, Any],
    files: Iterable[Path],
    build: Callable[[Progress], list[ImageRecord]],
    progress: Progress | None = None,
) -> list[ImageRecord]:
    """The records that `build` gives, from the cache where the same key and unchanged files have been seen before.

    key: what decides about the records beside the files: dataset, split, options that select or count (JSON values or paths;
    `dataset` names it in progress messages). files: all files whose content is counted; a change of a name or a byte among them,
    of sambench's version, of the module that holds `build`, or of the names in the pictures' folders makes the index be built anew.
    Absent files may be named, and folders, of which the names count.
    build: called with a progress function that it should call as `progress(done, total)` now and then.
    progress: receives these calls; without it, the listener of `progress_to` does. What `build` raises passes through.
    """
    listed = _absolute(files)
    stored = _stored_at(key, listed)
    fingerprint = _fingerprint(key, listed, build)
    known = _remembered.get(stored)
    if known is None or not known.fits(fingerprint):
        known = _read(stored, fingerprint)
        if known is None:
            built = build(progress or _teller(str(key.get("dataset") or "a dataset")))
            records = [replace(r, file=os.path.abspath(r.file)) if r.file else r for r in built]  # of no working directory
            known = _Known(fingerprint, _folders_of(records), records)
            if _fingerprint(key, listed, build) != fingerprint:  # counted while a file changed: to be counted again
                return list(known.records)
            _write(stored, known)
        while len(_remembered) >= _KEPT:
            _remembered.pop(next(iter(_remembered)), None)
        _remembered[stored] = known
    return list(known.records)


def _teller(name: str) -> Progress:
    return lambda done, total: content.report_progress(name, done, total)


def _absolute(files: Iterable[Path]) -> list[str]:
    """Sorted. Folders are made absolute once, for they may hold 100,000 files."""
    folders: dict[str, str] = {}
    out = []
    for place, slash, name in (str(f).rpartition(os.sep) for f in files):
        if place not in folders:
            folders[place] = os.path.join(os.path.abspath(place + slash), "")
        out.append(folders[place] + name)
    return sorted(out)


def _stored_at(key: Mapping[str, Any], files: list[str]) -> Path:
    """One file for each key and folder, so that two copies of a dataset do not push each other out."""
    place = os.path.dirname(files[0]) if files else ""
    name = hashlib.sha256(_text({"key": dict(key), "place": place}).encode()).hexdigest()[:32]
    return paths.cache() / "index" / f"{name}.json"


def _fingerprint(key: Mapping[str, Any], files: list[str], build: Callable[..., Any]) -> str:
    h = hashlib.sha256(_text([_FORMAT, __version__, dict(key), _source_of(build)]).encode())
    hashed = content.files_sha256({n: n for n in files}, str(key.get("dataset") or "a dataset"), regular_alone=True)
    for name in files:
        h.update(f"{name}\0{hashed.get(name) or _names_changed(name)}\n".encode("utf-8", "surrogateescape"))
    return h.hexdigest()


def _names_changed(folder: str) -> str:
    """When a name was last added to a folder or taken from it; '' if there is no such folder."""
    try:
        return str(os.stat(folder).st_mtime_ns)
    except OSError:
        return ""


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


def _folders_of(records: Iterable[ImageRecord]) -> dict[str, str]:
    return {f: _names_changed(f) for f in {os.path.dirname(r.file) for r in records if r.file}}


def _read(path: Path, fingerprint: str) -> _Known | None:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        records = [ImageRecord(str(i), int(n), str(cluster), str(file)) for i, n, cluster, file in held["records"]]
        known = _Known(held["fingerprint"], dict(held["folders"]), records)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return known if known.fits(fingerprint) else None


def _write(path: Path, known: _Known) -> None:
    rows = [[r.image_id, r.n_masks, r.cluster_id, r.file] for r in known.records]
    with contextlib.suppress(OSError, UnicodeEncodeError), replacing(path) as aside:
        aside.write_text(json.dumps({**known._asdict(), "records": rows}), encoding="utf-8")
