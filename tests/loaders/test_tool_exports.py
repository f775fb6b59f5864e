"""Annotation files as other tools write them, with a right value that is known: one bright rectangle, which otsu finds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sambench
from sambench import cards, tasks
from sambench.errors import DataError, RunError, SambenchError, UsageError
from sambench.files.content import read_bytes
from sambench.left_out import sentences
from sambench.loaders.coco_masks import has_pixels, region_of
from sambench.loaders.file_names import ADDRESS, locate
from sambench.loaders.open import open_dataset
from sambench.loaders.results_index import plain_entry
from sambench.loaders.subsets import choose_subset
from sambench.models.otsu import otsu
from sambench.notes import noting
from sambench.results.bundle_file import opened
from sambench.types import EMPTY, NO_MASK, TOO_SHORT

H, W = 48, 64
NUMBERS = [10, 8, 30, 8, 30, 24, 10, 24]
RECTANGLE = 20 * 16
RUNS = [10 * H + 8, 16, *[H - 16, 16] * 19, H * W - (30 - 1) * H - 24]
NAN = float("nan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.full((H, W, 3), 20, np.uint8)
    pixels[8:24, 10:30] = 220
    Image.fromarray(pixels).save(tmp_path / "a.png")
    access = '[access]\nstate = "manual"\nsteps = ["draw it"]\n'
    options = '[options]\nannotations = "a.json"\n'
    (tmp_path / "toy.toml").write_text(f'id = "toy"\nname = "toy"\nreader = "sambench.loaders.coco:CocoJson"\n{options}{access}')
    return tmp_path


def write(folder: Path, *segmentations: Any, **more: Any) -> None:
    box = {"bbox": [10, 8, 20, 16], "iscrowd": 0, "category_id": 1}
    annotations = [{"id": i, "image_id": 1, "segmentation": s, **box, **more} for i, s in enumerate(segmentations)]
    for a in annotations:
        if a["segmentation"] == "missing":
            del a["segmentation"]
    image = {"id": 1, "file_name": "a.png", "width": W, "height": H}
    raw = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "x"}]}
    (folder / "a.json").write_text(json.dumps(raw))


def evaluate(folder: Path, task: str = "point") -> sambench.api.Results:
    return sambench.evaluate(otsu(), task, str(folder / "toy.toml"), root=str(folder), out=str(folder / "out"))


@pytest.mark.parametrize(
    "segmentation",
    [
        [NUMBERS],
        NUMBERS,
        [str(float(v)) for v in NUMBERS],
        [[NUMBERS[i : i + 2] for i in (0, 2, 4, 6)]],
        [NUMBERS[i : i + 2] for i in (0, 2, 4, 6)],
        [[NUMBERS[i : i + 2]] for i in (0, 2, 4, 6)],
        [NUMBERS, [1, 1, 9, 9], []],
        [{"size": [H, W], "counts": RUNS}],
        [NUMBERS[:6], {"size": [H, W], "counts": RUNS}],
    ],
    ids=["coco", "vgg", "texts", "pairs", "bare pairs", "contours", "with a line", "rle in a list", "both"],
)
def test_the_forms_of_a_mask(segmentation: Any) -> None:
    assert region_of(segmentation, H, W, where="x").area == RECTANGLE
    assert has_pixels(segmentation, H, W, where="x")


@pytest.mark.parametrize("broken", [[1, 2, 3], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2], [3, 4], [5, [6]]], "[[1, 2]]", [None], 3])
def test_what_is_no_mask_is_an_error(broken: Any) -> None:
    for call in (region_of, has_pixels):
        with pytest.raises(DataError, match="annotation"):
            call(broken, H, W, where="x")


@pytest.mark.parametrize(
    ("segmentation", "kind"),
    [(None, NO_MASK), ("missing", NO_MASK), (NAN, NO_MASK), ({}, NO_MASK), ("", NO_MASK), ([], NO_MASK), ([[]], TOO_SHORT),
     ([[1, 2]], TOO_SHORT), ([[1, 2, 3, 4]], TOO_SHORT), ([[-9, -9, -5, -9, -5, -5]], EMPTY)],
)  # fmt: skip
def test_what_is_no_area_is_counted_and_costs_nothing(folder: Path, segmentation: Any, kind: str) -> None:
    write(folder, [NUMBERS], segmentation)
    for task in ("point", "box"):
        results = evaluate(folder, task)
        assert results.cells[0].live.left_out == {kind: 1}
        assert results.table()["miou" if task == "box" else "miou@1"].tolist() == [1.0]


def test_where_all_are_boxes_the_error_says_so(folder: Path) -> None:
    write(folder, None, [])
    with pytest.raises(RunError) as e:
        evaluate(folder)
    assert "1 image; 2 annotations without a mask (only boxes or keypoints) left out" in str(e.value)
    assert "export polygons or masks" in str(e.value)
    assert f"sambench data verify {folder / 'toy.toml'} --root {folder}" in str(e.value)
    assert sentences({NO_MASK: 1}) == ["1 annotation without a mask (only a box or keypoints) left out"]


def test_an_absent_category_of_pandas(folder: Path) -> None:
    write(folder, [NUMBERS], category_id=NAN, bbox=NAN, area=NAN)
    assert evaluate(folder).table()["miou@1"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([{"file_name": "a.png", "image_id": 0, "annotations": [{"bbox_mode": 1}]}], "convert_to_coco_json"),
        ([{"image_id": 1, "score": 0.5, "segmentation": {}}], "a detector's results"),
        ({"images": [{"id": 1, "coco_url": "x/a.png"}], "annotations": []}, 'file_name = "KEY" under [options] of the card'),
    ],
)
def test_other_files_are_told_apart(folder: Path, raw: Any, said: str) -> None:
    (folder / "a.json").write_text(json.dumps(raw))
    with pytest.raises(DataError) as e:
        open_dataset(cards.dataset_card(str(folder / "toy.toml")), root=folder).index()
    assert said in str(e.value)


@pytest.mark.parametrize(
    "name",
    ["/data/local-files/?d=in%5Cb%20c.png", "in/b%20c.png", "http://x.org:80/y/in/b%20c.png?s=1#t", "file:///home/u/in/b%20c.png",
     "s3://bucket/in/b c.png"],
)  # fmt: skip
def test_names_that_are_addresses(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b c.png").write_bytes(b"")
    place = locate([(tmp_path, name)], tmp_path, where="x")
    assert (place.checked(), place.note) == (tmp_path / "in" / "b c.png", ADDRESS)
    (tmp_path / "in" / "b%20c.png").write_bytes(b"")
    assert locate([(tmp_path, "in/b%20c.png")], tmp_path, where="x").note == ""


@pytest.mark.parametrize("name", ["%2e%2e/secret.png", "http://x.org/%2e%2e/secret.png", "a.png%00", "/data/?d=..%5Csecret.png"])
def test_addresses_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    (tmp_path / "data").mkdir()
    assert not locate([(tmp_path / "data", name)], tmp_path / "data", where="x").path.is_file()


@pytest.mark.parametrize(
    ("task", "settings"),
    [("point", {"clicks": 1}), ("point", {"clicks": "1,2"}), ("point", {"prompt": "centre"}), ("point", {"seed": "a"}),
     ("point", {"seed": 1.5}), ("point", {"mask_feedback": "no"}), ("point", {"until_iou": "x"}), ("point", {"noc": 0.9}),
     ("box", {"multimask": 1}), ("edge", {"grid": 2.5}), ("edge", {"thresholds": "9"}), ("proposals", {"max_dets": 5}),
     ("proposals", {"rank": 3}), ("instances", {"max_dets": "5"}), ("instances", {"boundary": None})],
)  # fmt: skip
def test_settings_of_another_type(task: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        sambench.run(task, "demo", "otsu", settings=settings)
    assert tasks.build("point", {"clicks": [1, 2], "until_iou": 1, "noc": []}).settings.clicks == (1, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", ["pipe", "/dev/zero", "folder", "huge", "latin", "nul\0"])
def test_lists_and_bundles_that_are_no_files(folder: Path, place: str) -> None:
    write(folder, [NUMBERS])
    card = cards.dataset_card(str(folder / "toy.toml"))
    path = folder / place
    if place == "pipe":
        os.mkfifo(path)
    elif place == "folder":
        path.mkdir()
    elif place == "huge":
        with path.open("wb") as f:
            f.truncate(1 << 40)  # sparse
    elif place == "latin":
        path.write_bytes(b"\xe9")
    with pytest.raises(UsageError, match="subset"):
        choose_subset(open_dataset(card, root=folder), card, str(path))
    with pytest.raises(SambenchError):
        opened(path)
    assert read_bytes(folder / "a.json")


def detected(folder: Path, *entries: dict[str, Any]) -> sambench.api.Results:
    """The run of a results file, `detections` scoring what stands in it."""
    write(folder, [NUMBERS])
    (folder / "r.json").write_text(json.dumps([{"image_id": 1, "category_id": 1, "score": 0.9, **e} for e in entries]))
    flags = {"root": str(folder), "out": str(folder / "out"), "workers": 1, "settings": {"boxes": str(folder / "r.json")}}
    return sambench.run("instances", str(folder / "toy.toml"), "detections", **flags)


def test_detections_without_a_mask_have_no_mask_ap(folder: Path) -> None:
    (folder / "toy.toml").write_text((folder / "toy.toml").read_text().replace("[options]", "[options]\nall_images = true"))
    with pytest.raises(UsageError, match="no masks of its own"):
        detected(folder, {"bbox": [10, 8, 20, 16], "segmentation": NAN})


def test_what_pandas_writes_for_absent_is_as_if_left_out() -> None:
    given = {"image_id": 1.0, "score": 0.5, "bbox": NAN, "segmentation": [NUMBERS], "category_id": NAN}
    assert plain_entry(given, 0, Path("r.json"))[:] == ("1", 0.5, None, [NUMBERS], None, None)
    with pytest.raises(DataError, match="detection"):
        plain_entry({**given, "segmentation": NAN}, 0, Path("r.json"))


def test_an_annotation_without_a_mask_has_the_area_of_its_box(folder: Path) -> None:
    write(folder, None)
    sample = open_dataset(cards.dataset_card(str(folder / "toy.toml")), root=folder).load("1")
    assert sample.annotated is not None
    with noting() as said:
        assert [o.area for o in sample.annotated().objects] == [320.0]
    assert "annotations without a mask" in "".join(said)
