"""One rule for what may be paired, whoever asks; and what moves a cell on the side of results: pictures do, order does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sambench.errors import DataError, UsageError
from sambench.loaders.bbbc038v1 import BBBC038v1
from sambench.paper.evidence import Entry, paired
from sambench.results import pairing
from sambench.results.compare import compare_cells
from sambench.results.pairing import unlike
from sambench.results.stored_masks import stored_rows
from sambench.store.views import CellView, read_cell
from sambench.tasks.summary import Bootstrap
from tests.helpers import store_world as world
from tests.helpers.cells import flat, point_cell
from tests.helpers.store_world import go, metrics_of, replace_picture, view

QUICK = Bootstrap(n_resamples=200)


def _cell(out: Path, model: str, dataset: dict[str, Any] | None = None, **given: Any) -> CellView:
    cell = point_cell(out, "ppdls", model, flat(0.5), **given)
    record = json.loads((cell.path / "cell.json").read_text())
    (cell.path / "cell.json").write_text(json.dumps(record | {"dataset": record["dataset"] | (dataset or {})}))
    return read_cell(cell.path)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"clicks": (1, 2, 3)}, "task clicks"),
        ({"prompt": "random"}, "task prompt"),
        ({"dataset": {"annotation_digest": "b" * 64}}, "dataset annotation_digest"),
        ({"dataset": {"options": {"min_area": 3}}}, "dataset options"),
        ({"dataset": {"revision": 2}}, "dataset revision"),
        ({"dataset": {"reader": "elsewhere:Other"}}, "dataset reader"),
    ],
)
def test_comparisons_and_figures_refuse_the_same(tmp_path: Path, given: dict[str, Any], named: str) -> None:
    a, b = _cell(tmp_path, "grabcut"), _cell(tmp_path, "otsu", **given)
    assert named in unlike(a, b)
    with pytest.raises(UsageError, match=named):
        compare_cells([a], [b], k=1, bootstrap=QUICK)
    found, why = paired(Entry(a), Entry(b), k=1, bootstrap=QUICK)
    assert found is None
    assert named in why


def test_comparisons_and_figures_refuse_objects_of_other_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = _cell(tmp_path, "grabcut"), _cell(tmp_path, "otsu")
    real = pairing.object_values

    def larger(cell: CellView, *given: Any) -> Any:
        frame = real(cell, *given)
        return frame.assign(area_px=frame["area_px"] + 1) if cell.model == "otsu" else frame

    monkeypatch.setattr(pairing, "object_values", larger)
    with pytest.raises(UsageError, match="were scored against different masks"):
        compare_cells([a], [b], k=1, bootstrap=QUICK)
    found, why = paired(Entry(a), Entry(b), k=1, bootstrap=QUICK)
    assert found is None
    assert "were scored against different masks" in why


def test_what_changes_no_number_parts_nobody(tmp_path: Path) -> None:
    a = _cell(tmp_path, "grabcut")
    b = _cell(tmp_path, "otsu", {"name": "other name", "root": "/elsewhere", "source": "a.toml", "reader": "moved.to:R"})
    assert unlike(a, b) == {}
    assert compare_cells([a], [b], k=1, bootstrap=QUICK).differences[0].paired.n == 6
    assert paired(Entry(a), Entry(b), k=1, bootstrap=QUICK)[1] == ""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    return world.write_world(tmp_path / "data")


def test_other_pictures_are_not_paired_nor_drawn(data: Path, tmp_path: Path) -> None:
    a = go(tmp_path / "a")
    replace_picture(data, 1)
    b = go(tmp_path / "b", level=120)
    assert a.record.dataset.annotation_digest == b.record.dataset.annotation_digest
    with pytest.raises(UsageError, match="picture of image image001"):
        compare_cells([a], [b], k=1, bootstrap=QUICK)
    with pytest.raises(DataError, match="image of image 'image001'"):
        list(stored_rows(view(tmp_path / "a")))
    assert len(list(stored_rows(view(tmp_path / "b")))) > 0


def test_order_of_files_and_interruptions_move_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = go(tmp_path / "one")
    index = BBBC038v1.index
    monkeypatch.setattr(BBBC038v1, "index", lambda self: list(reversed(index(self))))
    go(tmp_path / "two", limit=2)
    go(tmp_path / "two", limit=5)
    two = go(tmp_path / "two")
    assert two.record.cell_id == one.record.cell_id
    assert two.path.name == one.path.name
    assert two.image_ids == one.image_ids
    assert metrics_of(tmp_path / "two") == metrics_of(tmp_path / "one")
