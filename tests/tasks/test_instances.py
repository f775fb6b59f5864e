"""The instance task: what models are asked, its rows and identity, what it refuses, and the datasets and boxes it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from sambench import cards, fixtures, tasks
from sambench.errors import DataError, DataMissingError, UsageError
from sambench.getting import boxes
from sambench.loaders.open import open_dataset
from sambench.models.detections import OwnMasks
from sambench.store.lookup import find_cells
from sambench.tasks.instances import InstanceSettings, InstanceTask
from sambench.tasks.prompted import Context
from sambench.tasks.summary import Bootstrap
from sambench.types import Sample
from tests import helpers
from tests.helpers.detection_worlds import blank_world, detection, encoded, ran
from tests.helpers.instance_scores import TWELVE, Recorder, rows_of, value_of


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
    assert "detection stands there twice" in done.stderr
    assert "stand in the file more than once" in done.stdout
    assert len(json.loads(out.read_text())) == 3
    (cell,) = find_cells(str(tmp_path / "runs"))
    assert cell.live.status == "complete"


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
