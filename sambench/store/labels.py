"""A run's `model.json`: the task and the model that all its cells are of, and what the user calls that model (`--name`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sambench.errors import RunError, UsageError, shown
from sambench.files.content import regular_bytes
from sambench.paths import RUN_FILE
from sambench.store.record import CellRecord

LONGEST = 80  # characters


def check_label(label: object) -> str:
    """The label itself. Raises UsageError unless it is one printable line that is not too long."""
    if not isinstance(label, str) or not 0 < len(label) <= LONGEST or label.strip() != label or not label.isprintable():
        expected = f"one line of up to {LONGEST} printable characters, without blanks at its ends"
        raise UsageError("a name does not fit", where="--name", expected=expected, found=shown(repr(label)))
    return label


def label_of_run(run_dir: Path) -> str:
    """What the model of a run is called; "" where nobody named it, or the file cannot be read."""
    try:
        return check_label(_told(run_dir).get("label", ""))
    except UsageError:
        return ""


def check_run(cell: Path, record: CellRecord) -> None:
    """Raise RunError where a cell is of another task or model than the run in whose folder it lies: it would bear that one's name.

    A folder that says nothing of its run (it has no `model.json`, or a damaged one) holds any cell.
    """
    run_dir = cell.resolve().parent
    told = _told(run_dir)
    for part in ("task", "model"):
        here = told.get(part)
        if here and isinstance(here, dict) and not _fits(here, part, record):
            raise RunError(
                "a cell lies in the folder of another run, whose name it would bear",
                where=cell,
                expected=f"a cell of {_called(here)}, as {run_dir / RUN_FILE} says",
                found=f"one of {record.task.protocol}, model {record.model.id}",
                remedy="move it back to its own run's folder, or to any that has no model.json",
            )


def _fits(here: Mapping[str, Any], part: str, record: CellRecord) -> bool:
    """Whether a cell is of the task, or the model, of a run's folder; the same model may have been run under two ids."""
    if record.identity is not None:
        held = record.identity[part]
        return bool(held == {key: value for key, value in here.items() if key in held or key not in ("id", "name")})
    given = {"protocol": record.task.protocol} if part == "task" else record.model.given()
    return all(here.get(key, value) == value for key, value in given.items() if key not in ("id", "name"))


def _called(part: Mapping[str, Any]) -> str:
    return f"model {part['id']}" if "id" in part else str(part.get("protocol") or part.get("name"))


def _told(run_dir: Path) -> dict[str, Any]:
    """The content of a run's model.json; empty where there is none, or it cannot be read."""
    try:
        found = json.loads(regular_bytes(run_dir / RUN_FILE))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
