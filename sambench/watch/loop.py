"""Going round: find new whole checkpoints, evaluate each once, write the ledger and the curve, tell of what is worse."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sambench import tasks
from sambench.engine.events import OnEvent
from sambench.errors import RunError, UsageError, unknown_name
from sambench.files.writing import storage_error
from sambench.results.citations import cite
from sambench.results.measures import measures_of_task
from sambench.store.leases import holder, try_lease
from sambench.store.lookup import find_cells
from sambench.store.views import CellView, read_cell
from sambench.text import counted
from sambench.watch import picture
from sambench.watch.checkpoints import PATTERNS, Checkpoint, Completeness, checkpoints_in, chosen
from sambench.watch.evaluate import Reference, Work, evaluate, fewest_clicks, score_of
from sambench.watch.ledger import Entry, Ledger

BEST = "best"
WEBHOOK_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Watch:
    """What is watched, and until when.

    folder: of the checkpoints; to: of the ledger, the curve and its data. against: a run, `best` (the best checkpoint before), or
    empty. every, newest, patterns: see `checkpoints`. settle_s: how long a file must not change to be whole; poll_s: between two
    looks. once: end when all that is there was evaluated; idle_s: end when nothing new came for so long; None: never. stop: end at
    the first checkpoint that is worse. webhook: an address that is told of each, by a POST of JSON.
    """

    folder: Path
    to: Path
    work: Work
    against: str = ""
    every: int | None = None
    newest: bool = False
    patterns: tuple[str, ...] = PATTERNS
    settle_s: float = 10.0
    poll_s: float = 10.0
    once: bool = False
    idle_s: float | None = None
    stop: bool = True
    webhook: str = ""

    def what(self) -> dict[str, Any]:
        """All that its numbers and verdicts depend on: a ledger is of one of these."""
        r, rule = self.work.request, asdict(self.work.rule)
        ((model, options),) = r.models
        asked: dict[str, Any] = {"task": r.task, "settings": dict(r.settings), "datasets": list(r.datasets)}
        asked |= {"model": model, "options": dict(options)}
        asked |= {"subset": r.subset, "limit": r.limit, "precision": r.precision, "root": r.root}
        return {**asked, "against": self.against, **rule}


Say = Callable[[str], None]


def run(watch: Watch, *, say: Say, on_event: OnEvent) -> list[Entry]:
    """Watch to its end; gives the entries of all checkpoints, in order.

    say: takes lines for the user; on_event: the engine's events. Raises SambenchError, and KeyboardInterrupt: what is computed is
    kept, and the same watch goes on with it.
    """
    _check(watch)
    with _alone(watch.to):
        going = _Going(watch, say, on_event)
        going.announce_due()
        going.go()
        return going.ledger.in_order


class _Going:
    def __init__(self, watch: Watch, say: Say, on_event: OnEvent) -> None:
        self.watch, self.say, self.on_event = watch, say, on_event
        self.ledger = Ledger(watch.to, watch.what())
        self.complete = Completeness(watch.settle_s)
        self.failed: set[tuple[str, int, int]] = set()  # in this command: they are tried again by the next
        self.told_broken: set[tuple[str, int, int]] = set()
        self.stopped = False
        self.fixed = _reference(watch)
        done = len(self.ledger.entries)
        if done:
            say(f"going on: {counted(done, 'checkpoint')} evaluated before, in {self.ledger.path}")

    def go(self) -> None:
        quiet_since = time.monotonic()
        checkpoints_in(self.watch.folder, self.watch.patterns)  # that it is there
        while not self.stopped:
            waiting = self._waiting()
            ready = next((c for c in waiting if self.complete.whole(c)), None)
            if ready is not None:
                self._evaluate(ready)
                quiet_since = time.monotonic()
                continue
            self._tell_broken(waiting)
            unsettled = [c for c in waiting if c.key not in self.complete.broken]
            idle = self.watch.idle_s is not None and time.monotonic() - quiet_since >= self.watch.idle_s
            if (self.watch.once and not unsettled) or idle:
                return
            time.sleep(min(self.watch.poll_s, self.watch.settle_s) if unsettled else self.watch.poll_s)

    def _waiting(self) -> list[Checkpoint]:
        """Those to be evaluated that were not, the earliest first."""
        done = [e.step for e in self.ledger.entries if e.step is not None and not _again(e)]
        found = checkpoints_in(self.watch.folder, self.watch.patterns)
        picked = chosen(found, every=self.watch.every, newest=self.watch.newest, done=done)
        known = {e.key for e in self.ledger.entries if not _again(e)} | self.failed
        return [c for c in picked if c.key not in known]

    def _evaluate(self, one: Checkpoint) -> None:
        self.say(f"{one.name}: evaluating")
        entry = evaluate(self.watch.work, one, self._against(), self.on_event)
        if entry.error:
            self.failed.add(one.key)
            self.say(f"{one.name}: {entry.error}")
        if not entry.worse:
            self.say(f"{one.name}: {_told(entry)}")
        self.ledger.add(entry)
        cite(self._cells(), self.ledger.path)
        picture.write(self.ledger.in_order, metric_of(self.watch), self._band(), self.watch.to)
        if entry.worse:
            self._announce(entry)

    def _cells(self) -> Iterator[CellView]:
        """Those of all entries that are still there."""
        for path in dict.fromkeys(p for e in self.ledger.entries for p in e.paths):
            with suppress(RunError):
                yield read_cell(Path(path))

    def _against(self) -> Reference | None:
        if self.watch.against != BEST:
            return self.fixed
        best = self.ledger.best
        if best is None:
            return None
        return Reference(best.label, tuple(read_cell(Path(p)) for p in best.paths))

    def _band(self) -> picture.Band | None:
        if self.fixed is None:
            return None
        score, low, high = score_of(self._same_datasets(), metric_of(self.watch), self._k())
        return None if score is None else picture.Band(self.fixed.name, score, low, high)

    def _same_datasets(self) -> list[Any]:
        assert self.fixed is not None
        here = {d.dataset for e in self.ledger.entries for d in e.datasets}
        return [c for c in self.fixed.cells if c.dataset in here] or list(self.fixed.cells)

    def _k(self) -> int | None:
        assert self.fixed is not None
        rule = self.watch.work.rule
        return rule.k if rule.k is not None else fewest_clicks(self.fixed.cells, metric_of(self.watch))

    def announce_due(self) -> None:
        """Tell of what was found to be worse by a watch that was killed before it had told."""
        for entry in self.ledger.in_order:
            if entry.worse and not entry.announced:
                self._announce(entry)

    def _announce(self, entry: Entry) -> None:
        self.say(f"WORSE: {entry.label}: {_told(entry)}")
        if self.watch.webhook:
            self._post(entry)
        self.ledger.announced(entry)
        self.stopped = self.stopped or self.watch.stop

    def _post(self, entry: Entry) -> None:
        text = f"sambench watch: {entry.label}: {_told(entry)}"
        body = json.dumps({"text": text, "entry": asdict(entry)}).encode()
        request = urllib.request.Request(self.watch.webhook, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S):
                pass
        except (urllib.error.URLError, OSError, ValueError) as e:  # the training goes on, and so does the watch
            self.say(f"the webhook could not be told: {e}")

    def _tell_broken(self, waiting: Sequence[Checkpoint]) -> None:
        for one in waiting:
            if one.key in self.complete.broken and one.key not in self.told_broken:
                self.told_broken.add(one.key)
                self.say(f"{one.name} cannot be read, and is looked at again when it changes: {self.complete.broken[one.key]}")


def _again(entry: Entry) -> bool:
    """Whether the next command is to try it again."""
    return bool(entry.error) and not entry.worse


def _told(entry: Entry) -> str:
    if entry.error:
        return entry.error
    interval = "" if entry.low is None or entry.high is None else f" [{100 * entry.low:.1f}, {100 * entry.high:.1f}]"
    parts = [f"{100 * (entry.score or 0.0):.1f}{interval}"]
    for d in entry.datasets:
        p = "" if d.p is None else f", p {d.p:.2g}"
        parts.append(f"{d.dataset} {100 * d.difference:+.1f} to {entry.against}{p}{' (worse)' if d.worse else ''}")
    return "; ".join(parts)


def _check(watch: Watch) -> None:
    """Raise UsageError for what would be noticed after hours."""
    task = tasks.build(watch.work.request.task, watch.work.request.settings)
    rule, measures = watch.work.rule, measures_of_task(task)
    if not measures:
        raise UsageError(f"checkpoints cannot be compared by the {task.name} task: its runs have no measure", where="--task")
    if rule.metric and rule.metric not in measures:
        raise unknown_name("metric", rule.metric, measures, where="--metric")
    by_object = task.object_measures().get(rule.metric or measures[0])
    if by_object and by_object.unit != "fraction":
        expected = "one that is better when it is higher, as iou_top"
        raise UsageError("a watch cannot go by that metric", where="--metric", expected=expected, found=rule.metric)
    if watch.webhook and not watch.webhook.startswith(("http://", "https://")):
        raise UsageError("that is no address", where="--webhook", expected="http://... or https://...", found=watch.webhook)


def metric_of(watch: Watch) -> str:
    """What its checkpoints are compared by."""
    task = tasks.build(watch.work.request.task, watch.work.request.settings)
    return watch.work.rule.metric or measures_of_task(task)[0]


def _reference(watch: Watch) -> Reference | None:
    if watch.against in ("", BEST):
        return None
    cells = find_cells(watch.against, Path(watch.work.request.out))
    task = watch.work.request.task
    fits = [c for c in cells if c.task.name == task]
    if not fits:
        found = ", ".join(dict.fromkeys(c.task.name for c in cells))
        raise UsageError("the reference is of another task", where="--against", expected=f"a run of {task}", found=found)
    return Reference(watch.against, tuple(fits))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One watch a folder. Raises UsageError where another one is at work."""
    path = folder / ".watch.claim"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lease = try_lease(path)
    except OSError as e:
        raise storage_error(e, folder) from e
    if lease is None:
        remedy = "choose another with --ledger"
        raise UsageError("another watch writes into that folder", where=folder, found=holder(path), remedy=remedy)
    with lease:
        yield
