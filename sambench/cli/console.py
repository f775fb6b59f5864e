"""What all commands print with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sambench.errors import SambenchError

if TYPE_CHECKING:
    from rich.console import Console


def out() -> Console:
    """Standard output: what was asked for."""
    from rich.console import Console

    # Not a terminal: no wrapping at an imagined 80 columns.
    return Console(width=None if sys.stdout.isatty() else 240, highlight=False)


def err() -> Console:
    """Standard error: progress, notes and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_error(e: SambenchError) -> None:
    """The whole report, in plain lines."""
    text = str(e)
    if sys.stderr.isatty():
        from rich.text import Text

        head, _, rest = text.partition("\n")
        err().print(
            Text("error: ", style="bold red") + Text(head, style="bold") + Text("\n" + rest if rest else ""), soft_wrap=True
        )
    else:
        sys.stderr.write(f"error: {text}\n")
