"""Readers of annotations in JSON and tables: fixtures, big files cut up, real LVIS annotations, and broken or odd input."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sambench import cards, fixtures
from sambench.errors import DataError
from sambench.loaders import pieces
from sambench.loaders.coco import CocoJson
from sambench.loaders.coco_masks import has_pixels, region_of
from sambench.loaders.miap import Miap
from sambench.loaders.open import open_dataset
from sambench.loaders.polygons import fill_even_odd, integer_points
from sambench.types import Dataset

DATASETS = [
    "lvis_v05", "zerowaste_f", "timberseg", "trashcan", "pidray", "ishape", "ndd20", "streets", "ovis", "visor", "coco_2017_val",
    "lvis_v1_val", "miap",
]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(name: str, tmp_path: Path, variant: str | None = None) -> tuple[Dataset, Path, fixtures.Expected]:
    root = tmp_path / name
    expected = fixtures.write(name, root)
    return open_dataset(cards.dataset_card(name), root=root, variant=variant), root, expected


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as e:
        call()
    return str(e.value)


@pytest.mark.parametrize("big", [False, True], ids=["whole", "cut up"])
@pytest.mark.parametrize("name", DATASETS)
def test_fixture(name: str, big: bool, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if big:
        monkeypatch.setattr(pieces, "BIG", 0)
    dataset, _, expected = opened(name, tmp_path)
    index = dataset.index()
    samples = {r.image_id: dataset.load(r.image_id) for r in index}
    assert sum(r.n_masks > 0 for r in index) == expected.n_images
    assert sum(r.n_masks for r in index) == expected.n_masks
    assert [len(samples[r.image_id].instances) for r in index] == [r.n_masks for r in index]
    assert sum(s.n_dropped for s in samples.values()) == expected.n_dropped
    for pixel in expected.pixels:
        instance = next(i for i in samples[pixel.image_id].instances if i.object_id == pixel.object_id)
        assert instance.region.full()[pixel.y, pixel.x] == pixel.foreground, pixel
    for r in index:
        sample = samples[r.image_id]
        assert sample.image.shape == (sample.height, sample.width, 3)
        assert sample.cluster_id == (r.cluster_id or r.image_id)
        assert Path(r.file).is_file()
        # Objects are drawn brighter than the ground: a transposed or shifted mask would lie on dark pixels.
        for instance in sample.instances:
            assert np.median(sample.image[instance.region.full()]) > 60
    if big and name in ("lvis_v05", "ovis"):
        assert list((cache / "index").glob("*.pieces"))


def test_variants(tmp_path: Path) -> None:
    counts = {}
    for name, variant in (("zerowaste_f", "instance"), ("timberseg", "original"), ("miap", "clothing")):
        dataset, _, _ = opened(name, tmp_path, variant)
        counts[name] = (len(dataset.index()), sum(r.n_masks for r in dataset.index()))
        assert sum(len(dataset.load(r.image_id).instances) for r in dataset.index()) == counts[name][1]
    assert counts == {"zerowaste_f": (2, 4), "timberseg": (2, 3), "miap": (1, 1)}


# Trees


def move(root: Path, inner: str) -> None:
    """Lift what is in root/inner to root."""
    for p in list((root / inner).iterdir()):
        p.rename(root / p.name)


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("zerowaste_f", "splits_final_deblurred"), ("timberseg", "y5npsm3gkj-2"), ("trashcan", "dataset"), ("pidray", "pidray"),
        ("ishape", "ishape_dataset"), ("streets", "vehicleannotations"), ("visor", "GroundTruth-SparseAnnotations"),
    ],
)  # fmt: skip
def test_trees_with_and_without_the_archives_folder(name: str, inner: str, tmp_path: Path) -> None:
    dataset, root, expected = opened(name, tmp_path)
    before = dataset.annotation_digest()
    move(root, inner)
    dataset = open_dataset(cards.dataset_card(name), root=root)
    assert sum(r.n_masks for r in dataset.index()) == expected.n_masks
    assert all(dataset.load(r.image_id).image.any() for r in dataset.index())
    assert dataset.annotation_digest() == before


def test_coco_folder_serves_both_lvis(tmp_path: Path) -> None:
    """An adopted COCO folder: annotations/ and images/val2017."""
    for name in ("lvis_v05", "lvis_v1_val"):
        _, root, expected = opened(name, tmp_path)
        (root / "annotations").mkdir()
        (root / "images").mkdir()
        for p in list(root.iterdir()):
            if p.suffix == ".json":
                p.rename(root / "annotations" / p.name)
            elif p.name.endswith("2017"):
                p.rename(root / "images" / p.name)
        dataset = open_dataset(cards.dataset_card(name), root=root)
        samples = [dataset.load(r.image_id) for r in dataset.index()]
        assert sum(len(s.instances) for s in samples) == expected.n_masks
        assert all(s.image.any() for s in samples)


def test_visor_reads_zips_and_folders_alike(tmp_path: Path) -> None:
    dataset, root, _ = opened("visor", tmp_path)
    record = dataset.index()[0]
    zipped = dataset.load(record.image_id)
    archive = root / "GroundTruth-SparseAnnotations/rgb_frames/val/P01/P01_107.zip"
    with zipfile.ZipFile(archive) as z:
        z.extractall(archive.with_suffix(""))
    pixels = zipped.image
    archive.unlink()
    unpacked = dataset.load(record.image_id)
    assert np.array_equal(unpacked.image, pixels)
    assert (record.file, Path(dataset.index()[0].file).parent) == (str(archive), archive.with_suffix(""))


# Federated fields, attributes


def test_lvis_keeps_the_federated_fields(tmp_path: Path) -> None:
    dataset, _, _ = opened("lvis_v1_val", tmp_path)
    one, nine = dataset.load("1"), dataset.load("9")
    assert json.loads(one.attributes["not_exhaustive_category_ids"]) == [1203]
    assert json.loads(nine.attributes["neg_category_ids"]) == [1]
    assert [(i.category, i.attributes) for i in one.instances] == [
        ("aerosol_can", {"category_id": "1", "frequency": "c"}),
        ("zucchini", {"category_id": "1203", "frequency": "r"}),
    ]


# Big files


def test_cut_file_is_reused_and_renewed(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "BIG", 0)
    dataset, root, _ = opened("pidray", tmp_path)
    path = root / "pidray/annotations/xray_test_hard.json"
    assert sum(r.n_masks for r in dataset.index()) == 3
    pieces._read.cache_clear()
    parsed: list[Path] = []
    monkeypatch.setattr("sambench.loaders.coco_file.json_object", lambda p, *_: parsed.append(p))
    assert len(dataset.load("0").instances) == 2  # from the store: the file is not parsed again
    assert not parsed
    monkeypatch.undo()
    monkeypatch.setenv("SAMBENCH_CACHE", str(cache))
    monkeypatch.setattr(pieces, "BIG", 0)
    content = json.loads(path.read_text())
    content["annotations"].pop(0)
    path.write_text(json.dumps(content))
    assert sum(r.n_masks for r in dataset.index()) == 2
    assert len(dataset.load("0").instances) == 1


def test_damaged_or_impossible_store(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "BIG", 0)
    dataset, _, _ = opened("pidray", tmp_path)
    dataset.index()
    (store,) = (cache / "index").glob("*.pieces")
    for harm in (store.read_bytes()[:-5], b"", b"\xff" * 40):
        store.write_bytes(harm)
        pieces._read.cache_clear()
        assert len(dataset.load("0").instances) == 2  # cut anew
    store.write_bytes(b"")  # while it is open
    assert str(store) in error_of(lambda: dataset.load("0"))
    pieces._read.cache_clear()
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("SAMBENCH_CACHE", str(blocked))
    assert len(dataset.load("0").instances) == 2  # in memory


# Masks


def test_has_pixels_agrees_with_the_mask() -> None:
    rng = np.random.default_rng(0)
    h, w = 19, 23
    cases: list[Any] = [[], [[5, 5, 5, 5, 5, 5]], [[-9, -9, -5, -9, -5, -5]], [[1, 1, 9, 1]], [[1, 1, 9, 1], [2, 2, 8, 2, 8, 8]]]
    for density in (0, 0, 0.001, 0.01, 0.5, 1):
        mask = np.asfortranarray((rng.random((h, w)) < density).astype(np.uint8))
        rle = coco_mask.encode(mask)
        runs = np.flatnonzero(np.diff(np.concatenate(([0], mask.ravel(order="F"), [2]))))
        cases += [
            {"size": [h, w], "counts": rle["counts"].decode()},
            {"size": [h, w], "counts": np.diff(runs, prepend=0).tolist()},
        ]
    cases.append({"size": [h, w], "counts": [5, 0, h * w - 5]})
    found = [has_pixels(c, h, w, where="x", skip_short=True) for c in cases]
    assert found == [region_of(c, h, w, where="x", skip_short=True).area > 0 for c in cases]
    assert True in found
    assert False in found


def test_short_polygons_are_left_out_unless_they_are_to_be_errors() -> None:
    polygons = [[1, 1, 9, 1], [2, 2, 8, 2, 8, 8, 2, 8], []]
    assert region_of(polygons, 20, 20, where="x").area == 36
    with pytest.raises(DataError, match="4 numbers"):
        region_of(polygons, 20, 20, where="x", skip_short=False)
    with pytest.raises(DataError, match="7 numbers"):
        region_of([[1, 1, 9, 1, 9, 7, 1]], 20, 20, where="x", skip_short=True)


def test_even_odd_filling_equals_opencv_on_the_whole_frame() -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        h, w = (int(v) for v in rng.integers(5, 60, 2))
        drawn = [rng.integers(-20, 80, (int(rng.integers(1, 9)), 2)).astype(np.int32) for _ in range(int(rng.integers(1, 4)))]
        full = np.zeros((h, w), np.uint8)
        cv2.fillPoly(full, drawn, (1,))
        assert np.array_equal(fill_even_odd(drawn, h, w).full(), full.astype(bool))
    assert fill_even_odd([np.zeros((0, 2), np.int32)], 5, 5).area == 0
    assert fill_even_odd([integer_points([[-9, -9], [-5, -9], [-5, -5]])], 5, 5).area == 0


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), 1e9, True, "three", None, [1]])
@pytest.mark.parametrize("at", [0, 3, 5])
def test_every_odd_coordinate_is_refused(odd: Any, at: int) -> None:
    polygon: list[Any] = [1, 1.5, 9, 1, 9, 7]
    assert has_pixels([polygon], 20, 20, where="x")
    polygon[at] = odd
    for call in (has_pixels, region_of):
        with pytest.raises(DataError, match="has the coordinate"):
            call([polygon], 20, 20, where="x")


@pytest.mark.shared
def test_real_lvis_annotations(shared: Path, tmp_path: Path) -> None:
    """100 images of LVIS v0.5: 7 without annotation; masks as pycocotools makes them."""
    source = shared / "data" / "lvis_sample" / "lvis_v05_val_100.json"
    (tmp_path / "lvis_v0.5_val.json").write_bytes(source.read_bytes())
    options = cards.dataset_card("lvis_v05").options
    dataset = CocoJson(tmp_path, "lvis_v05", **options)
    index = dataset.index()
    assert (len(index), sum(r.n_masks > 0 for r in index), sum(r.n_masks for r in index)) == (100, 93, 977)
    api, content = COCO(str(source)), json.loads(source.read_text())
    for image in content["images"][:40]:
        size = image["height"], image["width"]
        for a in api.imgToAnns[image["id"]]:
            assert np.array_equal(region_of(a["segmentation"], *size, where="x").full(), api.annToMask(a).astype(bool))
        path = tmp_path / "val2017" / image["file_name"][-16:]
        if api.imgToAnns[image["id"]]:
            assert str(path) in error_of(lambda i=str(image["id"]): dataset.load(i))


# MIAP's matching


def test_miap_margin_is_of_the_persons_sides(tmp_path: Path) -> None:
    """A box of 0.2 x 0.5: sides may be off by 0.002 across and by 0.005 down."""

    def matched(dx: float, dy: float) -> int:
        root = tmp_path / f"{dx} {dy}"
        fixtures.write("miap", root)
        rows = ["MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"]
        rows.append(f"1_m04yx4_a.png,1,/m/04yx4,a,{0.3 + dx},{0.5},{0.2},{0.7 - dy},1,")
        (root / "test-annotations-object-segmentation.csv").write_text("\n".join(rows))
        people = "ImageID,XMin,XMax,YMin,YMax,IsGroupOf,GenderPresentation,AgePresentation\n1,0.3,0.5,0.2,0.7,0,Unknown,Young\n"
        (root / "open_images_extended_miap_boxes_test.csv").write_text(people)
        return sum(r.n_masks for r in Miap(root, "miap").index())

    assert [matched(dx, dy) for dx, dy in ((0.0019, 0), (0.0021, 0), (0, 0.0049), (0, 0.0051))] == [1, 0, 1, 0]


def test_miap_pairs_one_to_one_the_closest_first(tmp_path: Path) -> None:
    root = tmp_path / "miap"
    fixtures.write("miap", root)
    rows = ["MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"]
    rows += [f"1_m01g317_{k}.png,1,/m/01g317,{k},{x},0.5,0.2,0.7,1," for k, x in enumerate((0.3015, 0.3002, 0.3))]
    (root / "test-annotations-object-segmentation.csv").write_text("\n".join(rows))
    people = ["ImageID,XMin,XMax,YMin,YMax,IsGroupOf,GenderPresentation,AgePresentation", "1,0.3,0.5,0.2,0.7,0,A,Young"]
    people += ["1,0.3005,0.5,0.2,0.7,0,B,Older", "1,0.3,0.5,0.2,0.7,1,C,Older"]
    (root / "open_images_extended_miap_boxes_test.csv").write_text("\n".join(people))
    matches = Miap(root, "miap")._matches()["1"]
    found = [(m.path, p.attributes["gender_presentation"]) for m, p in matches]
    assert found == [("1_m01g317_1.png", "B"), ("1_m01g317_2.png", "A")]


# Broken and odd


ANNOTATIONS = {
    "lvis_v05": "lvis_v0.5_val.json",
    "timberseg": "y5npsm3gkj-2/prescaled/coco_annotation.json",
    "trashcan": "dataset/instance_version/instances_train_trashcan.json",
    "pidray": "pidray/annotations/xray_test_hard.json",
    "ndd20": "ABOVE_LABELS.json",
    "streets": "vehicleannotations/annotations/vehicle-annotations.json",
    "ovis": "annotations_train.json",
    "visor": "GroundTruth-SparseAnnotations/annotations/val/P01_107.json",
    "coco_2017_val": "annotations/instances_val2017.json",
    "lvis_v1_val": "lvis_v1_val.json",
}


@pytest.mark.parametrize("text", ["cut", "{}", "[]", ""])
@pytest.mark.parametrize("name", ANNOTATIONS)
def test_broken_annotation_file_is_named(name: str, text: str, tmp_path: Path) -> None:
    dataset, root, _ = opened(name, tmp_path)
    path = root / ANNOTATIONS[name]
    path.write_text(path.read_text()[: path.stat().st_size // 2] if text == "cut" else text)
    said = error_of(dataset.index)
    assert all(part in said for part in (name, str(path), "expected:", "what to do:"))


@pytest.mark.parametrize("name", DATASETS)
def test_broken_and_missing_images_are_named(name: str, tmp_path: Path) -> None:
    dataset, _, _ = opened(name, tmp_path)
    image_id = next(r.image_id for r in reversed(dataset.index()) if r.n_masks)
    read: Any = dataset.inner.load(image_id).read  # type: ignore[attr-defined]  # a partial of a function of the path, or of a method of what has it
    path = next((a for a in read.args if isinstance(a, Path)), None) or read.func.__self__.path
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert str(path) in error_of(lambda: dataset.load(image_id).image)
    path.unlink()
    said = error_of(lambda: dataset.load(image_id).image)
    assert all(part in said for part in (name, path.stem, "expected:", "what to do:"))
    with pytest.raises(DataError, match="no image 'nothing'"):
        dataset.load("nothing")


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


BROKEN_REGIONS = {
    "circle": {"name": "circle", "cx": 5, "cy": 5},
    "kind": {"name": "spline", "all_points_x": [1, 9, 9], "all_points_y": [1, 1, 9]},
    "lengths": {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]},
    "text": {"name": "polygon", "all_points_x": ["one", "9", "9"], "all_points_y": [1, 1, 9]},
    "null": {"name": "polygon", "all_points_x": [None, 9, 9], "all_points_y": [1, 1, 9]},
}


@pytest.mark.parametrize("kind", BROKEN_REGIONS)
def test_via_broken_region_costs_its_image_only(kind: str, tmp_path: Path) -> None:
    dataset, root, _ = opened("streets", tmp_path)

    def harm(content: Any) -> None:
        record = next(r for r in content.values() if r["filename"] == "View A-11.jpg")
        record["regions"]["0"]["shape_attributes"] = BROKEN_REGIONS[kind]

    edit(root / ANNOTATIONS["streets"], harm)
    assert len(dataset.index()) == 2
    assert "region 0 of View A-11.jpg" in error_of(lambda: dataset.load("View A-11"))
    assert len(dataset.load("View A-1").instances) == 2


def test_via_project_files_and_lists(tmp_path: Path) -> None:
    """Version 2 saves regions as a list, and a project keeps its records one level down."""
    dataset, root, _ = opened("streets", tmp_path)
    path = root / ANNOTATIONS["streets"]
    content = json.loads(path.read_text())
    for record in content.values():
        record["regions"] = list(record["regions"].values())
    path.write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}))
    assert sum(r.n_masks for r in dataset.index()) == 3
    assert [i.object_id for i in dataset.load("View A-1").instances] == ["0", "2"]


def test_ovis_refuses_annotations_without_masks(tmp_path: Path) -> None:
    dataset, root, _ = opened("ovis", tmp_path)
    (root / "annotations_valid.json").rename(root / "annotations_train.json")
    assert "take the training annotations" in error_of(dataset.index)


def test_visor_scales_polygons_to_the_picture(tmp_path: Path) -> None:
    dataset, root, _ = opened("visor", tmp_path)
    before = dataset.load("P02_09/P02_09_frame_0000000012").instances[0].box_xyxy
    path = root / "GroundTruth-SparseAnnotations/rgb_frames/val/P02/P02_09/P02_09_frame_0000000012.jpg"
    cv2.imwrite(str(path), np.zeros((72, 128, 3), np.uint8))
    x0, y0, x1, y1 = dataset.load("P02_09/P02_09_frame_0000000012").instances[0].box_xyxy
    assert (x0 // 2, y0 // 2, x1 // 2, y1 // 2) == before
    assert x1 > 2 * before[2] - 1


def test_visor_broken_entity_costs_its_frame_only(tmp_path: Path) -> None:
    dataset, root, _ = opened("visor", tmp_path)

    def harm(content: Any) -> None:
        content["video_annotations"][0]["annotations"][0]["segments"] = [[[1, 2], [3, float("nan")], [5, 6]]]

    edit(root / ANNOTATIONS["visor"], harm)
    assert len(dataset.index()) == 3
    assert "entity a1" in error_of(lambda: dataset.load("P01_107/P01_107_frame_0000000140"))
    assert len(dataset.load("P01_107/P01_107_frame_0000000262").instances) == 1
