"""Models have one name wherever several are shown: the full name, and what tells it from the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sambench.paper.evidence import Evidence
from sambench.report.boundary import write_boundary_curve
from sambench.report.edges import write_pr_curve
from sambench.results.boundary import BoundaryCurve
from sambench.results.names import line_names, model_labels, model_names, name_of
from sambench.store.views import CellView, read_cell
from tests.helpers.cells import Maker, edge_cell


def named(cell: CellView, label: str = "", **model: Any) -> CellView:
    """The cell with another record of its model, and the user's name for it."""
    record = json.loads((cell.path / "cell.json").read_text())
    record["model"] |= model
    (cell.path / "cell.json").write_text(json.dumps(record))
    if label:
        (cell.path.parent / "model.json").write_text(json.dumps({"label": label}))
    return read_cell(cell.path)


@pytest.fixture
def make(tmp_path: Path) -> Any:
    maker = Maker(tmp_path / "runs")

    def made(n: int, model: str, **more: Any) -> CellView:
        return maker.cell(run=f"point-{model}-{n:08x}", model=model, n_images=3, **more)

    return made


def test_the_full_name_or_the_users(make: Any) -> None:
    otsu, mine = named(make(0, "otsu"), name="Otsu's threshold"), named(make(1, "sam_vit_b"), "my SAM", name="SAM ViT-B")
    assert model_names([otsu, mine]) == ["Otsu's threshold", "my SAM"]
    assert model_labels([otsu, mine]) == ["otsu", "my SAM"]


def test_ids_where_two_have_one_name(make: Any) -> None:
    cells = [named(make(n, f"tuned_{n}"), name="SAM ViT-B") for n in range(2)]
    other = named(make(2, "otsu"), name="Otsu's threshold")
    assert model_names([*cells, other]) == ["SAM ViT-B (tuned_0)", "SAM ViT-B (tuned_1)", "Otsu's threshold"]
    assert model_names(cells[:1]) == ["SAM ViT-B"]


def test_options_where_they_differ(make: Any) -> None:
    cells = [named(make(n, "sam_vit_b"), name="SAM ViT-B", options={"squash": bool(n)}) for n in range(2)]
    wanted = ["SAM ViT-B (squash = false)", "SAM ViT-B (squash = true)"]
    assert model_names(cells) == wanted == [s.name for s in Evidence(cells).of("point")]


def test_lines_say_the_images_the_run_and_that_they_are_partial(make: Any) -> None:
    whole, part = (named(make(n, "otsu", limit=limit), name="Otsu") for n, limit in ((0, None), (1, 2)))
    assert line_names([whole, part]) == ["Otsu (3 images)", "Otsu (2 of 3 images), PARTIAL"]
    again = named(make(2, "otsu"), name="Otsu")
    assert line_names([whole, again]) == ["Otsu, point-otsu-00000000", "Otsu, point-otsu-00000002"]


def test_of_an_id_alone() -> None:
    assert name_of("sam_vit_h") == "SAM ViT-H"
    assert name_of("ground truth") == "ground truth"


def test_figures_of_runs_have_these_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    seen: list[list[str]] = []
    drawn = Figure.legend

    def noted(figure: Figure, *args: Any, **options: Any) -> Any:
        legend = drawn(figure, *args, **options)
        seen.append([t.get_text() for t in legend.get_texts()])
        return legend

    monkeypatch.setattr(Figure, "legend", noted)
    cells = [
        named(edge_cell(tmp_path, "canny", [(7, 10, 7, 10)] * 99, n_images=2, settings=settings), name="Canny")
        for settings in ({}, {"nms": "dollar"})
    ]
    write_pr_curve(cells, tmp_path)
    assert [text.partition(":")[0] for text in seen[0][:2]] == ["Canny", "Canny (nms = dollar)"] == line_names(cells)
    point = named(Maker(tmp_path).cell(model="grabcut", n_images=3, masks=True), name="GrabCut (OpenCV)")
    monkeypatch.setattr("sambench.report.boundary.boundary_curve", lambda cell, **_: _flat(cell))
    write_boundary_curve([point], tmp_path)
    assert seen[1][0].splitlines()[0] == "GrabCut (OpenCV)"


def _flat(cell: CellView) -> Any:
    values = np.full(2, 0.5)
    return BoundaryCurve(cell=cell, k=1, ratios=(0.01, 0.02), mean=values, low=values, high=values, n_objects=1, n_images=1)
