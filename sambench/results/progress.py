"""How far cells are and who computes them: what `sambench status` shows, counted from the files at this moment.

Speed is that of the command at hand: the images of the shards written since the record said `running`, over the time since then.
So a run that stands still becomes slower with every look, and its expected end moves away.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sambench.errors import SambenchError
from sambench.store.claims import Held, held_by
from sambench.store.views import CellView, read_cell

STRAGGLER_TIMES = 3.0  # a shard that takes so many times what the others took
STRAGGLER_S = 30.0  # and at least so long


@dataclass(frozen=True)
class Worker:
    """One process at work on one shard. seconds: for how long, None where its claim does not say.

    straggler: it takes STRAGGLER_TIMES as long as the cell's shards took so far (their median), and STRAGGLER_S.
    """

    host: str
    pid: int | None
    shard: int
    seconds: float | None = None
    straggler: bool = False


@dataclass(frozen=True)
class Failed:
    image_id: str
    error: str


@dataclass(frozen=True)
class CellProgress:
    """One cell. status: of `LiveState`, or damaged or unreadable, where `error` says why and nothing else is known.

    label: what the model is called.
    n_done, n_failed: of n_wanted images, those of the subset's n_images that were asked for. started: ISO 8601, UTC; images_per_s,
    expected_end: of a running cell that has computed something since then.
    """

    path: Path
    run: str
    dataset: str
    status: str
    model: str = ""
    label: str = ""
    protocol: str = ""
    n_done: int = 0
    n_failed: int = 0
    n_wanted: int = 0
    n_images: int = 0
    n_objects: int = 0
    started: str | None = None
    images_per_s: float | None = None
    expected_end: str | None = None
    workers: tuple[Worker, ...] = ()
    failures: tuple[Failed, ...] = ()
    error: str = ""
    holders: tuple[str, ...] = field(default=(), repr=False)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(w.host for w in self.workers))

    @property
    def stragglers(self) -> tuple[Worker, ...]:
        return tuple(w for w in self.workers if w.straggler)

    def to_json(self) -> dict[str, Any]:
        """For `status --json`: these keys stay, others may be added."""
        told = {k: v for k, v in asdict(self).items() if k != "holders"}
        return {**told, "path": str(self.path), "hosts": list(self.hosts)}


def progress_of(path: Path, now: float | None = None) -> CellProgress:
    """The state of the cell in a directory; one that is damaged is told as such. now: seconds since 1970, for tests."""
    try:
        cell = read_cell(path)
        return _progress(cell, time.time() if now is None else now)
    except SambenchError as e:  # its neighbours are not hidden by it
        state = "unreadable" if isinstance(e.__cause__, OSError) else "damaged"
        return CellProgress(path, path.resolve().parent.name, path.name, state, error=str(e))


def _progress(cell: CellView, now: float) -> CellProgress:
    live, states = cell.live, cell.states()
    failures = tuple(Failed(i, s.error) for i, s in states.items() if s.status == "failed")
    workers = _workers(cell, now) if live.holders else ()
    speed = _images_per_s(cell, now) if live.status == "running" else None
    missing = live.n_wanted - live.n_done - live.n_failed
    end = None
    if speed:
        end = (datetime.fromtimestamp(now, UTC) + timedelta(seconds=missing / speed)).isoformat(timespec="seconds")
    return CellProgress(
        path=cell.path,
        run=cell.run_name,
        dataset=cell.dataset,
        status=live.status,
        model=cell.model,
        label=cell.label,
        protocol=cell.record.task.protocol,
        n_done=live.n_done,
        n_failed=live.n_failed,
        n_wanted=live.n_wanted,
        n_images=live.n_images,
        n_objects=live.n_objects,
        started=cell.record.started,
        images_per_s=speed,
        expected_end=end,
        workers=workers,
        failures=failures,
        holders=live.holders,
    )


def _workers(cell: CellView, now: float) -> tuple[Worker, ...]:
    found: list[tuple[int, Held]] = []
    for n in range(len(cell.store)):
        held = held_by(cell.store.claim_path(n))
        if held is not None:
            found.append((n, held))
    usual = _shard_seconds(cell)
    return tuple(_worker(n, held, usual, now) for n, held in found)


def _worker(n: int, held: Held, usual: float | None, now: float) -> Worker:
    seconds = None if held.since is None else max(0.0, now - held.since)
    slow = usual is not None and seconds is not None and seconds > max(STRAGGLER_S, STRAGGLER_TIMES * usual)
    return Worker(held.host, held.pid, n, seconds, slow)


def _shard_seconds(cell: CellView) -> float | None:
    """The median time that the cell's shards took, None where there is none yet."""
    taken = [sum(s.seconds for s in cell.store.states(n).values()) for n in range(len(cell.store))]
    return statistics.median(t for t in taken if t) if any(taken) else None


def _images_per_s(cell: CellView, now: float) -> float | None:
    """Of the command at hand; None before its first shard."""
    try:
        since = datetime.fromisoformat(cell.record.started or "").timestamp()
    except ValueError:
        return None
    n = 0
    for i in range(len(cell.store)):
        with suppress(FileNotFoundError):
            if cell.store.path(i).stat().st_mtime >= since:
                n += len(cell.store.states(i))
    return n / (now - since) if n and now > since else None


def summary(cells: Sequence[CellProgress]) -> str:
    """One line of all that are computed at this moment; empty where none is."""
    running = [c for c in cells if c.workers]
    if not running:
        return ""
    workers = [w for c in running for w in c.workers]
    hosts = dict.fromkeys(w.host for w in workers)
    parts = [f"{len(workers)} worker{'s' if len(workers) > 1 else ''} on {len(hosts)} host{'s' if len(hosts) > 1 else ''}"]
    speed = sum(c.images_per_s or 0.0 for c in running)
    parts += [f"{speed:.2f} images/s"] if speed else []
    ends = [c.expected_end for c in running if c.expected_end]
    if ends and len(ends) == len(running):
        parts.append(f"expected end {max(ends)}")
    slow = [f"{w.host} (pid {w.pid}, shard {w.shard}, {w.seconds:.0f} s)" for c in running for w in c.stragglers]
    parts += [f"stragglers: {', '.join(slow)}"] if slow else []
    return ", ".join(parts)
