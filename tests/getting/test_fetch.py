"""Downloads against a local server that misbehaves on request."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench.errors import DownloadError
from sambench.getting import part_file, transfer
from sambench.getting import weights as fetch
from tests.helpers.fetching import get, left
from tests.helpers.server import BODY, SHA, Server

pytestmark = pytest.mark.usefixtures("pauses")
Usage = namedtuple("Usage", "total used free")


def test_plain_download(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    dest = tmp_path / "a" / "b" / "w.pth"
    assert get(server, dest, progress=lambda done, total: seen.append((done, total))) == dest
    assert dest.read_bytes() == BODY
    assert left(dest) == ["w.pth"]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_a_right_file_is_not_fetched_again_and_a_wrong_one_is_replaced(server: Server, tmp_path: Path) -> None:
    dest = tmp_path / "w.pth"
    dest.write_bytes(BODY)
    get(server, dest)
    assert server.asked == []
    dest.write_bytes(BODY[:-1] + b"?")
    get(server, dest)
    assert dest.read_bytes() == BODY
    assert len(server.asked) == 1


def test_cut_connections_are_resumed_from_where_they_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = [1_200_000, 700_000]
    get(server, tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == BODY
    assert server.answered == [200, 206, 206]
    assert [h.get("Range") for h in server.asked] == [None, "bytes=1200000-", "bytes=1900000-"]
    assert [h.get("If-Range") for h in server.asked] == [None, '"v1"', '"v1"']


def test_cut_for_ever_is_an_error_that_keeps_the_part(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    server.cut_for_ever = True
    dest = tmp_path / "w.pth"
    with pytest.raises(DownloadError, match="cut after 5000 of 3000000 bytes") as e:
        get(server, dest)
    assert pauses == list(transfer.BACKOFF_S)
    assert str(dest) in str(e.value)
    assert server.url in str(e.value)
    assert (tmp_path / "w.pth.part").read_bytes() == BODY[:5000]
    server.cut_for_ever = False
    get(server, dest)
    assert server.asked[-1]["Range"] == "bytes=5000-"
    assert dest.read_bytes() == BODY
    assert left(dest) == ["w.pth"]


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [2_000_000, 2_500_000]
    get(server, tmp_path / "w.pth")
    assert server.answered == [200, 200, 200]
    assert (tmp_path / "w.pth").read_bytes() == BODY


def test_ignoring_ranges_and_cutting_for_ever_ends(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [2_000_000] * 50
    with pytest.raises(DownloadError, match="cut after 2000000"):
        get(server, tmp_path / "w.pth")
    assert len(server.asked) < 10


@pytest.mark.parametrize("sha256", [SHA, None])
def test_a_file_that_changed_between_two_tries_is_not_pieced_together(server: Server, tmp_path: Path, sha256: str | None) -> None:
    server.body, server.etag, server.cuts = b"x" * len(BODY), '"v0"', [1_000_000] * 5
    dest = tmp_path / "w.pth"
    server.cut_for_ever = True
    with pytest.raises(DownloadError):
        get(server, dest, sha256=sha256)
    server.body, server.etag, server.cuts, server.cut_for_ever = BODY, '"v1"', [], False
    get(server, dest, sha256=sha256)
    assert dest.read_bytes() == BODY
    assert server.answered[-1] == 200


def test_without_a_validator_a_wrong_piece_is_found_by_its_hash_and_fetched_whole(server: Server, tmp_path: Path) -> None:
    dest = tmp_path / "w.pth"
    server.etag = None
    (tmp_path / "w.pth.part").write_bytes(b"x" * 1_000_000)
    (tmp_path / "w.pth.part.json").write_text(json.dumps({"url": server.url, "validator": None, "total": len(BODY)}))
    get(server, dest)
    assert dest.read_bytes() == BODY
    assert server.answered == [206, 200]


@pytest.mark.parametrize(
    "note",
    [None, "{", "[]", json.dumps({"url": "http://elsewhere/weights.pth", "validator": '"v1"', "total": len(BODY)})],
)
def test_a_part_of_unknown_origin_is_not_resumed(server: Server, tmp_path: Path, note: str | None) -> None:
    (tmp_path / "w.pth.part").write_bytes(b"x" * 1000)
    if note is not None:
        (tmp_path / "w.pth.part.json").write_text(note)
    get(server, tmp_path / "w.pth", sha256=None)
    assert (tmp_path / "w.pth").read_bytes() == BODY
    assert "Range" not in server.asked[0]


def test_a_weak_etag_gives_way_to_the_date(server: Server, tmp_path: Path) -> None:
    server.etag, server.modified, server.cuts = 'W/"v1"', "Wed, 05 Apr 2023 00:00:00 GMT", [1_500_000]
    get(server, tmp_path / "w.pth")
    assert server.asked[1]["If-Range"] == server.modified
    assert server.answered == [200, 206]


def test_a_complete_part_needs_no_bytes(server: Server, tmp_path: Path) -> None:
    for n_bytes, asked in ((len(BODY), []), (None, [416])):
        server.answered.clear()
        (tmp_path / "w.pth").unlink(missing_ok=True)
        (tmp_path / "w.pth.part").write_bytes(BODY)
        (tmp_path / "w.pth.part.json").write_text(json.dumps({"url": server.url, "validator": '"v1"', "total": len(BODY)}))
        get(server, tmp_path / "w.pth", n_bytes=n_bytes)
        assert (tmp_path / "w.pth").read_bytes() == BODY
        assert server.answered == asked


def test_a_part_longer_than_the_file_begins_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(BODY + b"more")
    (tmp_path / "w.pth.part.json").write_text(json.dumps({"url": server.url, "validator": '"v1"', "total": len(BODY) + 4}))
    get(server, tmp_path / "w.pth", n_bytes=None)
    assert server.answered == [416, 200]
    assert (tmp_path / "w.pth").read_bytes() == BODY


def test_a_range_that_was_not_asked_for_is_not_used(server: Server, tmp_path: Path) -> None:
    server.cuts, server.shift = [1_000_000], 7
    get(server, tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == BODY
    assert server.answered == [200, 206, 200]


def test_an_answer_without_length(server: Server, tmp_path: Path) -> None:
    server.length, server.cuts = False, [1_000_000]
    get(server, tmp_path / "w.pth")  # the card's size tells that the first answer was cut
    assert (tmp_path / "w.pth").read_bytes() == BODY
    assert server.answered == [200, 206]


def test_wrong_bytes_are_removed_and_the_next_call_can_succeed(server: Server, tmp_path: Path) -> None:
    server.body = BODY[::-1]
    dest = tmp_path / "w.pth"
    with pytest.raises(DownloadError) as e:
        get(server, dest)
    assert e.value.expected == f"sha256 {SHA}"
    assert e.value.found == f"sha256 {hashlib.sha256(BODY[::-1]).hexdigest()}"
    assert str(dest) in (e.value.remedy or "")
    assert left(dest) == []
    assert server.answered == [200]  # nothing was pieced together: a second try at once would bring the same
    server.body = BODY
    get(server, dest)
    assert dest.read_bytes() == BODY


def test_another_size_is_refused_before_a_byte_is_stored(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="another size") as e:
        get(server, tmp_path / "w.pth", n_bytes=17, sha256=None)
    assert (e.value.expected, e.value.found) == ("17 bytes", "3000000 bytes")
    assert left(tmp_path / "w.pth") == []


def test_a_web_page_instead_of_weights_is_named(server: Server, tmp_path: Path) -> None:
    server.body = b"\n<!DOCTYPE html><title>Log in</title>"
    with pytest.raises(DownloadError, match="a web page"):
        get(server, tmp_path / "w.pth", n_bytes=None)
    assert left(tmp_path / "w.pth") == []


@pytest.mark.parametrize(("status", "word"), [(404, "no longer at this address"), (403, "refuses access"), (401, "login")])
def test_refusals_are_not_repeated_and_tell_the_manual_way(server: Server, tmp_path: Path, status: int, word: str) -> None:
    server.status = status
    dest = tmp_path / "w.pth"
    with pytest.raises(DownloadError, match=word) as e:
        get(server, dest)
    assert f"HTTP {status}" in str(e.value)
    assert f"put it at {dest}" in (e.value.remedy or "")
    assert len(server.asked) == 1
    assert left(dest) == []


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.status = 503
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        server.status = 503 if len(waits) < 3 else 200

    monkeypatch.setattr(transfer, "sleep", sleep)
    get(server, tmp_path / "w.pth")
    assert waits == [1.0, 2.0, 4.0]
    assert (tmp_path / "w.pth").read_bytes() == BODY


def test_offline(tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    dest = tmp_path / "w.pth"
    with pytest.raises(DownloadError, match="offline") as e:
        fetch.download("https://weights.example/w.pth", dest, sha256=SHA, n_bytes=None)
    assert pauses == []
    assert str(dest) in (e.value.remedy or "")
    assert left(dest) == []


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/w.pth"
        with pytest.raises(DownloadError, match="refused"):
            fetch.download(url, tmp_path / "w.pth", sha256=None, n_bytes=None)


def test_a_server_that_goes_silent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.05)
    hold = threading.Event()
    send = server._send
    monkeypatch.setattr(server, "_send", lambda h, data: (send(h, data[:1000]), h.wfile.flush(), hold.wait(5)))
    try:
        with pytest.raises(DownloadError, match=r"no answer within 0\.05 s"):
            get(server, tmp_path / "w.pth")
    finally:
        hold.set()
    assert (tmp_path / "w.pth.part").read_bytes() == BODY[:5000]  # five tries of 1000 bytes


@pytest.mark.parametrize("url", ["ftp://host/w.pth", "file:///etc/hostname", "w.pth"])
def test_other_addresses_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="not a web address"):
        fetch.download(url, tmp_path / "w.pth", sha256=None, n_bytes=None)


def test_too_little_room_before(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 2_999_999))
    with pytest.raises(DownloadError, match="not enough disk space") as e:
        get(server, tmp_path / "w.pth")
    assert "SAMBENCH_CACHE" in (e.value.remedy or "")
    assert left(tmp_path / "w.pth") == []


def test_only_what_is_missing_needs_room(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.pth.part").write_bytes(BODY[:2_000_000])
    (tmp_path / "w.pth.part.json").write_text(json.dumps({"url": server.url, "validator": '"v1"', "total": len(BODY)}))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 1_000_000))
    get(server, tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == BODY


def test_room_that_vanishes_meanwhile(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([10_000_000, 10_000_000, 100])
    monkeypatch.setattr(transfer, "_ROOM_CHECK", 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, next(free)))
    with pytest.raises(DownloadError, match="not enough disk space") as e:
        get(server, tmp_path / "w.pth")
    part = tmp_path / "w.pth.part"
    assert 2_000_000 <= part.stat().st_size < len(BODY)
    assert str(part) in (e.value.remedy or "")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_keeps_the_part(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write = part_file.Part.write
    monkeypatch.setattr(part_file.Part, "write", failing_write(write, code, after=1_000_000))
    dest = tmp_path / "w.pth"
    with pytest.raises(DownloadError, match="became full") as e:
        get(server, dest)
    part = tmp_path / "w.pth.part"
    kept = part.stat().st_size
    assert kept >= 1_000_000
    assert part.read_bytes() == BODY[:kept]
    assert str(part) in (e.value.remedy or "")
    assert not dest.exists()
    assert len(server.asked) == 1  # a full disk is no reason to try again
    monkeypatch.setattr(part_file.Part, "write", write)
    get(server, dest)
    assert server.asked[1]["Range"] == f"bytes={kept}-"
    assert dest.read_bytes() == BODY


def failing_write(write: Callable[..., None], code: int, after: int) -> Callable[..., None]:
    def limited(self: part_file.Part, data: bytes) -> None:
        if self.size() >= after:
            raise OSError(code, os.strerror(code))
        write(self, data)

    return limited


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be stored") as e:
        get(server, tmp_path / "file" / "w.pth")
    assert server.asked == []
    assert "SAMBENCH_CACHE" in (e.value.remedy or "")


def test_ctrl_c_keeps_the_part(server: Server, tmp_path: Path) -> None:
    def stop(done: int, _total: int | None) -> None:
        if done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path / "w.pth", progress=stop)
    kept = (tmp_path / "w.pth.part").stat().st_size
    get(server, tmp_path / "w.pth")
    assert server.asked[1]["Range"] == f"bytes={kept}-"
    assert (tmp_path / "w.pth").read_bytes() == BODY
