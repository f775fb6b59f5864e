"""Where the file is that an annotation file names: the one place where names that other people's tools wrote become paths.

Files travel: a name may have backslashes (Windows), be absolute on the machine where it was written, begin with `../`, differ
from the file in letter case, or be an address (Label Studio's `/data/local-files/?d=a%20b.png`). A name that says where a file is,
is taken at its word. Else a file is taken if exactly one fits, and that is noted; where several do, the error names them. A
relative name never leads out of the dataset's folder.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs, unquote

from sambench.errors import DataError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*/")
_DRIVE = re.compile(r"[A-Za-z]:/")
SLASHES = "backslashes in file names are read as slashes"
BESIDE = "file names are relative to the folder of the annotation file"
TAIL = "file names are paths of another place: the files are found by the end of those paths"
ADDRESS = "file names are addresses: the files are found by the paths in them"
CASE = "file names differ from the files in letter case"


def several(value: str | Sequence[str]) -> Sequence[str]:
    """What an option that takes one name or several names."""
    return (value,) if isinstance(value, str) else tuple(value)


def annotation_file(candidates: Sequence[Path], root: Path, *, dataset: str, of_release: str) -> Path:
    """The first of these files that is there. of_release: what to do where it is not. Raises DataError."""
    found = next((p for p in candidates if p.is_file()), None)
    if found is None:
        raise DataError(
            f"the annotation file of {dataset} is missing",
            where=root,
            expected=" or ".join(map(str, candidates)),
            found="no such file",
            of_release=of_release,
        )
    return found


@dataclass(frozen=True)
class Place:
    """path: where a named file is, or should be. note: how it was found, as SLASHES; "" where the name says it.

    error: why it cannot be taken, or None.
    """

    path: Path
    note: str = ""
    error: DataError | None = None

    def checked(self) -> Path:
        """The path. Raises DataError: several files fit the name, or it leads out of the dataset's folder."""
        if self.error is not None:
            raise self.error
        return self.path


def locate(names: Sequence[tuple[Path, str]], root: Path, *, where: object, beside: Path | None = None) -> Place:
    """The file that a name stands for.

    names: (folder, name below it), one or several readings of one name, the first that exists counts. root: the dataset's folder.
    where: the entry that names it, for errors. beside: the annotation file's folder, to which names with `..` may be relative.
    """
    literal = [os.path.join(f, n) for f, n in names if os.path.isabs(n) or ".." not in n or _inside(os.path.join(f, n), root, f)]
    for path in literal:
        if os.path.isfile(path):
            return Place(Path(path))
    found, note = _elsewhere(names, root, beside)
    if len(found) == 1:
        return Place(Path(found[0]), note)
    likely = Path(next((p for p in literal if os.path.isdir(os.path.dirname(p))), (literal or [os.path.join(*names[0])])[0]))
    if found:
        return Place(likely, error=_several(names[0][1], found, where))
    return Place(likely, error=None if literal else _leads_out(names[0][1], root, where))


def _elsewhere(names: Sequence[tuple[Path, str]], root: Path, beside: Path | None) -> tuple[list[str], str]:
    """Files that fit a name which is not itself the path of one, and how: those of the first way by which there are any."""
    below = [(f, _parts(n)) for f, n in names if not _is_foreign(n)]
    foreign = [(f, _parts(n)) for f, n in names if _is_foreign(n) or "\\" in n]
    ends = [(f, p[i:]) for f, p in foreign for i in range(len(p)) if ".." not in p[i:]]
    climbing = [(f, p) for of, p in foreign if ".." in p for f in (of, beside) if f is not None]
    for candidates, note in ((below, SLASHES), (climbing, BESIDE), (ends, TAIL)):
        paths = dict.fromkeys(os.path.normpath(os.path.join(f, *p)) for f, p in candidates if _inside(os.path.join(f, *p), root, f))
        found = [p for p in paths if os.path.isfile(p)]
        if found:
            return found, note
    plain = [(f, _path_in(n)) for f, n in names]
    if plain != [*names]:
        found, _ = _elsewhere(plain, root, beside)
        if found:
            return found, ADDRESS
    return list(dict.fromkeys(path for f, p in [*below, *ends] for path in _in_any_case(os.fspath(f), p))), CASE


def _path_in(name: str) -> str:
    """The path in a name that is an address or written as in one; the name itself where it is neither."""
    path, _, query = name.partition("?")
    named = parse_qs(query).get("d") or [""]
    if _SCHEME.match(name):
        return "/" + unquote(named[0] or _SCHEME.sub("", path, count=1).partition("#")[0])
    return named[0] or unquote(name)


def _parts(name: str) -> list[str]:
    return [p for p in _DRIVE.sub("", name.replace("\\", "/"), count=1).split("/") if p not in ("", ".")]


def _is_foreign(name: str) -> bool:
    """Whether a name is absolute, or relative to a folder above."""
    plain = name.replace("\\", "/")
    return plain.startswith("/") or _DRIVE.match(plain) is not None or ".." in plain.split("/")


def _inside(path: str, root: Path, folder: Path) -> bool:
    """Whether a path lies below the dataset's folder (or that of its pictures, if its card puts them elsewhere)."""
    at, bases = os.path.abspath(path), [os.path.abspath(root), os.path.abspath(folder)]
    climbs = ".." in path.split("/")
    return any(at == b or at.startswith(b.rstrip("/") + "/") for b in (bases[:1] if climbs else bases))


def _in_any_case(folder: str, parts: Sequence[str]) -> list[str]:
    """Files below a folder whose names are these but for letter case (and how accents are composed)."""
    at = [folder]
    for i, part in enumerate(parts):
        at = [os.path.join(f, name) for f in at for name in _entries(f).get(_folded(part), ())]
        at = [p for p in at if (os.path.isfile(p) if i == len(parts) - 1 else os.path.isdir(p))]
    return [os.path.normpath(p) for p in at] if parts else []


def _entries(folder: str) -> dict[str, tuple[str, ...]]:
    try:
        stat = os.stat(folder or ".")
    except (OSError, ValueError):
        return {}
    return _listed(folder, stat.st_mtime_ns)


@lru_cache(maxsize=32)
def _listed(folder: str, _mtime_ns: int) -> dict[str, tuple[str, ...]]:
    """Names in a folder by their folded form; a folder of many files is read once, not for each."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return {}
    for name in names:
        found[_folded(name)] = (*found.get(_folded(name), ()), name)
    return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _several(name: str, found: Sequence[str], where: object) -> DataError:
    return DataError(
        "a file name fits several files",
        where=where,
        expected=f"one file for {name!r:.120}",
        found=" and ".join(sorted(found)[:4]) + (", ..." if len(found) > 4 else ""),
        remedy="write the name as the file has it, or take the other files out of the folder",
    )


def _leads_out(name: str, root: Path, where: object) -> DataError:
    return DataError(
        "a file name leads out of the dataset's folder",
        where=where,
        expected=f"a path below {root}, or an absolute one",
        found=f"{name!r:.120}",
        remedy="write the path of the image relative to that folder",
    )
