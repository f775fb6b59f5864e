"""Workers on other machines: what is done at one place there, and how its messages come back, by files in the run's folder.

`slurm` and `ray` start places; it is no backend itself. A place does what the local backend does with one device, so that a process
that dies on an image is started again there. The folder of runs is one that all machines see: workers take shards of it by leases
and store them in it, and beside them lie, of every command, the events of each place (`<number>.jsonl`) and, once it is to stop,
`stop`.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sambench.engine.backends.local import Local, LocalWorkers
from sambench.engine.events import Event, OnEvent
from sambench.engine.worker import Job
from sambench.errors import SambenchError
from sambench.files import mirror
from sambench.store import leases

STOP = "stop"
LOOK_EVERY_S = 1.0  # at a network's disk


@dataclass(frozen=True)
class Place:
    """What is done at one place; plain values, to be sent there. job: as JSON. number: of the places that one command started."""

    job: str
    device: str
    folder: str
    number: int

    def work(
        self, asked: threading.Event, begun: Callable[[LocalWorkers], None] = lambda _: None
    ) -> SambenchError | None:
        """Work until nothing is left, or it is told to stop by `asked` or the file; gives the error of a worker, with which the
        command is to end. begun: gets the workers once they are started."""
        folder = Path(self.folder)
        job = Job.from_json(self.job)
        with (folder / f"{self.number}.jsonl").open("a", buffering=1) as events:

            def on_event(event: Event) -> None:
                events.write(json.dumps(event) + "\n")

            workers = Local().start(job, [self.device], folder / "logs", on_event)
            begun(workers)
            holders: set[tuple[str, int]] = set()
            try:
                self._follow(workers, asked, holders, on_event)
            finally:  # also where a scheduler's library ends this process to put the job back into the queue
                workers.close()
                release(job, holders)
        return workers.failure

    def _follow(
        self, workers: LocalWorkers, asked: threading.Event, holders: set[tuple[str, int]], on_event: OnEvent
    ) -> None:
        stopping, stop, looked = False, Path(self.folder) / STOP, float("-inf")
        while workers.running:
            for w in workers.workers:
                holder = (socket.gethostname(), w.process.pid)
                if holder not in holders:
                    holders.add(holder)
                    on_event({"event": "worker", "host": holder[0], "pid": holder[1]})
            look = time.monotonic() - looked >= LOOK_EVERY_S
            if not stopping and (asked.is_set() or (look and stop.exists())):
                stopping = True
                workers.stop(now=False)
            looked = time.monotonic() if look else looked
            workers.wait()


def release(job: Job, holders: set[tuple[str, int]]) -> None:
    """Give back the leases of processes, (host, pid), that have ended: others need not wait for their last sign of life."""
    for cell in job.cells:
        with suppress(OSError):  # of an object store that is not reached: then they do wait
            leases.release(mirror.here(cell.cell_dir) / "shards", holders)


class Messages:
    """The events of the places of one command, passed on as they come: also those from before another command came back to them,
    and of images that are computed again after a place was lost. images: how many each place has told of."""

    def __init__(self, job: Job, folder: Path, n: int, on_event: OnEvent) -> None:
        """n: places."""
        self.job, self.folder, self.on_event = job, folder, on_event
        self.read, self.images = [0] * n, [0] * n
        self.holders: list[set[tuple[str, int]]] = [set() for _ in range(n)]

    def more(self) -> int:
        """The number of one more place."""
        self.read.append(0)
        self.images.append(0)
        self.holders.append(set())
        return len(self.read) - 1

    def begun(self, i: int) -> bool:
        """Whether the place has ever been at work."""
        return (self.folder / f"{i}.jsonl").exists()

    def stop(self) -> None:
        """Have all places stop after the step at hand."""
        with suppress(OSError):
            (self.folder / STOP).touch()

    def listen(self) -> None:
        """Pass on whole lines that the places have written since."""
        for i in range(len(self.read)):
            try:
                with (self.folder / f"{i}.jsonl").open("rb") as f:
                    f.seek(self.read[i])
                    text = f.read()
            except OSError:  # not begun
                continue
            whole = text[: text.rfind(b"\n") + 1]
            self.read[i] += len(whole)
            for line in whole.splitlines():
                with suppress(ValueError):  # of a place that was killed in the middle of one
                    self._pass_on(i, json.loads(line))

    def lost(self, i: int) -> None:
        """The place is gone, with its processes: their leases are given back."""
        self.listen()
        release(self.job, self.holders[i])
        self.holders[i].clear()

    def _pass_on(self, i: int, event: Event) -> None:
        if event["event"] == "worker":
            self.holders[i].add((event["host"], event["pid"]))
            return
        if event["event"] == "waiting":  # for a shard of another place of ours, as a rule
            return
        self.images[i] += event["event"] == "image"
        self.on_event(event)
