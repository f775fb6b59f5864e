"""Leases: who computes a shard at the moment. They spare double work; that results are right never depends on them.

A lease is a file (`*.claim`) created exclusively, with host, process id and start time inside; a thread touches it while its
holder lives. It is stale if its process is gone (same host), or if it was not touched for STALE_S (another host). Clocks of
hosts differ, so that a date that is not long past proves nothing: who waits looks whether the lease changes, by his own clock
(`Watch`). The same goes for a lease that cannot be read; it has STRANGE_S, unless it is touched.

In an object store a lease is an object that is written only where there is none, its beat one that takes the place of the version
before, and so is the lease of who takes over a stale one: of several that try, one wins. A store takes no request of a clock that
is more than SKEW_S off, so that a date which is older than that proves what it does on a file system. Process ids are compared
within one boot of one machine, for containers of many machines may have one name.
"""

from __future__ import annotations

import json
import math
import os
import socket
import stat
import threading
import time
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypedDict

from sambench.files import mirror
from sambench.files.objects import Changed, Version
from sambench.files.places import place_of

HEARTBEAT_S = 10.0
STALE_S = 180.0
STRANGE_S = 2 * HEARTBEAT_S
SKEW_S = 900.0
MOST_BYTES = 4096  # of a lease's file


class Lease:
    """A held lease; use as a context manager. token: stands in it."""

    def __init__(self, path: Path, token: str) -> None:
        self.path, self.token = path, token
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> Lease:
        self._beat.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._beat.join()
        self._give_back()

    def _touch(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            if not self._beat_once():  # taken over after a long sleep of this machine: harmless, see the module's docstring
                return

    def _beat_once(self) -> bool:
        try:
            os.utime(self.path)
        except OSError:
            return False
        return True

    def _give_back(self) -> None:
        if (_read(self.path) or {}).get("token") == self.token:
            self.path.unlink(missing_ok=True)


class StoreLease(Lease):
    """As `Lease`, of an object. version: that of the object as this process wrote it."""

    def __init__(self, copy: mirror.Mirror, path: Path, token: str, said: dict[str, Any], version: Version) -> None:
        super().__init__(path, token)
        self.copy, self.said, self.version, self.beaten = copy, said, version, time.monotonic()

    def _beat_once(self) -> bool:
        self.said["beat"] = self.said.get("beat", 0) + 1  # a store may tell versions apart by their content alone
        try:
            self.version = self.copy.write(self.path, json.dumps(self.said).encode(), instead=self.version)
        except Changed:
            return False
        except OSError:  # the network: the next beat may come through
            return True
        self.beaten = time.monotonic()
        return True

    def _give_back(self) -> None:
        with suppress(OSError):  # it becomes stale
            if time.monotonic() - self.beaten > STALE_S / 2:  # somebody may have taken it over
                self.copy.refresh(self.path)
            if (_read(self.path) or {}).get("token") == self.token:
                self.copy.remove(self.path)


class Told(TypedDict):
    """Who holds a lease. holder: as `Watch.holder`; pid: None on another host; how: the way to end it."""

    holder: str | None
    pid: int | None
    how: str


class Watch:
    """What one process has seen of leases: since when, by its own clock, each has not changed."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[tuple[int, ...], float]] = {}

    def holder(self, path: Path, now: float | None = None) -> str | None:
        """'pid N on HOST' of the process that holds the lease and is not known to be dead, or None if nobody does.

        now: the time of day by the file system's clock, if known.
        """
        found, stamp = _read(path), _stamp(path)
        if stamp is None:
            self._seen.pop(path, None)
            return None
        if found is not None and _is_here(found):
            start = _start_time(found["pid"])
            if start is None or found["start"] is not None:
                return _named(found) if start is not None and start == found["start"] else None
        patience = STRANGE_S if found is None else STALE_S
        old = (time.time() if now is None else now) - stamp[-1] / 1e9 >= patience
        return None if old or self._unchanged_s(path, stamp) >= patience else _named(found)

    def told(self, path: Path) -> Told:
        """For the message to who waits."""
        found, who = _read(path), self.holder(path)
        here = found is not None and _is_here(found) and found["start"] is not None
        if here and found is not None:
            how = f"it ends with that process (kill {found['pid']})"
        else:
            patience = STRANGE_S if found is None else STALE_S
            at_once = f"at once without {mirror.named(path)}"
            how = f"if there is no such process, this goes on {patience:.0f} s after its last sign of life; {at_once}"
        return {"holder": who, "pid": found["pid"] if here and found is not None else None, "how": how}

    def _unchanged_s(self, path: Path, stamp: tuple[int, ...]) -> float:
        now = time.monotonic()
        before, since = self._seen.get(path, (None, now))
        if before != stamp:
            since = now
        self._seen[path] = (stamp, since)
        return now - since


def try_lease(path: Path, watch: Watch | None = None) -> Lease | None:
    """The lease `path`, taken, or taken over where it is stale; None if a process holds it that may live.

    watch: what is known of leases so far. Raises OSError if the folder is not writable.
    """
    watch, copy = watch or Watch(), mirror.at(path)
    if copy is not None:
        return _try_in_store(copy, path, watch)
    lease = Lease(path, uuid.uuid4().hex)
    text = json.dumps(_content(lease.token))
    for _ in range(3):
        now = _create(path, text)
        if now is None:
            return lease
        if watch.holder(path, now) is not None:
            return None
        # Stale: move it aside. Of several processes that try, one wins; the others find the new lease or nothing.
        aside = path.with_suffix(f".stale-{lease.token}")
        try:
            os.rename(path, aside)
            _remove(aside)
        except FileNotFoundError:
            continue
    return None


def _try_in_store(copy: mirror.Mirror, path: Path, watch: Watch) -> StoreLease | None:
    token, long_ago = uuid.uuid4().hex, time.time() - SKEW_S
    if watch.holder(path, long_ago) is not None:  # as the copy has it: no request for what is surely held
        return None
    said = {**_content(token), "boot": _boot()}
    for go in range(3):
        version = copy.refresh(path) if go or path.exists() else None  # of what nobody has seen there is likely none
        if version is not None and (_read(path) or {}).get("token") == token:  # a write whose answer was lost
            return StoreLease(copy, path, token, said, version)
        if version is not None and watch.holder(path, long_ago) is not None:
            return None
        with suppress(Changed):
            version = copy.write(path, json.dumps(said).encode(), create=version is None, instead=version)
            return StoreLease(copy, path, token, said, version)
    return None


def holder(path: Path) -> str | None:
    """As `Watch.holder`, of who looks for the first time."""
    return Watch().holder(path)


def release(folder: Path, holders: Collection[tuple[str, int]]) -> None:
    """Remove the leases in a folder that processes held, (host, pid), which are known to have ended."""
    place = place_of(folder)
    if holders:
        place.refresh_below(folder)
    for path in sorted(folder.glob("*.claim")) if holders else ():
        found = _read(path)
        if found is not None and (found["host"], found["pid"]) in holders and not _lives_here(found):
            place.remove(path)


def _lives_here(found: dict[str, Any]) -> bool:
    """Whether a later process of this machine, which has got the same id, holds the lease."""
    if found["host"] != socket.gethostname():
        return False
    start = _start_time(found["pid"])
    return start is not None and start == found["start"]


@dataclass(frozen=True)
class Held:
    """Who holds a lease. pid, since (seconds since 1970, by the holder's clock): None where the lease does not say."""

    host: str
    pid: int | None
    since: float | None


def held_by(path: Path) -> Held | None:
    """As `holder`, with what else the lease says; a lease that cannot be read is held by '?'."""
    if holder(path) is None:
        return None
    found = _read(path)
    return Held(found["host"], found["pid"], found["since"]) if found else Held("?", None, None)


def _named(found: dict[str, Any] | None) -> str:
    return f"pid {found['pid']} on {found['host']}" if found else "another process"


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the lease is touched or replaced; the last of it is the time of its change. None: there is none."""
    try:
        s = path.lstat()
    except OSError:
        return None
    return (s.st_ino, s.st_size, s.st_mtime_ns)


def _remove(aside: Path) -> None:
    try:
        aside.unlink(missing_ok=True)
    except OSError:  # a folder, put there by hand
        with suppress(OSError):
            aside.rmdir()


def _create(path: Path, text: str) -> float | None:
    """None if the lease is ours now; else the time of day by the clock that dates the files there."""
    # Written aside and linked: the lease appears with its content or not at all.
    aside = path.with_suffix(f".new-{uuid.uuid4().hex}")
    aside.write_text(text)
    try:
        now = aside.stat().st_mtime
        try:
            os.link(aside, path)
        except FileExistsError:
            return now
        except OSError:  # a file system without hard links
            try:
                with path.open("x") as f:
                    f.write(text)
            except FileExistsError:
                return now
    finally:
        aside.unlink(missing_ok=True)
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """host, pid, start (None: not known), since (None: earlier versions do not say it) and token of a lease; None where there is
    none, or none that can be read."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # reading a pipe would wait for ever
            return None
        with path.open("rb") as f:
            found = json.loads(f.read(MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    host, pid, start, since = (found.get(key) for key in ("host", "pid", "start", "since"))
    if not isinstance(host, str) or type(pid) is not int or not 0 < pid < 1 << 31:
        return None
    return {
        "host": host,
        "pid": pid,
        "start": start if isinstance(start, str) else None,
        "since": float(since) if isinstance(since, int | float) and math.isfinite(since) else None,
        "token": found.get("token"),
        "boot": found.get("boot"),
    }


def _content(token: str) -> dict[str, Any]:
    """What stands in a lease of this process."""
    return {"token": token, **_me(), "since": round(time.time(), 3)}


def _is_here(found: Mapping[str, Any]) -> bool:
    """Whether a lease's process is, or was, one of this machine."""
    return found["host"] == socket.gethostname() and found["boot"] in (None, _boot())


@cache
def _boot() -> str:
    """Something that tells a machine, since it was started, from all others; empty where that is not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _me() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": _start_time(os.getpid())}


def _start_time(pid: int) -> str | None:
    """Something that tells a process from a later one with the same id; None if there is no such process."""
    try:  # Linux: field 22 of stat, after the parenthesised name
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
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
