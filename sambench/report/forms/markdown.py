"""A document as Markdown (GitHub's), with figures beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sambench.layout.markdown import to_markdown as table_to_markdown
from sambench.report.document import Document, Section
from sambench.text import mapped, markdown


def to_markdown(document: Document) -> str:
    """The whole report; figures are `figures/<id>.png`."""
    return "\n".join(_parts(mapped(document, markdown))).rstrip() + "\n"


def _parts(document: Document) -> Iterator[str]:
    yield f"# {document.title}\n"
    yield from (f"{note}\n" for note in document.notes)
    sections, unmeasured = document.parted
    for section in sections:
        if section.title != document.title:
            yield f"## {section.title}\n"
        yield from _section(section)
    if unmeasured:
        yield "## Not measured\n"
    for section in unmeasured:
        yield f"<details>\n<summary>{section.title}</summary>\n"
        yield from _section(section)
        yield "</details>\n"
    if document.deviations:
        yield "## Deviations that cannot be avoided\n"
        yield "\n".join(f"- {d}" for d in document.deviations) + "\n"
    if document.methods:
        yield "## Methods\n"
        yield from (f"{m}\n" for m in document.methods)
        yield "The works named in brackets stand in `references.bib`.\n"
    if document.runs and document.runs.rows:
        yield "## Runs\n"
        yield table_to_markdown(document.runs)


def _section(section: Section) -> Iterator[str]:
    """What stands below its title."""
    if section.source:
        yield f"*{section.source}*\n"
    if section.text:
        yield f"{section.text}\n"
    yield from (f"> {reason}\n" for reason in section.absent)
    yield from (table_to_markdown(t if t.title != section.title else replace(t, title="")) for t in section.tables)
    for picture in section.pictures:
        yield f"![{picture.alt}](figures/{picture.id}.png)\n"
        notes = [*(f"- {n}" for n in picture.notes), f"- data: `figures/{picture.id}.csv`"]
        yield "\n".join([f"**{picture.title}**", "", *notes]) + "\n"
