"""A local server that cuts, lies and counts, as the servers of datasets do."""

from __future__ import annotations

import hashlib
import http.server
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

BODY = random.Random(0).randbytes(3_000_000)
SHA = hashlib.sha256(BODY).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked. cuts: bytes after which each of the first answers ends."""

    url: str = ""
    body: bytes = BODY
    status: int = 200
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"v1"'
    modified: str | None = None
    length: bool = True
    pause_s: float = 0.0
    asked: list[dict[str, str]] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    cut_for_ever: bool = False
    shift: int = 0  # wrong start in Content-Range

    def answer(self, h: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(dict(h.headers))
        if self.status != 200:
            self.answered.append(self.status)
            h.send_error(self.status)
            return
        start = self._start(h)
        if start >= len(self.body):
            self.answered.append(416)
            h.send_response(416)
            h.send_header("Content-Range", f"bytes */{len(self.body)}")
            h.send_header("Content-Length", "0")
            h.end_headers()
            return
        self.answered.append(206 if start else 200)
        h.send_response(self.answered[-1])
        if start:
            h.send_header("Content-Range", f"bytes {start + self.shift}-{len(self.body) - 1}/{len(self.body)}")
        for name, value in (("ETag", self.etag), ("Last-Modified", self.modified)):
            if value:
                h.send_header(name, value)
        if self.length:
            h.send_header("Content-Length", str(len(self.body) - start))
        h.end_headers()
        self._send(h, self.body[start:])

    def _start(self, h: http.server.BaseHTTPRequestHandler) -> int:
        asked, condition = h.headers.get("Range"), h.headers.get("If-Range")
        if not asked or not self.ranges or (condition and condition not in (self.etag, self.modified)):
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def _send(self, h: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        if self.cut_for_ever:
            data = data[:1000]
        elif self.cuts:
            data = data[: self.cuts.pop(0)]
        for i in range(0, len(data), 100_000):
            h.wfile.write(data[i : i + 100_000])
            time.sleep(self.pause_s)


@contextmanager
def serving(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server on this machine whose GETs `answer` answers, while it holds; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that went away is what some tests are about

    httpd = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()
