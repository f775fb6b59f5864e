"""Archives of datasets, unpacked safely: nothing outside the folder, no links, and nothing half there under its final name.

A symbolic link within the archive is left out (iShape has some, and no reader follows them); one that leads outside, a device, or a
path with `..` gets the whole archive refused.

Zip and tar (gzip, bzip2, xz) are read here; rar, 7z and the zips that Python cannot read by an installed `bsdtar` or `unar`. An
archive is unpacked aside and then moved to its place; what is cut off (Ctrl-C, a full disk) goes on from the files that are there.
"""

from __future__ import annotations

import errno
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from sambench.errors import DataError, message_of, shown
from sambench.getting import tar_file
from sambench.getting.part_file import is_full
from sambench.text import human_bytes

Progress = Callable[[int, int | None], None]  # (bytes done, bytes in all)

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".rar", ".7z")
_CHUNK = 1 << 20
_SPARE = 64 << 20  # bytes that stay free on the disk
_MOST_RATIO, _MOST_AT_LEAST = 200, 1 << 30  # an archive holds at most 200 times its size, or 1 GiB: beyond that it is a bomb
_MOST_LINK = 4096  # bytes of a link's target
# What Python's readers raise on bytes that were cut, flipped or made up. RuntimeError: encrypted, or nested without end.
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, struct.error,
    ValueError, ArithmeticError, LookupError, MemoryError,
)  # fmt: skip
_CLASHES = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


def is_damage(e: Exception) -> bool:
    """Whether an exception of a reader of archives is of the archive, and not of the disk."""
    return e.errno is None if isinstance(e, OSError) else isinstance(e, _DAMAGED)



def is_archive(name: str) -> bool:
    """Whether a file of that name is to be unpacked."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, into: Path, *, aside: Path | None = None, progress: Progress | None = None) -> None:
    """All files of `archive` into the folder `into`, which may have others already; equal names are replaced.

    aside: a folder on the same disk where it is unpacked first (default: a hidden one beside `into`); kept after an
    interruption, and then only what is missing is unpacked. progress(bytes done, bytes in all or None).
    Raises DataError: not an archive, damaged, refused (see the module), encrypted, no tool for it, no disk space.
    """
    size = _size_of(archive)
    if aside is None:
        aside = into.with_name(f".{into.name}.{archive.name}.{size}.unpacking")
    with _storing(archive, aside):
        kind = _kind(archive)
        aside.mkdir(parents=True, exist_ok=True)
        try:
            _unpack(archive, kind, aside, progress or (lambda _done, _total: None))
        except _NoRoom:
            raise
        except DataError:  # nothing of an archive that is damaged or not to be trusted stays
            shutil.rmtree(aside, ignore_errors=True)
            raise
        _merge(aside, into)


def safe_path(archive: str, name: str) -> Path:
    """A member's path below any folder. Raises DataError where it would lead outside."""
    return _inside(Path(archive), name)


class _NoRoom(DataError):
    """What is unpacked is kept: the next call goes on from it."""


def _unpack(archive: Path, kind: str, aside: Path, progress: Progress) -> None:
    try:
        if kind == "zip" and _python_reads(archive):
            _unpack_zip(archive, aside, progress)
        elif kind == "tar":
            _unpack_tar(archive, aside, progress)
        else:
            _unpack_outside(archive, kind, aside)
    except (*_DAMAGED, OSError) as e:
        if not is_damage(e):
            raise
        remedy = "delete it and download it again"
        raise DataError("an archive is truncated or damaged", where=archive, found=message_of(e), remedy=remedy) from e



def _kind(archive: Path) -> Literal["zip", "tar", "rar", "7z"]:
    """By its first bytes: names lie, and so do servers that answer with a web page."""
    with archive.open("rb") as f:
        head = f.read(512)
        f.seek(0)
        tar = bool(head) and tar_file.is_tar(f)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"Rar!\x1a\x07"):
        return "rar"
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "7z"
    if tar:
        return "tar"
    page = head.lstrip().lower().startswith((b"<!doctype", b"<html"))
    raise DataError(
        "a file is not an archive",
        where=archive,
        expected="zip, tar, tar.gz, tar.bz2, tar.xz, rar or 7z",
        found="a web page: a login or a proxy may stand in between" if page else f"bytes {head[:8]!r}" if head else "an empty file",
        remedy="delete it and download it again",
    )


def _python_reads(archive: Path) -> bool:
    known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(archive) as z:
        return all(i.compress_type in known for i in z.infolist())


def _unpack_zip(archive: Path, aside: Path, progress: Progress) -> None:
    with zipfile.ZipFile(archive) as z:
        members = []
        for info in z.infolist():
            if info.flag_bits & 1:
                raise DataError(
                    "an archive is encrypted",
                    where=archive,
                    found=shown(info.filename),
                    remedy="unpack it by hand, with the password that its authors give",
                )
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind == stat.S_IFLNK:
                if info.file_size > _MOST_LINK:
                    raise _refused(archive, info.filename, f"a link of {info.file_size} bytes")
                _leave_out(archive, info.filename, z.read(info).decode("utf-8", "replace"))
                continue
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, info.filename, "a device")
            members.append((info, aside / _inside(archive, info.filename)))
        total = sum(i.file_size for i, _ in members)
        _check_ratio(archive, total)
        done = sum(i.file_size for i, path in members if _is_complete(path, i.file_size))
        _check_room(archive, aside, total - done)
        done = 0
        for info, path in members:
            if info.is_dir():
                path.mkdir(parents=True, exist_ok=True)
            elif not _is_complete(path, info.file_size):
                with z.open(info) as source:
                    _write(source, path, info.file_size)
            done += info.file_size
            progress(done, total)


def _unpack_tar(archive: Path, aside: Path, progress: Progress) -> None:
    total = _size_of(archive)
    free = _check_room(archive, aside, 0)
    with archive.open("rb") as raw:
        for member, source, unpacked in tar_file.members(raw):  # one pass: a list of a compressed tar costs as much as its content
            _check_ratio(archive, unpacked)
            path = aside / _inside(archive, member.name)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif member.issym():
                _leave_out(archive, member.name, member.linkname)
            elif member.islnk():  # another name for a file that came before
                _copy(aside / _inside(archive, member.linkname), path)
            elif source is None:
                raise _refused(archive, member.name, "a device")
            elif not _is_complete(path, member.size):
                free -= member.size
                if free < _SPARE:  # perhaps: ask the disk again
                    free = _check_room(archive, aside, member.size)
                with source:
                    _write(source, path, member.size)
            progress(min(raw.tell(), total), total)
    progress(total, total)


def _unpack_outside(archive: Path, kind: str, aside: Path) -> None:
    """With another program, which must not be trusted either: names are looked at before, files after."""
    path = str(archive.absolute())  # never taken for an option
    if shutil.which("bsdtar"):
        names = _run(archive, ["bsdtar", "-tf", path]).splitlines()
        command = ["bsdtar", "-xf", path, "-C", str(aside)]
    elif shutil.which("unar") and shutil.which("lsar"):
        names = _run(archive, ["lsar", path]).splitlines()[1:]  # the first line is about the archive
        command = ["unar", "-quiet", "-force-overwrite", "-no-directory", "-output-directory", str(aside), path]
    else:
        raise DataError(
            f"there is no program here that unpacks {kind} archives of this sort",
            where=archive,
            expected="bsdtar or unar",
            found="neither",
            remedy="install one (Debian and Ubuntu: libarchive-tools or unar; macOS: brew install libarchive or unar) and run the "
            "command again",
        )
    for name in names:
        _inside(archive, name)
    _check_room(archive, aside, _size_of(archive))
    _run(archive, command, aside)
    for entry in list(aside.rglob("*")):
        name = entry.relative_to(aside).as_posix()
        if entry.is_symlink():
            _leave_out(archive, name, os.readlink(entry))
            entry.unlink()
        elif not (entry.is_file() or entry.is_dir()):
            raise _refused(archive, name, "a device")


def _run(archive: Path, command: list[str], into: Path | None = None) -> str:
    """What the program prints. into: a folder that it fills, which it is ended for when the disk is nearly full."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace") as running:
        try:
            while True:
                try:
                    out, err = running.communicate(timeout=1.0)
                    break
                except subprocess.TimeoutExpired:
                    if into is not None:
                        _check_room(archive, into, 0)
        except BaseException:
            running.kill()
            raise
    if running.returncode:
        lines = (err or out).strip().splitlines()
        raise DataError(
            f"{command[0]} cannot unpack an archive",
            where=archive,
            found=shown(lines[-1]) if lines else f"exit status {running.returncode}",
            remedy="delete it and download it again; if it stays so, unpack it by hand",
        )
    return out


def _inside(archive: Path, name: str) -> Path:
    """The member's path below the folder. Refuses the archive where it would lead outside."""
    clean = name.replace("\\", "/")  # zips made on Windows
    parts = [p for p in clean.split("/") if p not in ("", ".")]
    if clean.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:/", clean) or "\0" in clean:
        raise _refused(archive, name, "a path that leads outside of the folder")
    return Path(*parts)


def _leave_out(archive: Path, name: str, target: str) -> None:
    """Accept that a symbolic link is not made, if it stays within the archive."""
    _inside(archive, name)
    place = os.path.normpath(os.path.join(os.path.dirname(name), target.replace("\\", "/")))
    if os.path.isabs(place) or place.split("/")[0] == "..":
        raise _refused(archive, name, f"a link that leads outside of the folder, to {target!r}")


def _refused(archive: Path, member: str, what: str) -> DataError:
    return DataError(
        "an archive is refused: no dataset has such members, and they can overwrite files elsewhere",
        where=archive,
        expected="files and folders below the archive's root",
        found=f"{shown(repr(member))}: {what}",
        remedy="compare its sha256 with the one that the authors give; if it is theirs, look into it and unpack it by hand",
    )


def most_unpacked(n_bytes: int) -> int:
    """Bytes that an archive of that size may hold at most."""
    return max(_MOST_AT_LEAST, _MOST_RATIO * n_bytes)


def _check_ratio(archive: Path, unpacked: int) -> None:
    most = most_unpacked(_size_of(archive))
    if unpacked > most:
        raise DataError(
            "an archive is refused: it unpacks to far more than its size, as archives do that are made to fill disks",
            where=archive,
            expected=f"at most {human_bytes(most)}, for its {human_bytes(_size_of(archive))}",
            found=f"{human_bytes(unpacked)} or more",
            remedy="compare its sha256 with the one that the authors give; if it is theirs, unpack it by hand",
        )


def _is_complete(path: Path, size: int) -> bool:
    # A file that was cut off while it was written is shorter: its bytes come in order.
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def _write(source: IO[bytes], path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb") as out:
            shutil.copyfileobj(source, out, _CHUNK)
            written = out.tell()
        if written != size:
            raise EOFError(f"{path.name} ends after {written} of {size} bytes")
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _copy(source: Path, path: Path) -> None:
    if not source.is_file():
        raise EOFError(f"{path.name} is a link to {source.name}, which is not there")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)


def _check_room(archive: Path, aside: Path, need: int) -> int:
    free = shutil.disk_usage(aside).free
    if free < need + _SPARE:
        raise _no_room(archive, aside, f"{human_bytes(need + _SPARE)} free", f"{human_bytes(free)} free")
    return free


def _no_room(archive: Path, aside: Path, expected: str | None, found: str) -> DataError:
    return _NoRoom(
        "there is not enough disk space to unpack an archive",
        where=f"{archive} into {aside.parent}",
        expected=expected,
        found=found,
        remedy="make room, or set SAMBENCH_DATA to a folder on another disk, and run the command again: it goes on from what is "
        "unpacked already",
    )


@contextmanager
def _storing(archive: Path, aside: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if is_full(e):
            raise _no_room(archive, aside, None, e.strerror or "disk full") from e
        if e.errno in _CLASHES:
            shutil.rmtree(aside, ignore_errors=True)
            remedy = "unpack it by hand, with other names, and use `sambench data adopt`"
            found = f"{shown(repr(e.filename))}: {e.strerror}"
            raise DataError("an archive has names that this disk does not take", where=archive, found=found, remedy=remedy) from e
        raise DataError(
            "an archive cannot be unpacked",
            where=shown(e.filename or archive),
            expected="an archive that can be read, and a folder that can be written",
            found=e.strerror or message_of(e),
            remedy="mend the permissions, or set SAMBENCH_DATA to another folder",
        ) from e


def _size_of(archive: Path) -> int:
    try:
        return archive.stat().st_size
    except OSError as e:
        raise DataError("an archive is not there", where=archive, found=e.strerror or repr(e)) from e


def _merge(source: Path, into: Path) -> None:
    """Move everything below `source` to the same place below `into`; `source` is gone afterwards.

    Files that are whole already are moved, one by one: an interrupted one goes on with the rest.
    """
    if not into.exists():
        into.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, into)
        return
    for entry in sorted(source.iterdir()):
        target = into / entry.name
        if entry.is_dir():
            _merge(entry, target)
        elif target.is_dir():
            raise DataError("a folder is where an archive has a file", where=target, remedy="move the folder away")
        else:
            os.replace(entry, target)
    source.rmdir()
