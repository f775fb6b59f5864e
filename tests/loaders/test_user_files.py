"""Annotation files as people have them: cases 11, 12 and 13, each with its right value, and inputs of the same kinds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sambench
from sambench import cards
from sambench.errors import DataError, UsageError
from sambench.loaders.coco import CocoJson
from sambench.loaders.open import open_dataset
from sambench.loaders.ytvis import YtVis
from sambench.notes import noting
from sambench.types import CROWD, EMPTY, TOO_SHORT, Dataset
from tests.helpers import CASES


@pytest.fixture
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the case that the test's module or class names, at a place of its own."""
    root = tmp_path / "case"
    shutil.copytree(CASES / request.param, root)
    return root


def opened(root: Path, card: str) -> Dataset:
    return open_dataset(cards.dataset_card(str(root / f"{card}.toml")), root=root)


def value(root: Path, card: str) -> float:
    """mIoU after one click of otsu, in percent."""
    found = sambench.run(
        "point", str(root / f"{card}.toml"), "otsu", root=str(root), out=root / "runs", settings={"clicks": [1]}, workers=1
    )
    metrics = found.metrics()
    at_one = metrics[(metrics["metric"] == "miou") & (metrics["variant"] == "top") & (metrics["k"] == 1)]
    return float(100 * at_one["value"].iloc[0])


REAL = {"winpath": 100, "nosize": 100, "via-minus1": 100, "floatsize": 100, "floatid": 100, "floatrle": 5.0, "caseext": 100}


@pytest.mark.parametrize("case", ["13-refused-real-files"], indirect=True)
@pytest.mark.parametrize("name", REAL)
def test_files_that_other_tools_take(case: Path, name: str) -> None:
    assert value(case, name) == pytest.approx(REAL[name], abs=1e-9)


@pytest.mark.parametrize("case", ["13-refused-real-files"], indirect=True)
def test_how_a_file_was_found_is_said(case: Path) -> None:
    for name, said in (("winpath", "backslashes"), ("caseext", "letter case"), ("nosize", "")):
        with noting() as notes:
            opened(case, name).load("1")
        assert [said in n for n in notes] == ([True] if said else [])


@pytest.mark.parametrize("case", ["11-tracebacks"], indirect=True)
def test_no_categories(case: Path) -> None:
    settings = {"boxes": str(case / "res.json")}
    with pytest.raises(DataError, match="lists no categories"):
        sambench.run("instances", str(case / "nocat.toml"), "detections", settings=settings, root=str(case), out=case / "runs")


@pytest.mark.parametrize("case", ["11-tracebacks"], indirect=True)
@pytest.mark.parametrize("inside", [True, False])
def test_absolute_names_and_clusters(case: Path, inside: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    here = case
    if not inside:
        here = tmp_path_factory.mktemp("elsewhere")
        shutil.copytree(case / "img", here / "img")
        shutil.rmtree(case / "img")
    path = case / "abs.json"
    path.write_text(path.read_text().replace("@HERE@", str(here)))
    assert value(case, "abs") == 100
    assert opened(case, "abs").load("1").cluster_id == "img"


@pytest.mark.parametrize("case", ["11-tracebacks"], indirect=True)
def test_an_annotation_id_twice(case: Path) -> None:
    with pytest.raises(DataError, match="two annotations have the same id"):
        opened(case, "dup").index()


@pytest.mark.parametrize("case", ["12-cvat-brush-crowd"], indirect=True)
def test_crowds_are_counted_and_may_be_objects(case: Path) -> None:
    assert value(case, "card") == 100
    assert opened(case, "card").load("1").left_out[CROWD] == 1
    as_objects = CocoJson(case, "x", annotations="ann.json", images="img", crowds="objects")
    assert [i.object_id for i in as_objects.load("1").instances] == ["1", "2"]
    assert as_objects.load("1").left_out[CROWD] == 0
    assert as_objects.load("1").ignore is None
    assert as_objects.index()[0].n_masks == 2
    truth = as_objects.load("1").annotated
    assert truth is not None
    assert not any(o.is_crowd for o in truth().objects)
    with pytest.raises(UsageError, match="did you mean 'objects'"):
        CocoJson(case, "x", crowds="object")  # type: ignore[arg-type]


@pytest.mark.parametrize("case", ["12-cvat-brush-crowd"], indirect=True)
@pytest.mark.parametrize("exact", [False, True])
def test_where_all_are_crowds_the_option_is_named(case: Path, exact: bool) -> None:
    content = json.loads((case / "ann.json").read_text())
    for a in content["annotations"]:
        a["iscrowd"] = "1"
    (case / "ann.json").write_text(json.dumps(content))
    options: dict[str, Any] = {"annotations": "ann.json", "images": "img", "exact": exact}
    with pytest.raises(DataError, match="all its annotations are crowds") as e:
        CocoJson(case, "x", **options).index()
    assert 'crowds = "objects" under [options] of the card' in str(e.value)
    assert CocoJson(case, "x", **options, crowds="objects").index()[0].n_masks == 2


# Inputs of the same kinds.

SQUARE = [[2, 2, 10, 2, 10, 8, 2, 8]]


def coco(root: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]], **options: Any) -> CocoJson:
    root.mkdir(exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": [{"id": "3", "name": "cat"}]}
    (root / "ann.json").write_text(json.dumps(content))
    return CocoJson(root, "mine", annotations="ann.json", **options)


def picture(path: Path, width: int = 30, height: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)


@pytest.mark.parametrize("size", [{}, {"width": 30}, {"width": None, "height": None}, {"width": "-1", "height": 0},
                                  {"width": float("nan"), "height": -1.0}])  # fmt: skip
@pytest.mark.parametrize("exact", [False, True])
def test_a_size_that_the_file_does_not_know(tmp_path: Path, size: dict[str, Any], exact: bool) -> None:
    picture(tmp_path / "a.png")
    image = {"id": 1, "file_name": "a.png", **size}
    dataset = coco(tmp_path, [image], [{"id": 1, "image_id": 1, "category_id": 3, "segmentation": SQUARE}], exact=exact)
    assert dataset.index()[0].n_masks == 1
    assert dataset.image_size("1") == (20, 30)
    sample = dataset.load("1")
    assert (sample.height, sample.width, sample.instances[0].area_px) == (20, 30, 48)


def test_a_size_that_is_half_known_must_fit(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    image = {"id": 1, "file_name": "a.png", "width": 31, "height": -1}
    dataset = coco(tmp_path, [image], [{"id": 1, "image_id": 1, "segmentation": SQUARE}])
    with pytest.raises(DataError, match="another size than its annotations"):
        dataset.load("1")


def test_ids_that_fall_together(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": "a.png", "width": 30, "height": 20} for i in (1, "2")]
    for again in (2, 2.0, "2.0"):
        with pytest.raises(DataError, match="two images have the same id") as e:
            coco(tmp_path, [*images, {**images[0], "id": again}], []).index()
        assert "which are one id" in str(e.value)
    with pytest.raises(DataError, match="two annotations have the same id"):
        coco(tmp_path, images, [{"id": i, "image_id": 1, "segmentation": SQUARE} for i in (5, "5")]).index()
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": "1", "name": "b"}]}
    (tmp_path / "ann.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="two categories have the same id"):
        CocoJson(tmp_path, "mine", annotations="ann.json").index()


def test_ids_of_any_type_meet(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    image = {"id": "1", "file_name": "a.png", "width": "30", "height": 20.0}
    annotation = {"id": 7.0, "image_id": 1.0, "category_id": 3.0, "iscrowd": "0", "segmentation": SQUARE}
    dataset = coco(tmp_path, [image], [annotation], categories=["cat"])
    sample = dataset.load("1")
    assert [(i.object_id, i.category) for i in sample.instances] == [("7", "cat")]
    assert sample.annotated is not None
    assert sample.annotated().objects[0].category_id == 3


@pytest.mark.parametrize("flag", [2, "maybe", float("nan"), [], -1])
def test_a_flag_that_is_none(tmp_path: Path, flag: Any) -> None:
    image = {"id": 1, "file_name": "a.png", "width": 30, "height": 20}
    with pytest.raises(DataError, match="iscrowd") as e:
        coco(tmp_path, [image], [{"id": 1, "image_id": 1, "iscrowd": flag, "segmentation": SQUARE}]).index()
    assert "annotations[0]" in str(e.value)


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    image = {"id": 1, "file_name": "a.png", "width": 30, "height": 20}
    outlines = [SQUARE, [[1, 1, 5, 5]], [[1, 1], [2, 2, 3, 3]], [], [[5, 5, 5, 5, 5, 5]]]
    annotations = [{"id": i, "image_id": 1, "category_id": 3, "segmentation": s} for i, s in enumerate(outlines)]
    crowd = {"id": 9, "image_id": 1, "iscrowd": True, "segmentation": [[20, 12, 29, 12, 29, 19, 20, 19]]}
    sample = coco(tmp_path, [image], [*annotations, crowd], skip_short=True).load("1")
    assert {k: n for k, n in sample.left_out.items() if n} == {TOO_SHORT: 2, EMPTY: 2, CROWD: 1}
    assert sample.n_dropped == 4


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    picture(tmp_path / "other.png")
    image = {"id": 1, "file_name": "../other.png", "width": 30, "height": 20}
    good = {"id": 2, "file_name": "a.png", "width": 30, "height": 20}
    picture(tmp_path / "data/a.png")
    annotations = [{"id": i, "image_id": i, "segmentation": SQUARE} for i in (1, 2)]
    dataset = coco(tmp_path / "data", [image, good], annotations)
    assert len(dataset.index()) == 2
    with pytest.raises(DataError, match="leads out of the dataset's folder"):
        dataset.load("1")
    assert len(dataset.load("2").instances) == 1


def test_videos_of_odd_types(tmp_path: Path) -> None:
    picture(tmp_path / "frames/V/1.jpg")
    rle = {"size": ["20", 30.0], "counts": [40.0, "20", 540]}
    other = {"size": [20, 30], "counts": [80, 20, 500]}
    video = {"id": "4", "width": -1, "height": None, "file_names": ["v\\1.JPG"]}
    content = {
        "videos": [video],
        "annotations": [
            {"id": 1.0, "video_id": 4, "category_id": "2", "iscrowd": "0", "segmentations": [rle]},
            {"id": "2", "video_id": 4.0, "category_id": 2, "iscrowd": 1.0, "segmentations": [other]},
        ],
        "categories": [{"id": 2.0, "name": "fish"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    dataset = YtVis(tmp_path, "mine", frames="frames")
    assert [(r.image_id, r.n_masks) for r in dataset.index()] == [("v/1", 1)]
    with noting() as notes:
        sample = dataset.load("v/1")
    assert [(i.object_id, i.category, i.area_px) for i in sample.instances] == [("1", "fish", 20)]
    assert sample.left_out[CROWD] == 1
    assert any("letter case" in n for n in notes)
    assert YtVis(tmp_path, "mine", frames="frames", crowds="objects").index()[0].n_masks == 2
    content["annotations"] = content["annotations"][1:]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="all its annotations are crowds"):
        dataset.index()
