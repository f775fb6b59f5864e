"""The file of a bundle, read with care: its list is checked first, and nothing is unpacked beyond what it says or we allow."""

from __future__ import annotations

import errno
import hashlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sambench.errors import RunError, SambenchError
from sambench.files.content import regular
from sambench.files.writing import unreadable
from sambench.paths import RECORD, RUN_FILE
from sambench.store.record import IMAGES, METRIC_FILES

FORMAT = 1
MANIFEST = "bundle.json"
# A small file must not fill a disk, whatever it says of itself.
MAX_FILES = 200_000
MAX_FILE_BYTES = 512 << 20  # a shard holds four images
MAX_BYTES = 64 << 30
MAX_RATIO = 100  # of what is unpacked to the bundle's own size: text packs to a tenth, and shards hardly at all
_MANIFEST_BYTES = 32 << 20
FILES = (RECORD, IMAGES, *METRIC_FILES)
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+=,:@-]{0,200}"
PATH = re.compile(rf"({_NAME})/(?:{RUN_FILE}|({_NAME})/(?:{'|'.join(map(re.escape, FILES))}|shards/\d{{6}}\.parquet))")
CHUNK = 1 << 20
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Entry(BaseModel):
    """A file of the list: path as PATH has it, size, and sha256 hex."""

    model_config = ConfigDict(strict=True, frozen=True)

    path: Annotated[str, StringConstraints(max_length=1000)]
    bytes: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    format: Literal[1]
    files: Annotated[tuple[Entry, ...], Field(max_length=MAX_FILES)]


def opened(path: Path) -> zipfile.ZipFile:
    """The bundle's archive. Raises RunError where it cannot be read or is none."""
    try:
        regular(path)
        return zipfile.ZipFile(path)
    except OSError as e:
        if e.errno == errno.EINVAL:
            remedy = "name the file that `sambench results export` wrote"
            found = "a folder, a pipe or a device"
            raise RunError("a bundle cannot be read", where=path, expected="a file", found=found, remedy=remedy) from e
        raise unreadable("a bundle cannot be read", path, e) from e
    except Exception as e:  # BadZipFile; and of headers that lie, whatever comes of them
        raise damaged_bundle(path, "the file is cut off, or no bundle at all") from e


def read_manifest(archive: zipfile.ZipFile, path: Path) -> tuple[bytes, tuple[Entry, ...]]:
    """The list as it stands, and its files. Raises RunError where it is none, names other paths, or more than one can hold."""
    names = archive.namelist()
    if MANIFEST not in names:
        raise damaged_bundle(path, f"it has no {MANIFEST}")
    raw = b"".join(_chunks(archive, MANIFEST, _MANIFEST_BYTES, path))
    try:
        content = _Manifest.model_validate_json(raw)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        if first["loc"] == ("format",) and first["type"] == "literal_error":
            remedy = "read it with the version of sambench that wrote it"
            expected = f"format {FORMAT}"
            raise RunError("a bundle of another format", where=path, expected=expected, found=first["input"], remedy=remedy) from e
        raise damaged_bundle(path, f"its {MANIFEST} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}") from e
    for entry in content.files:
        if not PATH.fullmatch(entry.path) or ".." in entry.path:
            raise damaged_bundle(path, f"it would write to {entry.path!r}")
    listed = sorted([MANIFEST, *(e.path for e in content.files)])
    if sorted(names) != listed:
        other = sorted({*names} ^ {*listed})
        raise damaged_bundle(path, f"its files are not those of its list: {', '.join(other[:4]) or 'one of them twice'}")
    _refuse_large(sum(e.bytes for e in content.files), path)
    return raw, content.files


def _refuse_large(total: int, path: Path) -> None:
    most = min(MAX_BYTES, MAX_RATIO * path.stat().st_size)
    if total > most:
        raise RunError(
            "a bundle would unpack to more than one can hold: nothing of it was written",
            where=path,
            expected=f"at most {most:,} bytes, {MAX_RATIO} times its own size",
            found=f"{total:,} bytes",
            remedy="get it again from its source",
        )


def copy_member(archive: zipfile.ZipFile, entry: Entry, target: Any, path: Path) -> None:
    """Write a member into an open file. Raises RunError where it is not what the list says."""
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(archive, entry.path, entry.bytes, path):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
    if size != entry.bytes or digest.hexdigest() != entry.sha256:
        raise damaged_bundle(path, f"{entry.path} is not what its digest says")


def _chunks(archive: zipfile.ZipFile, name: str, at_most: int, path: Path) -> Iterator[bytes]:
    """A member's bytes, no more than are announced: a small file that unpacks to a huge one stops here."""
    size = 0
    try:
        if archive.getinfo(name).compress_type not in _PACKINGS:
            raise damaged_bundle(path, f"{name} is packed in a way that no export uses")
        with archive.open(name) as f:
            while chunk := f.read(CHUNK):
                size += len(chunk)
                if size > at_most:
                    raise damaged_bundle(path, f"{name} is larger than its list says")
                yield chunk
    except (SambenchError, GeneratorExit):
        raise
    except Exception as e:  # zlib.error is no OSError, and headers that lie have errors of their own
        raise damaged_bundle(path, f"{name} cannot be unpacked: {e!r}") from e


def damaged_bundle(path: Path, found: str) -> RunError:
    """The error for a bundle that is not what was exported; its text promises that nothing was written."""
    return RunError(
        "a bundle is damaged or was changed: nothing of it was written",
        where=path,
        expected="a file that `sambench results export` wrote",
        found=found,
        remedy="get it again from its source",
    )
