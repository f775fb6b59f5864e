"""Files of reports: written aside and renamed, so that a reader sees the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sambench.engine.shards import storage_error


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
        aside.unlink(missing_ok=True)
    return path
