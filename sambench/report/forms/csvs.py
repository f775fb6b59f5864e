"""Tables and the data of figures as CSV, in full precision, with the reason of every gap."""

from __future__ import annotations

from typing import Any

from sambench import layout
from sambench.report.document import Picture, Table, cell_of
from sambench.text import csv_text


def of_table(table: Table) -> str:
    """All columns as measured (fractions), intervals in two; then `row_kind`, and `remarks`: gaps and daggers by column."""
    columns: list[layout.Column] = []
    for column in table.columns:
        columns.append(layout.Column(column.key, column.label, column.kind))
        if any(cell_of(row, column).low is not None for row in table.rows):
            columns.append(layout.Column(f"{column.key}_ci", column.label, "interval"))
    columns += [layout.Column("row_kind", "row kind"), layout.Column("remarks", "remarks")]
    rows = []
    for row in table.rows:
        values: dict[str, Any] = {}
        remarks: list[str] = []
        for column in table.columns:
            cell = cell_of(row, column)
            values[column.key] = cell.value
            values[f"{column.key}_ci"] = None if cell.low is None else (cell.low, cell.high)
            if cell.missing and cell.reason:
                remarks.append(f"{column.key}: {cell.reason}")
            remarks += [f"{column.key}: training overlap"] if cell.overlap and not cell.missing else []
            remarks += [f"{column.key}: PARTIAL ({cell.partial})"] if cell.partial and not cell.missing else []
        rows.append(layout.Row(values | {"row_kind": row.kind, "remarks": "; ".join(remarks)}))
    return layout.to_csv(layout.Table(table.title, tuple(columns), tuple(rows)))


def of_picture(picture: Picture) -> str:
    """The picture's data as given; what is missing is empty."""
    return csv_text(picture.header, (["" if layout.is_missing(v) else v for v in row] for row in picture.rows))
