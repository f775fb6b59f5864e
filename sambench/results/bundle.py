"""Bundles: rows, metrics and records of cells in one file with digests, to be compared with where they were never computed.

A bundle is a zip file. Its first member is `bundle.json`: the format's version, and path, size and sha256 of every other member, as
`<run>/<file>` and `<run>/<cell>/<file>`. Equal cells give equal bytes. The bundle's own digest, the sha256 of `bundle.json`, names
its content: whoever publishes a bundle says it, and `import` compares. Digests alone say nothing of a bundle that was made anew to
mislead: its metrics are computed again from its rows (`results.bundle_check`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sambench import __version__
from sambench.errors import RunError, SambenchError, UsageError
from sambench.files import mirror
from sambench.files.content import regular_bytes
from sambench.files.writing import replacing, storage_error, unreadable, write_bytes
from sambench.paths import RUN_FILE
from sambench.provenance import canonical_json
from sambench.results.bundle_check import check_cell
from sambench.results.bundle_file import (
    CHUNK,
    FILES,
    FORMAT,
    MANIFEST,
    PATH,
    Entry,
    copy_member,
    damaged_bundle,
    opened,
    read_manifest,
)
from sambench.store.views import CellView

_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's earliest date: equal cells give equal bytes


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
    entries = [Entry(path=name, bytes=size, sha256=digest) for name, (_, size, digest) in sorted(files.items())]
    listed = [e.model_dump() for e in entries]
    manifest = (canonical_json({"format": FORMAT, "sambench": __version__, "files": listed}) + "\n").encode()
    try:
        with replacing(path) as aside, zipfile.ZipFile(aside, "w") as archive:
            _add(archive, MANIFEST, manifest, zipfile.ZIP_DEFLATED)
            for entry in entries:
                packed = zipfile.ZIP_STORED if entry.path.endswith(".parquet") else zipfile.ZIP_DEFLATED
                content = _read(files[entry.path][0])
                if _sha256(content) != entry.sha256:
                    raise RunError("a cell changed while it was exported", where=files[entry.path][0], remedy="export it again")
                _add(archive, entry.path, content, packed)
    except OSError as e:
        raise storage_error(e, path) from e
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
        folder = cell.path.resolve()
        check_cell(folder)  # nobody could import it otherwise
        run = folder.parent
        held = [folder / name for name in FILES if (folder / name).exists()]
        held += [cell.store.path(n) for n in range(len(cell.store)) if cell.store.path(n).exists()]
        named = {
            f"{run.name}/{folder.name}/{f.relative_to(cell.path if not f.is_relative_to(folder) else folder).as_posix()}": f
            for f in held
        }
        if (run / RUN_FILE).exists():
            named[f"{run.name}/{RUN_FILE}"] = run / RUN_FILE
        for name, file in named.items():
            if not PATH.fullmatch(name):
                raise UsageError("a cell's directory has a name that cannot travel", where=folder, found=name, remedy="rename it")
            content = _read(file)
            told = (file, len(content), _sha256(content))
            if files.setdefault(name, told)[2] != told[2]:
                raise UsageError("two runs of one name differ", found=name, remedy="export them into two files")
    return files


def _read(file: Path) -> bytes:
    try:
        return regular_bytes(file)
    except OSError as e:
        raise unreadable("a cell's file cannot be read", file, e) from e


def _add(archive: zipfile.ZipFile, name: str, content: bytes, packed: int) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = packed
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)


def _described(path: Path, manifest: bytes, entries: Sequence[Entry]) -> Bundle:
    cells = dict.fromkeys("/".join(e.path.split("/")[:2]) for e in entries if e.path.count("/") > 1)
    return Bundle(path, _sha256(manifest), tuple(cells), len(entries), sum(e.bytes for e in entries))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def inspect(path: Path) -> Bundle:
    """Read and check the whole bundle, and keep nothing. Raises RunError where it is no bundle, damaged, unsafe, or says other
    metrics than its rows do."""
    with opened(path) as archive:
        manifest, entries = read_manifest(archive, path)
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
    if mirror.at(mirror.here(out)) is not None:
        expected, remedy = "a folder of a file system", "import into a folder, and copy that to the store with its own tools"
        raise UsageError("a bundle is not imported into an object store", where="--out", expected=expected, remedy=remedy)
    with opened(path) as archive:
        manifest, entries = read_manifest(archive, path)
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


def _unpack(archive: zipfile.ZipFile, entries: Iterable[Entry], cells: Sequence[str], folder: Path, path: Path) -> None:
    """Write these cells' files under `folder`, and check that they are what they say."""
    wanted = {cell: folder / cell for cell in cells}
    for entry in entries:
        if entry.path.count("/") > 1 and "/".join(entry.path.split("/")[:2]) in wanted:
            target = folder / entry.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as f:
                    copy_member(archive, entry, f, path)
            except OSError as e:
                raise storage_error(e, folder) from e
    for cell, at in wanted.items():
        try:
            check_cell(at)
        except SambenchError as e:
            raise damaged_bundle(path, f"{cell}: {e.message}: {e.found}" if e.found else f"{cell}: {e.message}") from e


def _run_files(archive: zipfile.ZipFile, entries: Iterable[Entry], path: Path) -> dict[str, bytes]:
    """The files of the runs, which are small, by path."""
    out = {}
    for entry in entries:
        if entry.path.count("/") == 1:
            with tempfile.SpooledTemporaryFile(CHUNK) as f:
                copy_member(archive, entry, f, path)
                f.seek(0)
                out[entry.path] = f.read()
    return out


def _same_as_there(cell: str, folder: Path, entries: Iterable[Entry], out: Path) -> bool:
    """Whether the cell is there already, byte for byte. Raises UsageError where another one is."""
    there = out / cell
    if not there.exists():
        return False
    held = {e.path.removeprefix(f"{cell}/") for e in entries if e.path.startswith(f"{cell}/")}
    files = {n for n in FILES if (there / n).exists()} | {f"shards/{p.name}" for p in (there / "shards").glob("*.parquet")}
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
    if file.exists() and _read(file) != content and _without_label(_read(file)) != _without_label(content):
        raise UsageError(
            "there is a run of that name with another model or settings",
            where=file,
            remedy="import into another directory (--out)",
        )


def _without_label(content: bytes) -> object:
    """A run's file without what its user calls the model: two may call one model differently."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return {k: v for k, v in found.items() if k != "label"} if isinstance(found, dict) else found


def _put(cell: str, folder: Path, runs: Mapping[str, bytes], out: Path) -> Path:
    """Put a cell that was unpacked and checked in its place, its run's file first."""
    target, run_file = out / cell, f"{cell.split('/')[0]}/{RUN_FILE}"
    target.parent.mkdir(parents=True, exist_ok=True)
    if run_file in runs and not (out / run_file).exists():
        write_bytes(out / run_file, runs[run_file])
    os.replace(folder / cell, target)  # a folder that was checked as a whole
    return target
