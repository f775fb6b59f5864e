"""The raters' side of a study's database: one shuffled queue from which everyone draws, and what they answer.

A rater is given the next job of the queue that is not yet taken by as many raters as it needs, and the one after it, so that its
pictures can be loaded ahead. A job that is given is reserved; the reservation of somebody who has gone is lifted once others find
nothing else. Control items are not drawn from the queue: each rater meets them at random places of their own.

In the browser a job is a slot: a random name that says nothing, and is of use to one rater alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sambench.errors import UsageError
from sambench.rating.database import Database, first, now
from sambench.rating.drawing import (
    AHEAD,
    Answer,
    Outcome,
    Stand,
    come,
    filled,
    holding,
    last_rating,
    release,
    standing,
    store_rating,
)
from sambench.rating.drivers import Row

MOST_NAME = 80


@dataclass(frozen=True)
class Rater:
    """Someone who was invited. label: the lead's word for them; name: their own; simulated: 1 where it is no person; *_at: when
    they did it, None if not yet.
    """

    rater_id: int
    token: str
    label: str
    name: str
    simulated: int
    invited_at: str
    consented_at: str | None
    guided_at: str | None
    practised_at: str | None
    seen_at: str | None
    revoked_at: str | None

    @property
    def alias(self) -> str:
        """The name in exports and tables: r01, r02, ..."""
        return alias(self.rater_id)


def alias(rater_id: int) -> str:
    return f"r{rater_id:02d}"


class Queue:
    """See the module. Methods are whole transactions, and may be called from any thread and process."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # --- who

    def invite(self, label: str = "", *, simulated: bool = False) -> Rater:
        """A new rater with a link of their own. Raises UsageError where the label is no name."""
        label = person_name(label, empty_ok=True)
        token = secrets.token_urlsafe(18)
        with self.database.write() as s:
            values = (token, label, int(simulated), now())
            s.run("INSERT INTO raters (token, label, simulated, invited_at) VALUES (?, ?, ?, ?)", values)
        found = self.rater(token)
        assert found is not None
        return found

    def rater(self, token: str) -> Rater | None:
        """Whose link that is; None for a link that never was, or was revoked."""
        with self.database.read() as s:
            row = first(s, "SELECT * FROM raters WHERE token = ? AND revoked_at IS NULL", (token,))
        return Rater(**row) if row else None

    def raters(self) -> list[Rater]:
        """All who were ever invited, in that order."""
        with self.database.read() as s:
            return [Rater(**row) for row in s.rows("SELECT * FROM raters ORDER BY rater_id")]

    def revoke(self, rater_id: int) -> None:
        """Close a rater's link; what they rated stays, and their reservations are lifted."""
        with self.database.write() as s:
            s.run("UPDATE raters SET revoked_at = ? WHERE rater_id = ? AND revoked_at IS NULL", (now(), rater_id))
            release(s, "rater_id = ?", (rater_id,))

    def restore(self, rater_id: int) -> None:
        """Open a revoked link again, as a new one: the old stays closed."""
        with self.database.write() as s:
            s.run("UPDATE raters SET revoked_at = NULL, token = ? WHERE rater_id = ?", (secrets.token_urlsafe(18), rater_id))

    def consent(self, rater_id: int, name: str) -> None:
        """Note a rater's own name and their consent. Raises UsageError where it is no name."""
        with self.database.write() as s:
            values = (person_name(name), now(), rater_id)
            s.run("UPDATE raters SET name = ?, consented_at = COALESCE(consented_at, ?) WHERE rater_id = ?", values)

    def guided(self, rater_id: int) -> None:
        """Note that a rater has read the guidelines."""
        with self.database.write() as s:
            s.run("UPDATE raters SET guided_at = COALESCE(guided_at, ?) WHERE rater_id = ?", (now(), rater_id))

    # --- practice

    def practise(self, rater_id: int, item: int, score: int, n_items: int) -> None:
        """Store the answer to a practice job, the first alone; after the last of n_items the queue is open."""
        with self.database.write() as s:
            s.run(
                "INSERT INTO practice (rater_id, item, score, stored_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (rater_id, item, score, now()),
            )
            done = s.rows("SELECT item FROM practice WHERE rater_id = ?", (rater_id,))
            if len(done) >= n_items:
                s.run("UPDATE raters SET practised_at = COALESCE(practised_at, ?) WHERE rater_id = ?", (now(), rater_id))

    def practised(self, rater_id: int) -> dict[int, int]:
        """{item: score} of a rater's practice jobs."""
        with self.database.read() as s:
            rows = s.rows("SELECT item, score FROM practice WHERE rater_id = ? ORDER BY item", (rater_id,))
        return {row["item"]: row["score"] for row in rows}

    # --- the queue

    def stand(self, rater_id: int) -> Stand:
        """Where a rater stands; gives them jobs until they have AHEAD, if there are any and the study is not paused."""
        with self.database.read() as s:
            held = holding(s, rater_id)
            if held.is_paused or len(held.slots) == AHEAD:
                return standing(s, rater_id, held)
        with self.database.write() as s:
            come(s, rater_id)
            return filled(s, rater_id)

    def answer(self, rater_id: int, answer: Answer) -> tuple[Outcome, int | None, Stand]:
        """Store a rating; (what became of it, the score that counts, where the rater stands then).

        stored: it is on disk (also for the repeat of a request). kept: the job was rated before, in another tab, say, and that
        rating stays. stale: it was taken back after this one was sent. unknown: not a job of this rater.
        """
        with self.database.write() as s:
            come(s, rater_id)
            row = first(
                s,
                "SELECT a.*, r.score, r.attempt FROM assignments a LEFT JOIN ratings r ON r.slot = a.slot "
                "WHERE a.slot = ? AND a.rater_id = ?",
                (answer.slot, rater_id),
            )
            outcome, score = store_rating(s, row, answer)
            return outcome, score, filled(s, rater_id)

    def undo(self, rater_id: int, slot: str) -> tuple[bool, Stand]:
        """Take the last rating back, if `slot` names it; (whether it was, where the rater stands then)."""
        with self.database.write() as s:
            come(s, rater_id)
            last = last_rating(s, rater_id)
            undone = last is not None and last["slot"] == slot
            if undone and last is not None:
                s.run(
                    "INSERT INTO undone (slot, round, score, seconds, stored_at, undone_at) VALUES (?, ?, ?, ?, ?, ?)",
                    (slot, last["round"], last["score"], last["seconds"], last["stored_at"], now()),
                )
                s.run("DELETE FROM ratings WHERE slot = ?", (slot,))
                s.run("UPDATE assignments SET round = round + 1, is_rated = 0 WHERE slot = ?", (slot,))
            return undone, filled(s, rater_id)

    def view(self, token: str, slot: str) -> Row | None:
        """`views` and `bytes` of a slot's job, as JSON; None where it is no slot of a rater with that link."""
        with self.database.read() as s:
            return first(
                s,
                "SELECT j.views, j.bytes FROM assignments a JOIN jobs j ON j.job_id = a.job_id "
                "JOIN raters r ON r.rater_id = a.rater_id WHERE a.slot = ? AND r.token = ? AND r.revoked_at IS NULL",
                (slot, token),
            )


def person_name(text: str, *, empty_ok: bool = False) -> str:
    """A person's name, spaces tidied. Raises UsageError on an empty or long one, or one with characters that cannot be printed."""
    name = " ".join(text.split())
    if len(name) > MOST_NAME or not name.isprintable() or not (name or empty_ok):
        found = f"{len(name)} characters" if len(name) > MOST_NAME else ascii(name)
        raise UsageError("that is no name", expected=f"1 to {MOST_NAME} characters, all of them printable", found=found)
    return name
