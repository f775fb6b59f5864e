"""Tables as tests look at them."""

from __future__ import annotations

import io
from typing import Any

from sambench import layout


def only_row(table: layout.Table, **where: Any) -> dict[str, Any]:
    """The values of the one row that has those of `where`."""
    rows = [r.values for r in table.rows if all(r.values.get(k) == v for k, v in where.items())]
    assert len(rows) == 1, rows
    return dict(rows[0])


def terminal(table: layout.Table, width: int = 200) -> str:
    """The table as a terminal of that width shows it."""
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(layout.render_rich(table))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]
