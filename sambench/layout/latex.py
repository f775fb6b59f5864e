"""A table as LaTeX: a `table` environment for the packages booktabs and array, which can be pasted as it is."""

from __future__ import annotations

from typing import Any

from sambench.layout.table import DASH, MINUS, Table, cell_of, footnotes, letters_of, marks_of, printed_of
from sambench.text import printable

_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    DASH: "\\textendash{}",
    "—": "\\textemdash{}",
    MINUS: "$-$",
    "±": "$\\pm$",
    "×": "$\\times$",
    "·": "$\\cdot$",
    "†": "\\textdagger{}",
    "‡": "\\textdaggerdbl{}",
    "…": "\\ldots{}",
    "’": "'",
    "●": "$\\bullet$",
    "≥": "$\\geq$",
    "≤": "$\\leq$",
    "Δ": "$\\Delta$",
    "²": "$^2$",
}
LONG = 26  # characters from which a column of text may break its lines
_BREAKING_CM = 4.2
# A document may define both before: a report makes tables that are wider than the page smaller.
_OWN = (
    "% \\usepackage{array,booktabs}",
    "\\providecommand{\\fittable}[1]{#1}",
    "\\providecommand{\\notesbelow}[1]{\\par\\vspace{3pt}{\\footnotesize\\raggedright #1\\par}}",
)


def escape(text: str) -> str:
    """Text with LaTeX's own characters and those that its fonts lack made harmless."""
    return "".join(_ESCAPES.get(c, c if ord(c) < 0x250 else "?") for c in printable(text)).replace("--", "-{}-")


def to_latex(table: Table) -> str:
    """Booktabs rules, group headings, footnotes and notes below in small print."""
    letters = letters_of(table)
    lines = [
        *_OWN,
        "\\begin{table}[htbp]",
        "\\centering\\small",
        f"\\caption{{{escape(table.title)}}}",
        *([f"\\label{{tab:{table.id}}}"] if table.id else []),
        "\\fittable{%",
        f"\\begin{{tabular}}{{{_columns(table)}}}",
        "\\toprule",
        *_headings(table),
        "\\midrule",
    ]
    for i, row in enumerate(table.rows):
        if row.summary and i and not table.rows[i - 1].summary:
            lines.append("\\midrule")
        cells = []
        for column in table.shown:
            cell = cell_of(row, column)
            marks = marks_of(cell, letters)
            text = escape(printed_of(cell.value, column.kind)) + (f"\\textsuperscript{{{escape(marks)}}}" if marks else "")
            cells.append(_styled(text, row.kind))
        lines.append(" & ".join(cells) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}}"]
    notes = [(f"\\textsuperscript{{{escape(mark)}}}~" if mark else "") + escape(note) for mark, note in footnotes(table)]
    if notes:
        lines.append("\\notesbelow{" + " \\par ".join(notes) + "}")
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def _styled(text: str, kind: str) -> str:
    if not text or kind == "measured":
        return text
    return f"\\textbf{{{text}}}" if kind == "summary" else f"\\textit{{{text}}}"


def _columns(table: Table) -> str:
    out = []
    for column in table.shown:
        longest = max((len(printed_of(cell_of(row, column).value, column.kind)) for row in table.rows), default=0)
        if column.kind != "text":
            out.append("r")
        else:
            out.append(f">{{\\raggedright\\arraybackslash}}p{{{_BREAKING_CM}cm}}" if longest > LONG else "l")
    return "".join(out)


def _headings(table: Table) -> list[str]:
    lines = []
    if any(c.group for c in table.shown):
        spans: list[list[Any]] = []
        for column in table.shown:
            if spans and spans[-1][0] == column.group:
                spans[-1][1] += 1
            else:
                spans.append([column.group, 1])
        lines.append(" & ".join(f"\\multicolumn{{{n}}}{{c}}{{{escape(label)}}}" for label, n in spans) + " \\\\")
        at, rules = 1, []
        for label, n in spans:
            rules += [f"\\cmidrule(lr){{{at}-{at + n - 1}}}"] if label else []
            at += n
        lines.append("".join(rules))
    lines.append(" & ".join(escape(c.label) for c in table.shown) + " \\\\")
    return lines
