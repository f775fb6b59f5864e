"""AP by size goes by the areas that the official evaluators take: the box's for masks too, where a results file has boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as coco_mask

import sambench
from sambench.errors import UsageError
from sambench.loaders.coco_results import read_results
from sambench.results.coco_file import write_results
from sambench.results.instance_evaluators import rows_by
from sambench.tasks import build
from sambench.tasks.instances import InstanceSettings, InstanceTask
from tests.helpers.detection_worlds import official, truth_and_results, write
from tests.helpers.instance_scores import TWELVE, Recorder, rows_of, scores_of, value_of


def boxed(results: list[dict[str, Any]], *, masks: bool = True) -> list[dict[str, Any]]:
    """The results with the boxes of their masks, beside the masks or instead of them."""
    boxes = [coco_mask.toBbox({**r["segmentation"], "counts": r["segmentation"]["counts"].encode()}).tolist() for r in results]
    keys = ("image_id", "category_id", "score", *(["segmentation"] if masks else []))
    return [{**{k: r[k] for k in keys}, "bbox": box} for r, box in zip(results, boxes, strict=True)]


def numbers(rows: list[dict[str, Any]], variant: str) -> list[float]:
    return [value_of(rows, variant, key) for key in TWELVE]


def check_forms(truth: dict[str, Any], results: list[dict[str, Any]], root: Path) -> None:
    """Masks and boxes of each form of file against pycocotools, and that the form makes a difference."""
    card, both = write(root, truth, results), boxed(results)
    (root / "both.json").write_text(json.dumps(both))
    rows = scores_of(card, root / "results.json")
    assert numbers(rows, "mask") == pytest.approx(official(truth, results, "segm").tolist(), abs=1e-9)
    assert numbers(rows, "box") == pytest.approx(official(truth, results, "bbox").tolist(), abs=1e-9)
    of_both = scores_of(card, root / "both.json")
    assert numbers(of_both, "mask") == pytest.approx(official(truth, both, "segm").tolist(), abs=1e-9)
    assert numbers(of_both, "box") == pytest.approx(official(truth, both, "bbox").tolist(), abs=1e-9)
    assert max(abs(a - b) for a, b in zip(numbers(rows, "mask"), numbers(of_both, "mask"), strict=True)) > 1e-5
    # The variant: masks by their own areas and boxes by theirs, whatever the file's form.
    own = scores_of(card, root / "both.json", areas="own")
    assert numbers(own, "mask") == pytest.approx(numbers(rows, "mask"), abs=1e-12)
    assert numbers(own, "box") == pytest.approx(numbers(of_both, "box"), abs=1e-12)
    assert numbers(scores_of(card, root / "results.json", areas="own"), "box") == pytest.approx(numbers(own, "box"), abs=1e-12)


@pytest.mark.parametrize("seed", [0, 3])
def test_each_form_of_file_as_pycocotools_takes_it(tmp_path: Path, seed: int) -> None:
    check_forms(*truth_and_results(seed=seed), tmp_path)


@pytest.mark.shared
def test_cocos_simulated_results_in_each_form(shared: Path, tmp_path: Path) -> None:
    sample = shared / "data" / "coco_sample"
    truth = json.loads((sample / "instances_val2014_100.json").read_text())
    results = json.loads((sample / "instances_val2014_fakesegm100_results.json").read_text())
    check_forms(truth, results, tmp_path)


def test_a_models_masks_go_by_their_own_areas_and_the_files_boxes_by_the_files(tmp_path: Path) -> None:
    truth, results = truth_and_results()
    card = write(tmp_path, truth, results)
    frame = rows_of(card, tmp_path / "results.json", Recorder())  # masks alone prompt, through their boxes
    found = frame[frame["kind"] == "detection"]
    assert found["mask_sized_by"].tolist() == found["area"].tolist()
    assert found["area"].tolist() != found["box_sized_by"].tolist()
    rows = InstanceTask.of(InstanceSettings(boxes=str(tmp_path / "results.json"))).reduce(frame, None)  # type: ignore[arg-type]
    assert numbers(rows, "box") == pytest.approx(official(truth, results, "bbox").tolist(), abs=1e-9)


def test_what_the_first_entry_has_decides(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    mask = {"image_id": 1, "score": 0.5, "segmentation": {"size": [4, 4], "counts": [0, 16]}}
    for first, expected in (({}, False), ({"bbox": []}, False), ({"bbox": None}, False), ({"bbox": [0, 0, 4, 4]}, True)):
        # Another image's entry before it in the file, and after it in the index.
        path.write_text(json.dumps([{**mask, "image_id": 2, **first}, {**mask, "bbox": [0, 0, 2, 2]}]))
        assert read_results(path).sized_by_boxes is expected


def test_protocols_and_identities() -> None:
    task = InstanceTask(InstanceSettings(boxes_sha256="x"))
    own = InstanceTask(InstanceSettings(boxes_sha256="x", areas="own"))
    assert (task.protocol, own.protocol) == ("instances@2", "instances@1")
    assert {k for k, v in task.identity().items() if v != own.identity()[k]} == {"protocol"}
    assert {*task.columns} - {*own.columns} == {"mask_sized_by", "box_sized_by"}
    assert build("instances", {"boxes_sha256": "x"}, protocol="instances@1") == own
    with pytest.raises(UsageError, match="did you mean 'official'"):
        InstanceSettings(areas="oficial")  # type: ignore[arg-type]


def test_a_results_file_of_the_run_gives_its_numbers_to_others(tmp_path: Path) -> None:
    truth, results = truth_and_results(seed=3)
    both = boxed(results)
    card = write(tmp_path, truth, both)
    settings = {"boxes": str(tmp_path / "results.json")}
    found = sambench.run("instances", str(card), "detections", settings=settings, root=str(tmp_path), out=tmp_path / "runs")
    cell = found.cells[0]
    write_results(cell, tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    assert official(truth, again).tolist() == pytest.approx(official(truth, both).tolist(), abs=1e-12)
    pytest.importorskip("hotcoco")
    theirs, mine = rows_by("hotcoco", cell), rows_by("pycocotools", cell)
    for row in theirs:
        key = (row["metric"], row.get("threshold"), row.get("group"))
        ours = [r["value"] for r in mine if (r["metric"], r.get("threshold"), r.get("group")) == key]
        assert ours == [pytest.approx(row["value"], abs=1e-6, nan_ok=True)]
