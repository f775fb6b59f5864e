"""What a user calls a run's model (`--name`): kept in the run's `model.json`, beside what was measured and no part of it."""

from __future__ import annotations

import json
from pathlib import Path

from sambench.errors import UsageError, shown
from sambench.files.content import regular_bytes
from sambench.paths import RUN_FILE

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
        found = json.loads(regular_bytes(run_dir / RUN_FILE)).get("label", "")
        return check_label(found)
    except (OSError, ValueError, AttributeError, RecursionError, UsageError):
        return ""
