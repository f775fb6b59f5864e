"""Files of reports: written aside and renamed, so that a reader sees the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from sambench.engine.shards import storage_error
from sambench.text import csv_text


def write_aside(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside `path`, and rename it; returns `path`. Raises RunError where that cannot be done."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        os.replace(aside, path)
    except OSError as e:
        raise storage_error(e, path) from e
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return path


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> Path:
    """A CSV file of these columns; returns `path`. Raises RunError where that cannot be done."""
    return write_aside(path, lambda aside: aside.write_bytes(csv_text(header, rows).encode()))
