"""Galleries of the tasks beside points and boxes: what is chosen, and that a sheet is drawn of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sambench
from sambench import Prediction, Prompt
from sambench.errors import UsageError
from sambench.pixels.region import Region
from sambench.report import overlays
from sambench.report.galleries import PLACE, Asked, view_of
from sambench.report.gallery import gallery
from sambench.report.overlays import said_of
from sambench.report.write import write
from sambench.store.views import CellView
from tests.helpers.cells import Maker


class Corner:
    """A share of the box, from its top left."""

    def __init__(self, share: float) -> None:
        self.share, self.identity = share, {"share": share}

    def encode(self, image: np.ndarray) -> tuple[int, ...]:
        return image.shape[:2]

    def decode(self, size: tuple[int, int], prompts: list[Prompt]) -> list[Prediction]:
        rows, columns = np.mgrid[: size[0], : size[1]]
        out = []
        for p in prompts:
            x, y = p.points_xy[0] if p.box_xyxy is None else (0, 0)
            x0, y0, x1, y1 = p.box_xyxy or (x - 20, y - 20, x + 20, y + 20)
            right, bottom = x0 + self.share * (x1 - x0), y0 + self.share * (y1 - y0)
            mask = (columns >= x0) & (columns < right) & (rows >= y0) & (rows < bottom)
            out.append(Prediction(mask[None], np.ones(1, np.float32)))
        return out


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[CellView]]:
    out = tmp_path_factory.mktemp("galleries")

    def ran(task: str, share: float, **settings: object) -> CellView:
        found = sambench.evaluate(Corner(share), task, "demo", name=f"{task}_{share}", limit=2, settings=settings, out=out)  # type: ignore[arg-type]
        return found.cells[0]

    return {
        "instances": [ran("instances", 1.0), ran("instances", 0.5)],
        "proposals": [ran("proposals", 1.0, grid=5, rank="iou"), ran("proposals", 0.8, grid=5, rank="iou")],
    }


def test_false_positives_overlap_no_object_of_their_category(cells: dict[str, list[CellView]]) -> None:
    cell = cells["instances"][1]
    view = view_of(cell)
    assert view is not None
    picks = view.picks(cell, Asked("false_positives", 40))
    rows = cell.scored(["image_id", "score", "ious"], ("kind", "detection"))
    every = zip(rows["image_id"], rows["score"], rows["ious"], strict=True)
    wrong = [(i, score) for i, score, v in every if v is None or max(v, default=0) < 0.5]
    assert len(picks) == min(40, len(wrong)) > 10
    scores = [p.data[3] for p in picks]
    assert scores == sorted(scores, reverse=True)
    assert set(zip((p.data[0] for p in picks), scores, strict=True)) <= set(wrong)


@pytest.mark.parametrize("task", ["instances", "proposals"])
def test_sheets_are_drawn_worst_first(task: str, cells: dict[str, list[CellView]], tmp_path: Path) -> None:
    a, b = cells[task]
    view = view_of(a)
    assert view is not None
    worst, best = (view.picks(a, Asked(kind, 4)) for kind in ("worst", "best"))
    column = view.header.index("iou" if task == "instances" else "recall")
    assert max(p.data[column] for p in worst) <= min(p.data[column] for p in best)
    (first, *_) = view.picks(a, Asked("disagreement", 3, partner=b))
    other = first.data[view.header.index("iou_other" if task == "instances" else "recall_other")]
    assert abs(first.data[column] - other) > 0
    made = gallery([a], [b], n=2)
    assert [s.absent for s in made.sections] == [()] * len(made.sections)
    assert [p for p in write(made, ["png"], tmp_path) if p.suffix == ".png"]
    (page,) = (p for p in write(made, ["html"], tmp_path) if p.suffix == ".html")
    assert "2 cells of 2 runs" in page.read_text()


def test_a_mask_that_cannot_be_seen_is_said_to_be_small_or_empty() -> None:
    dot = Region.from_array(np.pad(np.ones((3, 4), np.bool_), 5))
    assert said_of(dot, 0.002) == "IoU 0 %, 12 px"
    assert said_of(Region.empty(8, 8), 0.0) == "IoU 0 %, empty"


def test_masks_that_were_not_kept_are_said_and_errors_of_code_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Maker(tmp_path).cell(n_images=2, masks=True)  # several masks at one click, a single one at more

    rows = cell.scored()
    row = rows[rows["k"] == 3].to_dict("records")[0]
    assert overlays.mask_of(row).area > 0
    with pytest.raises(UsageError, match="did not keep that mask") as e:
        overlays.mask_of(row, 2)
    assert str(e.value.found) == "1"

    def broken(*_: object) -> list[object]:
        raise KeyError("iou_top")

    view = view_of(cell)
    assert view is not None
    monkeypatch.setattr("sambench.report.gallery.view_of", lambda _: replace(view, picks=broken))
    with pytest.raises(KeyError, match="iou_top"):  # of our own code: it must be seen
        gallery([cell], by=("worst",))

    def unkept(*_: object) -> list[object]:
        return [overlays.mask_of(row, 2)]

    monkeypatch.setattr("sambench.report.gallery.view_of", lambda _: replace(view, picks=unkept))
    (said,) = gallery([cell], by=("worst",)).sections[0].absent
    assert said.startswith("No pictures: the run did not keep that mask")


def test_criteria_are_those_of_the_task(cells: dict[str, list[CellView]]) -> None:
    with pytest.raises(UsageError, match="unknown criterion 'oracle_gap'"):
        gallery(cells["proposals"], by=("oracle_gap",))
    assert {"objects", "edges", "detections", "proposals", "concepts"} <= set(PLACE.names())
