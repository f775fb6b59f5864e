"""The ratings of a study's database as records, as `files.records.read_records` gives those of a file."""

from __future__ import annotations

from pathlib import Path

from sambench.errors import DataError, message_of
from sambench.files.records import Record
from sambench.rating.database import Database
from sambench.rating.drivers import Row
from sambench.rating.queue import alias

_RATINGS = (
    "SELECT a.job_id, a.rater_id, j.dataset, j.model, j.image_id, j.object_id, j.prompt, j.mask_digest, j.is_control, "
    "a.seq AS shown_order, r.started_at, r.seconds, r.score FROM ratings r JOIN assignments a ON a.slot = r.slot "
    "JOIN jobs j ON j.job_id = a.job_id ORDER BY r.stored_at, a.rater_id, a.seq"
)


def database_records(place: str | Path) -> tuple[list[tuple[int, Record]], list[str]]:
    """((row number, record) of every rating, notes) of a study's database.

    shown_order is the place in the rater's own order. Masks that could not be judged are not among them, and are noted.
    Raises DataError where it is none, or holds no rating.
    """
    database = Database(place)
    try:
        records, n_unjudged = ratings_of(database)
        with database.read() as s:
            simulated = s.rows("SELECT rater_id FROM raters WHERE simulated = 1")
    except database.errors as e:
        raise DataError("a database of ratings is damaged", where=database.shown, found=message_of(e)) from e
    finally:
        database.close()
    if not records:
        remedy = "have masks rated first: `sambench rate serve`"
        raise DataError("a database of ratings holds none yet", where=database.shown, remedy=remedy)
    notes = [f"{n_unjudged} times a rater could not judge a mask: these count nowhere"] if n_unjudged else []
    if simulated:
        notes.append(f"SIMULATED: {len(simulated)} raters are none (`sambench rate simulate`); these are no people's ratings")
    return list(enumerate(records, 1)), notes


def ratings_of(database: Database) -> tuple[list[Record], int]:
    """(records of all ratings in the order in which they were stored, how many more could not be judged)."""
    with database.read() as s:
        rows = s.rows(_RATINGS)
    judged = [row for row in rows if row["score"] is not None]
    return [_record(row) for row in judged], len(rows) - len(judged)


def _record(row: Row) -> Record:
    told = {name: "" if value is None else str(value) for name, value in row.items()}
    told["rater"] = alias(int(told.pop("rater_id")))
    told["is_control"] = "true" if row["is_control"] else "false"
    return told
