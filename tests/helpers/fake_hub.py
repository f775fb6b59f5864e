"""A hub of models on this machine: the two addresses that `huggingface_hub` asks, and what can go wrong there."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT, OLDER = "1" * 40, "2" * 40
TOKEN = "hf_SecretOfTheTests"


@dataclass
class FakeHub:
    """One repository. gated: False, "auto" or "manual": then its files want the token, and an entry in `allowed`.

    wrong: names of files of which other bytes come than the record says. busy: of files that it answers with HTTP 503.
    asked: method and path of every request.
    """

    repo: str
    folder: Path
    gated: object = False
    private: bool = False
    allowed: bool = True
    wrong: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    status: int = 0
    licence: str = "apache-2.0"
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def files(self) -> list[Path]:
        return sorted(p for p in self.folder.iterdir() if p.is_file())

    def info(self, commit: str) -> dict[str, object]:
        siblings = []
        for file in self.files():
            large = {"lfs": self.lfs(file)} if self.is_large(file) else {}
            siblings.append({"rfilename": file.name, "size": file.stat().st_size, **large})
        terms = {"cardData": {"license": self.licence}, "gated": self.gated, "private": self.private}
        return {"id": self.repo, "sha": commit, "siblings": siblings, **terms}

    @staticmethod
    def is_large(file: Path) -> bool:
        return file.suffix in (".safetensors", ".bin")

    @staticmethod
    def lfs(file: Path) -> dict[str, object]:
        return {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": file.stat().st_size, "pointerSize": 130}


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.asked.append(f"{self.command} {path}")
        if hub.status:
            return self._send(hub.status, {}, b"busy", body)
        api, files = f"/api/models/{hub.repo}", f"/{hub.repo}/resolve/"
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not (path.startswith((api, files))) or (hub.private and not known):
            return self._error(401, "RepoNotFound", body)
        if path.startswith(api):
            commit = self._commit(path.removeprefix(api).removeprefix("/revision/") or "main")
            if commit is None:
                return self._error(404, "RevisionNotFound", body)
            return self._send(200, {}, json.dumps(hub.info(commit)).encode(), body)
        revision, _, name = path.removeprefix(files).partition("/")
        commit, file = self._commit(revision), hub.folder / name
        if commit is None:
            return self._error(404, "RevisionNotFound", body)
        if hub.gated and not (known and hub.allowed):
            return self._error(403 if known else 401, "GatedRepo", body)
        if name in hub.busy:
            return self._send(503, {}, b"busy", body)
        if not file.is_file():
            return self._error(404, "EntryNotFound", body)
        raw = file.read_bytes()
        etag = hashlib.sha256(raw).hexdigest() if hub.is_large(file) else hashlib.sha1(raw).hexdigest()
        if name in hub.wrong:
            raw = bytes(len(raw))
        return self._send(200, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}, raw, body)

    @staticmethod
    def _commit(revision: str) -> str | None:
        return {"main": COMMIT, "v1": OLDER, COMMIT: COMMIT, OLDER: OLDER}.get(revision)

    def _error(self, status: int, code: str, body: bool) -> None:
        self._send(status, {"X-Error-Code": code, "X-Error-Message": f"{code} {self.headers.get('Authorization')}"}, b"{}", body)

    def _send(self, status: int, headers: dict[str, str], raw: bytes, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(raw)


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """While it holds, the hub answers at `hub.url`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
