"""Several results of one model on one dataset in one run: none of them makes a mean, and each says what it is of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sambench import layout
from sambench.cards import SuiteCard
from sambench.errors import UsageError
from sambench.layout.terminal import as_text
from sambench.paper.evidence import Evidence
from sambench.results import identity
from sambench.results.apart import apart
from sambench.results.progress import progress_of_all
from sambench.results.runs import stored_runs
from sambench.results.tables import table_of
from sambench.store.views import read_cell
from tests.helpers.cells import Maker
from tests.helpers.tables import only_row


def _suite(*members: str) -> SuiteCard:
    return SuiteCard(kind="suite", id="duo", name="Duo", members=members)


def test_there_is_no_mean_where_two_results_fit(make: Maker) -> None:
    cells = [make.cell("aa", annotations="1" * 64), make.cell("aa", annotations="2" * 64, bonus=0.2), make.cell("bb")]
    cells.append(make.cell("cc"))
    table = table_of(cells, suites=[_suite("aa", "bb")])
    assert not any(r.summary for r in table.rows)
    assert any(n.startswith("duo, grabcut: not comparable: 2 results on aa;") for n in table.warnings)
    for form in layout.FORMATS:
        if form != "csv":
            assert "2 results on aa" in layout.render(table, form), form
    other = table_of(cells, suites=[_suite("bb", "cc")])
    assert only_row(other, dataset="mean of duo")["status"] == "complete", "several results beside the suite do not matter"


def test_rows_that_would_look_alike_say_what_they_differ_in(make: Maker) -> None:
    cells = [
        make.cell("aa", annotations="1" * 64, options={"orientation": "stored", "images": "img"}),
        make.cell("aa", annotations="2" * 64, options={"orientation": "stored", "images": "img"}),
        make.cell("aa", annotations="3" * 64, options={"orientation": "shown", "images": "img"}),
        make.cell("bb", digest="6" * 64),
        make.cell("bb", digest="7" * 64),
        make.cell("cc"),
    ]
    expected = [
        "orientation = stored; annotations 11111111",
        "orientation = stored; annotations 22222222",
        "orientation = shown; annotations 33333333",
        "subset 66666666",
        "subset 77777777",
        None,
    ]
    table = table_of(cells)
    assert [r.values["differs"] for r in table.rows] == expected
    for form in layout.FORMATS:
        assert "annotations 22222222" in layout.render(table, form), form
    assert "annotations 22222222" in as_text(table)
    assert not any(c.key == "differs" for c in table_of([cells[0], *cells[-2:]]).columns)
    again = [make.cell("aa", run="p-b-00000000"), make.cell("aa", run="p-c-00000000")]
    assert not any(c.key == "differs" for c in table_of(again).columns), "the run tells them apart"


def test_what_differs_in_nothing_that_is_known_is_told_by_its_folder(make: Maker, tmp_path: Path) -> None:
    cell = make.cell("aa")
    beside = shutil.copytree(cell.path, cell.path.with_name("aa-copy"))
    far = shutil.copytree(cell.path.parent, tmp_path / "elsewhere" / cell.run_name)
    assert apart([cell, read_cell(beside)]) == [cell.path.name, "aa-copy"]
    same = [cell, read_cell(far / cell.path.name)]
    assert apart(same) == [str(c.path) for c in same]


def test_status_and_lists_tell_results_of_one_dataset_apart(make: Maker) -> None:
    cells = [make.cell("aa", annotations=d * 64) for d in "12"] + [make.cell("bb")]
    folders = [c.path for c in cells]
    expected = ["annotations 11111111", "annotations 22222222", ""]
    assert [c.differs for c in progress_of_all(folders)] == expected
    assert progress_of_all(folders)[0].to_json()["differs"] == expected[0]
    (run,) = stored_runs(make.out)
    assert [c.differs for c in run.cells] == expected
    cells[0].path.joinpath("cell.json").write_text("{")
    assert [c.differs for c in progress_of_all(folders)] == ["", "", ""]
    assert [c.differs for c in stored_runs(make.out)[0].cells] == ["", "", ""]


def test_what_two_identities_differ_in_is_of_one_result_a_dataset(make: Maker) -> None:
    cells = [make.cell("aa", annotations=d * 64) for d in "12"]
    with pytest.raises(UsageError, match="A has several results on aa"):
        identity.differences(cells, cells[:1])
    assert len(identity.differences(cells[:1], cells[1:])) == 1


def test_no_number_of_a_report_is_of_one_of_two_results(make: Maker) -> None:
    cells = [make.cell("aa", annotations=d * 64) for d in "12"] + [make.cell("bb")]
    evidence = Evidence(cells)
    (by_dataset,) = evidence.of("point").values()
    assert list(by_dataset) == ["bb"]
    (said,) = evidence.doubtful()
    assert "2 results on aa (annotations 11111111, annotations 22222222): not comparable" in said
    more = make.cell("aa", annotations="3" * 64, n_images=30)
    whole = Evidence([*cells, more])
    assert whole.of("point").popitem()[1]["aa"].cell is more, "the most complete one"
    assert not whole.doubtful()
    assert not Evidence(cells[1:]).doubtful()
