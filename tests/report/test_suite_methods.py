"""`report sam2`: published, measured and missing rows over SA-23 and its inferred parts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from sambench import cards
from sambench.layout import Row, Table, Value
from sambench.paper.evidence import Evidence
from sambench.paper.published import of, splits
from sambench.report.definitions import definition
from sambench.report.document import Document
from sambench.report.inputs import Inputs, suite_of
from sambench.report.make import make
from sambench.store.views import CellView, read_cell
from tests.helpers.cells import flat, point_cell
from tests.helpers.inprocess import Cli

NAME = "my SAM, epoch 3"
PARTS = {name: tuple(s.members) for name, s in splits("sam2").items()}


def iou(dataset: str) -> float:
    return 0.3 + cards.suite_card("sa23").members.index(dataset) / 100  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[CellView]:
    """A model with a name on all 23, and SAM ViT-B on the image sets alone."""
    out = tmp_path_factory.mktemp("sam2")
    every = [d for part in PARTS.values() for d in part]
    made = [point_cell(out, d, "mine", flat(iou(d), 0.025), clicks=(1, 5)) for d in every]
    made += [point_cell(out, d, "sam_vit_b", flat(0.5), clicks=(1, 5)) for d in PARTS["image"]]
    (made[0].path.parent / "model.json").write_text(json.dumps({"label": NAME}))
    return [read_cell(c.path) for c in made]


def report(cells: list[CellView], name: str = "sam2") -> Document:
    evidence = Evidence(cells)
    return make(definition(name), Inputs(evidence, suite_of("", evidence)))


def row(table: Table, method: str) -> Row:
    (found,) = (r for r in table.rows if text(r.values["method"]) == method)
    return found


def text(value: object) -> object:
    return value.value if isinstance(value, Value) else value


def numbers(found: Row) -> dict[str, object]:
    return {k: text(v) for k, v in found.values.items() if k not in ("method", "source")}


def test_published_measured_and_missing_rows(cells: list[CellView]) -> None:
    (section,) = report(cells).sections
    means, also, datasets = section.tables
    printed = {v.column: v.value for v in of("sam2") if v.method == "SAM 2 Hiera-L (mix)" and v.table == "sam2_sa23"}
    assert numbers(row(means, "SAM 2 Hiera-L (mix)")) == printed
    assert row(means, "SAM 2 Hiera-L (mix)").kind == "published"
    mine = row(means, NAME)
    assert mine.kind == "measured"
    for column, members in (("all", [*PARTS["image"], *PARTS["video"]]), *PARTS.items()):
        mean = math.fsum(map(iou, members)) / len(members)
        assert numbers(mine)[f"{column}_1"] == pytest.approx(mean)
        assert numbers(mine)[f"{column}_5"] == pytest.approx(mean + 0.1)
    short = row(means, "SAM_VIT_B")
    assert numbers(short) == {"all_1": None, "all_5": None, "video_1": None, "video_5": None} | {"image_1": 0.5, "image_5": 0.5}
    assert short.values["all_1"].reason == "13 of 23 datasets complete, not comparable"
    missing = row(means, "SAM ViT-H (sam_vit_h)")
    assert (missing.values["source"], set(numbers(missing).values())) == ("not measured", {None})
    groups = [c.group for c in means.columns if c.group]
    assert groups == ["all 23"] * 2 + ["13 image (inferred)"] * 2 + ["10 video (inferred)"] * 2
    assert {c.key for c in also.columns} == {"method", "new14_1", "new14_5", "fps"}
    assert any("A100" in note for note in also.notes)
    assert [r.values["part"] for r in datasets.rows].count("video (inferred)") == 10
    assert all(r.values["why"] for r in datasets.rows)


def test_it_says_whose_numbers_they_are(cells: list[CellView]) -> None:
    document = report(cells)
    assert "2408.00714" in document.versions
    assert "2304.02643" not in document.versions
    assert f"{NAME}, that is MINE" in document.methods[1]
    assert any(note.startswith(f"{NAME} has no card") for note in document.sections[0].tables[0].notes)
    assert "2304.02643" in report(cells, "table3").versions


def test_without_runs_the_published_rows_stand_alone() -> None:
    (section,) = report([]).sections
    assert section.absent
    assert {r.kind for r in section.tables[0].rows} == {"published", "measured"}
    assert {r.values["source"] for r in section.tables[0].rows if r.kind == "measured"} == {"not measured"}


def test_a_table_that_nobody_can_measure_has_published_rows_alone(cells: list[CellView]) -> None:
    (section,) = report(cells, "sam3").sections
    (table,) = section.tables
    assert {r.kind for r in table.rows} == {"published"}
    assert any("LV-VIS" in note for note in table.notes)


def test_generated_copies_say_so(tmp_path: Path) -> None:
    made = [point_cell(tmp_path, d, "mine", flat(0.5), clicks=(1, 5), subset={"name": "generated"}) for d in PARTS["image"]]
    means = report(made).sections[0].tables[0]
    assert row(means, "MINE").values["source"] == "measured here (generated)"
    assert numbers(row(means, "MINE"))["image_1"] == 0.5


def test_on_the_command_line(cells: list[CellView], tmp_path: Path, cli: Cli) -> None:
    out = cells[0].path.parent.parent
    ended = cli("report", "sam2", "--runs", out, "--format", "html,md,tex,csv", "--out", tmp_path)
    assert ended.code == 0, ended.err
    for name in ("sam2.html", "sam2.md", "sam2.tex"):
        content = (tmp_path / name).read_text()
        assert NAME in content
        assert "inferred" in content
