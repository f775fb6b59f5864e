"""Every command that prints tables takes the same forms by the same names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sambench.cli.app import app
from sambench.cli.tables import FORMS
from sambench.errors import UsageError
from sambench.layout.formats import ALIASES, PAGES
from sambench.store.views import CellView
from tests.helpers.cells import Maker


@pytest.fixture
def cells(tmp_path: Path) -> list[CellView]:
    make, models = Maker(tmp_path / "runs"), ("otsu", "grabcut")
    return [make.cell(run=f"point-{m}-{n:08x}", model=m, n_images=2, settings={"clicks": (1,)}) for n, m in enumerate(models)]


def output(*arguments: object) -> bytes:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.exception
    return done.stdout_bytes


def test_a_table_in_every_form(cells: list[CellView]) -> None:
    both = [c.path for c in cells]
    begins = {
        "text": b"point@1",
        "csv": b"dataset,model,run,",
        "markdown": b"**point@1",
        "latex": b"% \\usepackage{array,booktabs}",
        "json": b"{",
        "html": b"<!doctype html>",
        "png": b"\x89PNG",
        "pdf": b"%PDF",
        "svg": b"<?xml",
    }
    assert set(begins) == set(FORMS)
    for form, begin in begins.items():
        assert output("table", *both, "-f", form).startswith(begin), form
    for form, alias in ALIASES.items():
        assert output("table", *both, "-f", alias) == output("table", *both, "-f", form)


def test_comparisons_and_the_ledger_have_them_too(cells: list[CellView]) -> None:
    a, b = (c.path for c in cells)
    assert "A - B" in output("compare", a, b, "-f", "md").decode()
    assert json.loads(output("compare", a, b, "-f", "json"))["rows"]
    assert output("reproduce", "paper", a, "-f", "html").count(b"<table>") == 2


def test_what_no_form_can_be_is_said(cells: list[CellView], tmp_path: Path) -> None:
    other = Maker(tmp_path / "runs").cell(run="box-otsu-00000003", task="box", model="otsu", n_images=2)
    for arguments, found in (
        (["table", cells[0].path, "-f", "markdwon"], "did you mean 'markdown'"),
        (["table", cells[0].path, "-f", "docx"], "latex (or tex), json, html, png"),
        (["table", cells[0].path, other.path, "-f", "png"], "a picture holds one table"),
        (["table", cells[0].path, "--metrics", "-f", "md"], "expected: text, csv, json"),
        (["report", "table3", "-f", "svg"], "expected: html, latex (or tex), markdown (or md), csv, json, png, pdf"),
    ):
        error = CliRunner().invoke(app, [str(a) for a in arguments]).exception
        assert isinstance(error, UsageError), (arguments, error)
        assert found in str(error), str(error)


def test_help_lists_every_form(cells: list[CellView]) -> None:
    for command, forms in (("table", FORMS), ("compare", FORMS), ("reproduce", FORMS), ("report", PAGES)):
        text = output(command, "--help").decode()
        assert [form for form in (*forms, "md", "tex") if form not in text] == [], command


def test_a_report_takes_both_names_of_a_form(cells: list[CellView], tmp_path: Path) -> None:
    output("report", "table3", cells[0].path, "-f", "latex,md,json", "-o", tmp_path / "out")
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*"))
    assert names == ["references.bib", "table3.md", "table3.tex", "tables/runs.json", "tables/table3.json", "tables/table3.tex"]
