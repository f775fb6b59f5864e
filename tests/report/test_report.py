"""Reports: definitions, what stands in their tables and figures, every gap with its reason, and all forms."""

from __future__ import annotations

import base64
import csv
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import sambench
from sambench import cards
from sambench.cards import SuiteCard
from sambench.errors import CardError, UsageError
from sambench.layout import Column, Row, Table, Value, cell_of, draw, footnotes, style, to_csv
from sambench.layout.latex import escape
from sambench.layout.latex import to_latex as table_to_latex
from sambench.layout.markdown import to_markdown as table_to_markdown
from sambench.layout.table import printed_of
from sambench.paper.evidence import Evidence
from sambench.report import document, gallery
from sambench.report.definitions import definition, definitions, parts_of, read
from sambench.report.document import Document, mean_of
from sambench.report.forms import latex
from sambench.report.forms.html import to_html
from sambench.report.forms.markdown import to_markdown
from sambench.report.inputs import Inputs
from sambench.report.make import make
from sambench.report.methods import bibtex, paragraphs
from sambench.report.write import PAGES, write
from sambench.store.views import CellView, read_cell
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import edge_cell, flat, point_cell

QUICK = Bootstrap(n_resamples=100)
DUO = SuiteCard(kind="suite", id="duo", name="Duo", members=("ppdls", "gtea"))


def _inputs(cells: Sequence[CellView] = (), suite: SuiteCard = DUO, **options: Any) -> Inputs:
    return Inputs(Evidence(cells), suite, bootstrap=QUICK, **options)


def _made(name: str, cells: Sequence[CellView] = (), **options: Any) -> Document:
    return make(definition(name), _inputs(cells, **options))


def _tables(doc: Document) -> list[Table]:
    return [t for s in doc.sections for t in s.tables]


def _cell(table: Table, row: str, key: str) -> Value:
    (found,) = [r for r in table.rows if r.values[table.columns[0].key] == row]
    return cell_of(found, next(c for c in table.columns if c.key == key))


@pytest.fixture
def duo(tmp_path: Path) -> list[CellView]:
    return [
        point_cell(tmp_path, "ppdls", "sam_vit_h", flat(0.8, 0.05)),
        point_cell(tmp_path, "gtea", "sam_vit_h", flat(0.6, 0.05)),
        point_cell(tmp_path, "ppdls", "otsu", flat(0.5, 0.05), gap=None),
        point_cell(tmp_path, "gtea", "otsu", flat(0.7, 0.05), gap=None),
    ]


# --- definitions


def test_paper_has_every_other_definition_once() -> None:
    parts = [p.id for p in parts_of(definition("paper"))]
    assert len(parts) == len(set(parts))
    assert set(parts) == {name for name, one in definitions().items() if "2304.02643" in one.paper} - {"paper"}
    for name in (
        "table2",
        "table3",
        "table4",
        "table5",
        "table6",
        "table7",
        "table8",
        "fig5",
        "fig6",
        "fig9a",
        "fig9b",
        "fig9c",
        "fig9d",
    ):
        assert name in parts
    assert {"fig10", "fig11", "fig13", "fig15", "fig16", "fig18"} <= set(parts)


def test_a_definition_that_does_not_fit_names_its_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('kind = "report"\nid = "mine"\ntitle = "Mine"\nsection = "clicks"\ncolour = "red"\n')
    with pytest.raises(CardError, match="'colour'"):
        read(path)
    path.write_text('kind = "report"\nid = "mine"\ntitle = "Mine"\n')
    with pytest.raises(CardError, match="either `section` or `parts`"):
        read(path)
    with pytest.raises(UsageError, match="unknown report 'tabel3'"):
        definition("tabel3")


def test_a_definition_of_ones_own_by_path(tmp_path: Path, duo: list[CellView]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('kind = "report"\nid = "mine"\ntitle = "Mine"\nparts = ["table7", "fig9c"]\n')
    made = make(definition(str(path)), _inputs(duo))
    assert [s.id for s in made.sections] == ["table7", "fig9c"]


# --- gaps


def test_every_dash_has_its_reason_with_and_without_runs(duo: list[CellView]) -> None:
    for cells in ([], duo[:1], duo):
        doc = _made("paper", cells)
        for section in doc.sections:
            assert section.tables or section.pictures or section.absent, section.id
        for table in _tables(doc):
            assert table.rows, table.id
            for row in table.rows:
                for column in table.columns:
                    cell = cell_of(row, column)
                    assert not cell.missing or cell.reason or column.kind == "text", (table.id, row.values, column.key)


def test_sections_without_runs_say_what_is_missing() -> None:
    said = {s.id: " ".join(s.absent) for s in _made("paper").sections}
    assert "no run of the task proposals on lvis_v1_val" in said["table4"]
    assert "random clicks on miap " in said["table2"]
    assert "no ratings given (--ratings FILE|DATABASE)" in said["table8"]
    assert "--properties" in said["fig5"]
    assert "baseline ritm_hrnet32" in said["fig9a"]


def test_reasons_get_letters() -> None:
    table = Table(
        "T",
        (Column("a", "a"), Column("b", "b", "percent")),
        tuple(Row({"a": "x", "b": Value(reason=f"r{i}")}) for i in range(28)),
    )
    marks = [mark for mark, _ in footnotes(table)]
    assert marks[:2] == ["a", "b"]
    assert marks[25:] == ["z", "aa", "ab"]


# --- numbers


def test_the_suites_table_has_the_runs_numbers_and_means(duo: list[CellView]) -> None:
    _, miou = _tables(_made("table7", duo))
    assert _cell(miou, "PPDLS", "sam_vit_h:top").value == pytest.approx(0.8)
    assert _cell(miou, "PPDLS", "sam_vit_h:oracle").value == pytest.approx(0.9)
    assert "otsu:oracle" not in [c.key for c in miou.columns]
    assert _cell(miou, "mean of duo", "sam_vit_h:top").value == pytest.approx(0.7)
    assert _cell(miou, "mean of duo", "otsu:top").value == pytest.approx(0.6)


def test_a_suites_mean_has_an_interval(tmp_path: Path) -> None:
    cells = [point_cell(tmp_path, d, "otsu", lambda image, n, k: 0.4 + image / 10, n_images=5) for d in DUO.members]
    _, miou = _tables(_made("table7", cells))
    one, mean = _cell(miou, "PPDLS", "otsu:top"), _cell(miou, "mean of duo", "otsu:top")
    for of in (one, mean):
        assert of.low is not None
        assert of.low < of.value < of.high
    assert mean.high - mean.low < one.high - one.low  # of two sets that were drawn independently
    single = [point_cell(tmp_path / "one", d, "otsu", flat(0.5, 0.05), n_images=1) for d in DUO.members]
    _, miou = _tables(_made("table7", single))
    assert _cell(miou, "mean of duo", "otsu:top").low is None  # nothing is known of how images vary


def test_partial_cells_are_marked_and_in_no_mean(duo: list[CellView], tmp_path: Path) -> None:
    part = point_cell(tmp_path / "p", "gtea", "sam_vit_h", flat(0.6), limit=2)
    _, miou = _tables(_made("table7", [duo[0], part]))
    assert _cell(miou, "GTEA", "sam_vit_h:top").partial == "gtea: first 2 of 3 images (--limit)"
    mean = _cell(miou, "mean of duo", "sam_vit_h:top")
    assert (mean.value, mean.reason) == (None, "1 of 2 datasets complete, not comparable")
    assert ("‡", "PARTIAL: gtea: first 2 of 3 images (--limit)") in footnotes(miou)


def test_training_overlap_is_a_dagger_with_a_mean_over_the_clean(duo: list[CellView], monkeypatch: pytest.MonkeyPatch) -> None:
    known = cards.model_cards()
    changed = known | {"sam_vit_h": known["sam_vit_h"].model_copy(update={"overlaps": ("gtea",)})}
    monkeypatch.setattr(cards, "model_cards", lambda: changed)
    doc = _made("table7", duo)
    _, miou = _tables(doc)
    assert _cell(miou, "GTEA", "sam_vit_h:top").overlap
    assert not _cell(miou, "PPDLS", "sam_vit_h:top").overlap
    assert _cell(miou, "mean of duo", "sam_vit_h:top").value == pytest.approx(0.7)
    clean = "mean of the 1 clean members"
    assert _cell(miou, clean, "sam_vit_h:top").value == pytest.approx(0.8)
    assert _cell(miou, clean, "otsu:top").value == pytest.approx(0.5)
    for form in (to_html(doc), to_markdown(doc), table_to_latex(miou)):
        assert "trained on data that overlaps" in form
    assert "60.0<sup>†</sup>" in to_html(doc)


def test_a_model_without_a_card_is_said_to_be_unknown(tmp_path: Path) -> None:
    _, miou = _tables(_made("table7", [point_cell(tmp_path, "ppdls", "mine", flat(0.5))]))
    assert any("mine has no card" in n for n in miou.notes)


def test_generated_copies_stand_in_their_own_suite_alone(tmp_path: Path) -> None:
    copies = [point_cell(tmp_path, d, "otsu", flat(0.5), subset={"name": "generated"}) for d in DUO.members]
    counts, *rest = _tables(_made("table7", copies))
    assert not rest
    assert _cell(counts, "PPDLS", "here_images").reason == "not among the runs given"
    generated = DUO.model_copy(update={"generated": True})
    _, miou = _tables(_made("table7", copies, suite=generated))
    assert _cell(miou, "mean of duo", "otsu:top").value == pytest.approx(0.5)
    assert _cell(miou, "PPDLS (generated)", "otsu:top").value == pytest.approx(0.5)


def test_published_rows_and_measured_rows_are_apart(tmp_path: Path) -> None:
    cell = edge_cell(tmp_path, "sobel", [(540, 1000, 540, 1000)])
    (table,) = _tables(_made("table3", [cell]))
    kinds = [r.kind for r in table.rows]
    assert kinds == ["published"] * 6 + ["reproduced", "measured"]
    assert [c.label for c in table.columns[2:]] == ["ODS", "OIS", "AP", "R50"]
    measured = table.rows[-1]
    assert cell_of(measured, table.columns[2]).value == pytest.approx(0.54)
    assert printed_of(cell_of(table.rows[0], table.columns[2]).value, table.columns[2].kind) == "0.788"
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert {r["row_kind"] for r in rows} == {"published", "reproduced", "measured"}
    assert rows[2]["remarks"] == "ois: not published; ap: not published; r50: not published"
    assert float(rows[-1]["ods_ci_low"]) <= float(rows[-1]["ods"]) <= float(rows[-1]["ods_ci_high"])


def test_groups_of_people(tmp_path: Path) -> None:
    groups = {"gender_presentation": ["Predominantly Feminine", "Predominantly Masculine"]}
    cell = point_cell(tmp_path, "miap", "otsu", lambda i, n, k: 0.4 + 0.2 * n, prompt="random", groups=groups)
    table, apart = _tables(_made("table2", [cell]))
    found = {r.values["group"]: cell_of(r, next(c for c in table.columns if c.key == "otsu:miou_1")) for r in table.rows}
    assert found["Predominantly Feminine"].value == pytest.approx(0.4)
    assert found["Predominantly Masculine"].value == pytest.approx(0.6)
    assert found["Older"].reason == "no object of this group"
    key = next(c for c in apart.columns if c.key == "otsu:1")
    assert [cell_of(r, key).value for r in apart.rows] == [pytest.approx(-0.2)]


def test_differences_are_sorted_and_paired(duo: list[CellView]) -> None:
    section = _made("fig9a", duo, baseline="otsu").sections[0]
    picture = section.pictures[0]
    assert picture.id == "fig9a_sam_vit_h"
    assert [(r[0], pytest.approx(r[1])) for r in picture.rows] == [("ppdls", 30.0), ("gtea", -10.0)]
    assert [r[-1] for r in picture.rows] == [None, None]  # the published ones are to another baseline
    assert section.pictures[1].id == "fig9a_published"
    assert [r[1] for r in section.pictures[1].rows][:2] == pytest.approx([46.9, 44.7])


def test_curves_are_the_means_over_datasets(duo: list[CellView]) -> None:
    (picture,) = _made("fig9c", duo).sections[0].pictures
    rows = {(r[0], r[1], r[2]): r[3] for r in picture.rows}
    assert rows["sam_vit_h", 1, "top"] == pytest.approx(70)
    assert rows["sam_vit_h", 3, "top"] == pytest.approx(80)
    assert rows["sam_vit_h", 1, "oracle"] == pytest.approx(80)
    assert rows["otsu", 3, "top"] == pytest.approx(70)
    assert ("otsu", 1, "oracle") not in rows
    assert picture.notes[0] == "Mean over the 2 datasets of duo."
    assert "2 of the 2" not in picture.notes[0]
    (part,) = _made("fig9c", duo[:1]).sections[0].pictures
    assert part.notes[0].startswith("Mean over 1 of the 2 datasets of duo, not comparable")


def test_a_series_of_checkpoints_in_its_own_order(duo: list[CellView]) -> None:
    (picture,) = _made("fig13", duo, series=("otsu", "sam_vit_h")).sections[0].pictures
    assert [(r[0], r[1]) for r in picture.rows] == [("otsu", "top"), ("sam_vit_h", "top"), ("sam_vit_h", "oracle")]
    assert "fewer than two" in _made("fig13", duo).sections[0].absent[0]


def test_two_systems_of_one_model_have_names_of_their_own(tmp_path: Path) -> None:
    plain = edge_cell(tmp_path, "sam_vit_h", [(7, 10, 7, 10)] * 99, n_images=2)
    other = edge_cell(tmp_path, "sam_vit_h", [(7, 10, 7, 10)] * 99, n_images=2, settings={"nms": "dollar"})
    labels = [s.label for s in Evidence([plain, other]).of("edge")]
    assert labels == ["sam_vit_h", "sam_vit_h (nms = dollar)"]


def test_means_need_every_member() -> None:
    whole = [Value(0.2), Value(0.4)]
    assert mean_of(whole, wanted=2).value == pytest.approx(0.3)
    assert mean_of([*whole, Value(reason="x")], wanted=3).reason == "2 of 3 datasets complete, not comparable"
    assert mean_of([], wanted=0).missing


# --- the human study


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    lines = ["job_id,rater,dataset,model,image_id,object_id,prompt,score"]
    n = 0
    for i in range(12):
        for model, score in (("sam_vit_h", 7 + i % 3), ("ritm_hrnet32", 5 + i % 2)):
            n += 1
            lines.append(f"j{n},r{n % 3},ibd,{model},im{i},o{i},point,{score}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_ratings_stand_beside_the_published_ones(ratings: Path) -> None:
    (table,) = _tables(_made("table8", ratings=(ratings,)))
    assert _cell(table, "IBD", "published:baseline").value == (1.03, 1.39)
    assert _cell(table, "IBD", "baseline:difference").value == pytest.approx(8 - 5.5)
    low, high = _cell(table, "IBD", "baseline:ci").value
    assert low < 2.5 < high
    assert _cell(table, "VISOR", "baseline:p").reason == "not among the ratings given"
    (picture,) = _made("fig9b", ratings=(ratings,)).sections[0].pictures
    assert {r[1]: r[2] for r in picture.rows} == {"sam_vit_h": 8.0, "ritm_hrnet32": 5.5}
    (bars,) = _made("fig18", ratings=(ratings,)).sections[0].pictures
    assert {(r[1], r[2]): r[3] for r in bars.rows if r[3]} == {
        ("sam_vit_h", 7): 4, ("sam_vit_h", 8): 4, ("sam_vit_h", 9): 4, ("ritm_hrnet32", 5): 6, ("ritm_hrnet32", 6): 6,
    }  # fmt: skip
    assert "no ratings of masks from a box" in _made("fig11", ratings=(ratings,)).sections[0].absent[0]


# --- forms


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
    doc = _made("paper", duo, baseline="otsu")
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
    n_tables = len(_tables(doc)) + 1
    assert len(csv_links) == n_tables + page.svgs
    table = base64.b64decode(csv_links[0].split(",", 1)[1]).decode()
    assert table.splitlines()[0].startswith("dataset,")
    for cell in duo:
        assert f"{cell.run_name}/{cell.path.name}" in text


def test_numbers_sort_by_their_value_and_dashes_have_none(duo: list[CellView]) -> None:
    text = to_html(_made("table7", duo[:1]))
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
    doc = _made("paper", duo, baseline="otsu")
    for table in _tables(doc):
        tex = table_to_latex(table)
        assert len(re.findall(r"\\begin", tex)) == len(re.findall(r"\\end\{", tex))
        plain = re.sub(r"\\[{}]", "", tex)
        assert plain.count("{") == plain.count("}")
        body = tex.split("\\midrule\n", 1)[1].split("\\bottomrule")[0]
        for line in body.replace("\\midrule\n", "").strip().splitlines():
            assert len(re.findall(r"(?<!\\)&", line)) == len(table.columns) - 1, line
        assert tex.isascii() or all(ord(c) < 0x250 for c in tex)
    whole = latex.to_latex(doc)
    assert whole.count("\\input{tables/") == len(_tables(doc))
    assert "\\VAR" not in whole
    assert "\\BLOCK" not in whole
    assert escape("--limit 5–6 ± †") == "-{}-limit 5\\textendash{}6 $\\pm$ \\textdagger{}"


def test_markdown_rows_have_as_many_cells_as_the_head(duo: list[CellView]) -> None:
    for table in _tables(_made("paper", duo)):
        lines = [line for line in table_to_markdown(table).splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_figures_are_vector_text_and_the_same_bytes_each_time(duo: list[CellView]) -> None:
    (picture,) = _made("fig9c", duo).sections[0].pictures
    one, two = (style.render(picture, ("svg", "pdf", "png")) for _ in range(2))
    assert one == two
    assert one["png"].startswith(b"\x89PNG")
    assert one["pdf"].startswith(b"%PDF")
    texts = {t.text for t in ET.fromstring(one["svg"]).iter("{http://www.w3.org/2000/svg}text")}
    assert {"clicks", "sam_vit_h", "otsu"} <= texts
    inline = style.inline_svg(one["svg"], "p1", 'a "quoted" <alt>')
    root = ET.fromstring(inline)
    assert root.attrib["aria-label"] == 'a "quoted" <alt>'
    assert all(e.attrib["id"].startswith("p1-") for e in root.iter() if "id" in e.attrib)
    csv_rows = list(csv.reader(io.StringIO(picture.to_csv())))
    assert csv_rows[0] == list(picture.header)
    assert len(csv_rows) == 1 + len(picture.rows)


def test_a_table_as_a_picture(duo: list[CellView]) -> None:
    _, miou = _tables(_made("table7", duo))
    made = draw(miou, ("svg", "png"))
    texts = {t.text for t in ET.fromstring(made["svg"]).iter("{http://www.w3.org/2000/svg}text")}
    assert {"PPDLS", "80.0", "mean of duo", "sam_vit_h"} <= texts


def test_all_forms_are_written_and_no_other_file(duo: list[CellView], tmp_path: Path) -> None:
    doc = _made("fig9c", duo)
    written = write(doc, PAGES, tmp_path / "out")
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in written)
    assert names == [
        "fig9c.html", "fig9c.md", "fig9c.tex", "figures/fig9c.csv", "figures/fig9c.pdf", "figures/fig9c.png", "references.bib",
        "tables/runs.csv", "tables/runs.json",
    ]  # fmt: skip
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()) == names
    with pytest.raises(UsageError, match="unknown format 'htm'"):
        write(doc, ["htm"], tmp_path / "out")


# --- methods


def test_methods_say_protocol_models_weights_and_subsets(duo: list[CellView]) -> None:
    text = " ".join(paragraphs(duo))
    for part in (
        "point@1",
        "first click: center",
        "N = 1, 3 clicks",
        "SAM_VIT_H",
        "ppdls",
        "3 images, 6 objects",
        "commit cccccccccccc",
    ):
        assert part in text, part
    bib = bibtex(duo)
    assert bib.count("@") >= 3
    keys = re.findall(r"@\w+\{(\w+),", bib)
    assert len(keys) == len(set(keys))
    assert set(re.findall(r"\[(\w+)\]", text)) <= set(keys)
    for entry in bib.split("\n\n"):
        assert entry.count("{") == entry.count("}")
    assert paragraphs([]) == ()


def test_methods_cite_each_protocols_own_work_and_name_a_dataset_once(tmp_path: Path) -> None:
    for task, limit in (("point", 2), ("box", 2), ("box", 1)):
        settings = {"clicks": (1,)} if task == "point" else {"multimask": limit == 1}
        sambench.run(task, datasets="demo", model="otsu", limit=limit, settings=settings, out=tmp_path, workers=1)
    cells = [read_cell(p.parent) for p in sorted(tmp_path.glob("*/*/cell.json"))]
    text, bib = " ".join(paragraphs(cells)), bibtex(cells)
    assert re.search(r"box@1 \([^)]*\), after Ke et al\. \[ke2023segment\]", text)
    assert re.search(r"point@1 \(.*\), after Kirillov et al\. \[kirillov2023segment\]", text)
    assert text.count("demo (") == 1
    assert "the first 1 of 24 images, " in text
    assert "--limit" not in text
    assert set(re.findall(r"\[(\w+)\]", text)) == set(re.findall(r"@\w+\{(\w+),", bib))
    none = bibtex([c for c in cells if c.task.name == "box"])
    assert "kirillov2023segment" not in none


# --- commands


def test_commands_refuse_what_they_do_not_know(duo: list[CellView], tmp_path: Path) -> None:
    from sambench.cli.app import app

    run = CliRunner().invoke
    for args, says in (
        (["report", "tabel3"], "did you mean 'table3'"),
        (["report", "table3", "--format", "docx"], "unknown format 'docx'"),
        (["report", "table3", "--suite", "sa24"], "unknown suite 'sa24'"),
        (["report", "table3", "--runs", str(tmp_path / "nowhere")], "no such directory"),
        (["reproduce", "everything"], "unknown source of published numbers"),
        (["reproduce", "paper", "--state", "lost"], "unknown state 'lost'"),
        (["gallery", str(duo[0].path), "--by", "ugliest"], "unknown criterion 'ugliest'"),
        (["gallery", str(duo[0].path), "--by", "disagreement"], "needs a second run"),
        (["compare", str(duo[0].path), "paper", "-k", "3"], "have their own metrics"),
    ):
        error = run(app, args).exception
        assert isinstance(error, UsageError), (args, error)
        assert says in str(error), (args, str(error))


def test_the_report_command_takes_runs_in_a_row(duo: list[CellView], tmp_path: Path) -> None:
    from sambench.cli.app import app

    out = tmp_path / "out"
    args = ["report", "table7", "--runs", str(duo[0].path), str(duo[2].path), "--format", "csv", "--out", str(out)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((out / "tables" / "table7_miou.csv").open()))
    found = next(r for r in rows if r["dataset"] == "PPDLS")
    assert float(found["sam_vit_h:top"]) == pytest.approx(0.8)
    assert float(found["otsu:top"]) == pytest.approx(0.5)
    listed = CliRunner().invoke(app, ["list", "reports"])
    assert "fig9a" in listed.output


# --- gallery


def test_the_gallery_without_masks_says_so(duo: list[CellView]) -> None:
    made = gallery.gallery([duo[0]], by=("worst",))
    assert "kept no masks" in made.sections[0].absent[0]
    with pytest.raises(UsageError, match="no gallery of these results"):
        gallery.gallery([], by=("worst",))


@pytest.fixture(scope="module")
def demo_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real runs of one demo image each, with masks."""
    from sambench.engine.run import Request, execute, plan

    out = tmp_path_factory.mktemp("demo")
    for model in ("otsu", "sam_nano"):
        request = Request(
            task="point",
            datasets=("demo",),
            models=((model, {}),),
            settings={"clicks": (1,)},
            limit=1,
            out=out,
            workers=1,
            devices=("cpu",),
        )
        execute(plan(request))
    return out


@pytest.mark.slow
def test_the_gallery_shows_the_worst_first(demo_runs: Path, tmp_path: Path) -> None:
    from sambench.store.views import find_cells

    otsu, nano = (find_cells(f"point-{m}", demo_runs) for m in ("otsu", "sam_nano"))
    made = gallery.gallery(nano, otsu, by=("worst", "oracle_gap", "disagreement"), n=4)
    assert [s.absent for s in made.sections] == [(), (), ()]
    worst, gap, apart = (s.pictures[0] for s in made.sections)
    frame = nano[0].scored(["object_id", "iou_top"]).sort_values("iou_top")
    assert [r[3] for r in worst.rows] == pytest.approx(frame["iou_top"].head(4).tolist())
    assert all(r[4] - r[3] == pytest.approx(r[6]) for r in gap.rows)
    assert all(abs(r[3] - r[5]) == pytest.approx(r[6]) for r in apart.rows)
    assert [r[6] for r in apart.rows] == sorted((r[6] for r in apart.rows), reverse=True)
    written = write(made, ("png", "html"), tmp_path)
    assert all(p.stat().st_size > 5000 for p in written if p.suffix != ".csv")
    (masks,) = _made("fig16", [*otsu, *nano]).sections[0].pictures
    assert len(masks.header) == 4
