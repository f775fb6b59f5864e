"""Hashes that must never change, and what is recorded of the machine."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sambench import paths, provenance


def test_canonical_json_is_one_text_per_value() -> None:
    assert provenance.canonical_json({"b": [1, 2.5, None, True], "a": {"é": "ü"}}) == '{"a":{"é":"ü"},"b":[1,2.5,null,true]}'
    assert provenance.canonical_json((1, 2)) == provenance.canonical_json([1, 2])
    assert provenance.canonical_json(0.1) == "0.1"
    assert provenance.canonical_json(1) != provenance.canonical_json(1.0)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON compliant"):
            provenance.canonical_json({"x": bad})
    for other in (Path("a"), {1, 2}, b"a"):
        with pytest.raises(TypeError):
            provenance.canonical_json(other)


def test_digest_depends_on_content_alone() -> None:
    assert provenance.digest({"a": 1, "b": 2}) == provenance.digest({"b": 2, "a": 1})
    assert provenance.digest({"a": 1}) != provenance.digest({"a": 2})
    assert provenance.digest({}) == hashlib.sha256(b"{}").hexdigest()


def test_the_keyed_order_is_frozen() -> None:
    """Every --limit and every redrawn subset depends on these values; if this fails, the code is wrong and not the test."""
    assert provenance.keyed_hash("bbbc038v1", "image") == int.from_bytes(
        hashlib.blake2b(
            b"\0\0\0\0\0\0\0\x09bbbc038v1" + b"\0\0\0\0\0\0\0\x05image", key=b"sambench/1", digest_size=8
        ).digest(),
        "big",
    )
    assert provenance.keyed_hash("a", "b") == 8262422660934478361
    assert provenance.keyed_order([f"{i}" for i in range(8)], "demo") == ["5", "2", "1", "4", "3", "6", "0", "7"]


def test_the_parts_of_a_keyed_hash_do_not_run_together() -> None:
    assert len({provenance.keyed_hash(*p) for p in (("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"))}) == 5


def test_the_keyed_order_ignores_the_order_given_and_differs_by_dataset() -> None:
    ids = [f"{i:03}" for i in range(200)]
    order = provenance.keyed_order(ids, "demo")
    assert sorted(order) == ids
    assert order == provenance.keyed_order(reversed(ids), "demo")
    assert order != provenance.keyed_order(ids, "bbbc038v1")
    assert order[:10] != ids[:10]
    without = [i for i in ids if i != order[5]]
    assert provenance.keyed_order(without, "demo") == [i for i in order if i != order[5]]  # a prefix stays a prefix


def test_listing_digest_notices_names_and_sizes_but_not_places_and_times(tmp_path: Path) -> None:
    def make(root: Path, files: dict[str, bytes]) -> str:
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return provenance.listing_digest(root, [root / n for n in files])

    one = make(tmp_path / "1", {"a/x.png": b"12", "b.png": b"3"})
    assert make(tmp_path / "2", {"b.png": b"3", "a/x.png": b"12"}) == one
    os.utime(tmp_path / "1" / "b.png", (0, 0))
    assert provenance.listing_digest(tmp_path / "1", [tmp_path / "1/b.png", tmp_path / "1/a/x.png"]) == one
    others = [
        {"a/x.png": b"123", "b.png": b"3"},
        {"a/x.png": b"12"},
        {"a/y.png": b"12", "b.png": b"3"},
        {"x.png": b"12", "b.png": b"3"},
    ]
    assert len({one, *(make(tmp_path / f"o{i}", files) for i, files in enumerate(others))}) == 5


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is worth remembering."""
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "weights.pth"
    path.write_bytes(bytes(range(256)) * 70000)
    return path


def memo() -> dict[str, str]:
    return json.loads((paths.cache() / "sha256.json").read_text())


def test_a_file_is_hashed_once(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = hashlib.sha256(big.read_bytes()).hexdigest()
    assert provenance.file_sha256(big) == expected
    assert list(memo().values()) == [expected]
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    assert provenance.file_sha256(big) == expected
    assert provenance.file_sha256(big.parent / "." / "weights.pth") == expected


def test_a_changed_file_is_hashed_again(big: Path) -> None:
    old = provenance.file_sha256(big)
    data = bytearray(big.read_bytes())
    data[0] ^= 1
    big.write_bytes(data)
    os.utime(big, ns=(0, 1))
    assert provenance.file_sha256(big) == hashlib.sha256(data).hexdigest() != old
    assert len(memo()) == 2


def test_small_files_are_not_remembered(big: Path) -> None:
    big.write_bytes(b"small")
    assert provenance.file_sha256(big) == hashlib.sha256(b"small").hexdigest()
    assert not (paths.cache() / "sha256.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_memo_is_made_anew(big: Path, text: str) -> None:
    expected = provenance.file_sha256(big)
    (paths.cache() / "sha256.json").write_text(text)
    assert provenance.file_sha256(big) == expected
    assert list(memo().values()) == [expected]


def test_a_cache_that_cannot_be_written_does_not_matter(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (big.parent / "file").write_text("")
    monkeypatch.setenv("SAMBENCH_CACHE", str(big.parent / "file" / "cache"))
    assert provenance.file_sha256(big) == hashlib.sha256(big.read_bytes()).hexdigest()


def test_the_environment_is_plain_data() -> None:
    found = provenance.environment()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["numpy"]
    assert found["versions"]["torch"]
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_git_state_tells_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "sambench" / "provenance.py"))
    assert provenance.git_state() is None

    def git(*arguments: str) -> str:
        settings = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tmp_path), *settings, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    assert provenance.git_state() is None  # no commit yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "--no-verify", "-m", "one")
    head = git("rev-parse", "HEAD")
    assert provenance.git_state() == head
    (tmp_path / "new").write_text("untracked files change nothing")
    assert provenance.git_state() == head
    (tmp_path / "file").write_text("2")
    assert provenance.git_state() == head + "+dirty"
