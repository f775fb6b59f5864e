"""Reports from the command line: methods, what is refused, and galleries."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import sambench
from sambench.errors import UsageError
from sambench.report import gallery
from sambench.report.methods import bibtex, paragraphs
from sambench.report.write import write
from sambench.store.views import CellView, read_cell
from tests.helpers.reports import report_of


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
    from sambench.store.lookup import find_cells

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
    (masks,) = report_of("fig16", [*otsu, *nano]).sections[0].pictures
    assert len(masks.header) == 4
