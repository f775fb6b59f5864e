"""Average precision of the instance task against every other evaluator, and at its own edges."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

import sambench
from sambench.metrics.instances import Evaluation, Group, box_ious, evaluate, mask_ious
from sambench.results.instance_evaluators import rows_by
from sambench.tasks.instances import InstanceSettings, InstanceTask
from sambench.tasks.summary import Bootstrap
from tests.helpers import GOLDEN
from tests.helpers.detection_worlds import encoded, official, perturbed_lvis, ran, truth_and_results, write
from tests.helpers.instance_scores import TWELVE, Recorder, rows_of, scores_of, value_of

LVIS_KEYS = {
    "AP": ("ap", None, None, None), "AP50": ("ap", 0.5, None, None), "AP75": ("ap", 0.75, None, None),
    "APs": ("ap", None, "small", None), "APm": ("ap", None, "medium", None), "APl": ("ap", None, "large", None),
    "APr": ("ap", None, "rare", None), "APc": ("ap", None, "common", None), "APf": ("ap", None, "frequent", None),
    "AR@300": ("ar", None, None, 300), "ARs@300": ("ar", None, "small", 300), "ARm@300": ("ar", None, "medium", 300),
    "ARl@300": ("ar", None, "large", 300),
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """(card, ground truth, results) of a small dataset with crowds."""
    truth, results = truth_and_results()
    return write(tmp_path_factory.mktemp("small"), truth, results), truth, results


@pytest.mark.parametrize("seed", range(4))
def test_pycocotools_twelve_numbers(tmp_path: Path, seed: int) -> None:
    truth, results = truth_and_results(seed=seed)
    card = write(tmp_path, truth, results)
    rows = scores_of(card, tmp_path / "results.json")
    expected = official(truth, results)
    assert [value_of(rows, "mask", key) for key in TWELVE] == pytest.approx(expected.tolist(), abs=1e-12)
    assert 0.05 < expected[0] < 0.95  # not a trivial case
    # Of boxes alone: entries without masks, as a detector's.
    boxed = [
        {k: r[k] for k in ("image_id", "category_id", "score")}
        | {"bbox": coco_mask.toBbox({**r["segmentation"], "counts": r["segmentation"]["counts"].encode()}).tolist()}
        for r in results
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxed))
    found = InstanceTask.of(InstanceSettings(boxes=str(tmp_path / "boxes.json"))).reduce(
        rows_of(card, tmp_path / "boxes.json", Recorder()), Bootstrap()
    )
    assert [value_of(found, "box", key) for key in TWELVE] == pytest.approx(official(truth, boxed, "bbox").tolist(), abs=1e-12)


def test_ground_truth_without_iscrowd_area_and_bbox(tmp_path: Path) -> None:
    truth, results = truth_and_results(federated=True)  # which has no iscrowd
    for image in truth["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    for c in truth["categories"]:
        del c["frequency"]
    card = write(tmp_path, truth, results)
    rows = scores_of(card, tmp_path / "results.json")
    full = json.loads(json.dumps(truth))
    for a in full["annotations"]:
        a["iscrowd"] = 0
    assert [value_of(rows, "mask", k) for k in TWELVE] == pytest.approx(official(full, results).tolist(), abs=1e-12)
    # Areas that are not there are those of the masks.
    for a, b in zip(full["annotations"], truth["annotations"], strict=True):
        area = int(coco_mask.area({**a["segmentation"], "counts": a["segmentation"]["counts"].encode()}))
        a["area"] = area
        del b["area"], b["bbox"]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    rows = scores_of(card, tmp_path / "results.json")
    assert [value_of(rows, "mask", k) for k in TWELVE] == pytest.approx(official(full, results).tolist(), abs=1e-12)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "variant"), [("segm", "mask"), ("bbox", "box")])
def test_the_coco_apis_own_table(shared: Path, tmp_path: Path, name: str, variant: str) -> None:
    """COCO's simulated results through `sambench run instances` equal val2014_fake_eval_res.txt to its three decimals."""
    sample = shared / "data" / "coco_sample"
    truth = json.loads((sample / "instances_val2014_100.json").read_text())
    card = write(tmp_path, truth, [])
    results = sample / f"instances_val2014_fake{name}100_results.json"
    model = "detections" if variant == "mask" else "otsu"
    found = sambench.run("instances", str(card), model, settings={"boxes": str(results)}, root=str(tmp_path), out=tmp_path / "runs")
    rows = [{str(k): None if pd.isna(v) else v for k, v in r.items()} for r in found.metrics().to_dict("records")]
    text = (sample / "val2014_fake_eval_res.txt").read_text().split(f"type={name}")[1].split("---")[0]
    expected = [float(line.rpartition("=")[2]) for line in text.splitlines() if " = " in line]
    assert len(expected) == 12
    assert [round(value_of(rows, variant, key), 3) for key in TWELVE] == expected


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """Numbers of lvis-api's git version, of the worlds below."""
    found: dict[str, Any] = json.loads((GOLDEN / "lvis_api.json").read_text())
    return found


def faster_lvis(truth: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, float]:
    """The same by faster-coco-eval, of what its version 1.8 takes: it fails where all detections of an image are not judged, and it
    counts objects and detections without area."""
    from faster_coco_eval import COCO, COCOeval_faster

    gt = COCO(json.loads(json.dumps({**truth, "annotations": [{"iscrowd": 0, **a} for a in truth["annotations"]]})))
    evaluation = COCOeval_faster(gt, gt.loadRes(json.loads(json.dumps(results))), "segm", lvis_style=True)
    evaluation.params.maxDets = [300]
    evaluation.evaluate()
    evaluation.accumulate()
    p = np.asarray(evaluation.eval["precision"])[..., -1]  # [T, R, K, A]
    frequency = {c["id"]: c["frequency"] for c in truth["categories"]}
    ids = list(evaluation.params.catIds)

    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean())

    def of(f: str) -> float:
        return mean(p[:, :, [k for k, c in enumerate(ids) if frequency[c] == f], 0])

    out = {"AP": mean(p[..., 0]), "AP50": mean(p[0, ..., 0]), "AP75": mean(p[5, ..., 0])}
    out |= {f"AP{a}": mean(p[..., i]) for i, a in enumerate("sml", 1)}
    return out | {f"AP{f}": of(f) for f in "rcf"}


def best_of_image(results: list[dict[str, Any]], n: int = 300) -> list[dict[str, Any]]:
    """At most n results an image, as LVIS limits them; in the results' order."""
    kept: list[int] = []
    for image_id in {r["image_id"] for r in results}:
        here = [i for i, r in enumerate(results) if r["image_id"] == image_id]
        kept += sorted(here, key=lambda i: -results[i]["score"])[:n]
    return [results[i] for i in sorted(kept)]


def check_lvis(
    truth: dict[str, Any], results: list[dict[str, Any]], root: Path, expected: dict[str, float]
) -> list[dict[str, Any]]:
    card = write(root, truth, results)
    rows = scores_of(card, root / "results.json")
    ours = {k: value_of(rows, "mask", key) for k, key in LVIS_KEYS.items()}
    assert ours == pytest.approx(expected, abs=1e-9)
    return rows


def test_lvis_apis_numbers_on_a_made_dataset(tmp_path: Path, golden: dict[str, Any]) -> None:
    truth, results = truth_and_results(20, 6, federated=True, seed=3)
    assert len(results) == golden["n_synthetic"]
    check_lvis(truth, results, tmp_path, golden["synthetic"])


@pytest.mark.shared
def test_lvis_apis_numbers_on_perturbed_lvis(shared: Path, tmp_path: Path, golden: dict[str, Any]) -> None:
    truth = json.loads((shared / "data" / "lvis_sample" / "lvis_v05_val_100.json").read_text())
    results = perturbed_lvis(truth)
    assert len(results) == golden["n_results"]
    rows = check_lvis(truth, results, tmp_path, golden["lvis_sample"])
    theirs = faster_lvis(truth, best_of_image(results))
    assert {k: value_of(rows, "mask", LVIS_KEYS[k]) for k in theirs} == pytest.approx(theirs, abs=1e-6)


def test_boundary_ap_is_that_of_faster_coco_eval(tmp_path: Path) -> None:
    """Without crowds, whose boundaries it compares in another way than Cheng et al.'s own code (the next test has them)."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth, results = truth_and_results(seed=2)
    truth["annotations"] = [a for a in truth["annotations"] if not a["iscrowd"]]
    card = write(tmp_path, truth, results)
    gt = COCO(json.loads(json.dumps(truth)))
    evaluation = COCOeval_faster(gt, gt.loadRes(json.loads(json.dumps(results))), "boundary")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    rows = scores_of(card, tmp_path / "results.json", boundary=True)
    ours = [value_of(rows, "boundary", key) for key in TWELVE[:6]]
    assert ours == pytest.approx(np.asarray(evaluation.stats)[:6].tolist(), abs=1e-9)
    assert 0 < ours[0] < value_of(rows, "mask", TWELVE[0])


def test_boundary_ious_against_their_definition(small: tuple[Path, dict[str, Any], list[dict[str, Any]]]) -> None:
    """The smaller of mask IoU and the IoU of what 3 x 3 erosions, 2 % of the diagonal of them, take away."""
    card, _, _ = small
    frame = rows_of(card, card.parent / "results.json", boundary=True)
    n = 0
    for image_id, rows in frame.groupby("image_id"):
        image = rows[rows["kind"] == "image"].iloc[0]
        size = (int(image["height"]), int(image["width"]))
        width = max(1, round(0.02 * math.hypot(*size)))

        def thin(counts: bytes, size: tuple[int, int] = size, width: int = width) -> tuple[np.ndarray, np.ndarray]:
            mask = coco_mask.decode({"size": list(size), "counts": counts})
            eroded = cv2.erode(np.pad(mask, 1), np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
            return mask.astype(bool), (mask - eroded).astype(bool)

        objects = rows[rows["kind"] == "object"]
        for _, d in rows[(rows["kind"] == "detection") & rows["ious"].notna()].iterrows():
            found = thin(d["mask_rle"])
            same = objects[objects["category_id"] == d["category_id"]]
            for k, (_, o) in enumerate(same.iterrows()):
                pairs = zip(found, thin(o["mask_rle"]), strict=True)
                unions = [(a & b).sum() / max(1, (a if o["is_crowd"] else a | b).sum()) for a, b in pairs]
                assert d["ious"][k] == pytest.approx(unions[0], abs=1e-12), (image_id, k)
                assert d["boundary_ious"][k] == pytest.approx(min(unions), abs=1e-12)
                n += 1
    assert n > 40


@pytest.mark.parametrize("federated", [False, True])
def test_hotcoco_gives_the_same_numbers(tmp_path: Path, federated: bool) -> None:
    pytest.importorskip("hotcoco")
    truth, results = truth_and_results(federated=federated, seed=8)
    write(tmp_path, truth, results)
    cell = ran(tmp_path, "detections")
    (fast, slow) = (rows_by(name, cell) for name in ("hotcoco", "pycocotools"))
    keys = [k for k in LVIS_KEYS.values() if k[0] == "ap"]
    theirs, ours = ([value_of(rows, "mask", k) for k in keys] for rows in (fast, slow))
    assert theirs == pytest.approx(ours, abs=1e-6)
    assert ours[0] > 0.05


def one_group(ious: list[list[float]], scores: list[float], **more: Any) -> Group:
    values = np.array(ious, float).reshape(len(scores), len(ious[0]) if ious else 0)
    n = values.shape[1]
    given = {"areas": np.full(len(scores), 50.0), "gt_areas": np.full(n, 50.0), "gt_crowd": np.zeros(n, bool), **more}
    return Group(scores=np.array(scores, float), ious=values, **given)


def test_no_object_no_number() -> None:
    found = evaluate({1: [one_group([[], []], [0.5, 0.4])]})
    assert math.isnan(found.ap())
    assert math.isnan(found.ar())
    assert isinstance(found, Evaluation)
    assert math.isnan(evaluate({}).ap())


def test_perfect_and_missed() -> None:
    hit, miss = one_group([[1.0]], [0.9]), one_group([], [])
    missed = Group(np.zeros(0), np.zeros(0), np.zeros((0, 1)), np.array([50.0]), np.array([False]))
    assert evaluate({1: [hit]}).ap() == pytest.approx(1)
    assert evaluate({1: [missed]}).ap() == 0
    assert evaluate({1: [hit, miss]}).ar() == 1
    assert evaluate({1: [hit], 2: [missed]}).ap() == pytest.approx(0.5)
    assert evaluate({1: [hit], 2: [missed]}).ap(categories=[1]) == pytest.approx(1)
    assert math.isnan(evaluate({1: [hit]}).ap(area="large"))


def test_a_false_positive_of_a_category_that_is_not_exhaustive_costs_nothing() -> None:
    ious = [[0.0], [1.0]]
    full, loose = (one_group(ious, [0.9, 0.8], exhaustive=e) for e in (True, False))
    assert evaluate({1: [full]}).ap() == pytest.approx(0.5)
    assert evaluate({1: [loose]}).ap() == pytest.approx(1)


def test_ious_of_nothing() -> None:
    assert mask_ious([], [encoded(np.ones((3, 3)))], [False]).shape == (0, 1)
    assert box_ious(np.ones((2, 4)), np.zeros((0, 4)), []).shape == (2, 0)
