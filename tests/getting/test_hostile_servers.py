"""Servers that mean no good: what they send is bounded, and ends in a DownloadError that names the address."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sambench.errors import DataError, DownloadError
from sambench.getting import part_file, remote_zip, transfer, web
from sambench.getting import weights as fetch

BODY = random.Random(0).randbytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()
OK = b"HTTP/1.1 200 OK\r\n"
Script = Callable[["Server", socket.socket, str], None]  # (server, connection, request's head)


class Server:
    """Answers every connection by `script`, with any bytes at all. sent: bytes that clients took."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.script: Script = lambda _s, _c, _h: None
        self.asked: list[str] = []
        self.sent = 0
        self.over = False
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._answer, args=(connection,)))
            self.threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536) or b"\r\n\r\n"
            self.asked.append(head.decode("latin-1"))
            self.script(self, connection, self.asked[-1])

    def send(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)
        self.sent += len(data)

    def for_ever(self, connection: socket.socket, data: bytes, pause_s: float = 0.0) -> None:
        end = time.monotonic() + 20
        while not self.over and time.monotonic() < end:
            self.send(connection, data)
            time.sleep(pause_s)

    def close(self) -> None:
        self.over = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "sleep", lambda _s: None)
    monkeypatch.setattr(remote_zip, "sleep", lambda _s: None)
    monkeypatch.setattr(part_file, "POLL_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def raw(*parts: bytes) -> Script:
    return lambda server, connection, _head: server.send(connection, b"".join(parts))


def get(server: Server, dest: Path, *, sha256: str | None = SHA, n_bytes: int | None = len(BODY)) -> Path:
    return fetch.download(f"{server.url}/w.pth", dest, sha256=sha256, n_bytes=n_bytes)


def redirecting(targets: dict[str, str], then: bytes = b"") -> Script:
    """302 for the paths in `targets`, BODY for others."""

    def script(server: Server, connection: socket.socket, head: str) -> None:
        target = targets.get(head.split()[1])
        if target is None:
            server.send(connection, OK + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
            return
        server.send(connection, b"HTTP/1.1 302 Found\r\nLocation: " + target.encode("latin-1") + b"\r\n\r\n" + then)
        if then:
            server.for_ever(connection, then)

    return script


# --- redirects

ELSEWHERE = ["ftp://127.0.0.1/w.pth", "file:///etc/passwd", "data:,x", "gopher://x/", "javascript:1", "http://[::1/"]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_redirects_to_what_is_not_a_web_address(server: Server, tmp_path: Path, target: str) -> None:
    server.script = redirecting({"/w.pth": target})
    with pytest.raises(DownloadError, match="a server leads to") as e:
        get(server, tmp_path / "w.pth", sha256=None, n_bytes=None)
    assert server.url in str(e.value)
    assert str(tmp_path / "w.pth") in (e.value.remedy or "")
    with pytest.raises(DownloadError, match="a server leads to"), remote_zip.opened(f"{server.url}/w.pth"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_redirects_in_a_circle(server: Server, tmp_path: Path) -> None:
    server.script = redirecting({"/w.pth": "/a", "/a": "/b", "/b": "/a"})
    with pytest.raises(DownloadError, match="in a circle"):
        get(server, tmp_path / "w.pth")
    assert len(server.asked) == web.MOST_REDIRECTS + 1


def test_honest_redirects_are_followed_and_their_bodies_never_read(server: Server, tmp_path: Path) -> None:
    server.script = redirecting({"/w.pth": "/a b", "/a%20b": "c?d=\xe9"}, then=b"x" * 100_000)
    assert get(server, tmp_path / "w.pth").read_bytes() == BODY
    assert server.sent < len(BODY) + 30_000_000  # what the buffers of two sockets take


NONE = ["http://", "http://a b/", "http://127.0.0.1:99999999/x", "http://h:x/", "http://\udcff/", "http://" + "é" * 99]


@pytest.mark.parametrize("url", NONE)
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError):
        fetch.download(url, tmp_path / "w.pth", sha256=None, n_bytes=None)
    with pytest.raises(DownloadError), remote_zip.opened(url):
        pass


def test_files_and_ftp_are_no_addresses_of_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        z.writestr("a", "b")
    for url in ((tmp_path / "a.zip").as_uri(), "ftp://127.0.0.1/a.zip", "a.zip"):
        with pytest.raises(DownloadError, match="not a web address"), remote_zip.opened(url):
            pass


# --- lengths, headers and pace

LENGTHS = [b"\xb2", b"-5", b"9" * 5000, b"0x10", b"1 2", b"", b"1e3"]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_no_number_is_none(server: Server, tmp_path: Path, length: bytes) -> None:
    server.script = raw(OK, b"Content-Length: " + length + b"\r\n\r\n", BODY)
    assert get(server, tmp_path / "w.pth", n_bytes=None).read_bytes() == BODY


def test_a_length_beyond_the_disk(server: Server, tmp_path: Path) -> None:
    server.script = raw(OK, b"Content-Length: 999999999999999999\r\n\r\n", BODY)
    with pytest.raises(DownloadError, match="not enough disk space"):
        get(server, tmp_path / "w.pth", n_bytes=None)


@pytest.mark.parametrize("status", [b"204 No Content", b"202 Accepted", b"299 \x1b[31m"])
def test_another_success_than_ok_is_none(server: Server, tmp_path: Path, status: bytes) -> None:
    server.script = raw(b"HTTP/1.1 ", status, b"\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(DownloadError, match="refused"):
        get(server, tmp_path / "w.pth", sha256=None, n_bytes=None)
    assert list(tmp_path.iterdir()) == []


def test_a_body_without_end(server: Server, tmp_path: Path) -> None:
    server.script = lambda s, c, _: (s.send(c, OK + b"\r\n"), s.for_ever(c, BODY))[0]
    with pytest.raises(DownloadError, match="sent more than the 300000 bytes"):
        get(server, tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


HEADS = {
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "lines": b"X-More: and more\r\n",
    "one line": b"x" * 1000,
}


@pytest.mark.parametrize("name", HEADS)
def test_headers_without_end(server: Server, tmp_path: Path, name: str) -> None:
    start = b"" if name == "continue" else OK
    server.script = lambda s, c, _: (s.send(c, start), s.for_ever(c, HEADS[name] * 1000))[0]
    with pytest.raises(DownloadError, match="a download failed"):
        get(server, tmp_path / "w.pth")


STARTS = {"status": b"", "headers": OK, "body": OK + b"\r\n", "chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n"}


@pytest.mark.parametrize("name", STARTS)
def test_a_byte_now_and_then_is_not_waited_for(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(web, "WINDOW_S", 0.2)
    server.script = lambda s, c, _: (s.send(c, STARTS[name]), s.for_ever(c, b"0", pause_s=0.02))[0]
    began = time.monotonic()
    with pytest.raises(DownloadError, match=r"only \d+ bytes came"):
        get(server, tmp_path / "w.pth")
    assert len(server.asked) == len(transfer.BACKOFF_S) + 1
    assert time.monotonic() - began < 15  # and not the twenty seconds for which each answer would go on


def test_a_slow_but_living_server_is_waited_for(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WINDOW_S", 0.1)

    def slowly(s: Server, c: socket.socket, _head: str) -> None:
        s.send(c, OK + f"Content-Length: {len(BODY)}\r\n\r\n".encode())
        for i in range(0, len(BODY), 30_000):
            time.sleep(0.05)
            s.send(c, BODY[i : i + 30_000])

    server.script = slowly
    assert get(server, tmp_path / "w.pth").read_bytes() == BODY
    assert len(server.asked) == 1


def test_a_validator_that_cannot_be_sent_back(server: Server, tmp_path: Path) -> None:
    head = OK + b'ETag: "\xe9\x01"\r\n' + f"Content-Length: {len(BODY)}\r\n\r\n".encode()

    def script(s: Server, c: socket.socket, head_of_request: str) -> None:
        s.send(c, head + (BODY if "Range" in head_of_request else BODY[:1000]))

    server.script = script
    assert get(server, tmp_path / "w.pth").read_bytes() == BODY
    assert "If-Range" not in server.asked[1]


NOTES = ['{"url": 3}', '{"url": "URL", "validator": [1]}', '{"url": "URL", "total": "x"}', '{"url": "URL", "validator": {}}']


@pytest.mark.parametrize("note", NOTES)
def test_a_forged_note_beside_a_part(server: Server, tmp_path: Path, note: str) -> None:
    (tmp_path / "w.pth.part").write_bytes(b"x" * 100)
    (tmp_path / "w.pth.part.json").write_text(note.replace("URL", f"{server.url}/w.pth"))
    server.script = raw(OK, f"Content-Length: {len(BODY)}\r\n\r\n".encode(), BODY)
    assert get(server, tmp_path / "w.pth").read_bytes() == BODY


# --- ranges of a zip


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, body in members.items():
            z.writestr(name, body)
    return out.getvalue()


def ranges_of(body: bytes, change: Callable[[int, int], tuple[str, bytes]] | None = None) -> Script:
    """Answers ranges of `body`; change(first, stop) gives another Content-Range and body."""

    def script(server: Server, connection: socket.socket, head: str) -> None:
        a, _, b = head.partition("Range: bytes=")[2].split("\r\n")[0].partition("-")
        first, stop = (int(a), int(b) + 1) if a else (max(0, len(body) - int(b)), len(body))
        span, piece = f"bytes {first}-{stop - 1}/{len(body)}", body[first:stop]
        if change is not None:
            span, piece = change(first, stop)
        server.send(connection, b"HTTP/1.1 206 Partial\r\nContent-Range: " + span.encode("latin-1") + b"\r\n\r\n" + piece)

    return script


ZIP = zipped(**{"a/one.bin": BODY, "a/two.txt": b"here"})
WRONG = {
    "more than asked": lambda a, b: (f"bytes {a}-{b - 1}/{len(ZIP)}", ZIP[a:b] + b"x" * 3_000_000),
    "another range": lambda _a, b: (f"bytes 0-{b}/{len(ZIP) * 9}", ZIP),
    "a terabyte": lambda _a, _b: (f"bytes 0-{10**12 - 1}/{10**12}", ZIP),
    "digits without end": lambda _a, _b: (f"bytes {'9' * 5000}-{'9' * 5000}/{'9' * 5001}", ZIP),
    "no digits": lambda _a, _b: ("bytes \xb2-\xb3/\xb9", ZIP),
    "backwards": lambda _a, _b: ("bytes 9-5/10", ZIP),
    "beyond the end": lambda _a, _b: ("bytes 0-99/10", ZIP),
    "nothing": lambda _a, _b: ("", b""),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_to_a_range_is_what_was_asked_for(server: Server, name: str) -> None:
    server.script = ranges_of(ZIP, WRONG[name])
    with pytest.raises(DownloadError, match="makes no sense") as e, remote_zip.opened(f"{server.url}/a.zip"):
        pass
    assert server.url in str(e.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [b"206 Partial\r\nContent-Range: bytes 0-999/1000", b"200 OK"])
def test_a_range_without_end_is_not_read(server: Server, status: bytes) -> None:
    server.script = lambda s, c, _: (s.send(c, b"HTTP/1.1 " + status + b"\r\n\r\n"), s.for_ever(c, BODY))[0]
    with pytest.raises(DownloadError), remote_zip.opened(f"{server.url}/a.zip"):
        pass
    server.over = True
    assert server.sent < 30_000_000


def test_a_directory_of_gigabytes_is_not_held(server: Server) -> None:
    """The end of a zip64 says that its directory has 5 GB, and the server that the file has more."""
    body = bytearray(zipped(a=b"x"))
    end = bytes(body[body.rfind(b"PK\x05\x06") :])
    total, n = 10**13, 5 * 10**9
    record = b"PK\x06\x06" + struct.pack("<Q12xQQQQ", 44, 9, 9, n, total - n - 98)
    locator = b"PK\x06\x07" + struct.pack("<4xQI", total - len(end) - 20 - len(record), 1)
    tail = record + locator + end[:8] + b"\xff" * 12 + end[20:]

    def change(first: int, stop: int) -> tuple[str, bytes]:
        first, stop = (total - (stop - first), total) if stop <= remote_zip._TAIL else (first, stop)
        return f"bytes {first}-{stop - 1}/{total}", tail.rjust(stop - first, b"\0")

    server.script = lambda s, c, h: ranges_of(bytes(remote_zip._TAIL), change)(s, c, h)
    with pytest.raises(DownloadError, match="5000000000 bytes"), remote_zip.opened(f"{server.url}/a.zip"):
        pass


def test_a_member_that_unpacks_to_far_more_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sambench.getting import archives

    monkeypatch.setattr(archives, "_MOST_AT_LEAST", 100_000)
    server.script = ranges_of(zipped(bomb=bytes(3_000_000), small=b"x"))
    with remote_zip.opened(f"{server.url}/a.zip") as archive:
        with pytest.raises(DownloadError, match="far more than its size"):
            remote_zip.fetch_member(archive, archive.getinfo("bomb"), tmp_path)
        assert remote_zip.fetch_member(archive, archive.getinfo("small"), tmp_path).read_bytes() == b"x"
    assert [p.name for p in tmp_path.iterdir()] == ["small"]


@pytest.mark.parametrize("n", [pytest.param(60, id="quick"), pytest.param(600, id="all", marks=pytest.mark.slow)])
def test_mutated_zips_on_a_server(server: Server, tmp_path: Path, n: int) -> None:
    rng = random.Random(n)
    small = zipped(**{"a/one.bin": BODY[:3000], "a/two.txt": b"here" * 100})
    ends = [small.rfind(b"PK\x05\x06"), small.rfind(b"PK\x01\x02"), small.find(b"PK\x01\x02"), 0]
    good = 0
    for _ in range(n):
        body = bytearray(small)
        for _ in range(rng.randint(1, 4)):
            at = min(len(body) - 1, rng.choice(ends) + rng.randrange(46)) if rng.random() < 0.8 else rng.randrange(len(body))
            body[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if rng.random() < 0.2:
            del body[rng.randrange(len(body)) :]
        server.script = ranges_of(bytes(body or b"x"))
        try:  # any other error is the test's failure
            with remote_zip.opened(f"{server.url}/a.zip") as archive:
                for info in archive.infolist():
                    remote_zip.fetch_member(archive, info, tmp_path / "out")
            good += 1
        except (DownloadError, DataError):
            continue
    assert 0 < good < n
