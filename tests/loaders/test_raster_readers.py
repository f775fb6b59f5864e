"""Label maps, masks and odd formats: against independent rasterisers, in every layout in circulation, and when parts are gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from sambench import cards, fixtures
from sambench.errors import CardError, DataError
from sambench.fixtures import _raster, ibd
from sambench.loaders import images
from sambench.loaders.hypersim import tonemap
from sambench.loaders.label_maps import regions_of, values_of
from sambench.loaders.label_png import LabelPng
from sambench.loaders.mask_png import MaskPng
from sambench.loaders.open import open_dataset
from sambench.loaders.woodscape import polygon_region
from sambench.types import Dataset


def counts(dataset: Dataset) -> dict[str, int]:
    return {r.image_id: r.n_masks for r in dataset.index()}


def opened(name: str, root: Path, variant: str | None = None, **options: object) -> Dataset:
    card = cards.dataset_card(name)
    return open_dataset(card.model_copy(update={"options": {**card.options, **options}}), root=root, variant=variant)


def agrees(dataset: Dataset, expected: fixtures.Expected) -> None:
    found = counts(dataset)
    assert (sum(n > 0 for n in found.values()), sum(found.values())) == (expected.n_images, expected.n_masks)
    samples = {i: dataset.load(i) for i in found}
    assert sum(s.n_dropped for s in samples.values()) == expected.n_dropped
    for p in expected.pixels:
        (instance,) = [i for i in samples[p.image_id].instances if i.object_id == p.object_id]
        assert bool(instance.region.full()[p.y, p.x]) is p.foreground, p


# Label maps


MAPS = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([-1, 0, 7, 300, 2**24]))


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_regions_are_the_pixels_of_each_value(labels: np.ndarray) -> None:
    assert values_of(labels) == sorted(set(labels.ravel().tolist()))
    regions = regions_of(labels, {0})
    assert list(regions) == [v for v in values_of(labels) if v != 0]
    for value, region in regions.items():
        assert np.array_equal(region.full(), labels == value)


def test_no_pixels_have_no_values() -> None:
    assert values_of(np.zeros((0, 3), np.int16)) == []
    assert regions_of(np.zeros((0, 3), np.int16)) == {}


def labelled(root: Path, labels: np.ndarray, **options: object) -> LabelPng:
    _raster.save_picture(root / "im/a.png", labels)
    _raster.save_labels(root / "gt/a.png", labels)
    layouts = [{"images": "im/{id}.*", "labels": "gt/{id}.png"}]
    return LabelPng(root, "mine", layouts=layouts, **options)  # type: ignore[arg-type]


def test_components_are_numbered_by_their_first_pixel(tmp_path: Path) -> None:
    boxes = {1: [(20, 1, 25, 8), (2, 3, 9, 9)], 2: (10, 9, 12, 12), 3: (5, 15, 8, 18), 9: (0, 19, 1, 19)}
    labels = _raster.label_map(20, 30, boxes)
    dataset = labelled(tmp_path, labels, one_mask="component", skip=[0, 9])
    assert counts(dataset) == {"a": 3}  # 1 and 2 touch at a corner: one piece
    found = {i.object_id: i.box_xyxy for i in dataset.load("a").instances}
    assert found == {"1": (20, 1, 25, 8), "2": (2, 3, 12, 12), "3": (5, 15, 8, 18)}


def test_values_that_are_kept_skipped_or_ignored(tmp_path: Path) -> None:
    labels = _raster.label_map(20, 30, {1: (2, 2, 8, 8), 26: (10, 2, 18, 8), 255: (20, 2, 28, 8), 7: (2, 12, 8, 18)})
    dataset = labelled(tmp_path, labels, keep=[1, 26], ignore=[255, 7], categories={"26": "car", "*": "thing"})
    sample = dataset.load("a")
    assert [(i.object_id, i.category) for i in sample.instances] == [("1", "thing"), ("26", "car")]
    assert sample.ignore is not None
    assert np.array_equal(sample.ignore.full(), (labels == 255) | (labels == 7))
    assert counts(dataset) == {"a": 2}
    assert counts(labelled(tmp_path, labels, one_mask="foreground")) == {"a": 1}


def test_colour_coded_maps(tmp_path: Path) -> None:
    root = tmp_path / "ppdls"
    expected = fixtures.write("ppdls", root)
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [255, 1, 0]], np.uint8)
    for path in root.rglob("*_label.png"):
        with Image.open(path) as image:
            indices = np.asarray(image)
        Image.fromarray(colours[indices]).save(path)
    dataset = opened("ppdls", root)
    assert sum(counts(dataset).values()) == expected.n_masks
    assert {i.object_id for i in dataset.load("Ara2012/ara2012_plant001").instances} == {str(0xFF0000), str(0xFF0100)}
    with pytest.raises(DataError, match="several channels"):
        opened("ppdls", root, colours=False).load("Ara2012/ara2012_plant001")


def test_a_broken_map_costs_its_image_only(tmp_path: Path) -> None:
    fixtures.write("egohos", tmp_path)
    path = tmp_path / "data/train/label/ego4d_0001.png"
    path.write_bytes(path.read_bytes()[:60])
    dataset = opened("egohos", tmp_path)
    assert counts(dataset) == {"THU_v2_0007": 1, "ego4d_0001": 1}  # counted as one, so that a run meets the error
    assert len(dataset.load("THU_v2_0007").instances) == 1
    with pytest.raises(DataError, match="egohos") as e:
        dataset.load("ego4d_0001")
    assert str(path) in str(e.value)


# Pairs


def test_names_that_no_prefix_fits_are_told(tmp_path: Path) -> None:
    fixtures.write("egohos", tmp_path)
    for path in [*tmp_path.rglob("ego4d_*"), *tmp_path.rglob("THU_*")]:
        path.unlink()
    with pytest.raises(DataError) as e:
        opened("egohos", tmp_path).index()
    assert "epick (1)" in str(e.value)
    assert "ego4d or thu" in str(e.value)
    assert counts(opened("egohos", tmp_path, "all_sources")) == {"epick_0001": 1}


def test_lists_of_images(tmp_path: Path) -> None:
    fixtures.write("dram", tmp_path)
    assert list(counts(opened("dram", tmp_path))) == ["realism/a/x", "unseen/ink/b/x"]
    assert counts(opened("dram", tmp_path, "seen")) == {"realism/a/x": 1}
    (tmp_path / "DRAM_processed/labels/realism/a/x.png").unlink()
    with pytest.raises(DataError, match="1 of 2 listed annotations of dram are missing"):
        opened("dram", tmp_path).index()
    (tmp_path / "DRAM_processed/test/dram_with_unseen.txt").unlink()
    with pytest.raises(DataError, match="laid out in another way"):
        opened("dram", tmp_path)


def test_ids_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    fixtures.write("cityscapes", tmp_path)
    dataset = opened("cityscapes", tmp_path)
    for odd in ("../train/aachen/aachen_000000_000019", "", "frankfurt", "frankfurt/../lindau/lindau_000001_000019"):
        with pytest.raises(DataError, match="no image"):
            dataset.load(odd)


ODD_LAYOUTS = [{"images": "im"}, {"images": "x.png", "labels": "gt/{id}.png"}, {"images": "{id}", "labels": "{id}", "x": 1}]


@pytest.mark.parametrize("layout", ODD_LAYOUTS)
def test_odd_layouts_of_a_card(tmp_path: Path, layout: dict[str, str]) -> None:
    with pytest.raises(CardError, match="layout"):
        LabelPng(tmp_path, "mine", layouts=[layout]).index()


# Binary masks


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_pillow_turns(tmp_path: Path, orientation: int) -> None:
    stored = np.random.default_rng(orientation).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(stored).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert images.read_orientation(path) == orientation
    assert np.array_equal(images.turn(images.read_rgb(path), orientation), expected)


def test_hrsod_turns_what_fits_turned_only(tmp_path: Path) -> None:
    fixtures.write("hrsod", tmp_path)
    upright = _raster.picture(_raster.label_map(40, 64, {1: (10, 6, 30, 20), 2: (50, 30, 60, 36)})).astype(int)
    dataset = opened("hrsod", tmp_path)
    for image_id in "ab":
        shown = dataset.load(image_id).image.astype(int)
        assert np.abs(shown - upright).mean() < 8  # a JPEG
    objects = opened("hrsod", tmp_path, "objects").load("a").instances
    assert [i.box_xyxy for i in objects] == [(10, 6, 30, 20), (50, 30, 60, 36)]
    shutil.rmtree(tmp_path / "HRSOD/masks_max255")  # as the authors of the package have it
    assert counts(opened("hrsod", tmp_path)) == {"a": 1, "b": 1}


def test_hqsam_tree_of_thinobject(tmp_path: Path) -> None:
    expected = fixtures.write("thinobject5k_test", tmp_path)
    base = tmp_path / "ThinObject5K"
    (tmp_path / "hq" / "thin_object_detection").mkdir(parents=True)
    copy = Path(shutil.copytree(base, tmp_path / "hq/thin_object_detection/ThinObject5K"))
    for kind in ("images", "masks"):
        for suffix, names in (("test", "a"), ("train", "b")):
            (copy / f"{kind}_{suffix}").mkdir()
            for path in (copy / kind).glob(f"{names}.*"):
                path.rename(copy / f"{kind}_{suffix}" / path.name)
        (copy / kind).rmdir()
    shutil.rmtree(copy / "list")
    first, second = opened("thinobject5k_test", tmp_path), opened("thinobject5k_test", tmp_path / "hq")
    agrees(first, expected)
    agrees(second, expected)
    assert first.annotation_digest() == second.annotation_digest()


def test_thresholds_and_the_band(tmp_path: Path) -> None:
    values = np.array([[0, 1, 127, 128, 129, 255]] * 3, np.uint8)
    _raster.save_picture(tmp_path / "im/a.png", values)
    _raster.save_labels(tmp_path / "gt/a.png", values)
    layouts = [{"images": "im/{id}.png", "labels": "gt/{id}.png"}]

    def columns(**options: int) -> tuple[list[int], list[int]]:
        sample = MaskPng(tmp_path, "mine", layouts=layouts, **options).load("a")  # type: ignore[arg-type]
        ignored = [] if sample.ignore is None else np.flatnonzero(sample.ignore.full()[0]).tolist()
        return np.flatnonzero(sample.instances[0].region.full()[0]).tolist(), ignored

    assert columns(above=127) == ([3, 4, 5], [])
    assert columns(above=128) == ([4, 5], [])
    assert columns(above=0) == ([1, 2, 3, 4, 5], [])
    assert columns(above=127, ignore=128) == ([4, 5], [3])


def test_an_empty_mask_is_no_object(tmp_path: Path) -> None:
    fixtures.write("doors", tmp_path)
    dataset = opened("doors", tmp_path)
    assert counts(dataset) == {"000001": 1, "000003": 0, "000002": 1}  # 000004 is listed, but has no mask file
    assert (dataset.load("000003").instances, dataset.load("000003").n_dropped) == ((), 1)


# Cityscapes


def test_cityscapes_official_panoptic(tmp_path: Path) -> None:
    fixtures.write("cityscapes", tmp_path)
    name = "frankfurt/frankfurt_000000_000294"
    default, panoptic = opened("cityscapes", tmp_path).load(name), opened("cityscapes", tmp_path, "panoptic").load(name)
    assert [i.object_id for i in default.instances] == ["1", "3", "7", "26", "24000", "26000", "26001"]
    assert [(i.object_id, i.category) for i in panoptic.instances] == [
        ("7", "road"), ("24000", "person"), ("26000", "car"), ("26001", "car"),
    ]  # fmt: skip
    assert panoptic.ignore is not None
    assert panoptic.ignore.box_xyxy == (50, 24, 62, 29)  # the cars that could not be told apart
    assert counts(opened("cityscapes", tmp_path, "with_unlabeled"))[name] == len(default.instances) + 1


# ADE20K


def test_ade20k_of_2016_and_the_colours_of_2021(tmp_path: Path) -> None:
    fixtures.write("ade20k", tmp_path)
    new = tmp_path / "ADE20K_2021_17_01/images/ADE/validation/home_or_hotel"
    for path in new.rglob("*"):
        if path.suffix in (".jpg", ".png") and path.parent.name in ("bedroom", "attic"):
            place = tmp_path / "old/ADE20K_2016_07_26/images/validation/h" / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    files, colours = opened("ade20k", tmp_path), opened("ade20k", tmp_path, "colours")
    old = opened("ade20k", tmp_path / "old")
    for a, b in (("home_or_hotel/bedroom/ADE_val_00000001", "h/bedroom/ADE_val_00000001"),):
        by_files, by_colours, of_2016 = files.load(a).instances, colours.load(a).instances, old.load(b).instances
        assert [i.region.rle() for i in by_files] == [i.region.rle() for i in by_colours]
        assert [(i.object_id, i.region.rle()) for i in by_colours] == [(i.object_id, i.region.rle()) for i in of_2016]
        assert [i.object_id for i in of_2016] == ["0/165/128", "1/2000/255"]
        assert [i.attributes["part_level"] for i in by_files] == ["0", "1"]
    assert sum(counts(old).values()) == 3


def test_ade20k_masks_lie_beside_their_json(tmp_path: Path) -> None:
    fixtures.write("ade20k", tmp_path)
    path = next(tmp_path.rglob("ADE_val_00000002.json"))
    content = json.loads(path.read_text())
    for odd in ("../../../../x.png", "/etc/passwd", 7, None):
        content["annotation"]["object"]["instance_mask"] = odd
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match="ade20k") as e:
            opened("ade20k", tmp_path).load("home_or_hotel/attic/ADE_val_00000002")
        assert path.name in str(e.value)


# Hypersim


def test_tone_mapping() -> None:
    rng = np.random.default_rng(1)
    color = rng.uniform(0.01, 30, (40, 50, 3)).astype(np.float32)
    valid = rng.random((40, 50)) < 0.7
    shown = tonemap(color, valid)
    gray = color @ np.array([0.3, 0.59, 0.11], np.float32)
    bright = np.percentile(gray[valid], 90)
    # What is as bright as the 90th percentile is shown at 0.8, twice as bright at 0.8 * 2 ** (1 / 2.2), at most 1.
    uniform = np.full((2, 2, 3), bright, np.float32)
    both = np.concatenate([color, np.zeros((2, 50, 3), np.float32)])
    both[40:, :2] = uniform
    again = tonemap(both, np.concatenate([valid, np.zeros((2, 50), bool)]))
    assert np.array_equal(again[:40], shown)
    assert set(again[40, 0].tolist()) <= {203, 204}
    assert np.array_equal(tonemap(color * 7, valid), shown) or np.abs(tonemap(color * 7, valid).astype(int) - shown).max() <= 1
    assert (tonemap(np.zeros((3, 3, 3), np.float32), np.ones((3, 3), bool)) == 0).all()
    assert (tonemap(np.full((3, 3, 3), 0.5, np.float32), np.zeros((3, 3), bool)) == int(0.5 ** (1 / 2.2) * 255)).all()
    color[0, 0] = [np.nan, np.inf, -np.inf]
    assert (tonemap(color, valid)[0, 0] == 0).all()


def test_hypersim_options_and_the_list_of_frames(tmp_path: Path) -> None:
    fixtures.write("hypersim", tmp_path)
    dataset = opened("hypersim", tmp_path)
    one = opened("hypersim", tmp_path, max_instances=1)
    assert [i for i, n in counts(one).items() if n] == ["ai_001_001/cam_01/0007", "ai_055_010/cam_00/0000"]
    large = opened("hypersim", tmp_path, min_area_px=250)
    assert counts(large)["ai_001_001/cam_00/0000"] == len(large.load("ai_001_001/cam_00/0000").instances) == 1
    assert "ai_055_010/cam_00/0099" not in counts(dataset)
    (tmp_path / "metadata_images_split_scene_v1.csv").unlink()
    assert counts(dataset)["ai_055_010/cam_00/0099"] == 2
    (tmp_path / "ai_001_001/images/scene_cam_00_geometry_hdf5/frame.0000.render_entity_id.hdf5").unlink()
    sample = dataset.load("ai_001_001/cam_00/0000")
    with pytest.raises(DataError, match="hypersim") as e:
        _ = sample.image
    assert "render_entity_id" in str(e.value)
    assert opened("hypersim", tmp_path, "preview").load("ai_001_001/cam_00/0000").image.shape == (36, 48, 3)


# WoodScape


def test_polygons_as_the_authors_fill_them() -> None:
    rng = np.random.default_rng(2)
    height, width = 60, 90
    for k in range(400):
        low, high = (-60, 150) if k % 2 else (0, 60)  # every other one leaves the frame
        points = rng.uniform(low, high, (rng.integers(1, 9), 2))
        expected = np.zeros((height, width), np.uint8)
        cv2.fillPoly(expected, [points.astype(int)], 1)
        found = polygon_region(points.tolist(), height, width, where="x").full()
        assert np.array_equal(found, expected > 0), points


@pytest.mark.parametrize("points", [[[1, 2], [3]], [[1, "two"]], [[1, float("nan")]], [1, 2, 3, 4], None, [[1, 1e12]], [[[1, 2]]]])
def test_odd_polygons_are_told(points: object) -> None:
    with pytest.raises(DataError, match=r"broken polygon|a point"):
        polygon_region(points, 10, 10, where="x")


def test_woodscape_layers_and_both_trees(tmp_path: Path) -> None:
    expected = fixtures.write("woodscape", tmp_path)
    first = opened("woodscape", tmp_path)
    nested = tmp_path / "instance_annotations" / "instance_annotations"
    digest = first.annotation_digest()
    painted = {i.object_id: i.region for i in opened("woodscape", tmp_path, "painted").load("00000_FV").instances}
    whole = {i.object_id: i.region for i in first.load("00000_FV").instances}
    assert painted["a1"].area == whole["a1"].area - whole["a1"].intersection(whole["a2"]) - whole["a1"].intersection(whole["a4"])
    assert painted["a2"].area == whole["a2"].area
    for path in nested.iterdir():
        path.rename(tmp_path / "instance_annotations" / path.name)
    nested.rmdir()
    agrees(opened("woodscape", tmp_path), expected)
    assert opened("woodscape", tmp_path).annotation_digest() == digest


# InstanceBuilding


@pytest.mark.parametrize("form", [ibd.write, ibd.write_labelme, ibd.write_maps])
def test_instance_building_in_each_form(tmp_path: Path, form: object) -> None:
    expected = form(tmp_path)  # type: ignore[operator]
    agrees(opened("ibd", tmp_path), expected)
    assert len(opened("ibd", tmp_path).annotation_digest()) == 64


# Plittersdorf


def test_splits_count_an_image_once(tmp_path: Path) -> None:
    fixtures.write("plittersdorf", tmp_path)
    dataset = opened("plittersdorf", tmp_path)
    assert counts(dataset) == {"train/1": 2, "val/1": 1, "test/1": 1}
    with pytest.raises(DataError, match="val/2"):
        dataset.load("val/2")  # the training image, listed once more
    (tmp_path / "plittersdorf_instance_segmentation_coco/val.json").unlink()
    with pytest.raises(DataError, match=r"plittersdorf is missing") as e:
        dataset.index()
    assert "val.json" in str(e.value)
