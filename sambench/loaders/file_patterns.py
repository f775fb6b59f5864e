"""Files that fit a pattern of their paths: one placeholder, `{id}` (a name) or `{path}` (folders too), and `.*` for image suffixes.

Suffixes count in any letter case, and whole names do where no other file fits.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sambench.files.opening import cannot_open

SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".ppm", ".pgm", ".avif", ".jfif")
PLACEHOLDERS = {"{id}": "([^/]+)", "{path}": "(.+)"}
_SETTLED_NS = 2_000_000_000  # a folder changed more recently is listed anew each time: its clock is coarse


def folder_of(pattern: str) -> str:
    """Of a pattern, the folder in which it begins to vary."""
    return pattern[: pattern.index("{")].rpartition("/")[0]


def fill(pattern: str, image_id: str) -> str:
    """The path that a pattern stands for."""
    return pattern.replace("{id}", image_id).replace("{path}", image_id)


def without_suffix(name: str) -> str:
    """A name less the suffix of an image, if it has one."""
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def candidates(base: Path, pattern: str, image_id: str) -> list[Path]:
    """The files that fit a pattern for an id: named so, else those whose names differ in letter case only."""
    if not image_id or "\0" in image_id or ".." in image_id.split("/") or ("{id}" in pattern and "/" in image_id):
        return []
    path = os.path.join(base, fill(pattern, image_id))
    any_suffix = pattern.endswith(".*")
    if not any_suffix and os.path.exists(path):
        return [Path(path)]
    folder, name = os.path.split(path)  # as text: this is asked for every file of a large set
    stem, suffix = (name[:-2], "") if any_suffix else os.path.splitext(name)
    suffixes = SUFFIXES if any_suffix else (suffix.lower(),)
    near = [n for n in _names(folder).get(stem.lower(), ()) if n.suffix in suffixes]
    return [Path(folder, n.name) for n in [n for n in near if n.stem == stem] or near]


class _Name(NamedTuple):
    """suffix: in lower case, with its dot."""

    name: str
    stem: str
    suffix: str


def _names(folder: str) -> Mapping[str, tuple[_Name, ...]]:
    """What is in a folder but folders, by lower-case stems; a folder of many files is listed once, not for each."""
    try:
        changed = os.stat(folder).st_mtime_ns
    except OSError:
        return {}
    listed = _listed if time.time_ns() - changed > _SETTLED_NS else _listed.__wrapped__
    return listed(folder, changed)


@lru_cache(maxsize=64)
def _listed(folder: str, _changed: int) -> Mapping[str, tuple[_Name, ...]]:
    found: dict[str, list[_Name]] = {}
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and not e.is_dir())
    except OSError:
        return {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        found.setdefault(stem.lower(), []).append(_Name(name, stem, suffix.lower()))
    return {stem: tuple(of_one) for stem, of_one in found.items()}


def why_absent(path: Path) -> str:
    """Why a file was not found, in words."""
    try:
        path.stat()
    except PermissionError:
        return "permission denied"
    except OSError:
        return "no such file"
    return "a folder" if path.is_dir() else "another file"


def matches(base: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """(what the placeholder stands for, path) of every file that fits a pattern; suffixes in any letter case.

    A folder that has not changed since it was listed is not listed again: it may hold 100,000 files.
    """
    folder = os.path.join(base, folder_of(pattern))
    try:
        changed = os.stat(folder).st_mtime_ns
    except OSError:
        return _search(base, pattern)
    if "{path}" in pattern or time.time_ns() - changed < _SETTLED_NS:
        return _search(base, pattern)
    return iter(_listed_at(base, pattern, os.path.abspath(folder), changed))


@lru_cache(maxsize=4)
def _listed_at(base: Path, pattern: str, _folder: str, _changed: int) -> tuple[tuple[str, Path], ...]:
    return tuple(_search(base, pattern))


def _search(base: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    any_suffix = pattern.endswith(".*")
    stem, suffix = (pattern[:-2], "") if any_suffix else os.path.splitext(pattern)
    if "}" in suffix:  # the placeholder holds the suffix too
        stem, suffix = pattern, ""
    expression = re.escape(stem)
    for placeholder, matched in PLACEHOLDERS.items():
        expression = expression.replace(re.escape(placeholder), matched)
    suffixes = "|".join(map(re.escape, SUFFIXES)) if any_suffix else re.escape(suffix)
    compiled, start = re.compile(f"{expression}(?i:{suffixes})"), len(os.path.join(base, ""))
    for name in _files(os.path.join(base, folder_of(pattern)), deep="{path}" in pattern):
        match = compiled.fullmatch(name[start:].replace(os.sep, "/"))
        if match:
            yield match.group(1), Path(name)


def _files(folder: str, *, deep: bool) -> Iterator[str]:
    """Files of a folder, and of those below it if deep, less what archives made on a Mac add. Raises DataError: not readable."""
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_unlisted):
        folders[:] = [f for f in folders if deep and not f.startswith((".", "__MACOSX"))]
        yield from (os.path.join(place, n) for n in names if not n.startswith("."))


def _unlisted(e: OSError) -> None:
    raise cannot_open(Path(e.filename), e, "a folder") from e
