"""A section of reports is found by its place: one module and an entry point, and a definition may name it."""

from __future__ import annotations

import csv
import importlib
import sys
from pathlib import Path

import pytest

from sambench import plugins
from sambench.errors import PluginError, UsageError
from sambench.layout import Table, cell_of
from sambench.paper.evidence import Evidence
from sambench.report import sections
from sambench.report.definitions import definition, definitions, parts_of
from sambench.report.document import Document, Section
from sambench.report.inputs import Inputs
from sambench.report.make import make
from sambench.report.write import write
from tests.helpers.cells import flat, point_cell
from tests.helpers.reports import DUO

TOY = '''
from sambench.layout import Column, Row, Table, Value


def names(definition, inputs):
    """The datasets of the suite, and how long their names are."""
    columns = (Column("dataset", "dataset"), Column("length", "letters", "count"))
    limit = definition.options.get("limit", 99)
    rows = [Row({"dataset": d, "length": Value(len(d) if len(d) < limit else None, reason="too long")}) for d in inputs.members]
    return definition.filled(tables=(Table(definition.title, columns, tuple(rows), id=definition.id),))


SECTION = names
'''
DEFINITION = 'kind = "report"\nid = "mine"\ntitle = "Mine"\nsection = "toy"\noptions = { limit = 5 }\n'


def plug_in(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package of one module, `<name>_section`, that brings the section `name`."""
    info = folder / f"{name}_section-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-section\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sambench.report_sections]\n{name} = {name}_section\n")
    (folder / f"{name}_section.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop(f"{name}_section", None)
    importlib.invalidate_caches()
    plugins.forget()


@pytest.fixture(autouse=True)
def _forget() -> object:
    yield
    plugins.forget()


def made(folder: Path, text: str = DEFINITION) -> Document:
    path = folder / "mine.toml"
    path.write_text(text)
    return make(definition(str(path)), Inputs(Evidence([]), DUO))


def test_a_plug_ins_section_is_drawn_with_all_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path / "site", "toy", TOY, monkeypatch)
    assert "toy" in sections.PLACE.names()
    document = made(tmp_path)
    table: Table = document.sections[0].tables[0]
    assert [cell_of(row, table.columns[1]).value for row in table.rows] == [None, 4]
    write(document, ["html", "csv", "latex"], tmp_path / "out")
    assert "Mine" in (tmp_path / "out" / "mine.html").read_text()
    rows = list(csv.DictReader((tmp_path / "out" / "tables" / "mine.csv").open()))
    assert [(r["dataset"], r["length"], r["remarks"]) for r in rows] == [("ppdls", "", "length: too long"), ("gtea", "4", "")]


def test_the_section_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reports.md").read_text()
    plug_in(tmp_path / "site", "toy", page.split("```python\n")[1].split("```")[0], monkeypatch)
    path = tmp_path / "mine.toml"
    path.write_text(DEFINITION)
    cells = [point_cell(tmp_path, "gtea", model, flat(value)) for model, value in (("otsu", 0.5), ("grabcut", 0.75))]
    (section,) = make(definition(str(path)), Inputs(Evidence(cells), DUO)).sections
    assert [cell_of(row, section.tables[0].columns[1]).value for row in section.tables[0].rows] == [None, pytest.approx(0.75)]


def test_an_unknown_section_has_near_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)unknown report section 'clickz'.*'mine'.*did you mean 'clicks'"):
        made(tmp_path, DEFINITION.replace("toy", "clickz"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("", "no report section"),
        ("def SECTION(definition, inputs): return 3", "gives no section"),
        ("def SECTION(definition, inputs): raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, found: str) -> None:
    plug_in(tmp_path / "site", "toy", text, monkeypatch)
    with pytest.raises(PluginError, match=rf"(?s){found}") as error:
        made(tmp_path)
    assert "toy_section" in str(error.value)


def test_a_plug_in_cannot_take_the_name_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path / "site", "clicks", TOY, monkeypatch)
    with pytest.raises(PluginError, match=r"(?s)'clicks'.*sections\.clicks and clicks_section"):
        sections.PLACE.names()


def test_every_definition_names_a_section_and_every_section_is_named() -> None:
    used = {part.section for name in definitions() for part in parts_of(definition(name))}
    assert used == set(sections.PLACE.names())
    for name in used:
        module = sections.PLACE.module(name)
        assert module is not None
        assert callable(module.SECTION)
    assert Section.__module__ == "sambench.report.document"
