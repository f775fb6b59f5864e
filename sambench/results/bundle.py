"""Bundles: rows, metrics and records of cells in one file with digests, to be compared with where they were never computed.

A bundle is a zip file. Its first member is `bundle.json`: the format's version, and path, size and sha256 of every other member, as
`<run>/<file>` and `<run>/<cell>/<file>`. Equal cells give equal bytes. The bundle's own digest, the sha256 of `bundle.json`, names
its content: whoever publishes a bundle says it, and `import` compares. Digests alone say nothing of a bundle that was made anew to
mislead: its metrics are computed again from its rows (`results.bundle_check`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sambench import __version__
from sambench.engine.record import IMAGES, METRIC_FILES, RECORD, write_bytes
from sambench.engine.shards import storage_error, unreadable
from sambench.errors import RunError, SambenchError, UsageError
from sambench.provenance import canonical_json
from sambench.results.bundle_check import check_cell
from sambench.results.cells import CellView

FORMAT = 1
MANIFEST = "bundle.json"
# A small file must not fill a disk, whatever it says of itself.
MAX_FILES = 200_000
MAX_FILE_BYTES = 512 << 20  # a shard holds four images
MAX_BYTES = 64 << 30
MAX_RATIO = 100  # of what is unpacked to the bundle's own size: text packs to a tenth, and shards hardly at all
_MANIFEST_BYTES = 32 << 20
_FILES = (RECORD, IMAGES, *METRIC_FILES)
_RUN_FILE = "model.json"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+=,:@-]{0,200}"
_PATH = re.compile(rf"({_NAME})/(?:{_RUN_FILE}|({_NAME})/(?:{'|'.join(map(re.escape, _FILES))}|shards/\d{{6}}\.parquet))")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's earliest date: equal cells give equal bytes
_CHUNK = 1 << 20
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    path: Annotated[str, StringConstraints(max_length=1000)]
    bytes: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    format: Literal[1]
    files: Annotated[tuple[_Entry, ...], Field(max_length=MAX_FILES)]


@dataclass(frozen=True)
class Bundle:
    """What is in a bundle. digest: sha256 hex of its list of files. cells: `<run>/<cell>`. n_bytes: of the files."""

    path: Path
    digest: str
    cells: tuple[str, ...]
    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class Imported:
    """new: cells that were written. known: cells that were there already, byte for byte."""

    bundle: Bundle
    new: tuple[Path, ...]
    known: tuple[Path, ...]


def export(cells: Sequence[CellView], path: Path) -> Bundle:
    """Write the finished cells into one file, aside first.

    Raises UsageError for no cells, unfinished ones, names that cannot travel, or a file that is there already; RunError where a
    cell cannot be read or the file cannot be written.
    """
    if path.exists():
        raise UsageError("there is a file of that name", where=path, remedy="choose another name, or remove it")
    files = _files_of(cells)
    entries = [_Entry(path=name, bytes=size, sha256=digest) for name, (_, size, digest) in sorted(files.items())]
    listed = [e.model_dump() for e in entries]
    manifest = (canonical_json({"format": FORMAT, "sambench": __version__, "files": listed}) + "\n").encode()
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(aside, "w") as archive:
            _add(archive, MANIFEST, manifest, zipfile.ZIP_DEFLATED)
            for entry in entries:
                packed = zipfile.ZIP_STORED if entry.path.endswith(".parquet") else zipfile.ZIP_DEFLATED
                content = _read(files[entry.path][0])
                if _sha256(content) != entry.sha256:
                    raise RunError("a cell changed while it was exported", where=files[entry.path][0], remedy="export it again")
                _add(archive, entry.path, content, packed)
        os.replace(aside, path)
    except OSError as e:
        raise storage_error(e, path) from e
    finally:
        aside.unlink(missing_ok=True)
    return _described(path, manifest, entries)


def _files_of(cells: Sequence[CellView]) -> dict[str, tuple[Path, int, str]]:
    """The files by their paths in the bundle, each with size and sha256."""
    if not cells:
        raise UsageError("there are no cells to export")
    files: dict[str, tuple[Path, int, str]] = {}
    for cell in cells:
        live = cell.live
        if live.status in ("running", "interrupted"):
            raise UsageError(
                "a cell is not finished",
                where=cell.path,
                expected="every image that was asked for, computed or failed",
                found=f"{live.status}: {live.n_done + live.n_failed} of {live.n_wanted} images",
                remedy="issue the run's command again, or name other cells",
            )
        if not cell.vouched:  # nothing else says that its metrics are those of its rows
            check_cell(cell.path)
        folder = cell.path.resolve()
        run = folder.parent
        held = [folder / name for name in _FILES if (folder / name).exists()]
        held += [cell.store.path(n) for n in range(len(cell.store)) if cell.store.path(n).exists()]
        named = {
            f"{run.name}/{folder.name}/{f.relative_to(cell.path if not f.is_relative_to(folder) else folder).as_posix()}": f
            for f in held
        }
        if (run / _RUN_FILE).exists():
            named[f"{run.name}/{_RUN_FILE}"] = run / _RUN_FILE
        for name, file in named.items():
            if not _PATH.fullmatch(name):
                raise UsageError("a cell's directory has a name that cannot travel", where=folder, found=name, remedy="rename it")
            content = _read(file)
            told = (file, len(content), _sha256(content))
            if files.setdefault(name, told)[2] != told[2]:
                raise UsageError("two runs of one name differ", found=name, remedy="export them into two files")
    return files


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as e:
        raise unreadable("a cell's file cannot be read", file, e) from e


def _add(archive: zipfile.ZipFile, name: str, content: bytes, packed: int) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = packed
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)


def _described(path: Path, manifest: bytes, entries: Sequence[_Entry]) -> Bundle:
    cells = dict.fromkeys("/".join(e.path.split("/")[:2]) for e in entries if e.path.count("/") > 1)
    return Bundle(path, _sha256(manifest), tuple(cells), len(entries), sum(e.bytes for e in entries))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def inspect(path: Path) -> Bundle:
    """Read and check the whole bundle, and keep nothing. Raises RunError where it is no bundle, damaged, unsafe, or says other
    metrics than its rows do."""
    with _opened(path) as archive:
        manifest, entries = _manifest(archive, path)
        found = _described(path, manifest, entries)
        for cell in found.cells:
            with tempfile.TemporaryDirectory(prefix="sambench-") as folder:
                _unpack(archive, entries, [cell], Path(folder), path)
        _run_files(archive, entries, path)
    return found


def import_bundle(path: Path, out: Path, *, digest: str | None = None) -> Imported:
    """Put the bundle's cells under `out`, each whole or not at all. digest: what the bundle's must be.

    Everything is unpacked aside and checked before any of it takes its place; nothing stays of a bundle that is refused. Cells that
    are there already, byte for byte, stay as they are. Raises RunError for a bundle that is damaged, unsafe, another one than
    `digest` says, or says other metrics than its rows do; UsageError where a cell or a run that is there differs.
    """
    with _opened(path) as archive:
        manifest, entries = _manifest(archive, path)
        found = _described(path, manifest, entries)
        if digest is not None and not found.digest.startswith(digest.lower()):
            raise RunError(
                "the bundle is not the expected one",
                where=path,
                expected=f"digest {digest}",
                found=f"digest {found.digest}",
                remedy="get the file again from where the digest was published",
            )
        runs = _run_files(archive, entries, path)
        with _aside(out) as folder:
            _unpack(archive, entries, found.cells, folder, path)
            known = [cell for cell in found.cells if _same_as_there(cell, folder, entries, out)]
            for name, content in runs.items():
                _refuse_other(out / name, content)
            new = [_put(cell, folder, runs, out) for cell in found.cells if cell not in known]
    return Imported(found, tuple(new), tuple(out / cell for cell in known))


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A hidden folder under `out`, which goes in the end, and with it the folders that were made for it and are empty."""
    made = [p for p in (out, *out.parents) if not p.exists()]
    folder = out / f".import-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as e:
        raise storage_error(e, out) from e
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for p in made:
            with suppress(OSError):
                p.rmdir()


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as e:
        raise unreadable("a bundle cannot be read", path, e) from e
    except Exception as e:  # BadZipFile; and of headers that lie, whatever comes of them
        raise _damaged(path, "the file is cut off, or no bundle at all") from e


def _manifest(archive: zipfile.ZipFile, path: Path) -> tuple[bytes, tuple[_Entry, ...]]:
    names = archive.namelist()
    if MANIFEST not in names:
        raise _damaged(path, f"it has no {MANIFEST}")
    raw = b"".join(_chunks(archive, MANIFEST, _MANIFEST_BYTES, path))
    try:
        content = _Manifest.model_validate_json(raw)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        if first["loc"] == ("format",) and first["type"] == "literal_error":
            remedy = "read it with the version of sambench that wrote it"
            expected = f"format {FORMAT}"
            raise RunError("a bundle of another format", where=path, expected=expected, found=first["input"], remedy=remedy) from e
        raise _damaged(path, f"its {MANIFEST} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}") from e
    for entry in content.files:
        if not _PATH.fullmatch(entry.path) or ".." in entry.path:
            raise _damaged(path, f"it would write to {entry.path!r}")
    listed = sorted([MANIFEST, *(e.path for e in content.files)])
    if sorted(names) != listed:
        other = sorted({*names} ^ {*listed})
        raise _damaged(path, f"its files are not those of its list: {', '.join(other[:4]) or 'one of them twice'}")
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


def _unpack(archive: zipfile.ZipFile, entries: Iterable[_Entry], cells: Sequence[str], folder: Path, path: Path) -> None:
    """Write these cells' files under `folder`, and check that they are what they say."""
    wanted = {cell: folder / cell for cell in cells}
    for entry in entries:
        if entry.path.count("/") > 1 and "/".join(entry.path.split("/")[:2]) in wanted:
            target = folder / entry.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as f:
                    _copy(archive, entry, f, path)
            except OSError as e:
                raise storage_error(e, folder) from e
    for cell, at in wanted.items():
        try:
            check_cell(at)
        except SambenchError as e:
            raise _damaged(path, f"{cell}: {e.message}: {e.found}" if e.found else f"{cell}: {e.message}") from e


def _run_files(archive: zipfile.ZipFile, entries: Iterable[_Entry], path: Path) -> dict[str, bytes]:
    """The files of the runs, which are small, by path."""
    out = {}
    for entry in entries:
        if entry.path.count("/") == 1:
            with tempfile.SpooledTemporaryFile(_CHUNK) as f:
                _copy(archive, entry, f, path)
                f.seek(0)
                out[entry.path] = f.read()
    return out


def _copy(archive: zipfile.ZipFile, entry: _Entry, target: Any, path: Path) -> None:
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(archive, entry.path, entry.bytes, path):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
    if size != entry.bytes or digest.hexdigest() != entry.sha256:
        raise _damaged(path, f"{entry.path} is not what its digest says")


def _chunks(archive: zipfile.ZipFile, name: str, at_most: int, path: Path) -> Iterator[bytes]:
    """A member's bytes, no more than are announced: a small file that unpacks to a huge one stops here."""
    size = 0
    try:
        if archive.getinfo(name).compress_type not in _PACKINGS:
            raise _damaged(path, f"{name} is packed in a way that no export uses")
        with archive.open(name) as f:
            while chunk := f.read(_CHUNK):
                size += len(chunk)
                if size > at_most:
                    raise _damaged(path, f"{name} is larger than its list says")
                yield chunk
    except (SambenchError, GeneratorExit):
        raise
    except Exception as e:  # zlib.error is no OSError, and headers that lie have errors of their own
        raise _damaged(path, f"{name} cannot be unpacked: {e!r}") from e


def _damaged(path: Path, found: str) -> RunError:
    return RunError(
        "a bundle is damaged or was changed: nothing of it was written",
        where=path,
        expected="a file that `sambench results export` wrote",
        found=found,
        remedy="get it again from its source",
    )


def _same_as_there(cell: str, folder: Path, entries: Iterable[_Entry], out: Path) -> bool:
    """Whether the cell is there already, byte for byte. Raises UsageError where another one is."""
    there = out / cell
    if not there.exists():
        return False
    held = {e.path.removeprefix(f"{cell}/") for e in entries if e.path.startswith(f"{cell}/")}
    files = {n for n in _FILES if (there / n).exists()} | {f"shards/{p.name}" for p in (there / "shards").glob("*.parquet")}
    differing = [n for n in sorted(held | files) if n not in files or n not in held or _read(there / n) != _read(folder / cell / n)]
    if differing:
        raise UsageError(
            "there are other results of that cell already, and they are not overwritten",
            where=there,
            expected="the bundle's files, or none",
            found=f"{len(differing)} that differ: {', '.join(differing[:4])}",
            remedy="import into another directory (--out), and `sambench compare` the two",
        )
    return True


def _refuse_other(file: Path, content: bytes) -> None:
    if file.exists() and _read(file) != content:
        raise UsageError(
            "there is a run of that name with another model or settings",
            where=file,
            remedy="import into another directory (--out)",
        )


def _put(cell: str, folder: Path, runs: Mapping[str, bytes], out: Path) -> Path:
    """Put a cell that was unpacked and checked in its place, its run's file first."""
    target, run_file = out / cell, f"{cell.split('/')[0]}/{_RUN_FILE}"
    target.parent.mkdir(parents=True, exist_ok=True)
    if run_file in runs and not (out / run_file).exists():
        write_bytes(out / run_file, runs[run_file])
    os.replace(folder / cell, target)
    return target
