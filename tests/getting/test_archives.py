"""Unpacking: what comes out, what is refused, and what an interruption leaves."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import sys
import tarfile
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench.errors import DataError
from sambench.getting import archives
from sambench.getting.archives import is_archive, unpack

FILES = {"data/a.txt": b"first", "data/deep/b.bin": bytes(range(256)) * 40, "c d.txt": b"", "data/übung.txt": b"x"}
Usage = namedtuple("Usage", "total used free")


def make_zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.mkdir("data")
        for name, content in files.items():
            z.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes] = FILES, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as t:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    return path


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


MAKERS: dict[str, Callable[[Path], Path]] = {
    "a.zip": make_zip,
    "a.tar": lambda p: make_tar(p, mode="w"),
    "a.tgz": make_tar,
    "a.tar.bz2": lambda p: make_tar(p, mode="w:bz2"),
    "a.tar.xz": lambda p: make_tar(p, mode="w:xz"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_everything_comes_out_and_nothing_else_stays(tmp_path: Path, name: str) -> None:
    assert is_archive(name)
    archive = MAKERS[name](tmp_path / name)
    said: list[tuple[int, int | None]] = []
    unpack(archive, tmp_path / "out", progress=lambda *args: said.append(args))
    assert tree(tmp_path / "out") == FILES
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out"])
    assert [d for d, _ in said] == sorted(d for d, _ in said)
    assert said[-1][0] == said[-1][1]


def test_names_that_are_no_archives() -> None:
    assert not any(map(is_archive, ("a.json", "zip", "a.zip.part", "a.gz")))


def test_two_archives_into_one_folder(tmp_path: Path) -> None:
    unpack(make_zip(tmp_path / "a.zip"), tmp_path / "out")
    unpack(make_tar(tmp_path / "b.tgz", {"data/a.txt": b"newer", "data/new/d": b"4"}), tmp_path / "out")
    assert tree(tmp_path / "out") == {**FILES, "data/a.txt": b"newer", "data/new/d": b"4"}


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "out/data/a.txt").mkdir(parents=True)
    with pytest.raises(DataError, match="a folder is where"):
        unpack(make_zip(tmp_path / "a.zip"), tmp_path / "out")


OUTSIDE = ["../x", "data/../../x", "/x", "..\\x", "C:\\x", "data/../x"]


@pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])
@pytest.mark.parametrize("member", OUTSIDE)
def test_members_that_lead_outside(tmp_path: Path, make: Callable[..., Path], member: str) -> None:
    (tmp_path / "in").mkdir()
    archive = make(tmp_path / "in" / "a", {**FILES, member: b"evil"})
    with pytest.raises(DataError, match="refused") as e:
        unpack(archive, tmp_path / "in" / "out")
    assert str(archive) in str(e.value)
    assert "leads outside" in str(e.value.found)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "in"]  # nothing of it stays, here or there


def tar_of(path: Path, *members: tuple[str, bytes, str]) -> Path:
    """(name, type, target of a link) of each member, after a plain file data/a.txt."""
    with tarfile.open(path, "w") as t:
        plain = tarfile.TarInfo("data/a.txt")
        plain.size = 5
        t.addfile(plain, io.BytesIO(b"first"))
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            t.addfile(info)
    return path


def zip_with_link(path: Path, name: str, target: str) -> Path:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("data/a.txt", b"first")
        z.writestr(info, target)
    return path


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("target", ["a.txt", "../data/a.txt", "sub/../a.txt"])
def test_links_within_an_archive_are_left_out(tmp_path: Path, kind: str, target: str) -> None:
    path = tmp_path / "a"
    archive = tar_of(path, ("data/l", tarfile.SYMTYPE, target)) if kind == "tar" else zip_with_link(path, "data/l", target)
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"data/a.txt": b"first"}
    assert not (tmp_path / "out/data/l").is_symlink()


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "..", "../..", "sub/../../../x"])
def test_links_that_lead_outside(tmp_path: Path, kind: str, target: str) -> None:
    name = "link" if target == ".." else "data/link"
    path = tmp_path / "a"
    archive = tar_of(path, (name, tarfile.SYMTYPE, target)) if kind == "tar" else zip_with_link(path, name, target)
    with pytest.raises(DataError, match="refused") as e:
        unpack(archive, tmp_path / "out")
    assert repr(name) in str(e.value.found)
    assert "a link that leads outside" in str(e.value.found)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_devices(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(DataError, match="'data/d': a device"):
        unpack(tar_of(tmp_path / "a.tar", ("data/d", kind, "")), tmp_path / "out")


def test_hard_links_in_a_tar_are_copies(tmp_path: Path) -> None:
    unpack(tar_of(tmp_path / "a.tar", ("b.txt", tarfile.LNKTYPE, "data/a.txt")), tmp_path / "out")
    assert tree(tmp_path / "out") == {"data/a.txt": b"first", "b.txt": b"first"}
    assert (tmp_path / "out/b.txt").stat().st_nlink == 1
    for target, says in (("/etc/passwd", "refused"), ("../x", "refused"), ("data/none", "damaged")):
        with pytest.raises(DataError, match=says):
            unpack(tar_of(tmp_path / "b.tar", ("b.txt", tarfile.LNKTYPE, target)), tmp_path / "other")


@pytest.mark.parametrize("name", MAKERS)
def test_a_truncated_archive(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 6 // 10])
    with pytest.raises(DataError) as e:
        unpack(archive, tmp_path / "out")
    assert str(archive) in str(e.value)
    assert "download it again" in (e.value.remedy or "")
    assert not (tmp_path / "out").exists()


def test_a_flipped_byte_in_a_zip(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": os.urandom(5000)})
    raw = bytearray(archive.read_bytes())
    raw[2500] ^= 0xFF
    archive.write_bytes(raw)
    with pytest.raises(DataError, match="damaged"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("content", "says"), [(b"<html>log in</html>", "a web page"), (b"", "an empty file"), (b"12345", "bytes")])
def test_what_is_no_archive(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="not an archive") as e:
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert says in str(e.value.found)


def test_an_absent_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not there"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_an_encrypted_zip(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": b"secret"})
    raw = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags, in both headers of the last member
        raw[raw.rfind(signature) + offset] |= 1
    archive.write_bytes(raw)
    with pytest.raises(DataError, match="encrypted"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tgz"])
def test_an_interruption_is_resumed(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = MAKERS[name](tmp_path / name)
    written: list[str] = []
    write = archives._write

    def stops(source: object, path: Path, size: int) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        write(source, path, size)  # type: ignore[arg-type]
        written.append(path.name)

    monkeypatch.setattr(archives, "_write", stops)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    first = list(written)
    (aside,) = [p for p in tmp_path.iterdir() if p.name.endswith(".unpacking")]
    (aside / "data/deep").mkdir(exist_ok=True)
    (aside / "data/deep/b.bin").write_bytes(b"cut")  # as a killed process leaves it
    monkeypatch.setattr(archives, "_write", lambda s, p, n: (write(s, p, n), written.append(p.name)))
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert set(written[2:]) == ({Path(n).name for n in FILES} - set(first)) | {"b.bin"}


@pytest.mark.parametrize("name", ["a.zip", "a.tgz"])
def test_too_little_room(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = MAKERS[name](tmp_path / name)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 1000))
    with pytest.raises(DataError, match="not enough disk space") as e:
        unpack(archive, tmp_path / "out")
    assert "SAMBENCH_DATA" in (e.value.remedy or "")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a.zip", "a.tgz"])
def test_a_disk_that_becomes_full_and_then_is_not(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = MAKERS[name](tmp_path / name)
    write, calls = archives._write, []

    def full(source: object, path: Path, size: int) -> None:
        calls.append(path)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(source, path, size)  # type: ignore[arg-type]

    monkeypatch.setattr(archives, "_write", full)
    with pytest.raises(DataError, match="not enough disk space") as e:
        unpack(archive, tmp_path / "out")
    assert "goes on" in (e.value.remedy or "")
    monkeypatch.setattr(archives, "_write", write)
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


# rar and 7z, with programs that play the real ones: they read a zip


TOOL = """#!{python}
import sys, zipfile
argv = sys.argv[1:]
name = next(a for a in argv if a.endswith((".rar", ".7z")))
if {lists}:
    print("\\n".join({heading} + zipfile.ZipFile(name + ".zip").namelist()))
else:
    zipfile.ZipFile(name + ".zip").extractall(argv[argv.index({into!r}) + 1])
"""


def install(folder: Path, tool: str, **how: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / tool).write_text(TOOL.format(python=sys.executable, **how))
    (folder / tool).chmod(0o755)


@pytest.fixture(params=["bsdtar", "unar"])
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    bin_ = tmp_path / "bin"
    if request.param == "bsdtar":
        install(bin_, "bsdtar", lists="argv[0] == '-tf'", heading="[]", into="-C")
    else:
        install(bin_, "unar", lists="False", heading="[]", into="-output-directory")
        install(bin_, "lsar", lists="True", heading="[name + ': RAR 5']", into="")
    monkeypatch.setenv("PATH", str(bin_))
    return str(request.param)


def make_rar(path: Path, files: dict[str, bytes] = FILES) -> Path:
    make_zip(path.with_name(path.name + ".zip"), files)
    path.write_bytes(b"Rar!\x1a\x07\x01\x00" if path.suffix == ".rar" else b"7z\xbc\xaf\x27\x1c")
    return path


@pytest.mark.parametrize("name", ["a.rar", "a.7z"])
def test_other_archives_go_to_an_installed_program(tmp_path: Path, tool: str, name: str) -> None:
    unpack(make_rar(tmp_path / name), tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


def test_their_members_are_looked_at_too(tmp_path: Path, tool: str) -> None:
    with pytest.raises(DataError, match="refused"):
        unpack(make_rar(tmp_path / "a.rar", {"../x": b""}), tmp_path / "out")
    assert not (tmp_path / "x").exists()


def test_their_links_are_looked_at_too(tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = archives._run
    for target, refused in (("data/a.txt", False), ("/etc/passwd", True)):

        def linking(archive: Path, command: list[str], into: Path | None = None, target: str = target) -> str:
            said = run(archive, command, into)
            for folder in (Path(c) for c in command if c.endswith("aside")):
                (folder / "link").symlink_to(target)
            return said

        monkeypatch.setattr(archives, "_run", linking)
        if refused:
            with pytest.raises(DataError, match="a link that leads outside"):
                unpack(make_rar(tmp_path / "a.rar"), tmp_path / "out2", aside=tmp_path / "aside")
        else:
            unpack(make_rar(tmp_path / "a.rar"), tmp_path / "out", aside=tmp_path / "aside")
            assert tree(tmp_path / "out") == FILES


def test_their_errors_are_told(tmp_path: Path, tool: str) -> None:
    archive = make_rar(tmp_path / "a.rar")
    (tmp_path / "a.rar.zip").unlink()
    with pytest.raises(DataError, match="cannot unpack") as e:
        unpack(archive, tmp_path / "out")
    assert "FileNotFoundError" in str(e.value.found)


def test_without_a_program_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="no program") as e:
        unpack(make_rar(tmp_path / "a.rar"), tmp_path / "out")
    assert "install" in (e.value.remedy or "")
