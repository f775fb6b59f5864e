"""Runs of the instance task: groups, tables, comparisons, results files, and runs in parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sambench.errors import RunError, UsageError
from sambench.layout import render
from sambench.results.coco_file import write_results
from sambench.results.compare import compare_cells
from sambench.results.rescore import rescore
from sambench.results.tables import result_table
from sambench.store.views import CellView
from tests.helpers.detection_worlds import official, ran, truth_and_results, write
from tests.helpers.instance_scores import TWELVE, value_of


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CellView, CellView]]:
    """Runs of the file's own masks and of a model on its boxes."""
    root = tmp_path_factory.mktemp("cells")
    write(root, *truth_and_results(seed=5))
    with pytest.MonkeyPatch.context() as m:
        m.setenv("SAMBENCH_HOME", str(root / "home"))
        m.setenv("SAMBENCH_CACHE", str(root / "cache"))
        yield ran(root, "detections"), ran(root, "otsu")


def test_rescoring_needs_neither_masks_nor_data(cells: tuple[CellView, CellView]) -> None:
    for cell in cells:
        stored = cell.metrics()
        assert stored is not None
        again = pd.DataFrame(rescore(cell))[["metric", "variant", "threshold", "group", "value"]]
        pd.testing.assert_frame_equal(again, stored[again.columns], check_dtype=False)
        assert len(cell.image_ids) == 12  # also the image without objects


def test_groups_by_category_are_ap_of_one(cells: tuple[CellView, CellView]) -> None:
    cell = cells[0]
    wanted = {"metric": "ap", "variant": "mask", "threshold": None}
    by_category = [r for r in rescore(cell, group_by="category") if wanted.items() <= r.items()]
    whole = value_of(rescore(cell), "mask", TWELVE[0])
    assert np.mean([r["value"] for r in by_category]) == pytest.approx(whole)
    assert [r["group"] for r in by_category] == [f"kind {c}" for c in (1, 2, 3, 4)]
    with pytest.raises(UsageError, match="have no attributes"):
        rescore(cell, group_by="attribute:colour")


def test_the_table(cells: tuple[CellView, CellView]) -> None:
    found = result_table(cells)
    text = render(found, "markdown")
    for said in ("AP50", "AP small", "box AP", "results.json", "otsu"):
        assert said in text
    first, second = (r.values for r in found.rows)
    assert first["box_ap"] == second["box_ap"]  # the same boxes
    assert 0 < second["ap"] < first["ap"]
    assert "too narrow" not in text


def test_two_models_on_the_same_boxes_are_compared_by_object(cells: tuple[CellView, CellView]) -> None:
    found = compare_cells([cells[0]], [cells[1]], metric="iou_best")
    (difference,) = found.differences
    frame = cells[0].scored()
    objects = frame[(frame["kind"] == "object") & (frame["is_crowd"] == 0)]
    assert difference.paired.n == len(objects)
    assert difference.paired.mean_a == pytest.approx(objects["iou_best"].mean())
    with pytest.raises(UsageError, match="iou_best"):
        compare_cells([cells[0]], [cells[1]], metric="iou_bets")


def test_the_results_file_gives_the_runs_ap(cells: tuple[CellView, CellView], tmp_path: Path) -> None:
    truth, results = truth_and_results(seed=5)
    for cell in cells:
        path = tmp_path / "deep" / f"{cell.model}.json"
        assert write_results(cell, path) == len(results)
        written = json.loads(path.read_text())
        assert sorted(written[0]) == ["category_id", "image_id", "score", "segmentation"]
        ours = [value_of(rescore(cell), "mask", key) for key in TWELVE]
        assert ours == pytest.approx(official(truth, written).tolist(), abs=1e-12)
    assert [p.name for p in path.parent.iterdir()] == ["detections.json", "otsu.json"] or len(list(path.parent.iterdir())) == 2


def test_a_run_in_parts_is_the_run(cells: tuple[CellView, CellView], tmp_path: Path) -> None:
    write(tmp_path, *truth_and_results(seed=5))
    part = ran(tmp_path, "otsu", limit=5)
    assert part.live.status == "partial"
    whole = ran(tmp_path, "otsu")
    assert whole.path == part.path
    columns = ["image_id", "kind", "index", "score", "area", "mask_rle"]
    pd.testing.assert_frame_equal(whole.scored(columns), cells[1].scored(columns))
    assert (whole.path / "metrics.csv").read_bytes() == (cells[1].path / "metrics.csv").read_bytes()


def test_without_masks_ap_stays_and_results_are_refused(tmp_path: Path) -> None:
    write(tmp_path, *truth_and_results(seed=5))
    cell = ran(tmp_path, "detections", save_masks="none")
    assert value_of(rescore(cell), "mask", TWELVE[0]) > 0
    with pytest.raises(UsageError, match="kept no masks"):
        write_results(cell, tmp_path / "out.json")
    assert not list(tmp_path.glob("*out.json*"))


def test_a_failed_image_leaves_no_whole_results_file(tmp_path: Path) -> None:
    truth, results = truth_and_results(seed=5)
    write(tmp_path, truth, results)
    Image.new("RGB", (3, 3)).save(tmp_path / "img" / "4.png")
    cell = ran(tmp_path, "detections")
    assert cell.live.n_failed == 1
    with pytest.raises(RunError, match="would look whole"):
        write_results(cell, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
