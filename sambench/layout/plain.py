"""A table for programs: CSV, JSON and pandas, all columns in full precision, what is missing empty and its reason beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sambench.layout.table import PAIRS, Column, Row, Table, Value, cell_of, is_missing
from sambench.text import csv_text

if TYPE_CHECKING:
    import pandas as pd

# Of a table whose cells are more than values: what kind each row is, and what is to be known of its cells, by column.
_REMARKED = (Column("row_kind", "row kind"), Column("remarks", "remarks"))


def to_csv(table: Table) -> str:
    """One line a row. Warnings and notes of the table are not in it; of cells they are, as `remarks`."""
    columns = _columns(table)
    return csv_text(_keys(columns), (_record(columns, row).values() for row in table.rows))


def to_frame(table: Table) -> pd.DataFrame:
    """All columns as CSV has them; None or NaN where missing."""
    import pandas as pd

    columns = _columns(table)
    return pd.DataFrame([list(_record(columns, row).values()) for row in table.rows], columns=_keys(columns))


def to_json(table: Table) -> str:
    """{title, columns: [{key, label, kind}], rows: [{key: value}], notes}, pairs in two keys; null where missing."""
    return json.dumps(_document(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _document(table: Table) -> dict[str, Any]:
    columns = _columns(table)
    rows = [_record(columns, row) | ({"summary": True} if row.summary else {}) for row in table.rows]
    heads = [{"key": k, "label": c.label, "kind": c.kind} for c in columns for k in _keys([c])]
    return {"title": table.title, "columns": heads, "rows": rows, "notes": list(table.notes)}


def all_json(tables: Sequence[Table]) -> str:
    """Several tables as one list."""
    return json.dumps([_document(t) for t in tables], indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def all_csv(tables: Sequence[tuple[str, Table]]) -> str:
    """Several named tables with one header: all columns, and before them `table`, the name."""
    keys = dict.fromkeys(key for _, table in tables for key in _keys(_columns(table)))
    rows = []
    for name, table in tables:
        columns = _columns(table)
        for row in table.rows:
            held = _record(columns, row)
            rows.append([name, *(held.get(key) for key in keys)])
    return csv_text(["table", *keys], rows)


def _columns(table: Table) -> list[Column]:
    """The table's columns, after each one its intervals where it has some, and last the remarks where cells have some to make."""
    out: list[Column] = []
    for column in table.columns:
        out.append(column)
        if any(cell_of(row, column).low is not None for row in table.rows):
            out.append(Column(f"{column.key}_ci", column.label, "interval"))
    remarked = any(isinstance(v, Value) for row in table.rows for v in row.values.values())
    return [*out, *_REMARKED] if remarked else out


def _keys(columns: Sequence[Column]) -> list[str]:
    return [c.key + suffix for c in columns for suffix in PAIRS.get(c.kind, ("",))]


def _record(columns: Sequence[Column], row: Row) -> dict[str, Any]:
    """A row's plain values by key, pairs in two."""
    cells = {c.key: cell_of(row, c) for c in columns}
    values: dict[str, Any] = {key: cell.value for key, cell in cells.items()}
    values |= {f"{key}_ci": (cell.low, cell.high) for key, cell in cells.items() if cell.low is not None}
    values |= {"row_kind": row.kind, "remarks": _remarks(cells)} if columns[-1] is _REMARKED[-1] else {}
    return {key: value for c in columns for key, value in _flat(c, values.get(c.key))}


def _remarks(cells: Mapping[str, Value]) -> str:
    out = []
    for key, cell in cells.items():
        out += [f"{key}: {cell.remark}"] if cell.remark else []
        out += [f"{key}: training overlap"] if cell.overlap and not cell.missing else []
        out += [f"{key}: PARTIAL ({cell.partial})"] if cell.partial and not cell.missing else []
    return "; ".join(out)


def _flat(column: Column, value: Any) -> list[tuple[str, Any]]:
    """(key, plain value) of a column's one or two parts."""
    if column.kind in PAIRS:
        parts = (None, None) if value is None else value
        return [(column.key + s, _plain(v)) for s, v in zip(PAIRS[column.kind], parts, strict=True)]
    return [(column.key, _plain(value))]


def _plain(value: Any) -> Any:
    return None if is_missing(value) else value
