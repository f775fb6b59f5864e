"""A document written in several forms: every file aside first and then renamed, the page itself last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sambench.errors import unknown_name
from sambench.files.writing import write_aside
from sambench.report import style
from sambench.report.document import Document
from sambench.report.forms import csvs, table_picture
from sambench.report.forms.html import to_html
from sambench.report.forms.latex import table_to_latex, to_latex
from sambench.report.forms.markdown import to_markdown
from sambench.text import mapped, printable

FORMS = ("html", "tex", "md", "csv", "png", "pdf")


def write(document: Document, forms: Sequence[str], folder: Path, *, told: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Write the forms into `folder`; returns the files, the ones to open first.

    html: <id>.html, alone. tex: <id>.tex with tables/*.tex, figures/*.pdf and references.bib. md: <id>.md with figures/*.png.
    csv, png and pdf: every table and figure. Raises UsageError on an unknown form, RunError where files cannot be written.
    """
    for form in forms:
        if form not in FORMS:
            raise unknown_name("format", form, FORMS, where="--format")
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
                out.append(_text(folder / "figures" / f"{picture.id}.csv", csvs.of_picture(picture)))
        for table in section.tables:
            for form, made_table in table_picture.render(table, [f for f in ("png", "pdf") if f in forms]).items():
                out.append(_bytes(folder / "tables" / f"{table.id}.{form}", made_table))
            if "tex" in forms:
                out.append(_text(folder / "tables" / f"{table.id}.tex", table_to_latex(table)))
            if "csv" in forms:
                out.append(_text(folder / "tables" / f"{table.id}.csv", csvs.of_table(table)))
    if document.runs and "csv" in forms:
        out.append(_text(folder / "tables" / "runs.csv", csvs.of_table(document.runs)))
    if {"tex", "md"} & set(forms):
        out.append(_text(folder / "references.bib", document.bibtex))
    pages: dict[str, Callable[[], str]] = {
        "html": lambda: to_html(document, svgs),
        "tex": lambda: to_latex(document),
        "md": lambda: to_markdown(document),
    }
    first = [_text(folder / f"{document.id}.{form}", page()) for form, page in pages.items() if form in forms]
    return first + out


# What each form of a figure is drawn for.
_NEEDS = {"svg": {"html"}, "png": {"md", "png"}, "pdf": {"tex", "pdf"}}


def _text(path: Path, text: str) -> Path:
    return _bytes(path, text.encode())


def _bytes(path: Path, content: bytes) -> Path:
    return write_aside(path, lambda aside: aside.write_bytes(content))
