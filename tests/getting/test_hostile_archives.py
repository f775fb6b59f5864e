"""Archives that are cut, flipped or made to do harm: each unpacks to what it holds, or ends in a DataError that names it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench.errors import DataError
from sambench.getting import archives
from sambench.getting.archives import unpack

FILES = {f"data/{i:02d}/a file {i}.bin": random.Random(i).randbytes(40 * i) + b"text " * i for i in range(12)}
FILES["data/" + "n" * 150 + ".txt"] = b"a long name"  # a header of its own in a tar


def zip_of(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, content in FILES.items():
            z.writestr(name, content)
    return out.getvalue()


def tar_of(mode: str, how: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{mode}", format=how) as t:  # type: ignore[call-overload]
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1.5 if how == tarfile.PAX_FORMAT else 1  # type: ignore[assignment]
            t.addfile(info, io.BytesIO(content))
    return out.getvalue()


WHOLE: dict[str, Callable[[], bytes]] = {
    "stored.zip": lambda: zip_of(zipfile.ZIP_STORED),
    "deflated.zip": lambda: zip_of(zipfile.ZIP_DEFLATED),
    "bzip2.zip": lambda: zip_of(zipfile.ZIP_BZIP2),
    "lzma.zip": lambda: zip_of(zipfile.ZIP_LZMA),
    "pax.tar": lambda: tar_of(""),
    "gnu.tar": lambda: tar_of("", tarfile.GNU_FORMAT),
    "a.tar.gz": lambda: tar_of("gz"),
    "a.tar.bz2": lambda: tar_of("bz2"),
    "a.tar.xz": lambda: tar_of("xz"),
}
CHECKED = {"stored.zip", "deflated.zip", "bzip2.zip", "lzma.zip", "a.tar.gz", "a.tar.bz2", "a.tar.xz"}  # these have checksums


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def tried(folder: Path, name: str, raw: bytes) -> dict[str, bytes] | None:
    """What comes out, None where it is refused; any other error is raised. Nothing of it stays."""
    archive, out = folder / name, folder / "out"
    archive.write_bytes(raw)
    try:
        unpack(archive, out)
        return tree(out)
    except DataError as e:
        error = e
    finally:
        archives.shutil.rmtree(out, ignore_errors=True)
    assert str(archive) in str(error)
    assert error.remedy
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", str(error))
    assert [p.name for p in folder.iterdir()] == [name], "something was left behind"
    return None


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """Cut, or a few bytes flipped, doubled, swapped, left out, or set to what numbers begin with."""
    out = bytearray(raw)
    if rng.random() < 0.2:
        return bytes(out[: rng.randrange(len(out))])
    heads = [m.start() for m in re.finditer(rb"PK|ustar|\d\d \x00|\d+ [a-z]+=", raw)] or [0]
    for _ in range(rng.randint(1, 5)):
        i = min(len(out) - 1, rng.choice(heads) + rng.randrange(-160, 160)) if rng.random() < 0.7 else rng.randrange(len(out))
        i, n = max(i, 0), rng.choice((1, 1, 1, 2, 4, 8, 40))
        value = rng.choice((0, 0xFF, 0x7F, 0x80, ord("9"), ord("-"), rng.randrange(256)))
        out[i : i + n] = rng.choice((bytes([value]) * n, rng.randbytes(n), bytes(out[i : i + n]) * 2, b""))
    return bytes(out)


@pytest.mark.parametrize("n", [pytest.param(25, id="quick"), pytest.param(334, id="all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", WHOLE)
def test_mutated_archives(tmp_path: Path, name: str, n: int) -> None:
    """Where the form has checksums, what comes out is what went in; of a zip under another name, or less of it: names have none."""
    rng, raw = random.Random(f"{name} {n}"), WHOLE[name]()
    assert tried(tmp_path, name, raw) == FILES
    for _ in range(n):
        began = time.monotonic()
        found = tried(tmp_path, name, mutated(raw, rng))
        assert time.monotonic() - began < 30
        if found is not None and name in CHECKED and ".tar" in name:
            assert found == FILES
        if found is not None and name in CHECKED:
            assert set(found.values()) <= set(FILES.values())


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress, lzma.compress])
def test_mutated_tars_below_an_honest_compressor(tmp_path: Path, packer: Callable[[bytes], bytes]) -> None:
    rng, raw = random.Random(0), tar_of("")
    for _ in range(40):
        tried(tmp_path, "a.tar.z", packer(mutated(raw, rng)))


# --- the mutations that matter, one by one


def test_a_damaged_header_in_the_middle_is_not_the_end(tmp_path: Path) -> None:
    raw = bytearray(tar_of("", tarfile.GNU_FORMAT))
    at = raw.find(b"data/05")
    raw[at] ^= 1  # the header's sum is wrong now
    assert tried(tmp_path, "a.tar", bytes(raw)) is None


@pytest.mark.parametrize("packer", [gzip.compress, lzma.compress])
def test_a_checksum_behind_the_end_of_a_tar_is_looked_at(tmp_path: Path, packer: Callable[[bytes], bytes]) -> None:
    raw = bytearray(packer(tar_of("", tarfile.GNU_FORMAT)))
    if packer is gzip.compress:
        raw[-6] ^= 0xFF  # in the sum
        assert tried(tmp_path, "a.tgz", bytes(raw)) is None
        assert tried(tmp_path, "a.tgz", packer(tar_of("")) + b"trailing") == FILES  # gzip itself only warns of these
    else:
        assert tried(tmp_path, "a.txz", bytes(raw[:-8])) is None


def header(name: str = "a", *, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, abs(size), link
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if size < 0:  # base 256, which tarfile takes for a negative number
        raw[124:136] = b"\xff" + (256**11 + size).to_bytes(11, "big")
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\x00 " % sum(raw)
    return bytes(raw)


END = bytes(1024)
PAX = b"23 GNU.sparse.major=1\n" + b"23 GNU.sparse.minor=0\n"
TARS = {
    "negative size": header(size=-1024) + header("b") + END,
    "negative size of attributes": header(kind=tarfile.XHDTYPE, size=-512) + header("b") + END,
    "negative size in attributes": header(kind=tarfile.XHDTYPE, size=12) + b"12 size=-99\n".ljust(512, b"\0") + header("b") + END,
    "a name of gigabytes": header(kind=tarfile.GNUTYPE_LONGNAME, size=8 << 30) + bytes(2048),
    "attributes of gigabytes": header(kind=tarfile.XGLTYPE, size=8 << 30) + bytes(2048),
    "attributes without end": (header(kind=tarfile.XHDTYPE, size=9) + b"9 rem=x\n".ljust(512, b"\0")) * 3000 + header() + END,
    "digits without end": header(kind=tarfile.XHDTYPE, size=900_000) + b"1" * 900_096 + header("b") + END,
    "a sparse map that ends": header(kind=tarfile.XHDTYPE, size=len(PAX)) + PAX.ljust(512, b"\0") + header("b", size=4) + b"9\n0\n",
    "names without end": header(kind=tarfile.GNUTYPE_LONGNAME, size=5) + b"a/b/c".ljust(512, b"\0"),
    "only attributes": header(kind=tarfile.XGLTYPE, size=12) + b"12 comment=x"[:12].ljust(512, b"\0"),
}


@pytest.mark.parametrize("name", TARS)
@pytest.mark.parametrize("packer", [bytes, gzip.compress], ids=["plain", "gz"])
def test_tars_that_lead_their_reader_astray(tmp_path: Path, name: str, packer: Callable[[bytes], bytes]) -> None:
    began = time.monotonic()
    assert tried(tmp_path, "a.tar", packer(TARS[name])) is None
    assert time.monotonic() - began < 20


def sparse(*parts: tuple[int, int], size: int) -> bytes:
    """A member in GNU's old sparse form: its parts, and the size that it says it has."""
    raw = bytearray(header("s", kind=tarfile.GNUTYPE_SPARSE))
    for i, (offset, n) in enumerate(parts[:4]):
        raw[386 + 24 * i : 410 + 24 * i] = b"%011o\x00%011o\x00" % (offset, n)
    raw[483:495] = b"%011o\x00" % size
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\x00 " % sum(raw)
    return bytes(raw)


def test_sparse_files_are_filled_with_zeros_if_their_map_makes_sense(tmp_path: Path) -> None:
    assert tried(tmp_path, "a.tar", sparse((2, 0), size=5) + END) == {"s": bytes(5)}
    for parts in (((4, 1), (2, 1)), ((0, 3), (1, 2)), ((9, 1),)):
        assert tried(tmp_path, "a.tar", sparse(*parts, size=5) + bytes(2048)) is None


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros that were packed, zeros that a sparse file only claims, and members without number."""
    monkeypatch.setattr(archives, "_MOST_AT_LEAST", 1 << 20)
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("zeros", bytes(30 << 20))
    for name, raw in {
        "zeros.zip": zeros.getvalue(),
        "zeros.tgz": gzip.compress(header("z", size=30 << 20) + bytes(30 << 20) + END),
        "hole.tar": sparse((0, 0), size=7 << 30) + END,
        "many.tgz": gzip.compress(header("data/a") * 20_000 + END),
    }.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DataError, match="far more than its size") as e:
            unpack(tmp_path / name, tmp_path / "out")
        assert str(tmp_path / name) in str(e.value)
        (tmp_path / name).unlink()
        assert list(tmp_path.iterdir()) == []


def test_a_link_of_megabytes_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (0o120777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(info, b"a" * (5 << 20))
    with pytest.raises(DataError, match="a link of 5242880 bytes"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("x" * 300,), ("a/" * 2500 + "x",), (".",)])
def test_names_that_no_disk_takes(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/a.zip", "w") as z:
        for name in names:
            z.writestr(name, b"x")
    with pytest.raises(DataError, match="names that this disk does not take") as e:
        unpack(tmp_path / "in/a.zip", tmp_path / "out")
    assert str(tmp_path / "in/a.zip") in str(e.value)
    assert "permission" not in str(e.value)


def test_a_program_that_fills_the_disk_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 7z says nothing reliable of its size; the program that unpacks it is ended when the disk is nearly full."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin/bsdtar"
    tool.write_text('#!/bin/sh\n[ "$1" = "-tf" ] && exit 0\nexec /bin/sleep 60\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    usage, calls = archives.shutil.disk_usage, []

    def nearly_full(path: Path) -> object:
        calls.append(path)
        return usage(path) if len(calls) < 2 else type(usage(path))(1, 1, 1000)

    monkeypatch.setattr(archives.shutil, "disk_usage", nearly_full)
    began = time.monotonic()
    with pytest.raises(DataError, match="not enough disk space"):
        unpack(tmp_path / "a.7z", tmp_path / "out")
    assert time.monotonic() - began < 30
