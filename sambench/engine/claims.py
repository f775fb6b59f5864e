"""Claims: who computes a shard at the moment. They spare double work; that results are right never depends on them.

A claim is a file created exclusively, with host, process id and start time inside; a thread touches it while its holder lives.
It is stale if its process is gone (same host), or if it has not been touched for STALE_S (another host).
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

HEARTBEAT_S = 10.0
STALE_S = 180.0


class Claim:
    """A held claim; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> Claim:
        self._beat.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._beat.join()
        if (_read(self.path) or {}).get("token") == self.token:
            self.path.unlink(missing_ok=True)

    def _touch(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                os.utime(self.path)
            except OSError:  # taken over after a long sleep of this machine: harmless, see the module's docstring
                return

    token = ""


def try_claim(path: Path) -> Claim | None:
    """Claim `path`, taking over a stale claim; None if a living process holds it. Raises OSError if the folder is not writable."""
    claim = Claim(path)
    claim.token = uuid.uuid4().hex
    text = json.dumps({"token": claim.token, **_me()})
    for _ in range(3):
        if _create(path, text):
            return claim
        if holder(path) is not None:
            return None
        # Stale: move it aside. Of several processes that try, one wins; the others find the new claim or nothing.
        aside = path.with_suffix(f".stale-{claim.token}")
        try:
            os.rename(path, aside)
            aside.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
    return None


def holder_pid(path: Path) -> int | None:
    """Process id of the claim's holder if that is on this host, dead or alive."""
    found = _read(path)
    return int(found["pid"]) if found and found.get("host") == socket.gethostname() else None


def holder(path: Path) -> str | None:
    """'pid N on HOST' of the living process that holds the claim, or None if nobody does."""
    found = _read(path)
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return None
    if found is None:  # being written at this moment, or torn by a crash
        return "another process" if age < HEARTBEAT_S else None
    if found.get("host") == socket.gethostname():
        alive = _start_time(int(found["pid"])) == found.get("start")
    else:
        alive = age < STALE_S
    return f"pid {found['pid']} on {found['host']}" if alive else None


def _create(path: Path, text: str) -> bool:
    # Written aside and linked: the claim appears with its content or not at all.
    aside = path.with_suffix(f".new-{uuid.uuid4().hex}")
    aside.write_text(text)
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            with path.open("x") as f:
                f.write(text)
        except FileExistsError:
            return False
    finally:
        aside.unlink(missing_ok=True)
    return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "pid" in found and "host" in found else None


def _me() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": _start_time(os.getpid())}


def _start_time(pid: int) -> str | None:
    """Something that tells a process from a later one with the same id; None if there is no such process."""
    try:  # Linux: field 22 of stat, after the parenthesised name
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if stat[0] == "Z" else stat[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"
