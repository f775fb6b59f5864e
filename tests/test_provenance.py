"""Hashes that must never change, and what is recorded of the machine."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from sambench import provenance


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
