"""How far cells are and who computes them: what `sambench status` shows, counted from the files at this moment.

Speed is that of the command at hand: the images of the shards written since the record said `running`, over the time since then.
So a run that stands still becomes slower with every look, and its expected end moves away.

Cost is the time that devices were held for the images that are stored: the start of each worker and what it waited for are in it,
what was lost with a worker that died, and the rest of its time after its last image, are not.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sambench.errors import SambenchError, UsageError
from sambench.results.apart import apart
from sambench.store.leases import Held, held_by
from sambench.store.views import CellView, read_cell
from sambench.text import counted

STRAGGLER_TIMES = 3.0  # a shard that takes so many times what the others took
STRAGGLER_S = 30.0  # and at least so long


@dataclass(frozen=True)
class Worker:
    """One process at work on one shard. seconds: for how long, None where its lease does not say.

    straggler: it takes STRAGGLER_TIMES as long as the cell's shards took so far (their median), and STRAGGLER_S.
    """

    host: str
    pid: int | None
    shard: int
    seconds: float | None = None
    straggler: bool = False


@dataclass(frozen=True)
class Price:
    """Of an hour of a device. unit: the currency, as it is to be shown; may be empty."""

    amount: float
    unit: str = ""

    @classmethod
    def read(cls, text: str) -> Price:
        """Of a text as `2.5` or `2.5 EUR`. Raises UsageError."""
        number, _, unit = text.strip().partition(" ")
        try:
            amount = float(number)
        except ValueError:
            amount = -1.0
        if not 0 <= amount < math.inf or len(unit.strip()) > 20:
            expected = "an amount from 0 on and, if you like, a currency: '2.5' or '2.5 EUR'"
            raise UsageError("a price cannot be read", where="--price", expected=expected, found=repr(text))
        return cls(amount, unit.strip())

    def of(self, hours: float) -> str:
        """What so many hours cost, in words."""
        return f"{self.amount * hours:,.2f} {self.unit}".rstrip()


@dataclass(frozen=True)
class Failed:
    image_id: str
    error: str


@dataclass(frozen=True)
class CellState:
    """One cell. status: of `LiveState`, or damaged or unreadable, where `error` says why and nothing else is known.

    label: what the model is called. differs: what sets it apart from other cells of its run and dataset (`progress_of_all`).
    device_kind: cpu, cuda. device_hours: what the images that are there took of devices (GPUs, or
    cores of a CPU); expected_device_hours: what all wanted ones will, as it looks; None before the first.
    n_done, n_failed: of n_wanted images, those of the subset's n_images that were asked for. started: ISO 8601, UTC; images_per_s,
    expected_end: of a running cell that has computed something since then.
    """

    path: Path
    run: str
    dataset: str
    status: str
    model: str = ""
    label: str = ""
    differs: str = ""
    protocol: str = ""
    n_done: int = 0
    n_failed: int = 0
    n_wanted: int = 0
    n_images: int = 0
    n_objects: int = 0
    started: str | None = None
    images_per_s: float | None = None
    expected_end: str | None = None
    device_kind: str = ""
    device_hours: float = 0.0
    expected_device_hours: float | None = None
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

    def to_json(self, price: Price | None = None) -> dict[str, Any]:
        """For `status --json`: these keys stay, others may be added."""
        told = {k: v for k, v in asdict(self).items() if k != "holders"}
        hours = (self.device_hours, self.expected_device_hours)
        cost, expected = (None if price is None or h is None else round(price.amount * h, 4) for h in hours)
        return {**told, "path": str(self.path), "hosts": list(self.hosts), "cost": cost, "expected_cost": expected}


def progress_of_all(folders: Sequence[Path]) -> list[CellState]:
    """The state of the cells in these directories, those that would look alike with what sets them apart."""
    found = [progress_of(path) for path in folders]
    whole = {i: read_cell(c.path) for i, c in enumerate(found) if not c.error}
    texts = dict(zip(whole, apart(list(whole.values())), strict=True))
    return [replace(c, differs=texts.get(i, "")) for i, c in enumerate(found)]


def progress_of(path: Path, now: float | None = None) -> CellState:
    """The state of the cell in a directory; one that is damaged is told as such. now: seconds since 1970, for tests."""
    try:
        cell = read_cell(path)
        return _progress(cell, time.time() if now is None else now)
    except SambenchError as e:  # its neighbours are not hidden by it
        state = "unreadable" if isinstance(e.__cause__, OSError) else "damaged"
        return CellState(path, path.resolve().parent.name, path.name, state, error=str(e))


def _progress(cell: CellView, now: float) -> CellState:
    live, states = cell.live, cell.states()
    failures = tuple(Failed(i, s.error) for i, s in states.items() if s.status == "failed")
    workers = _workers(cell, now) if live.holders else ()
    speed = _images_per_s(cell, now) if live.status == "running" else None
    missing = live.n_wanted - live.n_done - live.n_failed
    tried = [s for i, s in states.items() if s.status in ("ok", "failed")]
    hours = sum(s.device_s or s.seconds for s in tried) / 3600
    end = None
    if speed:
        end = (datetime.fromtimestamp(now, UTC) + timedelta(seconds=missing / speed)).isoformat(timespec="seconds")
    return CellState(
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
        device_kind=cell.record.model.device_kind,
        device_hours=round(hours, 6),
        expected_device_hours=round(hours * max(1.0, live.n_wanted / len(tried)), 6) if tried else None,
        workers=workers,
        failures=failures,
        holders=live.holders,
    )


def _workers(cell: CellView, now: float) -> tuple[Worker, ...]:
    found: list[tuple[int, Held]] = []
    for n in range(len(cell.store)):
        held = held_by(cell.store.lease_path(n))
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


def summary(cells: Sequence[CellState]) -> str:
    """One line of all that are computed at this moment; empty where none is."""
    running = [c for c in cells if c.workers]
    if not running:
        return ""
    workers = [w for c in running for w in c.workers]
    hosts = dict.fromkeys(w.host for w in workers)
    parts = [f"{counted(len(workers), 'worker')} on {counted(len(hosts), 'host')}"]
    speed = sum(c.images_per_s or 0.0 for c in running)
    parts += [f"{speed:.2f} images/s"] if speed else []
    ends = [c.expected_end for c in running if c.expected_end]
    if ends and len(ends) == len(running):
        parts.append(f"expected end {max(ends)}")
    slow = [f"{w.host} (pid {w.pid}, shard {w.shard}, {w.seconds:.0f} s)" for c in running for w in c.stragglers]
    parts += [f"stragglers: {', '.join(slow)}"] if slow else []
    return ", ".join(parts)


def cost(cells: Sequence[CellState], price: Price | None = None) -> str:
    """One line of what the cells took so far, and will in all while some are computed; empty where nothing was computed."""
    kinds = dict.fromkeys(c.device_kind for c in cells if c.device_hours)
    return "; ".join(_cost([c for c in cells if c.device_kind == kind], kind, price) for kind in kinds)


def _cost(cells: Sequence[CellState], kind: str, price: Price | None) -> str:
    unit = "core-hours" if kind == "cpu" else "GPU-hours" if kind == "cuda" else f"{kind} device-hours"

    def said(hours: float) -> str:
        digits = "under 0.01" if hours < 0.01 else f"{hours:,.{2 if hours < 100 else 0}f}"
        return f"{digits} {unit}" + (f" ({price.of(hours)})" if price else "")

    so_far = sum(c.device_hours for c in cells)
    line = f"cost so far {said(so_far)}"
    if any(c.status == "running" for c in cells):
        line += f", expected in all {said(sum(c.expected_device_hours or c.device_hours for c in cells))}"
    return line
