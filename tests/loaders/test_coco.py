"""COCO JSON: polygons, RLEs, crowds, options, and every broken file."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sambench import cards
from sambench.errors import DataError, UsageError
from sambench.loaders.coco import CocoJson
from sambench.loaders.coco_masks import region_of
from sambench.loaders.open import open_dataset
from sambench.types import NO_MASK, TOO_SHORT, Dataset
from tests.helpers.rasters import RGB, save, truncate


def coco_content() -> dict[str, Any]:
    square = np.zeros((20, 30), np.uint8, order="F")
    square[4:10, 20:28] = 1
    compressed = coco_mask.encode(square)
    runs = [0, 20 * 2, 20 * 28]  # two full columns
    annotations: list[dict[str, Any]] = [
        {"id": 11, "image_id": 1, "category_id": 3, "segmentation": [[1, 1, 9, 1, 9, 7, 1, 7], [12, 12, 18, 12, 15, 18]]},
        {"id": 12, "image_id": 1, "category_id": 4, "segmentation": {"size": [20, 30], "counts": compressed["counts"].decode()}},
        {"id": 13, "image_id": 1, "category_id": 3, "iscrowd": 1, "segmentation": {"size": [20, 30], "counts": runs}},
        {"id": 14, "image_id": 1, "category_id": 3, "segmentation": []},
        {"id": 15, "image_id": 1, "category_id": 3, "segmentation": [[5, 5, 5, 5, 5, 5]]},
        {"id": 21, "image_id": 0, "category_id": 3, "iscrowd": 0, "segmentation": [[-3, -3, 40, -3, 40, 5.5, -3, 5.5]]},
        {"id": 31, "image_id": 7, "category_id": 3, "iscrowd": 1, "segmentation": {"size": [20, 30], "counts": runs}},
    ]
    frames = [{"id": i, "file_name": f"v{i % 2}/f{i}.png", "height": 20, "width": 30} for i in (1, 0, 5, 7)]
    return {"images": frames, "annotations": annotations, "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}]}


def write_coco(root: Path, content: Any) -> Path:
    for image in content["images"]:
        if "file_name" in image:
            save(RGB, root / "val" / image["file_name"])
    (root / "ann.json").write_text(json.dumps(content))
    return root


def reader(root: Path, **options: Any) -> CocoJson:
    return CocoJson(root, "mine", annotations="ann.json", images="val", **options)


def test_coco_polygons_rle_crowds_and_nothing(tmp_path: Path) -> None:
    dataset = reader(write_coco(tmp_path, coco_content()))
    assert isinstance(dataset, Dataset)
    # Image 5 has no annotation and image 7 only a crowd: neither is in the index.
    assert [(r.image_id, r.n_masks) for r in dataset.index()] == [("1", 4), ("0", 1)]
    sample = dataset.load("1")
    assert [(i.object_id, i.category) for i in sample.instances] == [("11", "cat"), ("12", "dog")]
    assert sample.n_dropped == 2
    assert sample.ignore is not None
    assert sample.ignore.box_xyxy == (0, 0, 1, 19)
    assert sample.instances[1].box_xyxy == (20, 4, 27, 9)
    assert np.array_equal(sample.image, RGB)
    assert dataset.load("0").instances[0].box_xyxy[:3] == (0, 0, 29)  # clipped to the frame
    assert np.array_equal(pickle.loads(pickle.dumps(sample)).image, RGB)
    api = COCO(str(tmp_path / "ann.json"))
    for instance in sample.instances:
        expected = api.annToMask(api.anns[int(instance.object_id)])
        assert np.array_equal(instance.region.full(), expected.astype(bool))


def test_coco_options(tmp_path: Path) -> None:
    write_coco(tmp_path, coco_content())
    assert [r.n_masks for r in reader(tmp_path, categories=["dog"]).index()] == [1]
    assert [r.n_masks for r in reader(tmp_path, categories=[3]).index()] == [3, 1]
    with pytest.raises(UsageError, match="did you mean 'dog'"):
        reader(tmp_path, categories=["dogs"]).index()
    assert [r.cluster_id for r in reader(tmp_path, cluster=r"/(v\d)/").index()] == ["v1", "v0"]
    accepted = CocoJson(tmp_path, "mine", annotations=["old.json", "ann.json"], images="val/v{id}/f{id}.png")
    assert np.array_equal(accepted.load("1").image, RGB)
    with pytest.raises(DataError, match="template"):
        CocoJson(tmp_path, "mine", annotations="ann.json", images="{video}").index()
    with pytest.raises(DataError, match=r"a\.json or .*b\.json"):
        CocoJson(tmp_path, "mine", annotations=["a.json", "b.json"]).index()


def test_coco_from_a_users_card(tmp_path: Path) -> None:
    write_coco(tmp_path / "data", coco_content())
    (tmp_path / "mine.toml").write_text(
        'id = "mine"\nname = "Mine"\nreader = "sambench.loaders.coco:CocoJson"\n'
        '[options]\nannotations = "ann.json"\nimages = "val"\n'
        '[variants.dogs]\ndescription = "only dogs"\noptions = { categories = ["dog"] }\n'
        '[access]\nstate = "manual"\nsteps = ["draw some outlines"]\n'
    )
    card = cards.dataset_card(str(tmp_path / "mine.toml"))
    assert len(open_dataset(card, root=tmp_path / "data").index()) == 2
    assert len(open_dataset(card, root=tmp_path / "data", variant="dogs").index()) == 1
    with pytest.raises(DataError, match="one level below"):
        open_dataset(card, root=tmp_path)


def test_coco_digest_is_of_the_bytes(tmp_path: Path) -> None:
    a, b = write_coco(tmp_path / "a", coco_content()), write_coco(tmp_path / "b", coco_content())
    assert reader(a).annotation_digest() == reader(b).annotation_digest()
    (b / "ann.json").write_text(json.dumps(coco_content()) + " ")
    assert reader(a).annotation_digest() != reader(b).annotation_digest()


def test_coco_rereads_a_changed_file(tmp_path: Path) -> None:
    dataset = reader(write_coco(tmp_path, coco_content()))
    assert len(dataset.index()) == 2
    content = coco_content()
    content["annotations"] = content["annotations"][:1]
    (tmp_path / "ann.json").write_text(json.dumps(content))
    assert len(dataset.index()) == 1


BROKEN_POLYGONS = {
    "odd": [[1, 1, 9, 1, 9, 7, 1]],
    "nan": [[1, 1, 9, float("nan"), 9, 7]],
    "infinite": [[1, 1, 9, float("inf"), 9, 7]],
    "text": [[1, 1, "nine", 1, 9, 7]],
    "null": [[1, 1, None, 1, 9, 7]],
    "far": [[1, 1, 1e9, 1, 9, 7]],
    "number": 7,
    "rle size": {"size": [30, 20], "counts": [0, 600]},
    "rle sum": {"size": [20, 30], "counts": [0, 599]},
    "rle negative": {"size": [20, 30], "counts": [700, -100]},
    "rle text": {"size": [20, 30], "counts": "not\x7f\xe9 rle"},
    "rle cut": {"size": [20, 30], "counts": "PPYo1"},
    "rle float": {"size": [20, 30], "counts": [0.5, 599.5]},
}


@pytest.mark.parametrize("kind", BROKEN_POLYGONS)
def test_coco_broken_segmentation_costs_its_image_only(tmp_path: Path, kind: str) -> None:
    content = coco_content()
    content["annotations"][0]["segmentation"] = BROKEN_POLYGONS[kind]
    dataset = reader(write_coco(tmp_path, content))
    assert len(dataset.index()) == 2
    assert len(dataset.load("0").instances) == 1
    with pytest.raises(DataError, match="annotation 11") as e:
        dataset.load("1")
    assert str(tmp_path / "ann.json") in str(e.value)


@pytest.mark.parametrize(
    ("segmentation", "n_instances", "left_out"),
    [([[1, 1, 9, 1]], 0, {TOO_SHORT: 1}), ([1, 1, 9, 1, 9, 7], 1, {}), (None, 0, {NO_MASK: 1})],
    ids=["short", "flat", "absent"],
)
def test_coco_segmentation_that_costs_no_image(
    tmp_path: Path, segmentation: Any, n_instances: int, left_out: dict[str, int]
) -> None:
    """What has no area is counted, and a polygon without its list is one."""
    content = coco_content()
    whole = reader(write_coco(tmp_path, content)).load("1")
    content["annotations"][0]["segmentation"] = segmentation
    sample = reader(write_coco(tmp_path, content)).load("1")
    assert len(sample.instances) == len(whole.instances) - 1 + n_instances
    assert {k: n - whole.left_out[k] for k, n in sample.left_out.items() if n != whole.left_out[k]} == left_out


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda c: c.pop(key)


def change(key: str, i: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda c: c[key][i].update(values)


BROKEN_FILES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no images": (drop("images"), "'images'"),
    "no annotations": (drop("annotations"), "'annotations'"),
    "same image id": (change("images", 1, id=1), "images have the same id"),
    "same annotation id": (change("annotations", 1, id=11), "annotations have the same id"),
    "unknown image": (change("annotations", 1, image_id=99), "annotation 12 belongs to image 99"),
    "image without id": (lambda c: c["images"][0].pop("id"), r"images\[0\]"),
    "size of a fraction": (change("images", 0, height=20.5), r"images\[0\]"),
    "size as words": (change("images", 0, height="tall"), r"images\[0\]"),
    "image without file": (lambda c: c["images"][0].pop("file_name"), r"images\[0\]"),
    "annotation without image": (lambda c: c["annotations"][0].pop("image_id"), r"annotations\[0\]"),
}


@pytest.mark.parametrize("kind", BROKEN_FILES)
def test_coco_broken_file_is_an_error_at_once(tmp_path: Path, kind: str) -> None:
    content = coco_content()
    harm, says = BROKEN_FILES[kind]
    harm(content)
    (tmp_path / "ann.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=says) as e:
        reader(tmp_path).index()
    assert str(tmp_path / "ann.json") in str(e.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"images": [', "null", "{}", "\xff\xfe"])
def test_coco_not_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "ann.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"ann\.json"):
        reader(tmp_path).index()


def test_coco_truncated_json(tmp_path: Path) -> None:
    write_coco(tmp_path, coco_content())
    truncate(tmp_path / "ann.json")
    with pytest.raises(DataError, match="truncated"):
        reader(tmp_path).index()


def test_coco_image_files(tmp_path: Path) -> None:
    dataset = reader(write_coco(tmp_path, coco_content()))
    path = tmp_path / "val/v1/f1.png"
    save(RGB[:10], path)
    with pytest.raises(DataError, match="another size") as e:
        dataset.load("1")
    assert "30 x 20" in str(e.value)
    assert "30 x 10" in str(e.value)
    path.unlink()
    assert not Path(dataset.index()[0].file).exists()
    with pytest.raises(DataError, match="missing") as e:
        dataset.load("1")
    assert str(path) in str(e.value)
    with pytest.raises(DataError, match="no image '2'"):
        dataset.load("2")


def test_rle_check_agrees_with_pycocotools() -> None:
    rng = np.random.default_rng(3)
    for density in (0.02, 0.5, 0.9):
        mask = np.asfortranarray((rng.random((37, 53)) < density).astype(np.uint8))
        rle = coco_mask.encode(mask)
        region = region_of({"size": [37, 53], "counts": rle["counts"].decode()}, 37, 53, where="x")
        assert np.array_equal(region.full(), mask.astype(bool))


@pytest.mark.shared
def test_coco_real_annotations_agree_with_the_api(shared: Path) -> None:
    path = shared / "data/coco_sample/instances_val2014_100.json"
    api = COCO(str(path))
    for a in api.anns.values():
        image = api.imgs[a["image_id"]]
        region = region_of(a["segmentation"], image["height"], image["width"], where=str(a["id"]))
        assert np.array_equal(region.full(), api.annToMask(a).astype(bool))
    dataset = CocoJson(path.parent, "coco", annotations=path.name)
    assert sum(r.n_masks for r in dataset.index()) == sum(not a["iscrowd"] for a in api.anns.values())
