"""The database of a rating study: SQLite in a file (the default), or PostgreSQL for a team. One study a database.

Statements are written once, with `?` for values; what differs between the two is in `rating.drivers`. Moments are ISO 8601
in UTC, as text.

meta          facts of the whole: version, settings, the lead's token, a secret for drawing controls
jobs          every mask of the study, and what it stands for; `taken` counts its ratings and its reservations
raters        who was invited; the token is the secret of the rater's link
assignments   a job that was given to a rater; `slot` is its name in the browser, `seq` its place in the rater's own order
ratings       one an assignment; a score of NULL: could not be judged
undone        ratings that their rater took back
practice      answers to the practice jobs
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sambench.errors import DataError, message_of, shown
from sambench.rating.drivers import Kind, Postgres, Row, Session, Sqlite, is_server, without_password

VERSION = "1"
SQLITE_MAGIC = b"SQLite format 3\0"

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE jobs (
  job_id TEXT PRIMARY KEY, position INTEGER NOT NULL, prompt TEXT NOT NULL, views TEXT NOT NULL, bytes TEXT NOT NULL,
  dataset TEXT NOT NULL, model TEXT NOT NULL, image_id TEXT NOT NULL, object_id TEXT NOT NULL, mask_digest TEXT NOT NULL,
  is_control INTEGER NOT NULL, iou DOUBLE PRECISION, wanted INTEGER NOT NULL, taken INTEGER NOT NULL DEFAULT 0);
CREATE INDEX jobs_open ON jobs (position) WHERE taken < wanted AND is_control = 0;
CREATE TABLE raters (
  rater_id {serial}, token TEXT NOT NULL UNIQUE, label TEXT NOT NULL, name TEXT NOT NULL DEFAULT '',
  simulated INTEGER NOT NULL DEFAULT 0, invited_at TEXT NOT NULL,
  consented_at TEXT, guided_at TEXT, practised_at TEXT, seen_at TEXT, revoked_at TEXT);
CREATE TABLE assignments (
  slot TEXT PRIMARY KEY, rater_id INTEGER NOT NULL REFERENCES raters, job_id TEXT NOT NULL REFERENCES jobs, seq INTEGER NOT NULL,
  round INTEGER NOT NULL DEFAULT 0, given_at TEXT NOT NULL, released_at TEXT, is_rated INTEGER NOT NULL DEFAULT 0,
  UNIQUE (rater_id, job_id), UNIQUE (rater_id, seq));
CREATE INDEX assignments_open ON assignments (rater_id, seq) WHERE is_rated = 0;
CREATE TABLE ratings (
  slot TEXT PRIMARY KEY REFERENCES assignments, score INTEGER CHECK (score BETWEEN 1 AND 10), attempt TEXT NOT NULL,
  seconds DOUBLE PRECISION, started_at TEXT NOT NULL, stored_at TEXT NOT NULL);
CREATE TABLE undone (
  slot TEXT NOT NULL REFERENCES assignments, round INTEGER NOT NULL, score INTEGER, seconds DOUBLE PRECISION,
  stored_at TEXT NOT NULL, undone_at TEXT NOT NULL, PRIMARY KEY (slot, round));
CREATE TABLE practice (
  rater_id INTEGER NOT NULL REFERENCES raters, item INTEGER NOT NULL, score INTEGER NOT NULL, stored_at TEXT NOT NULL,
  PRIMARY KEY (rater_id, item))
"""


def first(session: Session, sql: str, values: Sequence[Any] = ()) -> Row | None:
    """The first row of a query, or None."""
    return next(iter(session.rows(sql, values)), None)


def set_meta(s: Session, name: str, value: str) -> None:
    """Store one of the study's own facts."""
    s.run("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value))


def meta(s: Session, name: str) -> str | None:
    """One of the study's own facts, None if it was never stored."""
    row = first(s, "SELECT value FROM meta WHERE name = ?", (name,))
    return None if row is None else str(row["value"])


def now() -> str:
    """This moment in UTC, to the millisecond, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def is_database(place: str | Path) -> bool:
    """Whether a place is a database: a PostgreSQL address, or a file that is SQLite's."""
    if is_server(str(place)):
        return True
    try:
        if not Path(place).is_file():  # a named pipe would keep its opener waiting
            return False
        with Path(place).open("rb") as f:
            return f.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except (OSError, ValueError):
        return False


class Database:
    """A study's database, for any number of threads. SQLite lets one `write` through at a time; PostgreSQL any number, and those
    that must not meet call `queue_up`.

    place: the path of an SQLite file, or `postgresql://user:password@host:port/name`. create: whether it may be new.
    Raises DataError where it cannot be opened or is a database of something else, UsageError where the driver is not installed.
    """

    def __init__(self, place: str | Path, *, create: bool = False) -> None:
        self.place = str(place)
        self.shown = without_password(self.place)
        self._kind: Kind = Postgres(self.place) if is_server(self.place) else Sqlite(Path(place), create=create)
        self._free: list[Any] = []
        self._turn = threading.Lock()
        self._prepare(create)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that changes the database: all of it is on disk when the block ends, or nothing of it is."""
        turn = self._turn if self._kind.is_single else nullcontext()
        with turn, self._connection() as connection, self._kind.transaction(connection, writes=True) as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that reads one state of it."""
        with self._connection() as connection, self._kind.transaction(connection, writes=False) as session:
            yield session

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What the driver raises where the database cannot be reached or is full."""
        return self._kind.errors

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._free:
            self._free.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._kind.connect()
        try:
            yield connection
        finally:
            if self._kind.is_broken(connection):
                connection.close()
            else:
                self._free.append(connection)

    def _prepare(self, create: bool) -> None:
        try:
            with self.write() if create else self.read() as s:
                tables = self._kind.tables(s)
                if "meta" in tables and (row := first(s, "SELECT value FROM meta WHERE name = 'sambench rating'")):
                    if row["value"] != VERSION:
                        raise self._foreign(f"version {row['value']} of it", f"version {VERSION}")
                    return
                if tables:
                    raise self._foreign(f"tables {', '.join(sorted(tables)[:5])}", "an empty one, or one of a rating study")
                if not create:
                    raise self._foreign("no tables", "one that `sambench rate serve` made")
                for statement in _SCHEMA.format(serial=self._kind.serial).split(";"):
                    s.run(statement)
                facts = {"sambench rating": VERSION, "secret": secrets.token_hex(16), "lead": secrets.token_urlsafe(18)}
                s.many("INSERT INTO meta (name, value) VALUES (?, ?)", facts.items())
        except self._kind.errors as e:
            raise DataError("a database cannot be used", where=self.shown, found=message_of(e), remedy=self._kind.remedy) from e

    def _foreign(self, found: str, expected: str) -> DataError:
        return DataError("that is no database of a rating study", where=self.shown, expected=expected, found=shown(found))
