"""What is kept of an error: one line for the record of its image, and the traceback in a file under the run's `logs/failures`."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from sambench.errors import SambenchError
from sambench.files.places import place_of
from sambench.files.writing import replacing

MOST_CHARACTERS = 2000  # of an error's own message
MOST_TRACE = 100_000
FOLDER = "logs/failures"


def describe_error(e: BaseException) -> str:
    """One line: the error, and for an unexpected one the line of code that raised it."""
    if isinstance(e, SambenchError):
        return _plain(e.one_line(), 2 * MOST_CHARACTERS)
    frames = traceback.extract_tb(e.__traceback__)
    at = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    if isinstance(e, MemoryError):
        found = _message(e)
        return (
            f"the memory does not suffice for this image{at}{f': {found}' if found else ''}; "
            "what to do: try fewer --workers, or a machine with more memory; the same command tries this image again"
        )
    if isinstance(e, SystemExit):
        return f"the model or the reader ended the process, by sys.exit({e.code!r:.100}){at}"
    return f"{type(e).__name__}: {_message(e)}{at}"


def _message(e: BaseException) -> str:
    try:
        return " ".join(_plain(str(e), MOST_CHARACTERS).split())
    except BaseException as second:  # noqa: BLE001 - the message is somebody's code
        return f"(its message cannot be printed: {type(second).__name__})"


def _plain(text: str, most: int) -> str:
    """What any file takes: no lone surrogates, no NUL, of a bounded length."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return text if len(text) <= most else f"{text[:most]} ... ({len(text)} characters)"


def says_all(e: BaseException) -> bool:
    """Whether it is an error of ours about what was found in files, and not what somebody's code raised, told by one of ours."""
    return isinstance(e, SambenchError) and (e.__cause__ is None or isinstance(e.__cause__, (SambenchError, OSError)))


def trace_of(e: BaseException) -> str:
    """The traceback as Python prints it; of a deep recursion or a huge message, its beginning and end."""
    try:
        text = "".join(traceback.format_exception(e))
    except BaseException as second:  # noqa: BLE001
        text = f"{type(e).__name__}; its traceback cannot be printed: {type(second).__name__}\n"
    text = text.encode("utf-8", "backslashreplace").decode()
    half = MOST_TRACE // 2
    return text if len(text) <= MOST_TRACE else f"{text[:half]}\n...\n{text[-half:]}"


def show(trace: str) -> None:
    """Print a traceback where SAMBENCH_DEBUG asks for it."""
    if os.environ.get("SAMBENCH_DEBUG"):
        with suppress(OSError, ValueError):
            sys.stderr.write(trace if trace.endswith("\n") else trace + "\n")


def file_of(cell_dir: Path, cell_id: str, image_id: str) -> Path:
    """Where the traceback of an image's failure lies; it need not be there."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", image_id)[:80]
    unique = "" if name == image_id else "-" + hashlib.sha256(image_id.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return cell_dir.parent / FOLDER / f"{cell_id}-{name}{unique}.txt"


def keep(path: Path, trace: str) -> str:
    """Write a traceback to `path`; gives what is to be said of it in the error's line, nothing where it could not be written."""
    try:
        with replacing(path) as aside:
            aside.write_text(trace, encoding="utf-8")
    except OSError:
        return ""
    return f"; traceback: {FOLDER}/{path.name}"


def forget(path: Path) -> None:
    """Remove the traceback of a failure that is mended, and with the last of them the folders."""
    with suppress(OSError):
        if not path.exists():
            return
        place_of(path).remove(path)
        path.parent.rmdir()
        path.parent.parent.rmdir()
