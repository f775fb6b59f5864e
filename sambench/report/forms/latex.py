"""A document as LaTeX: a whole article, and each table as a file of its own for the package booktabs."""

from __future__ import annotations

from typing import Any

from sambench import paths
from sambench.layout import DASH
from sambench.report.document import Document, Section, Table, cell_of, footnotes, marks_of, reasons_of, text_in

_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    DASH: "\\textendash{}",
    "—": "\\textemdash{}",
    "−": "$-$",
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
TEXT_WIDTH_IN = 6.5
LONG = 26  # characters from which a column of text may break its lines
_BREAKING_CM = 4.2


def escape(text: str) -> str:
    """Text with LaTeX's own characters and those that its fonts lack made harmless."""
    return "".join(_ESCAPES.get(c, c if ord(c) < 0x250 else "?") for c in text).replace("--", "-{}-")


def table_to_latex(table: Table) -> str:
    """A `table` environment: booktabs rules, group headings, notes below."""
    reasons = reasons_of(table)
    lines = [
        "\\begin{table}[htbp]",
        "\\centering\\small",
        f"\\caption{{{escape(table.title)}}}",
        f"\\label{{tab:{table.id}}}",
        "\\fittable{%",
        f"\\begin{{tabular}}{{{_columns(table)}}}",
        "\\toprule",
        *_headings(table),
        "\\midrule",
    ]
    for i, row in enumerate(table.rows):
        if row.kind == "summary" and i and table.rows[i - 1].kind != "summary":
            lines.append("\\midrule")
        cells = []
        for column in table.columns:
            cell = cell_of(row, column)
            marks = marks_of(cell, reasons)
            text = escape(text_in(cell, column)) + (f"\\textsuperscript{{{escape(marks)}}}" if marks else "")
            cells.append(_styled(text, row.kind))
        lines.append(" & ".join(cells) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}}"]
    notes = [(f"\\textsuperscript{{{escape(mark)}}}~" if mark else "") + escape(note) for mark, note in footnotes(table)]
    if notes:
        lines.append("\\tablenotes{" + " \\par ".join(notes) + "}")
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def _styled(text: str, kind: str) -> str:
    if not text or kind == "measured":
        return text
    return f"\\textbf{{{text}}}" if kind == "summary" else f"\\textit{{{text}}}"


def _columns(table: Table) -> str:
    out = []
    for column in table.columns:
        longest = max((len(text_in(cell_of(row, column), column)) for row in table.rows), default=0)
        if column.kind != "text":
            out.append("r")
        else:
            out.append(f">{{\\raggedright\\arraybackslash}}p{{{_BREAKING_CM}cm}}" if longest > LONG else "l")
    return "".join(out)


def _headings(table: Table) -> list[str]:
    lines = []
    if any(c.group for c in table.columns):
        spans: list[list[Any]] = []
        for column in table.columns:
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
    lines.append(" & ".join(escape(c.label) for c in table.columns) + " \\\\")
    return lines


def to_latex(document: Document) -> str:
    """The article, which reads `tables/<id>.tex` and `figures/<id>.pdf`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(paths.packaged("reports")),
        undefined=StrictUndefined,
        autoescape=False,
        variable_start_string="\\VAR{",
        variable_end_string="}",
        block_start_string="\\BLOCK{",
        block_end_string="}",
        comment_start_string="\\#{",
        trim_blocks=True,
    )
    return environment.get_template("report.tex").render(
        document={
            "title": escape(document.title),
            "versions": escape(document.versions),
            "notes": [escape(n) for n in document.notes],
            "deviations": [escape(d) for d in document.deviations],
            "methods": [escape(m) for m in document.methods],
        },
        sections=[_section(s) for s in document.sections],
        runs=_runs(document),
    )


def _section(section: Section) -> dict[str, Any]:
    pictures = [
        {
            "id": p.id,
            "width": f"{min(1.0, p.size_in[0] / TEXT_WIDTH_IN):.2f}",
            "caption": escape(" ".join([p.title + ".", *p.notes])),
        }
        for p in section.pictures
    ]
    return {
        "id": section.id,
        "title": escape(section.title),
        "place": escape(section.source),
        "text": escape(section.text),
        "absent": [escape(a) for a in section.absent],
        "tables": [t.id for t in section.tables],
        "pictures": pictures,
    }


def _runs(document: Document) -> list[tuple[str, str]]:
    by_run: dict[str, list[str]] = {}
    for row in document.runs.rows if document.runs else ():
        status = str(row.values["status"])
        by_run.setdefault(str(row.values["run"]), []).append(
            str(row.values["dataset"]) + (f" [{status}]" if status != "complete" else "")
        )
    return [(escape(run), escape(", ".join(cells))) for run, cells in by_run.items()]
