"""A document written in several forms: every file aside first and then renamed, the page itself last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sambench.files.writing import write_aside
from sambench.layout import FORMATS, Table, draw, style
from sambench.layout.formats import PAGES, ending, form_of
from sambench.report.document import Document
from sambench.report.forms.html import to_html
from sambench.report.forms.latex import to_latex
from sambench.report.forms.markdown import to_markdown
from sambench.text import mapped, printable


def write(document: Document, forms: Sequence[str], folder: Path, *, told: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Write the forms into `folder`; returns the files, the ones to open first.

    html: <id>.html, alone. latex: <id>.tex with tables/*.tex, figures/*.pdf and references.bib. markdown: <id>.md with
    figures/*.png. csv, json, png and pdf: every table, and every figure (its data as CSV). Raises UsageError on an unknown form,
    RunError where files cannot be written.
    """
    forms = [form_of(name, PAGES) for name in forms]
    document = mapped(document, printable)
    drawn = {form for form, needs in _NEEDS.items() if needs & set(forms)}
    out: list[Path] = []
    svgs: dict[str, bytes] = {}
    for section in document.sections:
        told(section.title)
        for picture in section.pictures:
            made = style.render(picture, sorted(drawn))
            svgs |= {picture.id: made["svg"]} if "svg" in made else {}
            kept = {form: content for form, content in made.items() if form != "svg"}
            out += [_bytes(folder / "figures" / f"{picture.id}.{form}", content) for form, content in kept.items()]
            if set(forms) - {"html"}:
                out.append(_text(folder / "figures" / f"{picture.id}.csv", picture.to_csv()))
        for table in section.tables:
            for form, drawn_table in draw(table, [f for f in ("png", "pdf") if f in forms]).items():
                out.append(_bytes(folder / "tables" / f"{table.id}.{form}", drawn_table))
            out += [_table(folder, table, form) for form in ("latex", "csv", "json") if form in forms]
    if document.runs:
        out += [_table(folder, document.runs, form) for form in ("csv", "json") if form in forms]
    if {"latex", "markdown"} & set(forms):
        out.append(_text(folder / "references.bib", document.bibtex))
    pages: dict[str, Callable[[], str]] = {
        "html": lambda: to_html(document, svgs),
        "latex": lambda: to_latex(document),
        "markdown": lambda: to_markdown(document),
    }
    first = [_text(folder / f"{document.id}.{ending(form)}", page()) for form, page in pages.items() if form in forms]
    return first + out


# What each form of a figure is drawn for.
_NEEDS = {"svg": {"html"}, "png": {"markdown", "png"}, "pdf": {"latex", "pdf"}}


def _table(folder: Path, table: Table, form: str) -> Path:
    return _text(folder / "tables" / f"{table.id}.{ending(form)}", FORMATS[form](table))


def _text(path: Path, text: str) -> Path:
    return _bytes(path, text.encode())


def _bytes(path: Path, content: bytes) -> Path:
    return write_aside(path, lambda aside: aside.write_bytes(content))
