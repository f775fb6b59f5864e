"""What sets the models of one table apart from each other stands in it: options, weights, precision."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from sambench import cards
from sambench.layout import footnotes, to_csv, to_markdown
from sambench.paper.evidence import Evidence
from sambench.results.model_differences import run_texts
from sambench.results.tables import result_table
from sambench.store.views import CellView, read_cell
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import Maker

QUICK = Bootstrap(n_resamples=100)


def model(ident: str, **more: Any) -> dict[str, Any]:
    return {"id": ident, "name": ident.title(), "precision": "fp32", "device_kind": "cpu", "weights_sha256": None} | more


def test_what_is_the_same_for_all_is_not_said() -> None:
    assert run_texts([model("otsu"), model("grabcut"), model("otsu")]) == ["", "", ""]
    defaults = {"hq_token_only": False}
    assert cards.model_cards()["sam_hq_vit_b"].options == defaults
    assert run_texts([model("sam_hq_vit_b", options=defaults), model("otsu")]) == ["", ""]


def test_options_are_said_where_they_are_not_the_cards_or_not_those_of_others() -> None:
    own, other = {"hq_token_only": False}, {"hq_token_only": True, "weights": {"sha256": "abcdef0123"}}
    assert run_texts([model("sam_hq_vit_b", options=own), model("sam_hq_vit_l", options=other)]) == [
        "hq_token_only = false",
        "hq_token_only = true; weights = sha256 abcdef01",
    ]
    assert run_texts([model("mine", options={"b": [1, 2], "a": "x"})]) == ["a = x; b = 1,2"]  # there is no card to compare with
    assert run_texts([model("otsu", options={"squash": True}), model("otsu")]) == ["squash = true", ""]


def test_weights_and_precision_are_said_where_rows_differ() -> None:
    rows = [model("otsu", weights_sha256="0" * 64), model("otsu", weights_sha256="1" * 64), model("grabcut", precision="bf16")]
    assert run_texts(rows) == ["weights 00000000; fp32 on cpu", "weights 11111111; fp32 on cpu", "bf16 on cpu"]


@pytest.fixture
def cells(tmp_path: Path) -> list[CellView]:
    make, out = Maker(tmp_path / "runs"), []
    changes: list[dict[str, Any]] = [{}, {"options": {"squash": True}, "precision": "bf16", "device_kind": "cuda"}]
    for n, change in enumerate(changes):
        cell = make.cell(run=f"point-grabcut-{n:08x}", n_images=3)
        record = json.loads((cell.path / "cell.json").read_text())
        record["model"] |= change
        (cell.path / "cell.json").write_text(json.dumps(record))
        out.append(read_cell(cell.path))
    return out


def test_a_table_has_them_as_footnotes_and_its_csv_for_every_row(cells: list[CellView]) -> None:
    table = result_table(cells, bootstrap=QUICK)
    assert footnotes(table)[:2] == [("a", "fp32 on cpu"), ("b", "squash = true; bf16 on cuda")]
    assert "| point-grabcut-00000001<sup>b</sup> |" in to_markdown(table)
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [(r["run"], r["options"], r["precision"]) for r in rows] == [
        ("point-grabcut-00000000", "", "fp32 on cpu"),
        ("point-grabcut-00000001", "squash = true", "bf16 on cuda"),
    ]
    alone = result_table(cells[1:], bootstrap=QUICK)
    assert "grabcut: squash = true" in alone.notes  # no column names the model
    assert not [mark for mark, _ in footnotes(alone) if mark]


def test_figures_name_models_by_what_sets_them_apart(cells: list[CellView]) -> None:
    labels = [system.label for system in Evidence(cells).of("point")]
    assert labels == ["grabcut (fp32 on cpu)", "grabcut (squash = true; bf16 on cuda)"]
    assert [system.label for system in Evidence(cells[:1]).of("point")] == ["grabcut"]
