"""Rows of the instance task to numbers: in parts, by the compiled evaluator and by pycocotools' code, and rows that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sambench.errors import RunError
from sambench.metrics.coco_reference import ByPycocotools
from sambench.tasks.instance_scores import metric_rows
from sambench.tasks.instances import InstanceSettings, InstanceTask
from sambench.tasks.summary import Bootstrap
from tests.helpers.detection_worlds import perturbed_lvis, truth_and_results, write
from tests.helpers.instance_scores import rows_of


def frame_of(root: Path, truth: dict[str, Any], results: list[dict[str, Any]], **settings: Any) -> pd.DataFrame:
    return rows_of(write(root, truth, results), root / "results.json", **settings)


def in_parts(frame: pd.DataFrame, n: int) -> Callable[[Sequence[str]], Iterator[pd.DataFrame]]:
    """Rows in n parts, later images first."""
    ids = frame["image_id"].unique()[::-1]
    return lambda columns: (frame.loc[frame["image_id"].isin(ids[i::n]), list(columns)] for i in range(n))


def same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> None:
    """To the last bit; NaN is NaN."""
    assert len(a) > 20
    pd.testing.assert_frame_equal(pd.DataFrame(a), pd.DataFrame(b), check_exact=True)


def check(frame: pd.DataFrame, **options: Any) -> None:
    """Whole, in parts, and by pycocotools."""
    whole = metric_rows(in_parts(frame, 1), **options)
    same(metric_rows(in_parts(frame, 5), **options), whole)
    same(metric_rows(in_parts(frame, 1), **options, evaluator=ByPycocotools), whole)


@pytest.mark.parametrize("federated", [False, True])
@pytest.mark.parametrize("max_dets", [None, 2])
def test_every_variant(tmp_path: Path, federated: bool, max_dets: int | None) -> None:
    truth, results = truth_and_results(federated=federated, seed=11)
    frame = frame_of(tmp_path, truth, results, boundary=True)
    check(frame, boundary=True, max_dets=max_dets)
    check(frame, boundary=True, max_dets=max_dets, sized=False)


@pytest.mark.shared
def test_the_coco_and_the_lvis_sample(shared: Path, tmp_path: Path) -> None:
    truth = json.loads((shared / "data" / "coco_sample" / "instances_val2014_100.json").read_text())
    results = json.loads((shared / "data" / "coco_sample" / "instances_val2014_fakesegm100_results.json").read_text())
    check(frame_of(tmp_path / "coco", truth, results), boundary=False, max_dets=None)
    truth = json.loads((shared / "data" / "lvis_sample" / "lvis_v05_val_100.json").read_text())
    check(frame_of(tmp_path / "lvis", truth, perturbed_lvis(truth)), boundary=False, max_dets=None)


def test_stored_rows_are_read_in_parts_without_their_masks(tmp_path: Path) -> None:
    truth, results = truth_and_results(seed=12)
    frame = frame_of(tmp_path, truth, results)
    asked: list[list[str]] = []

    class Rows:
        def frame(self) -> pd.DataFrame:
            raise AssertionError("all rows at once")

        def parts(self, columns: Sequence[str], /) -> Iterator[pd.DataFrame]:
            asked.append(list(columns))
            return in_parts(frame, 3)(columns)

    task = InstanceTask(InstanceSettings(boxes_sha256="x"))
    same(task.reduce_stored(Rows(), Bootstrap()), task.reduce(frame, Bootstrap()))
    assert len(asked) == 2
    assert not {"mask_rle", "boundary_ious"} & {name for names in asked for name in names}
    assert "ious" not in asked[0]


def test_a_detection_with_too_few_ious_is_an_error(tmp_path: Path) -> None:
    truth, results = truth_and_results(seed=12)
    frame = frame_of(tmp_path, truth, results)
    at = next(i for i, v in frame["ious"].items() if isinstance(v, list))
    frame.at[at, "ious"] = [*frame.at[at, "ious"], 0.5]
    with pytest.raises(RunError, match="has not one IoU with each object"):
        InstanceTask(InstanceSettings(boxes_sha256="x")).reduce(frame, Bootstrap())


def test_detections_of_an_empty_set_and_no_detections(tmp_path: Path) -> None:
    truth, results = truth_and_results(seed=12)
    frame = frame_of(tmp_path, truth, results)
    task = InstanceTask(InstanceSettings(boxes_sha256="x"))
    assert task.reduce(frame[frame["kind"] != "object"], Bootstrap()) == []
    none = task.reduce(frame[frame["kind"] != "detection"], Bootstrap())
    assert {(r["variant"], r["value"]) for r in none if r["metric"] == "ap" and "group" not in r} == {("mask", 0.0), ("box", 0.0)}
