"""What kind of annotations a file holds, by a look at its text: enough to choose a reader, which then reads it with care."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from sambench.files.content import regular

_HEAD = 1 << 20  # bytes
_OVERLAP = 256
_LISTS = (re.compile(rb'"images"\s*:\s*\['), re.compile(rb'"annotations"\s*:\s*\['))
_PHRASE, _RECORD = b'"text_input"', 4096  # bytes within which the first image record ends
_OF_A_PICTURE = (re.compile(rb'"image"\s*:\s*\{'), re.compile(rb'"annotations"\s*:\s*\['))
_TEXT = r'"%s"\s*:\s*("(?:[^"\\]|\\.)*")'
_NAMES = 5  # file names that are looked for


def is_coco(path: Path) -> bool:
    """Whether a file is an object with lists of images and annotations. All of it is searched, without being parsed."""
    if not _begins(path, b"{"):
        return False
    left = list(_LISTS)
    for part in _parts(path):
        left = [pattern for pattern in left if not pattern.search(part)]
        if not left:
            return True
    return False


def is_saco(path: Path) -> bool:
    """Whether a file in COCO's form has a noun phrase in each image record, as SA-Co's have."""
    begun = b""
    for part in _parts(path) if _begins(path, b"{") else ():
        if begun:
            return _PHRASE in (begun + part)[:_RECORD]
        found = _LISTS[0].search(part)
        if found and _PHRASE in part[found.end() :][:_RECORD]:
            return True
        begun = part[found.end() :] if found else b""
    return False


def is_via(path: Path) -> bool:
    """Whether a file is of the VGG Image Annotator."""
    head = _head(path)
    return _begins(path, b"{") and (b'"_via_' in head or (b'"regions"' in head and b'"filename"' in head))


def is_labelme(path: Path) -> bool:
    """Whether a file is of LabelMe."""
    head = _head(path)
    whole = head if len(head) < _HEAD else head + _tail(path)  # the picture itself may stand between
    return _begins(path, b"{") and b'"shapes"' in whole and (b'"imagePath"' in whole or b'"imageHeight"' in whole)


def is_sa1b(path: Path) -> bool:
    """Whether a file is of the masks of one picture, in SA-1B's form."""
    head = _head(path)
    whole = head if len(head) < _HEAD else head + _tail(path)
    return _begins(path, b"{") and all(pattern.search(whole) for pattern in _OF_A_PICTURE)


def file_names(path: Path, key: str = "file_name") -> list[str]:
    """The first names of pictures in a JSON file, as they stand there."""
    text = _head(path).decode("utf-8", "replace")
    names = []
    for found in re.finditer(_TEXT % re.escape(key), text):
        try:
            names.append(str(json.loads(found[1])))
        except ValueError:
            continue
        if len(names) == _NAMES:
            break
    return names


def files(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder with a suffix, by name, but hidden ones."""
    try:
        return sorted(p for p in folder.iterdir() if p.suffix.lower() == suffix and not p.name.startswith(".") and p.is_file())
    except OSError:
        return []


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, but hidden ones."""
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith((".", "__MACOSX")) and p.is_dir())
    except OSError:
        return []


def _head(path: Path) -> bytes:
    try:
        regular(path)
        with path.open("rb") as f:
            return f.read(_HEAD)
    except OSError:
        return b""


def _tail(path: Path) -> bytes:
    regular(path)
    with path.open("rb") as f:
        f.seek(max(0, path.stat().st_size - _HEAD))
        return f.read()


def _begins(path: Path, mark: bytes) -> bool:
    return _head(path)[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(mark)


def _parts(path: Path) -> Iterator[bytes]:
    """The file in parts that overlap."""
    rest = b""
    regular(path)
    with path.open("rb") as f:
        while part := f.read(_HEAD):
            yield rest + part
            rest = part[-_OVERLAP:]
