"""Many raters at once on a server that is a process of its own: `python -m tests.helpers.rating_load` measures, tests ask for less.

A rater here is a connection that does what a browser does: the pictures of a mask, then the rating, again until it is answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sambench.rating.database import Database
from sambench.rating.queue import Queue, Rater
from tests.helpers import ROOT
from tests.helpers.rating_study import write_study


class Served:
    """`sambench rate serve` as a process on a port of loopback. kill: at once, as by a failing machine."""

    def __init__(self, study: Path, database: str) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        serve = ["-m", "sambench", "rate", "serve", str(study), "--database", database, "--port", str(self.port)]
        self.command = [sys.executable, *serve]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 90
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, "the server has ended"
                assert time.monotonic() < until, "the server does not listen"
                time.sleep(0.05)

    def kill(self, with_signal: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(with_signal)
        self.process.wait(30)


@dataclass
class Seen:
    """What raters saw. given: {slot: score} of every acknowledged rating; ms: of requests, by kind; broken: lost answers."""

    given: dict[str, int] = field(default_factory=dict)
    ms: dict[str, list[float]] = field(default_factory=lambda: {"rate": [], "view": []})
    broken: int = 0

    def quantile(self, kind: str, q: float) -> float:
        held = sorted(self.ms[kind])
        return held[min(len(held) - 1, int(q * len(held)))]


class Browser:
    """One keep-alive connection of HTTP/1.1."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, fields: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """(status, body). Raises OSError or EOFError where the connection breaks."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        body = urlencode(fields).encode() if fields is not None else b""
        lines = [f"{'GET' if fields is None else 'POST'} {path} HTTP/1.1", "host: 127.0.0.1", "accept: application/json"]
        if fields is not None:
            lines += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body)}"]
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            return int(head.split(" ", 2)[1]), await reader.readexactly(length)
        except (OSError, EOFError):
            self.close()
            raise

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


async def rate(port: int, rater: Rater, until: float, think_s: float, seen: Seen) -> None:
    """One rater until a moment of the monotonic clock: the five views, a pause, a rating that is sent until it is answered."""
    browser, dice, base = Browser(port), random.Random(rater.token), f"/r/{rater.token}"

    async def timed(kind: str, path: str, fields: dict[str, Any] | None = None) -> tuple[int, bytes]:
        while True:
            began = time.perf_counter()
            try:
                found = await browser.ask(path, fields)
            except (OSError, EOFError):
                seen.broken += 1
                await asyncio.sleep(0.1)
                continue
            seen.ms[kind].append(1000 * (time.perf_counter() - began))
            return found

    await asyncio.sleep(think_s * dice.random())
    state = json.loads((await timed("view", f"{base}/stand"))[1])
    while time.monotonic() < until and state["slots"]:
        slot = state["slots"][0]
        for url in list(slot["views"].values())[:5]:
            status, body = await timed("view", url)
            assert status == 200, body
        await asyncio.sleep(think_s * (0.5 + dice.random()))
        score = dice.randint(1, 10)
        fields = {"slot": slot["slot"], "round": slot["round"], "score": score, "attempt": f"{dice.getrandbits(60)}", "seconds": 1}
        status, body = await timed("rate", f"{base}/rate", fields)
        state = json.loads(body)
        assert (status, state["outcome"]) == (200, "stored"), body
        assert slot["slot"] not in seen.given
        seen.given[slot["slot"]] = score
    browser.close()


def invited(database: str, n: int) -> list[Rater]:
    """Raters who have done all that comes before the queue."""
    held = Database(database)
    queue = Queue(held)
    out = []
    for _ in range(n):
        rater = queue.invite()
        queue.consent(rater.rater_id, "someone")
        queue.guided(rater.rater_id)
        queue.practise(rater.rater_id, 0, 5, 1)
        out.append(rater)
    held.close()
    return out


def run(
    served: Served, raters: list[Rater], seconds: float, think_s: float, beside: Callable[[], Awaitable[None]] | None = None
) -> Seen:
    """All raters at once for so long, with something beside them."""
    seen = Seen()

    async def all_of_them() -> None:
        until = time.monotonic() + seconds
        work = [rate(served.port, rater, until, think_s, seen) for rater in raters]
        await asyncio.gather(*work, *([beside()] if beside else []))

    asyncio.run(all_of_them())
    return seen


def stored(database: str) -> tuple[dict[str, int], int]:
    """({slot: score} of all ratings, how many jobs have more ratings than they need)."""
    held = Database(database)
    with held.read() as s:
        given = {r["slot"]: r["score"] for r in s.rows("SELECT slot, score FROM ratings")}
        doubled = s.rows(
            "SELECT a.job_id FROM ratings r JOIN assignments a ON a.slot = r.slot JOIN jobs j ON j.job_id = a.job_id "
            "WHERE j.is_control = 0 GROUP BY a.job_id, j.wanted HAVING COUNT(*) > j.wanted"
        )
    held.close()
    return given, len(doubled)


def main() -> int:
    """50 raters for 30 s, a rating a second each; exit code 1 where one is lost or doubled, or p95 is 100 ms or more."""
    with tempfile.TemporaryDirectory() as folder:
        study = write_study(Path(folder) / "s", n_inputs=900, more_bytes=150_000)
        database = os.environ.get("SAMBENCH_LOAD_DATABASE", str(study / "ratings.sqlite"))
        served = Served(study, database)
        try:
            seen = run(served, invited(database, 50), 30.0, 1.0)
        finally:
            served.kill(signal.SIGTERM)
        given, doubled = stored(database)
    n_views = len(seen.ms["view"])
    print(f"{len(seen.given)} ratings, {n_views} images of 150 kB in 30 s by 50 raters; machine's load {os.getloadavg()[0]:.1f}")
    for kind in seen.ms:
        p50, p95, p99 = (seen.quantile(kind, q) for q in (0.5, 0.95, 0.99))
        print(f"{kind}: p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms")
    print(f"lost: {len(seen.given.items() - given.items())}, not acknowledged: {len(given) - len(seen.given)}, doubled: {doubled}")
    return int(given != seen.given or doubled > 0 or seen.quantile("rate", 0.95) >= 100)


if __name__ == "__main__":
    sys.exit(main())
