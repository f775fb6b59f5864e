"""Reports in every form: pages, LaTeX, Markdown, pictures and files."""

from __future__ import annotations

import base64
import csv
import io
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sambench.errors import UsageError
from sambench.layout import Column, Row, Table, draw, style
from sambench.layout.latex import escape
from sambench.layout.latex import to_latex as table_to_latex
from sambench.layout.markdown import to_markdown as table_to_markdown
from sambench.report import document
from sambench.report.document import Document
from sambench.report.forms import latex
from sambench.report.forms.html import to_html
from sambench.report.write import PAGES, write
from sambench.store.views import CellView
from tests.helpers.reports import report_of, tables_of


class _Page(HTMLParser):
    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.svgs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.svgs += tag == "svg"
        self.ids += [held["id"] or ""] if "id" in held else []
        self.loads += [v or "" for k, v in attrs if k == "src" or (tag == "link" and k == "href")]
        self.links += [held.get("href") or ""] if tag == "a" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], self.open[-3:]
        self.open.pop()


def test_the_page_is_whole_and_needs_nothing_else(duo: list[CellView]) -> None:
    doc = report_of("paper", duo, baseline="otsu")
    text = to_html(doc)
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert not [u for u in page.loads if not u.startswith("data:")]
    assert "@import" not in text
    assert 'name="viewport"' in text
    inner = [u[1:] for u in page.links if u.startswith("#")]
    assert inner
    assert set(inner) <= set(page.ids)
    assert page.svgs == sum(len(s.pictures) for s in doc.sections)
    csv_links = [u for u in page.links if u.startswith("data:text/csv")]
    n_tables = len(tables_of(doc)) + 1
    assert len(csv_links) == n_tables + page.svgs
    table = base64.b64decode(csv_links[0].split(",", 1)[1]).decode()
    assert table.splitlines()[0].startswith("dataset,")
    for cell in duo:
        assert f"{cell.run_name}/{cell.path.name}" in text


def test_numbers_sort_by_their_value_and_dashes_have_none(duo: list[CellView]) -> None:
    text = to_html(report_of("table7", duo[:1]))
    assert re.search(r'data-sort="0\.8\d*"[^>]*>80\.0', text)
    assert re.search(r'<td class="right" title="not among the runs given">–<sup>a</sup>', text)


def test_texts_of_a_run_cannot_break_a_page(tmp_path: Path) -> None:
    columns = (Column("a", "<i>"), Column("b", "100%_$"))
    evil = Table("<b>&_%", columns, (Row({"a": "<script>x</script> | #1", "b": "a_b{c}\\d~^"}),), id="t")
    doc = Document("t", "T & <T>", (document.Section("s", "S_<&>", tables=(evil,)),))
    page = to_html(doc)
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    tex = table_to_latex(evil)
    assert "a\\_b\\{c\\}\\textbackslash{}d\\textasciitilde{}\\textasciicircum{}" in tex
    assert "\\textless{}script\\textgreater{}x" in tex
    assert "\\| #1" in table_to_markdown(evil)


def test_latex_is_balanced_and_every_row_has_its_columns(duo: list[CellView]) -> None:
    doc = report_of("paper", duo, baseline="otsu")
    for table in tables_of(doc):
        tex = table_to_latex(table)
        assert len(re.findall(r"\\begin", tex)) == len(re.findall(r"\\end\{", tex))
        plain = re.sub(r"\\[{}]", "", tex)
        assert plain.count("{") == plain.count("}")
        body = tex.split("\\midrule\n", 1)[1].split("\\bottomrule")[0]
        for line in body.replace("\\midrule\n", "").strip().splitlines():
            assert len(re.findall(r"(?<!\\)&", line)) == len(table.columns) - 1, line
        assert tex.isascii() or all(ord(c) < 0x250 for c in tex)
    whole = latex.to_latex(doc)
    assert whole.count("\\input{tables/") == len(tables_of(doc))
    assert "\\VAR" not in whole
    assert "\\BLOCK" not in whole
    assert escape("--limit 5–6 ± †") == "-{}-limit 5\\textendash{}6 $\\pm$ \\textdagger{}"


def test_markdown_rows_have_as_many_cells_as_the_head(duo: list[CellView]) -> None:
    for table in tables_of(report_of("paper", duo)):
        lines = [line for line in table_to_markdown(table).splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_figures_are_vector_text_and_the_same_bytes_each_time(duo: list[CellView]) -> None:
    (picture,) = report_of("fig9c", duo).sections[0].pictures
    one, two = (style.render(picture, ("svg", "pdf", "png")) for _ in range(2))
    assert one == two
    assert one["png"].startswith(b"\x89PNG")
    assert one["pdf"].startswith(b"%PDF")
    texts = {t.text for t in ET.fromstring(one["svg"]).iter("{http://www.w3.org/2000/svg}text")}
    assert {"clicks", "SAM_VIT_H", "OTSU"} <= texts
    inline = style.inline_svg(one["svg"], "p1", 'a "quoted" <alt>')
    root = ET.fromstring(inline)
    assert root.attrib["aria-label"] == 'a "quoted" <alt>'
    assert all(e.attrib["id"].startswith("p1-") for e in root.iter() if "id" in e.attrib)
    csv_rows = list(csv.reader(io.StringIO(picture.to_csv())))
    assert csv_rows[0] == list(picture.header)
    assert len(csv_rows) == 1 + len(picture.rows)


def test_a_table_as_a_picture(duo: list[CellView]) -> None:
    _, miou = tables_of(report_of("table7", duo))
    made = draw(miou, ("svg", "png"))
    texts = {t.text for t in ET.fromstring(made["svg"]).iter("{http://www.w3.org/2000/svg}text")}
    assert {"PPDLS", "80.0", "mean of duo", "SAM_VIT_H"} <= texts


def test_all_forms_are_written_and_no_other_file(duo: list[CellView], tmp_path: Path) -> None:
    doc = report_of("fig9c", duo)
    written = write(doc, PAGES, tmp_path / "out")
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in written)
    assert names == [
        "fig9c.html", "fig9c.md", "fig9c.tex", "figures/fig9c.csv", "figures/fig9c.pdf", "figures/fig9c.png", "references.bib",
        "tables/runs.csv", "tables/runs.json",
    ]  # fmt: skip
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()) == names
    with pytest.raises(UsageError, match="unknown format 'htm'"):
        write(doc, ["htm"], tmp_path / "out")
