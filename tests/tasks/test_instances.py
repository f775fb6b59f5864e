"""The instance task: prompts and rows, AP against every other evaluator, resuming, results files, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

import sambench
from sambench import cards, fixtures, tasks
from sambench.errors import DataError, DataMissingError, RunError, UsageError
from sambench.getting import boxes
from sambench.layout import render
from sambench.loaders.open import open_dataset
from sambench.metrics.instances import Evaluation, Group, box_ious, evaluate, mask_ious
from sambench.models.detections import OwnMasks
from sambench.results.coco_file import write_results
from sambench.results.compare import compare_cells
from sambench.results.instance_evaluators import rows_by
from sambench.results.rescore import rescore
from sambench.results.tables import result_table
from sambench.store.lookup import find_cells
from sambench.store.views import CellView
from sambench.tasks.instances import InstanceSettings, InstanceTask
from sambench.tasks.prompted import Context
from sambench.tasks.summary import Bootstrap
from sambench.types import Sample
from tests import helpers
from tests.helpers import GOLDEN
from tests.helpers.detection_worlds import encoded, official, perturbed_lvis, truth_and_results, write
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




# Average precision, against the evaluators of others.


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


# The evaluator's own edges.


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


# Prompts and rows.


def blank_world(root: Path, detections: list[dict[str, Any]], *, federated: bool = False) -> Path:
    """One image of 40 x 60 with an object, one without; the given detections."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 10:40] = 1
    images = [{"id": i, "height": 40, "width": 60, "file_name": f"{i}.png"} for i in (1, 2)]
    if federated:
        images = [{**i, "neg_category_ids": [2], "not_exhaustive_category_ids": []} for i in images]
    one = {"id": 5, "image_id": 1, "category_id": 1, "segmentation": encoded(mask), "area": 600.0, "bbox": [10, 10, 30, 20]}
    truth = {"images": images, "annotations": [one], "categories": [{"id": c, "name": f"kind {c}"} for c in (1, 2, 3)]}
    return write(root, truth, detections)


def detection(image: int = 1, category: int = 1, box: tuple[float, ...] = (10, 10, 30, 20), score: float = 0.5) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": list(box), "score": score}


def loaded(card: Path, image_id: str = "1") -> Sample:
    return open_dataset(cards.dataset_card(str(card)), root=card.parent).load(image_id)


def asked(card: Path, **settings: Any) -> tuple[Recorder, list[dict[str, Any]]]:
    model = Recorder()
    task = InstanceTask.of(InstanceSettings(boxes=str(card.parent / "results.json"), **settings))
    return model, task.rows(loaded(card), model, Context())


@pytest.mark.parametrize(
    ("variant", "multimask", "carried", "grown"),
    [("refine", [True, False], [None, "1.2"], 0), ("no_refine", [True], [None], 2), ("single", [False, False], [None, "1.0"], 0)],
)
def test_what_the_model_is_asked(tmp_path: Path, variant: str, multimask: list[bool], carried: list[Any], grown: int) -> None:
    card = blank_world(tmp_path, [detection(box=(10.5, 9.25, 29, 20.5), score=0.75)])
    model, rows = asked(card, variant=variant)
    calls = [call[0] for call in model.asked]
    assert [c.multimask for c in calls] == multimask
    assert [c.carry for c in calls] == carried
    assert {c.box_xyxy for c in calls} == {(10.5, 9.25, 39.5, 29.75)}
    assert not any(len(c.labels) for c in calls)
    (found,) = [r for r in rows if r["kind"] == "detection"]
    assert (found["category_id"], found["category"], found["score"]) == (1, "kind 1", 0.75)
    assert found["box_xywh"] == [10.5, 9.25, 29, 20.5]
    mask = coco_mask.decode({"size": [40, 60], "counts": found["mask_rle"]}).astype(bool)
    expected = np.zeros((40, 60), bool)
    expected[9 - grown : 30 + grown, 10 - grown : 40 + grown] = True
    assert np.array_equal(mask, expected)
    assert found["area"] == expected.sum()
    assert found["n_candidates"] == (3 if variant == "no_refine" else 1)
    assert found["model_score"] == (0.5 if variant == "no_refine" else 0)


def test_batches_in_the_files_order_and_only_the_best(tmp_path: Path) -> None:
    boxes_in = [detection(box=(i, 10, 20, 20), score=s) for i, s in enumerate([0.1, 0.9, 0.8, 0.2, 0.7, 0.6, 0.5, 0.4])]
    card = blank_world(tmp_path, boxes_in)
    model, rows = asked(card, variant="no_refine", max_dets=6)
    assert [len(call) for call in model.asked] == [4, 2]
    assert [p.box_xyxy[0] for call in model.asked for p in call] == [1, 2, 4, 5, 6, 7]  # type: ignore[index]
    assert [r["index"] for r in rows if r["kind"] == "detection"] == [1, 2, 4, 5, 6, 7]
    assert (rows[0]["n_detections"], rows[0]["n_cut"]) == (8, 2)
    assert model.encoded == 1


def test_how_many_count(tmp_path: Path) -> None:
    many = [detection(score=i / 1000) for i in range(400)]
    for federated, n in ((False, 100), (True, 300)):
        card = blank_world(tmp_path / str(federated), many, federated=federated)
        frame = rows_of(card, card.parent / "results.json")
        assert (frame["kind"] == "detection").sum() == n
        assert frame["score"].min() == (400 - n) / 1000


def test_boxes_beside_the_image_are_not_asked_for(tmp_path: Path) -> None:
    card = blank_world(tmp_path, [detection(box=(80, 10, 5, 5)), detection(box=(3, 3, 0, 0)), detection()])
    model, rows = asked(card)
    assert len(model.asked[0]) == 1
    found = [r for r in rows if r["kind"] == "detection"]
    assert [r["area"] for r in found] == [0, 0, 600]
    assert (rows[0]["n_outside"], rows[0]["n_empty"], rows[0]["n_duplicates"]) == (2, 2, 0)
    assert [r["ious"] for r in found] == [[0.0], [0.0], [1.0]]


def test_an_image_without_boxes_is_not_read(tmp_path: Path) -> None:
    card = blank_world(tmp_path, [detection()])
    model = Recorder()
    task = InstanceTask.of(InstanceSettings(boxes=str(tmp_path / "results.json")))
    rows = task.rows(loaded(card, "2"), model, Context())
    assert [r["kind"] for r in rows] == ["image"]
    assert model.encoded == 0


def test_corners_when_the_user_says_so(tmp_path: Path) -> None:
    card = blank_world(tmp_path, [detection(box=(10, 10, 40, 30))])
    model, rows = asked(card, box_format="xyxy")
    assert model.asked[0][0].box_xyxy == (10, 10, 40, 30)
    assert rows[1]["box_xywh"] == [10, 10, 30, 20]
    assert rows[1]["ious"] == [1.0]


def test_federated_rows(tmp_path: Path) -> None:
    card = blank_world(tmp_path, [detection(category=c) for c in (1, 2, 3)], federated=True)
    frame = rows_of(card, tmp_path / "results.json")
    found = frame[frame["kind"] == "detection"]
    assert found["judged"].tolist() == [1, 1, 0]  # 3 is neither there nor said to be absent
    image = frame[(frame["kind"] == "image") & (frame["image_id"] == "1")].iloc[0]
    assert (image["negative_ids"], image["not_exhaustive_ids"]) == ([2], [])


def test_categories_that_the_dataset_does_not_have_take_no_place(tmp_path: Path) -> None:
    card = blank_world(tmp_path, [detection(category=9, score=0.9), detection(score=0.1)])
    _, rows = asked(card, max_dets=1, extra="drop")
    assert [r["category_id"] for r in rows if r["kind"] == "detection"] == [1]


def test_what_is_identity(tmp_path: Path) -> None:
    card = blank_world(tmp_path, [detection()])
    path = tmp_path / "results.json"
    task = InstanceTask.of(InstanceSettings(boxes=str(path)))
    assert len(task.settings.boxes_sha256) == 64
    assert str(path) not in json.dumps(task.identity())
    copy = tmp_path / "copy.json"
    copy.write_bytes(path.read_bytes())
    for same in ({"boxes": str(copy)}, {"boxes": str(path), "extra": "drop"}, {"boxes": str(path), "box_format": "xywh"}):
        assert InstanceTask.of(InstanceSettings(**same)).identity() == task.identity()  # type: ignore[arg-type]
    for other in ({"variant": "single"}, {"box_format": "xyxy"}, {"max_dets": 3}, {"boundary": True}):
        assert InstanceTask.of(InstanceSettings(boxes=str(path), **other)).identity() != task.identity()  # type: ignore[arg-type]
    assert tasks.settings_of(tasks.build("instances", tasks.settings_of(task))) == tasks.settings_of(task)
    path.write_text(json.dumps([detection(score=0.25)]))
    with pytest.raises(DataError, match="another than the one that the run began with"):
        task.rows(loaded(card), Recorder(), Context())


# Runs.


def ran(root: Path, model: str, *, out: str = "runs", card: str = "small.toml", **settings: Any) -> CellView:
    """The cell of `sambench run instances` on the world under root."""
    request = {k: settings.pop(k) for k in ("limit", "save_masks") if k in settings}
    found = sambench.run(
        "instances",
        str(root / card),
        model,
        settings={"boxes": str(root / "results.json"), **settings},
        root=str(root),
        out=root / out,
        workers=1,
        **request,
    )
    return found.cells[0]


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


# What is refused.


def test_a_dataset_that_leaves_images_out(tmp_path: Path) -> None:
    card = blank_world(tmp_path, [detection()])
    card.write_text(card.read_text().replace("all_images = true\n", ""))
    with pytest.raises(UsageError, match="on which false positives count") as e:
        ran(tmp_path, "otsu")
    assert "all_images = true" in str(e.value)


def test_ground_truth_that_is_none_for_detection(tmp_path: Path) -> None:
    card = blank_world(tmp_path, [detection()])
    truth = json.loads((tmp_path / "truth.json").read_text())
    for change, said in (({"category_id": 77}, "category_id"), ({"area": -1}, "area"), ({"bbox": [1]}, "bbox")):
        broken = {**truth, "annotations": [{**truth["annotations"][0], **change}]}
        (tmp_path / "truth.json").write_text(json.dumps(broken))
        sample = loaded(card)
        assert sample.annotated is not None
        with pytest.raises(DataError, match="cannot be used for detection") as e:
            sample.annotated()
        assert said in str(e.value)


BAD_FLAGS = {
    "no boxes": ([], "needs a detector's boxes"),
    "no file": (["--boxes", "nowhere.json"], "the file of boxes is not there"),
    "a misspelt name": (["--boxes", "vitdet_cocoo"], "did you mean 'vitdet_coco'"),
    "boxes that are not here": (["--boxes", "vitdet_coco"], "sambench data get vitdet_coco"),
    "a variant": (["--boxes", "results.json", "--variant", "refin"], "did you mean 'refine'"),
    "a box format": (["--boxes", "results.json", "--box-format", "yxyx"], "unknown box format"),
    "no detections an image": (["--boxes", "results.json", "--max-dets", "0"], "--max-dets does not fit"),
    "masks of boxes": (["--boxes", "results.json", "--model", "detections"], "no masks of its own"),
    "an edge detector": (["--boxes", "results.json", "--model", "canny"], "is not one for the instances task"),
    "two models in one file": (["--boxes", "results.json", "-m", "otsu,sam_nano", "--results", "r.json"], "one results file"),
    "results without masks": (["--boxes", "results.json", "--results", "r.json", "--save-masks", "none"], "needs masks"),
    "another dataset": (
        ["--boxes", "results.json", "--datasets", "bbbc038v1", "--root", "bbbc038v1"],
        "is not one for the instance task",
    ),
}


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from sambench.cli import run_command

    flags, said = BAD_FLAGS[name]
    blank_world(tmp_path, [detection()])
    helpers.write_nuclei(tmp_path, n_images=1)
    monkeypatch.chdir(tmp_path)
    dataset = [] if "--datasets" in flags else ["--datasets", "small.toml", "--root", "."]
    monkeypatch.setattr("sys.argv", ["sambench", "run", "instances", *dataset, *flags])
    with pytest.raises(SystemExit) as e:
        run_command()
    assert e.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_command_says_what_is_odd_and_writes_results(tmp_path: Path) -> None:
    blank_world(tmp_path, [detection(), detection(), detection(2, box=(90, 3, 4, 4))])
    where = ["--datasets", str(tmp_path / "small.toml"), "--root", str(tmp_path), "--boxes", str(tmp_path / "results.json")]
    out = tmp_path / "masks.json"
    done = helpers.sambench("run", "instances", *where, "-m", "otsu", "-o", str(tmp_path / "runs"), "--results", str(out))
    assert done.returncode == 0, done.stderr
    assert "1 of 3 boxes" in done.stderr
    assert "stand there twice" in done.stderr
    assert "stand in the file more than once" in done.stdout
    assert len(json.loads(out.read_text())) == 3
    (cell,) = find_cells(str(tmp_path / "runs"))
    assert cell.live.status == "complete"


# The datasets that it is for.


@pytest.mark.parametrize("name", ["coco_2017_val", "lvis_v1_val", "lvis_v05"])
def test_packaged_cards_serve(name: str, tmp_path: Path) -> None:
    """A detector that finds every object of a tiny copy has an AP of 1, in the dataset's own layout."""
    fixtures.write(name, tmp_path)
    dataset: Any = open_dataset(cards.dataset_card(name), root=tmp_path)
    federated = name != "coco_2017_val"
    found = []
    image_ids = dataset.inner.all_image_ids()
    for image_id in image_ids:
        truth = dataset.load(image_id).annotated()
        assert (truth.negative_ids is not None) == federated
        found += [
            {"image_id": int(image_id), "category_id": o.category_id, "bbox": list(o.box_xywh), "score": 0.5,
             "segmentation": encoded(o.region.full())}
            for o in truth.objects
            if not o.is_crowd
        ]  # fmt: skip
    (tmp_path / "found.json").write_text(json.dumps(found))
    task = InstanceTask.of(InstanceSettings(boxes=str(tmp_path / "found.json")))
    task.check_dataset(dataset)
    assert len(dataset.index()) == len(image_ids)
    rows = [row for r in dataset.index() for row in task.rows(dataset.load(r.image_id), OwnMasks(), Context())]
    scores = task.reduce(pd.DataFrame(rows, columns=list(task.columns)), Bootstrap())
    assert value_of(scores, "mask", TWELVE[0]) == pytest.approx(1)
    assert any(r.get("group_by") == "frequency" for r in scores) == federated


# Boxes that others distribute.


def test_cards_of_boxes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path))
    made = cards.boxes_cards()["demo_detector"]
    assert boxes.get(made) == boxes.boxes_file("demo_detector") == boxes.place_of(made)
    found = {name: card for name, card in cards.boxes_cards().items() if card.file}
    assert {c.dataset for c in found.values()} == {"coco_2017_val", "lvis_v1_val"}
    for name, card in found.items():
        assert card.dataset in cards.dataset_cards()
        with pytest.raises(DataMissingError, match="are not here") as e:
            boxes.boxes_file(name)
        assert card.file.url in str(e.value)
        place = boxes.place_of(card)
        place.parent.mkdir()
        place.write_text("[]")
        assert boxes.boxes_file(name) == place
        assert boxes.get(card) == place
