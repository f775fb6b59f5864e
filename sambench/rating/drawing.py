"""What happens within a transaction of the queue: what a rater has, how a rating is stored, and how the next job is drawn.

Every function but `release` is called after `come`, so that transactions of one rater follow one another.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sambench.provenance import keyed_hash
from sambench.rating.database import first, now
from sambench.rating.drivers import Row, Session

AHEAD = 2  # jobs that a rater is given at a time: the one on screen, and the next
RESERVED_MIN = 30  # minutes without a sign of a rater, after which others may have the jobs that were reserved
CONTROL_EVERY = 20  # a rater's every so manieth job is a control, on average

Outcome = Literal["stored", "kept", "stale", "unknown"]


@dataclass(frozen=True)
class Slot:
    """A job as its rater knows it. round: how often its rating was taken back; seq: its place in the rater's order, from 1."""

    slot: str
    round: int
    seq: int


@dataclass(frozen=True)
class Stand:
    """Where a rater stands. slots: the job at hand and the next, fewer at the end; last: (slot, score) that can be undone."""

    slots: tuple[Slot, ...]
    n_rated: int
    last: tuple[str, int | None] | None
    is_paused: bool


@dataclass(frozen=True)
class Answer:
    """A rating as it comes from a browser. score: None if it could not be judged; attempt: the same in repeats of one request.

    seconds: how long the job was on screen, None if not known; started_at: since when, ISO 8601.
    """

    slot: str
    round: int
    score: int | None
    attempt: str
    seconds: float | None = None
    started_at: str = ""


@dataclass(frozen=True)
class Held:
    """What a rater has at a moment. slots: given and not rated, the first AHEAD; released: (slot, job id) that may be given again;
    seq: of the newest job; n_rated: how many are rated; secret: of the study.
    """

    slots: tuple[Slot, ...]
    released: tuple[tuple[str, str], ...]
    seq: int
    n_rated: int
    is_paused: bool
    secret: str


def come(s: Session, rater_id: int) -> None:
    """Note that a rater is here. It is the first of a transaction: another of the same rater waits at that row."""
    s.run("UPDATE raters SET seen_at = ? WHERE rater_id = ?", (now(), rater_id))


def holding(s: Session, rater_id: int) -> Held:
    facts = {r["name"]: r["value"] for r in s.rows("SELECT name, value FROM meta WHERE name IN ('paused', 'secret')")}
    unrated = s.rows(
        "SELECT slot, round, seq, job_id, released_at FROM assignments WHERE rater_id = ? AND is_rated = 0 ORDER BY seq",
        (rater_id,),
    )
    counts = first(
        s, "SELECT COALESCE(MAX(seq), 0) AS seq, COALESCE(SUM(is_rated), 0) AS n FROM assignments WHERE rater_id = ?", (rater_id,)
    )
    assert counts is not None
    slots = [Slot(row["slot"], row["round"], row["seq"]) for row in unrated if row["released_at"] is None]
    released = tuple((row["slot"], row["job_id"]) for row in unrated if row["released_at"] is not None)
    paused = facts.get("paused") == "yes"
    return Held(tuple(slots[:AHEAD]), released, int(counts["seq"]), int(counts["n"]), paused, str(facts.get("secret")))


def standing(s: Session, rater_id: int, held: Held) -> Stand:
    last = last_rating(s, rater_id)
    return Stand(held.slots, held.n_rated, (last["slot"], last["score"]) if last else None, held.is_paused)


def filled(s: Session, rater_id: int) -> Stand:
    """Where a rater stands, with as many jobs as they may have. Drawing comes last: others wait for it."""
    held = holding(s, rater_id)
    stand = standing(s, rater_id, held)
    if held.is_paused or len(held.slots) == AHEAD:
        return stand
    s.queue_up()
    while len(held.slots) < AHEAD and (slot := _draw(s, rater_id, held)) is not None:
        more = tuple(r for r in held.released if r[0] != slot.slot)
        held = replace(held, slots=(*held.slots, slot), released=more, seq=max(held.seq, slot.seq))
    return replace(stand, slots=tuple(sorted(held.slots, key=lambda slot: slot.seq)))


def last_rating(s: Session, rater_id: int) -> Row | None:
    """The rating that can be taken back: the newest, unless another was taken back and is not given anew."""
    return first(
        s,
        "SELECT a.slot, a.round, r.score, r.seconds, r.stored_at FROM assignments a JOIN ratings r ON r.slot = a.slot "
        "WHERE a.rater_id = ? AND a.is_rated = 1 AND NOT EXISTS (SELECT 1 FROM assignments b "
        "WHERE b.rater_id = ? AND b.is_rated = 0 AND b.released_at IS NULL AND b.round > 0) ORDER BY a.seq DESC LIMIT 1",
        (rater_id, rater_id),
    )


def store_rating(s: Session, row: Row | None, answer: Answer) -> tuple[Outcome, int | None]:
    if row is None:
        return "unknown", None
    if row["round"] != answer.round:
        return "stale", row["score"]
    if row["attempt"] is not None:
        repeat = (row["attempt"], row["score"]) == (answer.attempt, answer.score)
        return ("stored" if repeat else "kept"), row["score"]
    stored = now()
    s.run(
        "INSERT INTO ratings (slot, score, attempt, seconds, started_at, stored_at) VALUES (?, ?, ?, ?, ?, ?)",
        (answer.slot, answer.score, answer.attempt, answer.seconds, answer.started_at or row["given_at"], stored),
    )
    if row["released_at"] is not None:  # it came late, after the job was given to somebody else: it counts all the same
        s.run("UPDATE jobs SET taken = taken + 1 WHERE job_id = ?", (row["job_id"],))
    s.run("UPDATE assignments SET is_rated = 1, released_at = NULL WHERE slot = ?", (answer.slot,))
    return "stored", answer.score


def _draw(s: Session, rater_id: int, held: Held) -> Slot | None:
    """Give the rater one more job, None if there is none."""
    again = _given_again(s, held)
    if again is not None:
        return again
    job = _open_job(s, rater_id)
    if job is None:
        before = (datetime.now(UTC) - timedelta(minutes=RESERVED_MIN)).isoformat(timespec="milliseconds")
        release(s, "rater_id <> ? AND rater_id IN (SELECT rater_id FROM raters WHERE seen_at < ?)", (rater_id, before))
        job = _open_job(s, rater_id)
    if job is None:
        return None
    slot = Slot(secrets.token_urlsafe(12), 0, held.seq + 1)
    job = _control(s, rater_id, slot.seq, held.secret) or job
    s.run(
        "INSERT INTO assignments (slot, rater_id, job_id, seq, given_at) VALUES (?, ?, ?, ?, ?)",
        (slot.slot, rater_id, job, slot.seq, now()),
    )
    s.run("UPDATE jobs SET taken = taken + 1 WHERE job_id = ?", (job,))
    return slot


def _given_again(s: Session, held: Held) -> Slot | None:
    """Reserve a job anew that was given to this rater, and released while they were away; None if there is none."""
    for slot, job in held.released:
        if s.run("UPDATE jobs SET taken = taken + 1 WHERE job_id = ? AND (taken < wanted OR is_control = 1)", (job,)):
            s.run("UPDATE assignments SET released_at = NULL, given_at = ? WHERE slot = ?", (now(), slot))
            row = first(s, "SELECT slot, round, seq FROM assignments WHERE slot = ?", (slot,))
            assert row is not None
            return Slot(**row)
    return None


def _open_job(s: Session, rater_id: int) -> str | None:
    """The first job of the queue that needs raters, and that this one has not had."""
    row = first(
        s,
        "SELECT j.job_id FROM jobs j WHERE j.taken < j.wanted AND j.is_control = 0 AND NOT EXISTS "
        "(SELECT 1 FROM assignments a WHERE a.rater_id = ? AND a.job_id = j.job_id) ORDER BY j.position LIMIT 1",
        (rater_id,),
    )
    return None if row is None else str(row["job_id"])


def _control(s: Session, rater_id: int, seq: int, secret: str) -> str | None:
    """A control item that this rater has not had, where their order has one at this place: nobody can tell which places."""
    key = f"{secret} {rater_id}"
    if keyed_hash("control", key, str(seq)) % CONTROL_EVERY:
        return None
    rows = s.rows(
        "SELECT j.job_id FROM jobs j WHERE j.is_control = 1 AND NOT EXISTS "
        "(SELECT 1 FROM assignments a WHERE a.rater_id = ? AND a.job_id = j.job_id)",
        (rater_id,),
    )
    return min((str(r["job_id"]) for r in rows), key=lambda job: keyed_hash("control", key, job), default=None)


def release(s: Session, whose: str, values: Sequence[Any]) -> None:
    """Lift reservations: jobs that were given and not rated are for others again."""
    rows = s.rows(f"SELECT slot, job_id FROM assignments WHERE is_rated = 0 AND released_at IS NULL AND {whose}", values)
    for row in rows:
        s.run("UPDATE assignments SET released_at = ? WHERE slot = ?", (now(), row["slot"]))
        s.run("UPDATE jobs SET taken = taken - 1 WHERE job_id = ?", (row["job_id"],))
