"""A table as plain values, and its forms: rich (terminal), Markdown, LaTeX (booktabs), CSV and JSON.

Values are kept as measured (fractions, clicks, counts) and CSV and JSON give them so, in full; the forms for reading
show fractions in percent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sambench.errors import unknown_name
from sambench.text import csv_text, markdown, printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table as RichTable

# percent: a fraction in [0, 1]; score: the same, shown as it is. points: a difference of fractions.
# pairs: of: (fraction, number of candidates);
# interval, points_interval, signed_interval, number_interval: (low, high). small_p: p-values whose size matters far below 0.0001.
Kind = Literal[
    "text",
    "count",
    "percent",
    "score",
    "number",
    "points",
    "signed",
    "p",
    "small_p",
    "of",
    "interval",
    "score_interval",
    "points_interval",
    "signed_interval",
    "number_interval",
]
_PAIRS: dict[str, tuple[str, str]] = {
    "of": ("", "_candidates"),
    "interval": ("_low", "_high"),
    "score_interval": ("_low", "_high"),
    "points_interval": ("_low", "_high"),
    "signed_interval": ("_low", "_high"),
    "number_interval": ("_low", "_high"),
}
DASH = "–"


@dataclass(frozen=True)
class Column:
    """key: name in CSV and JSON (pairs get two, with suffixes). hidden: in CSV and JSON alone. minor: the first to be left out
    where a terminal is too narrow.
    """

    key: str
    label: str
    kind: Kind = "text"
    hidden: bool = False
    minor: bool = False


@dataclass(frozen=True)
class Row:
    """values by column key; a key left out, None and NaN all mean "not there". summary: set apart from the others."""

    values: Mapping[str, Any]
    summary: bool = False


@dataclass(frozen=True)
class Table:
    """notes: whole sentences that must be read with the numbers; every form but CSV carries them."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def shown(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if not c.hidden)


def is_missing(value: Any) -> bool:
    """None, NaN, or a pair that begins with one."""
    if isinstance(value, tuple):
        return is_missing(value[0])
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_of(value: Any, kind: Kind) -> str:
    """A value as it is read: percent with one decimal, differences with their sign, a dash where there is none."""
    if is_missing(value):
        return DASH
    if kind in ("text", "count"):
        return printable(str(value))
    if kind == "of":
        return f"{_percent(value[0])} ({value[1]})"
    if kind == "p":
        return "<0.0001" if value < 1e-4 else f"{value:.4f}"
    if kind == "small_p":
        return f"{value:.1e}" if value < 1e-3 else f"{value:.4f}"
    if kind in _PAIRS:
        form = _FORMS["percent" if kind == "interval" else kind.removesuffix("_interval")]
        return f"[{form(value[0])}, {form(value[1])}]"
    return _FORMS[kind](value)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _signed(value: float) -> str:
    return f"{value:+.2f}"


_FORMS: dict[str, Callable[[float], str]] = {
    "percent": _percent,
    "score": lambda v: f"{v:.3f}",
    "number": lambda v: f"{v:.2f}",
    "points": lambda v: f"{100 * v:+.1f}",
    "signed": _signed,
}


def render_rich(table: Table) -> RenderableType:
    """For a terminal: the table, its notes below. Too wide: whole columns are left out and named, no number is broken."""
    return _Fitting(table)


class _Fitting:
    """A table that chooses its columns when it knows how wide the terminal is."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.measure import Measurement
        from rich.text import Text

        columns, left_out = list(self.table.shown), []
        while len(columns) > 1:
            drawn = _rich_table(self.table, columns)
            if Measurement.get(console, options.update(max_width=10_000), drawn).maximum <= options.max_width:
                break
            left_out.append(columns.pop(_least(columns)))
        yield _rich_table(self.table, columns)
        if left_out:
            labels = ", ".join(c.label for c in self.table.shown if c in left_out)
            yield Text(f"left out for width: {labels} (a wider terminal or --format csv shows all)", style="dim")
        for note in self.table.notes:
            yield Text(note, style="yellow" if "PARTIAL" in note else "dim")


def _least(columns: Sequence[Column]) -> int:
    """The column that is missed least: minor ones, then counts, then intervals, then the last numbers; texts last."""
    minor = [i for i, c in enumerate(columns) if c.minor]
    if minor:
        return minor[-1]
    for kinds in ({"count"}, {"interval", "points_interval", "signed_interval", "number_interval"}):
        at = [i for i, c in enumerate(columns) if c.kind in kinds]
        if at:
            return at[-1]
    numbers = [i for i, c in enumerate(columns) if c.kind != "text"]
    return numbers[-1] if len(numbers) > 1 else len(columns) - 1


def _rich_table(table: Table, columns: Sequence[Column]) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(table.title, style="bold")
    out = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        justify: Literal["left", "right"] = "left" if column.kind == "text" else "right"
        out.add_column(Text(column.label), justify=justify, no_wrap=True)
    for i, row in enumerate(table.rows):
        if row.summary and i and not table.rows[i - 1].summary:
            out.add_section()
        texts = (Text(text_of(row.values.get(c.key), c.kind)) for c in columns)
        out.add_row(*texts, style="bold" if row.summary else None)
    return out


def to_markdown(table: Table) -> str:
    """GitHub's tables, notes as a list."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(markdown(c).replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

    rules = ["---" if c.kind == "text" else "---:" for c in table.shown]
    lines = [f"**{markdown(table.title)}**", "", line([c.label for c in table.shown]), line(rules)]
    lines += [line([f"**{t}**" if row.summary else t for t in _texts(table, row)]) for row in table.rows]
    if table.notes:
        lines += ["", *(f"- {markdown(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """A `table` environment for the package booktabs; notes stand below in small print."""
    columns = "".join("l" if c.kind == "text" else "r" for c in table.shown)
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_escape_latex(table.title)}}}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        " & ".join(_escape_latex(c.label) for c in table.shown) + " \\\\",
        "\\midrule",
    ]
    for i, row in enumerate(table.rows):
        if row.summary and i and not table.rows[i - 1].summary:
            lines.append("\\midrule")
        lines.append(" & ".join(_escape_latex(t) for t in _texts(table, row)) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"\\par\\footnotesize {_escape_latex(note)}" for note in table.notes]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def to_csv(table: Table) -> str:
    """All columns in full precision, pairs in two; what is missing is empty. Notes are not in it: `status` and `note` are."""
    keys = [key for c in table.columns for key, _ in _flat(c, None)]
    return csv_text(keys, ([v for c in table.columns for _, v in _flat(c, row.values.get(c.key))] for row in table.rows))


def to_frame(table: Table) -> pd.DataFrame:
    """All columns in full precision, as CSV has them; None or NaN where missing."""
    import pandas as pd

    keys = [key for c in table.columns for key, _ in _flat(c, None)]
    rows = [[v for c in table.columns for _, v in _flat(c, row.values.get(c.key))] for row in table.rows]
    return pd.DataFrame(rows, columns=keys)


def to_json(table: Table) -> str:
    """{title, columns: [{key, label, kind}], rows: [{key: value}], notes}, pairs in two keys; null where missing."""
    rows = []
    for row in table.rows:
        values = {k: v for c in table.columns for k, v in _flat(c, row.values.get(c.key))}
        rows.append(values | ({"summary": True} if row.summary else {}))
    columns = [{"key": k, "label": c.label, "kind": c.kind} for c in table.columns for k, _ in _flat(c, None)]
    whole = {"title": table.title, "columns": columns, "rows": rows, "notes": list(table.notes)}
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Table], str]] = {
    "csv": to_csv,
    "markdown": to_markdown,
    "md": to_markdown,
    "latex": to_latex,
    "tex": to_latex,
    "json": to_json,
}


def render(table: Table, form: str) -> str:
    """The table in one of FORMATS. Raises UsageError with near names."""
    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS, where="--format")
    return FORMATS[form](table)


def render_all(tables: Sequence[tuple[str, Table]], form: str) -> str:
    """Named tables as one document of a form: one list in JSON, one header in CSV (all columns, and before them `table`, the name).

    One table alone is as `render` gives it. Raises UsageError with near names.
    """
    if len(tables) == 1 or form not in ("csv", "json"):
        return "\n".join(render(table, form) for _, table in tables)
    if form == "json":
        return json.dumps([json.loads(to_json(table)) for _, table in tables], indent=2, ensure_ascii=False) + "\n"
    keys = dict.fromkeys(key for _, table in tables for c in table.columns for key, _ in _flat(c, None))
    rows = []
    for name, table in tables:
        for row in table.rows:
            held = dict(pair for c in table.columns for pair in _flat(c, row.values.get(c.key)))
            rows.append([name, *(held.get(key) for key in keys)])
    return csv_text(["table", *keys], rows)


def _texts(table: Table, row: Row) -> list[str]:
    return [text_of(row.values.get(c.key), c.kind) for c in table.shown]


def _flat(column: Column, value: Any) -> list[tuple[str, Any]]:
    """(key, plain value) of a column's one or two parts."""
    if column.kind in _PAIRS:
        parts = (None, None) if value is None else value
        return [(column.key + s, _plain(v)) for s, v in zip(_PAIRS[column.kind], parts, strict=True)]
    return [(column.key, _plain(value))]


def _plain(value: Any) -> Any:
    return None if is_missing(value) else value


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    DASH: "--",
    "±": "$\\pm$",
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
