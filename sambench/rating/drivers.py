"""What differs between SQLite and PostgreSQL: how to connect, what a transaction is, how statements are given."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sambench.errors import DataError, RunError, UsageError, install, message_of, shown

BUSY_S = 10.0  # how long a statement waits for another process's
_CONNECT_S = 10
_SCHEMES = ("postgresql://", "postgres://")

Row = Mapping[str, Any]


class Session(Protocol):
    """Statements within one transaction."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute; returns how many rows it changed."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query, by column name."""

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Execute once for every tuple of values."""

    def queue_up(self) -> None:
        """Wait for all others who have called this, whatever process they are in, to end their transactions."""


class Kind(Protocol):
    """What differs between the two."""

    serial: str
    is_single: bool  # whether one writer at a time is all that it takes
    errors: tuple[type[BaseException], ...]
    remedy: str

    def connect(self) -> Any: ...

    def is_broken(self, connection: Any) -> bool: ...

    def transaction(self, connection: Any, *, writes: bool) -> Any: ...

    def tables(self, session: Session) -> set[str]: ...


# --- SQLite


class _SqliteSession:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        return self.connection.execute(sql, values).rowcount

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        cursor = self.connection.execute(sql, values)
        names = [d[0] for d in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        self.connection.executemany(sql, values)

    def queue_up(self) -> None:
        """Nothing to wait for: SQLite has one writer."""


class Sqlite:
    serial = "INTEGER PRIMARY KEY AUTOINCREMENT"
    is_single = True
    errors: tuple[type[BaseException], ...] = (sqlite3.Error,)
    remedy = "name an SQLite file on a disk of this machine (WAL does not work over network shares), or a PostgreSQL server"

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._sets_mode = create
        if not create and not path.is_file():
            raise DataError("there is no such database", where=shown(path), remedy="`sambench rate serve` makes one")
        try:
            if create:  # names and links of raters are in it
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as e:
            remedy = "choose a place that can be written, with --database"
            raise RunError("a database cannot be made", where=shown(path), found=e.strerror or message_of(e), remedy=remedy) from e

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        if self._sets_mode:
            connection.execute("PRAGMA journal_mode = WAL")  # readers do not wait for writers; the file remembers it
        connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut, not only the process's end
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def is_broken(self, connection: Any) -> bool:
        return False

    @contextmanager
    def transaction(self, connection: sqlite3.Connection, *, writes: bool) -> Iterator[Session]:
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            yield _SqliteSession(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def tables(self, session: Session) -> set[str]:
        found = session.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {str(r["name"]) for r in found}


# --- PostgreSQL


class _PostgresSession:
    def __init__(self, connection: Any) -> None:
        self.cursor = connection.cursor()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        return int(self.cursor.execute(sql.replace("?", "%s"), values).rowcount)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return list(self.cursor.execute(sql.replace("?", "%s"), values).fetchall())

    def many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        self.cursor.executemany(sql.replace("?", "%s"), values)

    def queue_up(self) -> None:
        self.rows("SELECT pg_advisory_xact_lock(?)", (_DRAWING,))


_DRAWING = 0x5A3B_4E17  # a name for the lock of those who draw from the queue


class Postgres:
    serial = "INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    is_single = False
    remedy = "check the address, the user and the password; the database must be there and hold only this study"

    def __init__(self, place: str) -> None:
        try:
            import psycopg
            from psycopg.rows import dict_row
        except ImportError as e:
            raise UsageError(
                "PostgreSQL needs a driver", where="--database", found=message_of(e), remedy=install("postgres")
            ) from e
        self.place = place
        self.psycopg, self.dict_row = psycopg, dict_row
        self.errors: tuple[type[BaseException], ...] = (psycopg.Error,)

    def connect(self) -> Any:
        try:
            return self.psycopg.connect(self.place, row_factory=self.dict_row, autocommit=True, connect_timeout=_CONNECT_S)
        except self.psycopg.Error as e:
            # Its message may quote the address, with the password.
            found = without_password(str(e).strip().replace(self.place, without_password(self.place)))
            where = without_password(self.place)
            raise DataError("a database cannot be used", where=where, found=found, remedy=self.remedy) from None

    def is_broken(self, connection: Any) -> bool:
        return bool(connection.closed)

    @contextmanager
    def transaction(self, connection: Any, *, writes: bool) -> Iterator[Session]:
        with connection.transaction():
            session = _PostgresSession(connection)
            if not writes:
                session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield session

    def tables(self, session: Session) -> set[str]:
        found = session.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()")
        return {str(r["name"]) for r in found}


# --- addresses


def is_server(place: str) -> bool:
    """Whether a place is the address of a PostgreSQL server."""
    return place.startswith(_SCHEMES)


def without_password(place: str) -> str:
    """An address of a database for messages: no password in it."""
    hidden = re.sub(r"(?<=://)([^/@:]*):.*@", r"\1:***@", place)
    return shown(re.sub(r"(?i)(password=)[^&]*", r"\1***", hidden))
