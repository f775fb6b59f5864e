"""The index cache: built once, and anew whenever an answer from before could be wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench import paths
from sambench.files.content import progress_to
from sambench.loaders import index_cache
from sambench.loaders.index_cache import Progress, cached_index
from sambench.types import ImageRecord

KEY = {"dataset": "toy", "split": "val"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "cache"))
    index_cache._remembered.clear()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    out = [tmp_path / "labels" / f"{i}.png" for i in range(3)]
    out[0].parent.mkdir()
    for i, path in enumerate(out):
        path.write_bytes(bytes(10 + i))
    return out


def same_size_and_time(path: Path) -> None:
    """Other bytes in a file of which size and mtime stay as they are."""
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


class Builder:
    """Counts how often it was asked; its records are the files' sizes."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.calls = 0

    def __call__(self, progress: Progress) -> list[ImageRecord]:
        self.calls += 1
        for i in range(len(self.files)):
            progress(i + 1, len(self.files))
        return [ImageRecord(p.stem, p.stat().st_size, cluster_id="v", file=str(p)) for p in self.files if p.exists()]


def test_the_second_time_nothing_is_built_also_in_another_process(files: list[Path]) -> None:
    build = Builder(files)
    first = cached_index(KEY, files, build)
    assert first == [ImageRecord(str(i), 10 + i, "v", str(files[i])) for i in range(3)]
    first.clear()  # the caller's list is its own
    assert len(cached_index(KEY, files, build)) == 3
    index_cache._remembered.clear()  # as a new process has it
    assert cached_index(KEY, iter(files), build)[2] == ImageRecord("2", 12, "v", str(files[2]))
    assert build.calls == 1


@pytest.mark.parametrize("forget", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda f: f[1].write_bytes(bytes(99)),
        lambda f: same_size_and_time(f[1]),
        lambda f: f[0].with_name("an image's other suffix").touch(),
        lambda f: f[1].unlink(),
        lambda f: f.append(f[0].with_name("9.png")) or f[-1].write_bytes(b"x"),
        lambda f: f.pop(),
    ],
    ids=["size", "byte", "name", "absent", "added", "taken out"],
)
def test_a_changed_file_is_noticed(files: list[Path], change: Callable[[list[Path]], object], forget: bool) -> None:
    build = Builder(files)
    cached_index(KEY, files, build)
    change(files)
    if forget:
        index_cache._remembered.clear()
    again = cached_index(KEY, files, build)
    assert build.calls == 2
    assert again == build(lambda *_: None)


def test_keys_and_copies_do_not_meet(files: list[Path], tmp_path: Path) -> None:
    build = Builder(files)
    cached_index(KEY, files, build)
    cached_index({**KEY, "split": "test"}, files, build)
    copy = [tmp_path / "copy" / f.name for f in files]
    copy[0].parent.mkdir()
    for a, b in zip(files, copy, strict=True):
        b.write_bytes(a.read_bytes())
    other = Builder(copy)
    cached_index(KEY, copy, other)
    index_cache._remembered.clear()
    cached_index(KEY, files, build)
    cached_index(KEY, copy, other)
    assert (build.calls, other.calls) == (2, 1)
    assert len(list((paths.cache() / "index").iterdir())) == 3


def test_an_edited_reader_is_asked_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    build = Builder(files)
    cached_index(KEY, files, build)
    monkeypatch.setattr(index_cache, "__version__", "999")
    cached_index(KEY, files, build)
    monkeypatch.setattr(index_cache, "_source_of", lambda _: ["other"])
    cached_index(KEY, files, build)
    assert build.calls == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fingerprint": 1}', '{"records": []}'])
def test_a_damaged_cache_is_rebuilt(files: list[Path], content: str) -> None:
    build = Builder(files)
    cached_index(KEY, files, build)
    (stored,) = (paths.cache() / "index").iterdir()
    stored.write_text(content)
    index_cache._remembered.clear()
    assert len(cached_index(KEY, files, build)) == 3
    assert build.calls == 2
    assert [p.name for p in stored.parent.iterdir()] == [stored.name]


def test_a_cache_that_cannot_be_written_costs_no_run(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(cached_index(KEY, files, Builder(files))) == 3


def test_errors_pass_and_leave_nothing(files: list[Path]) -> None:
    def broken(_: Progress) -> list[ImageRecord]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cached_index(KEY, files, broken)
    assert not (paths.cache() / "index").exists()


def test_progress_goes_to_the_caller_or_to_who_listens(files: list[Path]) -> None:
    heard: list[tuple[object, ...]] = []
    with progress_to(lambda *args: heard.append(args)):
        cached_index(KEY, files, Builder(files))
        cached_index({"split": 1}, files, Builder(files), progress=lambda *args: heard.append(args))
    cached_index({"split": 2}, files, Builder(files))
    assert heard == [("toy", 1, 3), ("toy", 2, 3), ("toy", 3, 3), (1, 3), (2, 3), (3, 3)]


def test_one_index_whatever_the_working_directory(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is given by a relative path is the same as by an absolute one, and its pictures are found from everywhere."""
    root, built = files[0].parent, []

    def build(_progress: Callable[[int, int], None]) -> list[ImageRecord]:
        built.append(1)
        return [ImageRecord("a", 1, file=os.path.join(root.name, "a.jpg"))]

    monkeypatch.chdir(root.parent)
    first = cached_index({"dataset": "d"}, [Path(root.name) / f.name for f in files], build)
    monkeypatch.chdir("/")
    index_cache._remembered.clear()
    assert cached_index({"dataset": "d"}, files, build) == first
    assert len(built) == 1
    assert first[0].file == str(root / "a.jpg")
