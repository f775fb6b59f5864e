"""Reports: definitions, what stands in their tables and figures, and every gap with its reason."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

from sambench import cards
from sambench.errors import CardError, UsageError
from sambench.layout import Column, Row, Table, Value, cell_of, footnotes, to_csv
from sambench.layout.latex import to_latex as table_to_latex
from sambench.layout.table import printed_of
from sambench.paper.evidence import Evidence
from sambench.report.definitions import definition, definitions, parts_of, read
from sambench.report.document import mean_of
from sambench.report.forms.html import to_html
from sambench.report.forms.markdown import to_markdown
from sambench.report.make import make
from sambench.report.speed import accuracies
from sambench.store.views import CellView, read_cell
from tests.helpers.cells import edge_cell, flat, point_cell
from tests.helpers.reports import DUO, inputs_of, report_of, tables_of


def _cell(table: Table, row: str, key: str) -> Value:
    (found,) = [r for r in table.rows if r.values[table.columns[0].key] == row]
    return cell_of(found, next(c for c in table.columns if c.key == key))


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
    made = make(definition(str(path)), inputs_of(duo))
    assert [s.id for s in made.sections] == ["table7", "fig9c"]


def test_every_dash_has_its_reason_with_and_without_runs(duo: list[CellView]) -> None:
    for cells in ([], duo[:1], duo):
        doc = report_of("paper", cells)
        for section in doc.sections:
            assert section.tables or section.pictures or section.absent, section.id
        for table in tables_of(doc):
            assert table.rows, table.id
            for row in table.rows:
                for column in table.columns:
                    cell = cell_of(row, column)
                    assert not cell.missing or cell.reason or column.kind == "text", (table.id, row.values, column.key)


def test_sections_without_runs_say_what_is_missing() -> None:
    said = {s.id: " ".join(s.absent) for s in report_of("paper").sections}
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


def test_the_suites_table_has_the_runs_numbers_and_means(duo: list[CellView]) -> None:
    _, miou = tables_of(report_of("table7", duo))
    assert _cell(miou, "PPDLS", "sam_vit_h:top").value == pytest.approx(0.8)
    assert _cell(miou, "PPDLS", "sam_vit_h:oracle").value == pytest.approx(0.9)
    assert "otsu:oracle" not in [c.key for c in miou.columns]
    assert _cell(miou, "mean of duo", "sam_vit_h:top").value == pytest.approx(0.7)
    assert _cell(miou, "mean of duo", "otsu:top").value == pytest.approx(0.6)


def test_a_suites_mean_has_an_interval(tmp_path: Path) -> None:
    cells = [point_cell(tmp_path, d, "otsu", lambda image, n, k: 0.4 + image / 10, n_images=5) for d in DUO.members]
    _, miou = tables_of(report_of("table7", cells))
    one, mean = _cell(miou, "PPDLS", "otsu:top"), _cell(miou, "mean of duo", "otsu:top")
    for of in (one, mean):
        assert of.low is not None
        assert of.low < of.value < of.high
    assert mean.high - mean.low < one.high - one.low  # of two sets that were drawn independently
    single = [point_cell(tmp_path / "one", d, "otsu", flat(0.5, 0.05), n_images=1) for d in DUO.members]
    _, miou = tables_of(report_of("table7", single))
    assert _cell(miou, "mean of duo", "otsu:top").low is None  # nothing is known of how images vary


def test_partial_cells_are_marked_and_in_no_mean(duo: list[CellView], tmp_path: Path) -> None:
    part = point_cell(tmp_path / "p", "gtea", "sam_vit_h", flat(0.6), limit=2)
    _, miou = tables_of(report_of("table7", [duo[0], part]))
    assert _cell(miou, "GTEA", "sam_vit_h:top").partial == "gtea: first 2 of 3 images (--limit)"
    mean = _cell(miou, "mean of duo", "sam_vit_h:top")
    assert (mean.value, mean.reason) == (None, "1 of 2 datasets complete, not comparable")
    assert ("‡", "PARTIAL: gtea: first 2 of 3 images (--limit)") in footnotes(miou)


def test_training_overlap_is_a_dagger_with_a_mean_over_the_clean(duo: list[CellView], monkeypatch: pytest.MonkeyPatch) -> None:
    known = cards.model_cards()
    changed = known | {"sam_vit_h": known["sam_vit_h"].model_copy(update={"overlaps": ("gtea",)})}
    monkeypatch.setattr(cards, "model_cards", lambda: changed)
    doc = report_of("table7", duo)
    _, miou = tables_of(doc)
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
    _, miou = tables_of(report_of("table7", [point_cell(tmp_path, "ppdls", "mine", flat(0.5))]))
    assert any("MINE has no card" in n for n in miou.notes)


def test_generated_copies_stand_in_their_own_suite_alone(tmp_path: Path) -> None:
    copies = [point_cell(tmp_path, d, "otsu", flat(0.5), subset={"name": "generated"}) for d in DUO.members]
    counts, *rest = tables_of(report_of("table7", copies))
    assert not rest
    assert _cell(counts, "PPDLS", "here_images").reason == "not among the runs given"
    generated = DUO.model_copy(update={"generated": True})
    _, miou = tables_of(report_of("table7", copies, suite=generated))
    assert _cell(miou, "mean of duo", "otsu:top").value == pytest.approx(0.5)
    assert _cell(miou, "PPDLS (generated)", "otsu:top").value == pytest.approx(0.5)


def test_published_rows_and_measured_rows_are_apart(tmp_path: Path) -> None:
    cell = edge_cell(tmp_path, "sobel", [(540, 1000, 540, 1000)])
    (table,) = tables_of(report_of("table3", [cell]))
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
    table, apart = tables_of(report_of("table2", [cell]))
    found = {r.values["group"]: cell_of(r, next(c for c in table.columns if c.key == "otsu:miou_1")) for r in table.rows}
    assert found["Predominantly Feminine"].value == pytest.approx(0.4)
    assert found["Predominantly Masculine"].value == pytest.approx(0.6)
    assert found["Older"].reason == "no object of this group"
    key = next(c for c in apart.columns if c.key == "otsu:1")
    assert [cell_of(r, key).value for r in apart.rows] == [pytest.approx(-0.2)]


def test_differences_are_sorted_and_paired(duo: list[CellView]) -> None:
    section = report_of("fig9a", duo, baseline="otsu").sections[0]
    picture = section.pictures[0]
    assert picture.id == "fig9a_sam_vit_h"
    assert [(r[0], pytest.approx(r[1])) for r in picture.rows] == [("ppdls", 30.0), ("gtea", -10.0)]
    assert [r[-1] for r in picture.rows] == [None, None]  # the published ones are to another baseline
    assert section.pictures[1].id == "fig9a_published"
    assert [r[1] for r in section.pictures[1].rows][:2] == pytest.approx([46.9, 44.7])


def test_curves_are_the_means_over_datasets(duo: list[CellView]) -> None:
    (picture,) = report_of("fig9c", duo).sections[0].pictures
    rows = {(r[0], r[1], r[2]): r[3] for r in picture.rows}
    assert rows["sam_vit_h", 1, "top"] == pytest.approx(70)
    assert rows["sam_vit_h", 3, "top"] == pytest.approx(80)
    assert rows["sam_vit_h", 1, "oracle"] == pytest.approx(80)
    assert rows["otsu", 3, "top"] == pytest.approx(70)
    assert ("otsu", 1, "oracle") not in rows
    assert picture.notes[0] == "Mean over the 2 datasets of duo."
    assert "2 of the 2" not in picture.notes[0]
    (part,) = report_of("fig9c", duo[:1]).sections[0].pictures
    assert part.notes[0].startswith("Mean over 1 of the 2 datasets of duo, not comparable")


def test_a_series_of_checkpoints_in_its_own_order(duo: list[CellView]) -> None:
    (picture,) = report_of("fig13", duo, series=("otsu", "sam_vit_h")).sections[0].pictures
    assert [(r[0], r[1]) for r in picture.rows] == [("otsu", "top"), ("sam_vit_h", "top"), ("sam_vit_h", "oracle")]
    assert "fewer than two" in report_of("fig13", duo).sections[0].absent[0]


def test_a_checkpoint_with_two_results_on_a_dataset_is_not_comparable(duo: list[CellView], tmp_path: Path) -> None:
    first, other = duo[:2]
    beside = read_cell(shutil.copytree(first.path, tmp_path / "beside" / first.path.name))
    steps = (("step 1", (first, beside)), ("step 2", (other,)))
    (section,) = make(definition("fig13"), inputs_of(checkpoints=steps)).sections
    assert f"step 1 has 2 results on {first.dataset}, which are not comparable" in section.absent[0]
    assert accuracies([first], [first.model], 1)[first.model].datasets == (first.dataset,)
    with pytest.raises(UsageError, match="several results on"):
        accuracies([first, beside], [first.model], 1)


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
    (table,) = tables_of(report_of("table8", ratings=(ratings,)))
    assert _cell(table, "IBD", "published:baseline").value == (1.03, 1.39)
    assert _cell(table, "IBD", "baseline:difference").value == pytest.approx(8 - 5.5)
    low, high = _cell(table, "IBD", "baseline:ci").value
    assert low < 2.5 < high
    assert _cell(table, "VISOR", "baseline:p").reason == "not among the ratings given"
    (picture,) = report_of("fig9b", ratings=(ratings,)).sections[0].pictures
    assert {r[1]: r[2] for r in picture.rows} == {"sam_vit_h": 8.0, "ritm_hrnet32": 5.5}
    (bars,) = report_of("fig18", ratings=(ratings,)).sections[0].pictures
    assert {(r[1], r[2]): r[3] for r in bars.rows if r[3]} == {
        ("sam_vit_h", 7): 4, ("sam_vit_h", 8): 4, ("sam_vit_h", 9): 4, ("ritm_hrnet32", 5): 6, ("ritm_hrnet32", 6): 6,
    }  # fmt: skip
    assert "no ratings of masks from a box" in report_of("fig11", ratings=(ratings,)).sections[0].absent[0]
