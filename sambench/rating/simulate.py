"""Raters who are none, for trying a study and its statistics from end to end: seeded, with what is known to go wrong with people.

A rater sees a mask's quality, which follows its IoU with the annotation, through a bias of their own, noise, and fatigue; a
careless one answers at random, and fast. What they rate is marked as simulated for good, and the statistics say so.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from sambench.errors import DataError, UsageError, unknown_name
from sambench.rating.database import Database, first, set_meta
from sambench.rating.drawing import Answer
from sambench.rating.practice import PRACTICE
from sambench.rating.queue import Queue
from sambench.rating.scale import BANDS

LOWEST, HIGHEST = BANDS[0].low, BANDS[-1].high
_BEGIN = datetime(2000, 1, 1, 9, tzinfo=UTC)  # nobody takes these for the hours of people


@dataclass(frozen=True)
class Raters:
    """Who rates. n: how many; careless: how many of them answer at random. bias_sd: of the raters' own means; noise_sd: of a
    rating, both in points of the scale; fatigue: points that a rater loses in 100 ratings; unjudged: share that is not judged.
    effects: points that masks of a model get beside what their IoU says.
    """

    n: int = 8
    careless: int = 0
    bias_sd: float = 0.5
    noise_sd: float = 0.9
    fatigue: float = 0.0
    unjudged: float = 0.002
    effects: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 1000 or not 0 <= self.careless <= self.n:
            found = f"{self.n} raters, {self.careless} of them careless"
            raise UsageError("so many raters cannot be", expected="1 to 1000, and no more careless ones", found=found)
        if not (0 <= self.bias_sd <= 10 and 0 <= self.noise_sd <= 10 and -10 <= self.fatigue <= 10 and 0 <= self.unjudged <= 1):
            raise UsageError("raters cannot be so", expected="deviations from 0 to 10, fatigue from -10 to 10")


class Person:
    """One simulated rater. `rate` is the whole of what they do."""

    def __init__(self, raters: Raters, number: int) -> None:
        self._dice = np.random.default_rng([raters.seed, number])
        self._raters = raters
        self.is_careless = number >= raters.n - raters.careless
        self.bias = float(self._dice.normal(0, raters.bias_sd)) if raters.bias_sd else 0.0
        self._n = 0

    def rate(self, quality: float) -> tuple[int | None, float]:
        """(a score from 1 to 10, None where it is not judged; seconds that it took) of a mask of that quality on the scale."""
        self._n += 1
        dice, raters = self._dice, self._raters
        if dice.random() < raters.unjudged:
            return None, float(dice.lognormal(2.5, 0.5))
        if self.is_careless:
            return int(dice.integers(3, 10)), float(dice.lognormal(0.3, 0.4))
        felt = quality + self.bias - raters.fatigue * self._n / 100 + dice.normal(0, raters.noise_sd)
        return int(np.clip(np.rint(felt), LOWEST, HIGHEST)), float(dice.lognormal(2.0, 0.5))


def quality_of(iou: float) -> float:
    """A mask's quality on the scale by its IoU with the annotation: 1 at none, 9.5 at a perfect one."""
    return 1.0 + 8.5 * float(min(1.0, max(0.0, iou)) ** 1.5)


def simulate(database: Database, raters: Raters, *, most: int | None = None) -> int:
    """Let simulated raters work through the queue of a study, or through `most` ratings; returns how many they gave.

    They take turns as their time allows, through the same calls as the pages. Raises UsageError where people have rated in that
    database, or an effect is of an unknown model; DataError where the key does not tell IoUs.
    """
    queue = Queue(database)
    quality = _qualities(database, raters)
    with database.write() as s:
        set_meta(s, "secret", f"simulated {raters.seed}")  # where controls come, too
    people = [Person(raters, n) for n in range(raters.n)]
    ids = [_join(queue, n) for n in range(raters.n)]
    clock = [(0.0, n) for n in range(raters.n)]
    done = 0
    while clock and (most is None or done < most):
        at, n = heapq.heappop(clock)
        stand = queue.stand(ids[n])
        if not stand.slots:
            continue
        slot = stand.slots[0]
        score, seconds = people[n].rate(quality[_job(database, slot.slot)])
        started = (_BEGIN + timedelta(seconds=at)).isoformat(timespec="milliseconds")
        queue.answer(ids[n], Answer(slot.slot, slot.round, score, f"simulated-{done}", round(seconds, 3), started))
        done += 1
        heapq.heappush(clock, (at + seconds + 0.5, n))
    return done


def _join(queue: Queue, number: int) -> int:
    rater = queue.invite(f"simulated {number + 1}", simulated=True)
    queue.consent(rater.rater_id, rater.label)
    queue.guided(rater.rater_id)
    for item, task in enumerate(PRACTICE):
        queue.practise(rater.rater_id, item, task.low, len(PRACTICE))
    return rater.rater_id


def _job(database: Database, slot: str) -> str:
    with database.read() as s:
        row = first(s, "SELECT job_id FROM assignments WHERE slot = ?", (slot,))
    assert row is not None
    return str(row["job_id"])


def _qualities(database: Database, raters: Raters) -> dict[str, float]:
    with database.read() as s:
        people = first(s, "SELECT COUNT(*) AS n FROM assignments a JOIN raters r ON r.rater_id = a.rater_id WHERE r.simulated = 0")
        jobs = s.rows("SELECT job_id, model, iou FROM jobs")
    if people and people["n"]:
        remedy = "name another with --database: simulated ratings are not mixed with real ones"
        raise UsageError("people rate in that database", where=database.shown, remedy=remedy)
    if any(job["iou"] is None for job in jobs):
        expected, remedy = "a key with the column iou", "give it with --key"
        raise DataError("the study does not say how good its masks are", expected=expected, remedy=remedy)
    models = {str(job["model"]) for job in jobs}
    for name in raters.effects:
        if name not in models:
            raise unknown_name("model", name, models, where="--effect")
    return {str(job["job_id"]): quality_of(job["iou"]) + raters.effects.get(job["model"], 0.0) for job in jobs}
