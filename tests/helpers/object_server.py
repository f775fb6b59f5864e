"""A small server that speaks what S3's clients need of its protocol, with conditional writes under one lock: for tests.

Run as a program it prints its variables as JSON, and serves until it is ended. `make test-objects` runs the tests of kills against
another implementation too.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape


class ObjectServer(ThreadingHTTPServer):
    """objects: bytes and time of change by /bucket/key. log: (method, path) of all requests. careless: overwrite in any case."""

    daemon_threads = True

    def __init__(self, *, careless: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.log: list[tuple[str, str]] = []
        self.lock, self.careless = threading.Lock(), careless

    @property
    def variables(self) -> dict[str, str]:
        """The environment that leads a client here."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_address[1]}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
        }

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed: nothing to say."""

    def keys(self, prefix: str = "") -> list[str]:
        with self.lock:
            return sorted(k for k in self.objects if k.startswith(prefix))


@contextmanager
def serving(*, careless: bool = False) -> Iterator[ObjectServer]:
    """A server on a thread of its own."""
    with ObjectServer(careless=careless) as server:
        threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def _tag(raw: bytes) -> str:
    return f'"{hashlib.md5(raw, usedforsecurity=False).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, code: int, raw: bytes = b"", headers: dict[str, str] | None = None, length: int | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw) if length is None else length))
        self.end_headers()
        self.wfile.write(raw)

    def _path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        self.server.log.append((self.command, path))
        return path

    def do_PUT(self) -> None:
        path, raw = self._path(), self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            held = self.server.objects.get(path)
            refused = "If-None-Match" in self.headers and held is not None
            wanted = self.headers.get("If-Match")
            refused = refused or (wanted is not None and (held is None or _tag(held[0]) != wanted))
            if not refused or self.server.careless:
                self.server.objects[path] = (raw, time.time())
        self._answer(412 if refused and not self.server.careless else 200, headers={"ETag": _tag(raw)})

    def do_DELETE(self) -> None:
        path = self._path()
        with self.server.lock:
            self.server.objects.pop(path, None)
        self._answer(204)

    def do_POST(self) -> None:
        """Several objects are removed at once: POST /bucket?delete."""
        bucket, raw = self._path(), self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        keys = [unescape(key) for key in re.findall("<Key>(.*?)</Key>", raw)]
        with self.server.lock:
            for key in keys:
                self.server.objects.pop(f"{bucket.rstrip('/')}/{key}", None)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, query = self._path(), parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._list(path.strip("/"), query.get("prefix", [""])[0])
            return
        with self.server.lock:
            held = self.server.objects.get(path)
        if held is None:
            self._answer(404)
            return
        headers = {"ETag": _tag(held[0]), "Last-Modified": formatdate(held[1], usegmt=True)}
        if self.headers.get("If-None-Match") == _tag(held[0]):
            self._answer(304, headers=headers)
        else:
            self._answer(200, b"" if self.command == "HEAD" else held[0], headers, len(held[0]))

    def _list(self, bucket: str, prefix: str) -> None:
        start, parts = f"/{bucket}/", []
        with self.server.lock:
            found = sorted((k[len(start) :], v) for k, v in self.server.objects.items() if k.startswith(start + prefix))
        for key, (raw, changed) in found:
            date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(changed))
            size = f"<Size>{len(raw)}</Size><LastModified>{date}</LastModified>"
            parts.append(f"<Contents><Key>{escape(key)}</Key><ETag>{escape(_tag(raw))}</ETag>{size}</Contents>")
        head = f"<Name>{bucket}</Name><IsTruncated>false</IsTruncated><KeyCount>{len(parts)}</KeyCount>"
        self._answer(200, f"<ListBucketResult>{head}{''.join(parts)}</ListBucketResult>".encode())


if __name__ == "__main__":
    with ObjectServer() as alone:
        print(json.dumps(alone.variables), flush=True)
        alone.serve_forever()
