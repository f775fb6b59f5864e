"""Bundles: rows, metrics and records of cells in one file with digests, to be compared with where they were never computed.

A bundle is a zip file. Its first member is `bundle.json`: the format's version, and path, size and sha256 of every other member, as
`<run>/<file>` and `<run>/<cell>/<file>`. Equal cells give equal bytes. The bundle's own digest, the sha256 of `bundle.json`, names
its content: whoever publishes a bundle says it, and `import` compares.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench import __version__
from sambench.engine.shards import storage_error
from sambench.errors import RunError, SambenchError, UsageError
from sambench.provenance import canonical_json
from sambench.results.cells import CellView, read_cell

FORMAT = 1
MANIFEST = "bundle.json"
_FILES = ("cell.json", "images.txt", "metrics.csv", "metrics.parquet")
_RUN_FILE = "model.json"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+=,:@-]{0,200}"
_PATH = re.compile(rf"^({_NAME})/(?:{_RUN_FILE}|({_NAME})/(?:{'|'.join(map(re.escape, _FILES))}|shards/\d{{6}}\.parquet))$")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's earliest date: equal cells give equal bytes
_CHUNK = 1 << 20
_MANIFEST_BYTES = 64 << 20


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
    entries = [{"path": name, "bytes": len(content), "sha256": _sha256(content)} for name, content in sorted(files.items())]
    manifest = (canonical_json({"format": FORMAT, "sambench": __version__, "files": entries}) + "\n").encode()
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(aside, "w") as archive:
            _add(archive, MANIFEST, manifest, zipfile.ZIP_DEFLATED)
            for name in sorted(files):
                packed = zipfile.ZIP_STORED if name.endswith(".parquet") else zipfile.ZIP_DEFLATED
                _add(archive, name, files[name], packed)
        os.replace(aside, path)
    except OSError as e:
        raise storage_error(e, path) from e
    finally:
        aside.unlink(missing_ok=True)
    return _described(path, manifest, entries)


def _files_of(cells: Sequence[CellView]) -> dict[str, bytes]:
    if not cells:
        raise UsageError("there are no cells to export")
    files: dict[str, bytes] = {}
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
            if not _PATH.match(name):
                raise UsageError("a cell's directory has a name that cannot travel", where=folder, found=name, remedy="rename it")
            content = _read(file)
            if files.setdefault(name, content) != content:
                raise UsageError("two runs of one name differ", found=name, remedy="export them into two files")
    return files


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as e:
        raise RunError("a cell's file cannot be read", where=file, found=e.strerror or repr(e)) from e


def _add(archive: zipfile.ZipFile, name: str, content: bytes, packed: int) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = packed
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)


def _described(path: Path, manifest: bytes, entries: Iterable[dict[str, Any]]) -> Bundle:
    held = list(entries)
    cells = dict.fromkeys("/".join(e["path"].split("/")[:2]) for e in held if e["path"].count("/") > 1)
    return Bundle(path, _sha256(manifest), tuple(cells), len(held), sum(int(e["bytes"]) for e in held))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def inspect(path: Path) -> Bundle:
    """Read and check the whole bundle, and write nothing. Raises RunError where it is no bundle, damaged, or unsafe."""
    with _opened(path) as archive:
        manifest, entries = _manifest(archive, path)
        for entry in entries:
            _content(archive, entry, path)
    return _described(path, manifest, entries)


def import_bundle(path: Path, out: Path, *, digest: str | None = None) -> Imported:
    """Put the bundle's cells under `out`, each whole or not at all. digest: what the bundle's must be.

    Everything is checked before anything is written. Cells that are there already, byte for byte, stay as they are. Raises RunError
    for a bundle that is damaged, unsafe, or another one than `digest` says; UsageError where a cell or a run that is there differs.
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
        files = {entry["path"]: _content(archive, entry, path) for entry in entries}
    known = [cell for cell in found.cells if _same_as_there(cell, files, out)]
    for name, content in files.items():
        if name.endswith(f"/{_RUN_FILE}") and name.count("/") == 1:
            _refuse_other(out / name, content)
    new = [_put(cell, files, out) for cell in found.cells if cell not in known]
    return Imported(found, tuple(new), tuple(out / cell for cell in known))


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as e:
        raise RunError("a bundle cannot be read", where=path, found=e.strerror or repr(e)) from e
    except zipfile.BadZipFile as e:
        raise _damaged(path, "the file is cut off, or no bundle at all") from e


def _manifest(archive: zipfile.ZipFile, path: Path) -> tuple[bytes, list[dict[str, Any]]]:
    names = archive.namelist()
    if MANIFEST not in names:
        raise _damaged(path, f"it has no {MANIFEST}")
    raw = _member(archive, MANIFEST, _MANIFEST_BYTES, path)
    try:
        content = json.loads(raw)
        entries: list[dict[str, Any]] = [
            {"path": str(e["path"]), "bytes": int(e["bytes"]), "sha256": str(e["sha256"])} for e in content["files"]
        ]
        version = content["format"]
    except (ValueError, TypeError, KeyError) as e:
        raise _damaged(path, f"its {MANIFEST} cannot be read: {e!r}") from e
    if version != FORMAT:
        remedy = "read it with the version of sambench that wrote it"
        raise RunError("a bundle of another format", where=path, expected=f"format {FORMAT}", found=version, remedy=remedy)
    for entry in entries:
        if not _PATH.match(entry["path"]) or ".." in entry["path"]:
            raise _damaged(path, f"it would write to {entry['path']!r}")
    listed = sorted([MANIFEST, *(e["path"] for e in entries)])
    if sorted(names) != listed:
        other = sorted({*names} ^ {*listed})
        raise _damaged(path, f"its files are not those of its list: {', '.join(other[:4]) or 'one of them twice'}")
    return raw, entries


def _content(archive: zipfile.ZipFile, entry: dict[str, Any], path: Path) -> bytes:
    content = _member(archive, entry["path"], entry["bytes"], path)
    if len(content) != entry["bytes"] or _sha256(content) != entry["sha256"]:
        raise _damaged(path, f"{entry['path']} is not what its digest says")
    return content


def _member(archive: zipfile.ZipFile, name: str, at_most: int, path: Path) -> bytes:
    """A member's bytes, no more than are announced: a small file that unpacks to a huge one stops here."""
    try:
        with archive.open(name) as f:
            content = f.read(at_most + 1)
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as e:
        raise _damaged(path, f"{name} cannot be unpacked: {e}") from e
    except Exception as e:  # zlib.error is no OSError, and other packings have errors of their own
        raise _damaged(path, f"{name} cannot be unpacked: {e!r}") from e
    if len(content) > at_most:
        raise _damaged(path, f"{name} is larger than its list says")
    return content


def _damaged(path: Path, found: str) -> RunError:
    return RunError(
        "a bundle is damaged or was changed: nothing of it was written",
        where=path,
        expected="a file that `sambench results export` wrote",
        found=found,
        remedy="get it again from its source",
    )


def _of_cell(cell: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix(f"{cell}/"): content for name, content in files.items() if name.startswith(f"{cell}/")}


def _same_as_there(cell: str, files: dict[str, bytes], out: Path) -> bool:
    """Whether the cell is there already, byte for byte. Raises UsageError where another one is."""
    folder = out / cell
    if not folder.exists():
        return False
    held = _of_cell(cell, files)
    there = {f.relative_to(folder).as_posix(): f for f in folder.rglob("*") if f.is_file() and not f.name.startswith(".")}
    differing = [n for n in sorted({*held, *there}) if n not in there or n not in held or there[n].read_bytes() != held[n]]
    if differing:
        raise UsageError(
            "there are other results of that cell already, and they are not overwritten",
            where=folder,
            expected="the bundle's files, or none",
            found=f"{len(differing)} that differ: {', '.join(differing[:4])}",
            remedy="import into another directory (--out), and `sambench compare` the two",
        )
    return True


def _refuse_other(file: Path, content: bytes) -> None:
    if file.exists() and file.read_bytes() != content:
        raise UsageError(
            "there is a run of that name with another model or settings",
            where=file,
            remedy="import into another directory (--out)",
        )


def _put(cell: str, files: dict[str, bytes], out: Path) -> Path:
    """Write a cell aside, read it back, and rename it into place."""
    target = out / cell
    aside = target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        for name, content in _of_cell(cell, files).items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_bytes(content)
        _ = read_cell(aside).live
        run_file = f"{cell.split('/')[0]}/{_RUN_FILE}"
        if run_file in files and not (out / run_file).exists():
            (out / run_file).write_bytes(files[run_file])
        os.replace(aside, target)
    except OSError as e:
        raise storage_error(e, target) from e
    except SambenchError as e:
        raise RunError("a cell of the bundle cannot be read", where=cell, found=e.one_line()) from e
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target
