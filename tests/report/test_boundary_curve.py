"""Boundary IoU at many widths, the curve of a run, and its picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sambench import cards
from sambench.cli.app import app
from sambench.engine.run import Request, execute, plan
from sambench.errors import UsageError
from sambench.loaders.open import open_dataset
from sambench.metrics.boundary import boundary_ious
from sambench.pixels import region as masks
from sambench.pixels.region import Region
from sambench.results.boundary import RATIOS, boundary_curve
from sambench.store.lookup import find_cells
from sambench.store.views import CellView

SHAPES = (40, 57)


def regions() -> st.SearchStrategy[Region]:
    """Blobs of rectangles on one frame; some touch its border, some are empty."""
    box = st.tuples(st.integers(0, 39), st.integers(1, 25), st.integers(0, 56), st.integers(1, 30))

    def draw(boxes: list[tuple[int, int, int, int]]) -> Region:
        mask = np.zeros(SHAPES, np.bool_)
        for y, h, x, w in boxes:
            mask[y : y + h, x : x + w] ^= True
        return Region.from_array(mask)

    return st.lists(box, max_size=4).map(draw)


@settings(max_examples=150, deadline=None)
@given(a=regions(), b=regions(), ignore=st.none() | regions())
def test_every_width_equals_the_one_at_a_time(a: Region, b: Region, ignore: Region | None) -> None:
    ratios = (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
    expected = [masks.boundary_iou(a, b, r, ignore) for r in ratios]
    np.testing.assert_array_equal(boundary_ious(a, b, ratios, ignore), expected)


def test_a_boundary_as_wide_as_the_mask_gives_iou() -> None:
    one, other = np.zeros((2, 30, 30), np.bool_)
    one[5:20, 5:20] = True
    other[8:20, 5:25] = True
    a, b = Region.from_array(one), Region.from_array(other)
    assert boundary_ious(a, b, (1.0,))[0] == a.iou(b)
    assert boundary_ious(a, a, RATIOS).tolist() == [1.0] * len(RATIOS)
    with pytest.raises(ValueError, match="different frames"):
        boundary_ious(a, Region.from_array(np.ones((30, 31), np.bool_)), (0.01,))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The point task of `otsu` on the two images of demo with the fewest objects, with masks."""
    out = tmp_path_factory.mktemp("boundary")
    index = open_dataset(cards.dataset_card("demo"), variant=None, root=None).index()
    subset = tmp_path_factory.mktemp("subset") / "two.txt"
    subset.write_text("\n".join(r.image_id for r in sorted(index, key=lambda r: r.n_masks)[:2]), encoding="utf-8")
    request = Request(
        task="point",
        datasets=("demo",),
        models=(("otsu", {}),),
        settings={"clicks": (1, 2)},
        subset=str(subset),
        out=str(out),
        workers=1,
    )
    execute(plan(request))
    return out


def the_cell(run: Path) -> CellView:
    [cell] = find_cells(str(run), run)
    return cell


def test_curve_meets_the_runs_own_boundary_measures(run: Path) -> None:
    cell = the_cell(run)
    metrics = cell.metrics()
    assert metrics is not None
    for k in (1, 2):
        curve = boundary_curve(cell, ratios=(0.005, 0.01, 0.02, 0.05), k=k)
        own = metrics[(metrics["metric"] == "mbiou") & (metrics["k"] == k)].set_index("threshold")
        for i, ratio in ((1, 0.01), (2, 0.02)):
            assert curve.mean[i] == pytest.approx(own.loc[ratio, "value"], abs=1e-12)
            assert curve.low[i] == pytest.approx(own.loc[ratio, "ci_low"], abs=1e-12)
            assert curve.high[i] == pytest.approx(own.loc[ratio, "ci_high"], abs=1e-12)
        assert curve.n_images == 2
        assert curve.n_objects == int(own["n_objects"].iloc[0])
    assert boundary_curve(cell, ratios=(0.01,)).k == 1


def test_bad_requests(run: Path) -> None:
    cell = the_cell(run)
    with pytest.raises(UsageError, match="no rows at that click count"):
        boundary_curve(cell, k=3)
    for ratios in ((), (0.02, 0.01), (0.0,), (0.5, 2.0)):
        with pytest.raises(UsageError, match="ratios do not fit"):
            boundary_curve(cell, ratios=ratios)


def test_plot_writes_picture_and_numbers(run: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["plot", str(run), "--to", str(tmp_path), "--ratios", "0.01,0.02", "-k", "2"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "boundary_curve.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "boundary_curve.csv").open(newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    assert [r["ratio"] for r in rows] == ["0.01", "0.02"]
    curve = boundary_curve(the_cell(run), ratios=(0.01, 0.02), k=2)
    assert [float(r["mean_boundary_iou"]) for r in rows] == curve.mean.tolist()
    assert {(r["n_images"], r["k"], r["partial"]) for r in rows} == {("2", "2", "False")}


def test_plot_names_bad_ratios(run: Path) -> None:
    result = CliRunner().invoke(app, ["plot", str(run), "--ratios", "wide"])
    assert result.exit_code != 0
    assert isinstance(result.exception, UsageError)
    assert "not numbers" in str(result.exception)
