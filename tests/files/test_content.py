"""Content decides: hashes of files, remembered only as long as they are true."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench.files import content


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has settled: its change is old enough for its times to be trusted."""
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(content, "_memories", {})
    monkeypatch.setattr(content, "_SETTLED_NS", -1)
    path = tmp_path / "data" / "weights.pth"
    path.parent.mkdir()
    path.write_bytes(b"some weights")
    return path


def as_a_new_process() -> None:
    content._memories.clear()


def test_a_file_is_hashed_once(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert content.file_sha256(old) == sha(b"some weights")
    as_a_new_process()
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert content.file_sha256(old) == sha(b"some weights")
    assert content.file_sha256(old.parent / "." / "weights.pth") == sha(b"some weights")


def rewritten(path: Path) -> None:
    path.write_bytes(b"SOME weights")


def replaced(path: Path) -> None:
    path.with_name("other").write_bytes(b"SOME weights")
    os.replace(path.with_name("other"), path)


@pytest.mark.parametrize("change", [rewritten, replaced])
@pytest.mark.parametrize("forget", [True, False])
def test_equal_size_and_mtime_hide_nothing(old: Path, change: Callable[[Path], None], forget: bool) -> None:
    content.file_sha256(old)
    stat = old.stat()
    change(old)
    os.utime(old, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (old.stat().st_size, old.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    if forget:
        as_a_new_process()
    assert content.file_sha256(old) == sha(b"SOME weights")


def test_what_has_just_changed_is_not_remembered(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within a tick of the file system's clock have equal times, and may have equal sizes and inodes."""
    monkeypatch.setattr(content, "_SETTLED_NS", 2_000_000_000)
    content.file_sha256(old)
    monkeypatch.setattr(content, "_stamp", lambda _: content.Stamp(12, 1, 1, 1))  # such a tick
    old.write_bytes(b"SOME weights")
    assert content.file_sha256(old) == sha(b"SOME weights")


@pytest.mark.parametrize("damage", [b"", b"no database", None])
def test_a_memory_that_cannot_be_used_costs_time_alone(old: Path, damage: bytes | None) -> None:
    content.file_sha256(old)
    file = content.memory().file
    if damage is None:
        with sqlite3.connect(file) as db:
            db.execute("DROP TABLE files")
    else:
        file.write_bytes(damage)
    as_a_new_process()
    assert content.file_sha256(old) == sha(b"some weights")


def test_a_cache_that_cannot_be_written_does_not_matter(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (old.parent / "file").write_text("")
    monkeypatch.setenv("SAMBENCH_CACHE", str(old.parent / "file" / "cache"))
    assert content.file_sha256(old) == sha(b"some weights")


def test_what_is_read_is_noted_and_not_read_again(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with content.reading() as noted:
        assert content.read_bytes(old) == b"some weights"
    assert noted == {str(old): sha(b"some weights")}
    content.flush()
    as_a_new_process()
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert content.file_sha256(old) == sha(b"some weights")


def test_a_pipe_is_refused_and_not_waited_for(old: Path) -> None:
    pipe = old.with_name("pipe")
    os.mkfifo(pipe)
    found: list[str] = []

    def read() -> None:
        for function in (content.file_sha256, content.read_bytes):
            with pytest.raises(OSError, match="not a regular file"):
                function(pipe)
            found.append(function.__name__)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert found == ["file_sha256", "read_bytes"]


def test_digests_depend_on_names_and_bytes_alone(old: Path, tmp_path: Path) -> None:
    def make(root: Path, files: dict[str, bytes]) -> str:
        for name, data in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return content.tree_digest(root, [root / n for n in files])

    one = make(tmp_path / "1", {"a/x.png": b"12", "b.png": b"3"})
    assert make(tmp_path / "2", {"b.png": b"3", "a/x.png": b"12"}) == one
    os.utime(tmp_path / "1" / "b.png", (0, 0))
    assert content.folder_digest(tmp_path / "1") == one
    others = [
        {"a/x.png": b"13", "b.png": b"3"},
        {"a/x.png": b"12"},
        {"a/y.png": b"12", "b.png": b"3"},
        {"x.png": b"12", "b.png": b"3"},
    ]
    assert len({one, *(make(tmp_path / f"o{i}", files) for i, files in enumerate(others))}) == 5


def test_options_that_are_files_or_folders_go_in_by_what_they_hold(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old.parent)
    given = {"weights": "weights.pth", "many": [str(old), 3], "folder": str(old.parent), "text": "no such file", "n": 0.5}
    found = content.by_content(given)
    assert found["weights"] == {"file_sha256": sha(b"some weights")} == found["many"][0]
    assert found["folder"] == {"folder_sha256": content.folder_digest(old.parent)}
    assert (found["many"][1], found["text"], found["n"]) == (3, "no such file", 0.5)
    assert content.by_content(given, absolute=True)["weights"] == "weights.pth"
    assert content.by_content("x" * 5000) == "x" * 5000
    assert content.by_content("a\0b") == "a\0b"
