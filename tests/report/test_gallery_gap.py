"""The gap between the best mask and the one ranked first, of a model that gives one mask a prompt."""

from __future__ import annotations

from pathlib import Path

from sambench.report.gallery import gallery
from tests.helpers.cells import flat, point_cell


def test_a_single_mask_has_no_gap_and_is_not_said_to_have_been_left_out(tmp_path: Path) -> None:
    one = point_cell(tmp_path, "demo", "otsu", flat(0.5), gap=None)
    three = point_cell(tmp_path, "demo", "sam_nano", flat(0.5))
    assert [s.title for s in gallery([one]).sections] == ["Lowest IoU, OTSU: demo"]
    assert len(gallery([three]).sections) == 2
    (asked,) = gallery([one], by=("oracle_gap",)).sections
    assert asked.absent == ("OTSU gives one mask per prompt: there is no gap",)
    (later,) = gallery([three], by=("oracle_gap",), k=3).sections
    assert later.absent == ("SAM_NANO gives one mask per prompt of 3 clicks: there is no gap",)
