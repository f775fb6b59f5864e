"""Readers: pixels, native layouts, COCO JSON, and every broken input that they must name."""

from __future__ import annotations

import json
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sambench import cards
from sambench.errors import CardError, DataError, DataMissingError, UsageError
from sambench.loaders import images
from sambench.loaders.bbbc038v1 import BBBC038v1
from sambench.loaders.coco import CocoJson
from sambench.loaders.coco_masks import region_of
from sambench.loaders.open import find_root, open_dataset
from sambench.types import NO_MASK, TOO_SHORT, Dataset

BBBC = cards.dataset_card("bbbc038v1")


def save(array: Any, path: Path, mode: str | None = None, **kwargs: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array))
    (image.convert(mode) if mode else image).save(path, **kwargs)
    return path


def png(path: Path, depth: int, colour: int, rows: list[bytes], width: int, height: int) -> Path:
    """A PNG written by hand, for bit depths that Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + r for r in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def gray16(path: Path, value: int = 300) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return png(path, 16, 0, [struct.pack(">3H", value, value, value)] * 2, 3, 2)


RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


# Pixels


def test_rgb_of_every_plain_mode(tmp_path: Path) -> None:
    assert np.array_equal(images.read_rgb(save(RGB, tmp_path / "a.png")), RGB)
    alpha = np.dstack([RGB, RNG.integers(0, 256, (20, 30), dtype=np.uint8)])
    assert np.array_equal(images.read_rgb(save(alpha, tmp_path / "b.png")), RGB)  # dropped, not composited
    gray = images.read_rgb(save(RGB[:, :, 0], tmp_path / "c.png"))
    assert np.array_equal(gray, np.repeat(RGB[:, :, :1], 3, axis=2))
    few = (RGB // 128) * 128
    path = save(few, tmp_path / "d.png", "P", transparency=0)
    assert Image.open(path).mode == "P"
    assert np.array_equal(images.read_rgb(path), np.asarray(Image.open(path).convert("RGB")))
    bits = images.read_rgb(save(RGB[:, :, 0] > 99, tmp_path / "e.png"))
    assert set(np.unique(bits)) == {0, 255}
    for array in (gray, bits):
        assert array.flags.c_contiguous
        assert array.dtype == np.uint8


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    image, exif = Image.fromarray(RGB), Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert images.read_rgb(tmp_path / "a.jpg").shape == (20, 30, 3)
    assert images.read_size(tmp_path / "a.jpg") == (20, 30)


@pytest.mark.parametrize("kind", ["gray16", "rgb16", "float", "cmyk", "palette", "int32"])
def test_what_a_release_does_not_use_is_refused_and_described(tmp_path: Path, kind: str) -> None:
    path, says = tmp_path / "x.png", "16-bit"
    if kind == "gray16":
        gray16(path)
    elif kind == "rgb16":  # which Pillow would silently cut to 8 bits
        png(path, 16, 2, [struct.pack(">9H", *range(0, 9000, 1000))] * 2, 3, 2)
    elif kind == "palette":
        save(RGB, path, "P")
        says = "palette"
    else:
        path = tmp_path / "x.tif"
        arrays = {"float": (RGB[:, :, 0] / 255.0).astype(np.float32), "int32": RGB[:, :, 0].astype(np.int32)}
        save(RGB, path, "CMYK") if kind == "cmyk" else save(arrays[kind], path)
        says = {"float": "float", "cmyk": "CMYK", "int32": "32-bit"}[kind]
    with pytest.raises(DataError, match=says) as e:
        images.read_rgb(path, plain=True)
    assert str(path) in str(e.value)
    assert e.value.expected


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def prose(path: Path) -> None:
    path.write_text("<html>404 not found</html>")


def garble(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 40] = bytes(40)
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("suffix", "harm"),
    [("png", truncate), ("png", empty), ("png", prose), ("png", garble), ("jpg", truncate), ("jpg", empty)],
)
def test_damaged_files_are_named(tmp_path: Path, harm: Callable[[Path], None], suffix: str) -> None:
    path = save(RNG.integers(0, 256, (80, 90, 3), dtype=np.uint8), tmp_path / f"broken.{suffix}")
    harm(path)
    with pytest.raises(DataError) as e:
        images.read_rgb(path)
    assert str(path) in str(e.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        images.read_rgb(tmp_path / "none.png")
    with pytest.raises(DataError):
        images.read_rgb(tmp_path)


def test_large_images_are_read_and_forged_headers_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own limit is far below 600 pixels now
    path = save(RGB, tmp_path / "a.png")
    assert images.read_rgb(path).shape == RGB.shape
    assert Image.MAX_IMAGE_PIXELS == 100
    raw = bytearray(path.read_bytes())
    raw[16:24] = struct.pack(">II", 60000, 60000)
    raw[29:33] = struct.pack(">I", zlib.crc32(bytes(raw[12:29])))
    path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="too large"):
        images.read_rgb(path)


def test_masks_and_labels(tmp_path: Path) -> None:
    values = RNG.choice([0, 128, 255], (20, 30)).astype(np.uint8)
    path = save(values, tmp_path / "m.png")
    assert np.array_equal(images.read_mask(path), values > 0)
    assert np.array_equal(images.read_mask(path, above=128), values > 128)
    assert np.array_equal(images.read_mask(save(values > 0, tmp_path / "b.png")), values > 0)
    with pytest.raises(DataError, match="another size"):
        images.read_mask(path, size=(30, 20))
    for odd in (save(RGB, tmp_path / "rgb.png"), save(RGB, tmp_path / "p.png", "P"), gray16(tmp_path / "w.png")):
        with pytest.raises(DataError, match=odd.name):
            images.read_mask(odd)

    indices = RNG.integers(0, 7, (20, 30)).astype(np.uint8)
    palette = Image.fromarray(indices)
    palette.putpalette([9, 9, 9] * 256)  # equal colours: only the indices tell objects apart
    palette.save(tmp_path / "i.png")
    assert np.array_equal(images.read_labels(tmp_path / "i.png"), indices)
    assert np.array_equal(images.read_labels(path), values)
    assert (images.read_labels(gray16(tmp_path / "s.png", 33011)) == 33011).all()
    assert np.array_equal(images.read_labels(save(values > 0, tmp_path / "bit.png")), values > 0)
    four = png(tmp_path / "four.png", 4, 0, [bytes([0x05, 0xF0])] * 2, 3, 2)
    assert images.read_labels(four).tolist() == [[0, 5, 15]] * 2
    with pytest.raises(DataError, match="several channels"):
        images.read_labels(save(RGB, tmp_path / "rgb2.png"))


# BBBC038v1


@pytest.fixture
def bbbc(tmp_path: Path) -> Path:
    """The native layout: image 'aaaa' RGBA with two nuclei and an empty mask, 'bbbb' with one; and junk beside them."""
    root = tmp_path / "bbbc"
    for name, masks in {"aaaa": ["m1", "m2", "m0"], "bbbb": ["m3"]}.items():
        base = root / "stage1_train" / name
        save(np.dstack([RGB, np.full((20, 30), 255, np.uint8)]), base / "images" / f"{name}.png")
        for k, mask in enumerate(masks):
            array = np.zeros((20, 30), np.uint8)
            if mask != "m0":
                array[2 + k : 8 + k, 3:9] = 255
            save(array, base / "masks" / f"{mask}.png")
        (base / "masks" / "._m1.png").write_bytes(b"mac")
        (base / "masks" / "notes.txt").write_text("x")
    (root / "stage1_train" / "__MACOSX").mkdir()
    (root / "stage1_train" / ".DS_Store").write_text("x")
    return root


def test_bbbc_reads_both_forms_of_root(bbbc: Path) -> None:
    outer, inner = (open_dataset(BBBC, root=r) for r in (bbbc, bbbc / "stage1_train"))
    assert isinstance(outer, Dataset)
    assert [(r.image_id, r.n_masks) for r in outer.index()] == [("aaaa", 3), ("bbbb", 1)]
    assert outer.index()[0].file == str(bbbc / "stage1_train/aaaa/images/aaaa.png")
    assert outer.index() == inner.index()
    assert outer.annotation_digest() == inner.annotation_digest()
    sample = outer.load("aaaa")
    assert (sample.height, sample.width, sample.n_dropped, sample.cluster_id) == (20, 30, 1, "aaaa")
    assert [i.object_id for i in sample.instances] == ["m1", "m2"]
    assert [i.box_xyxy for i in sample.instances] == [(3, 2, 8, 7), (3, 3, 8, 8)]
    assert sample.instances[0].area_px == 36
    assert np.array_equal(sample.image, RGB)
    assert np.array_equal(pickle.loads(pickle.dumps(outer)).load("bbbb").image, RGB)


def test_bbbc_digest_notices_changed_masks(bbbc: Path) -> None:
    dataset = BBBC038v1(bbbc, "bbbc038v1")
    before = dataset.annotation_digest()
    (bbbc / "stage1_train/aaaa/masks/notes.txt").write_text("longer notes")
    assert dataset.annotation_digest() == before
    (bbbc / "stage1_train/bbbb/masks/m3.png").rename(bbbc / "stage1_train/bbbb/masks/m4.png")
    assert dataset.annotation_digest() != before


def test_bbbc_names_what_is_wrong_with_an_image(bbbc: Path) -> None:
    dataset, base = BBBC038v1(bbbc, "bbbc038v1"), bbbc / "stage1_train"

    def error(image_id: str = "aaaa", pixels: bool = False) -> str:
        # What concerns the pixels alone is told when they are read.
        read = dataset.load(image_id).read if pixels else lambda: dataset.load(image_id)
        with pytest.raises(DataError) as e:
            read()
        return str(e.value)

    assert "did you mean 'aaaa'" in error("aaab")
    mask = base / "aaaa/masks/m2.png"
    original = mask.read_bytes()
    save(np.zeros((30, 20), np.uint8), mask)
    assert str(mask) in (text := error())
    assert "30 x 20 (width x height)" in text
    assert "20 x 30" in text
    mask.write_bytes(original[:40])
    assert str(mask) in error()
    save(np.zeros((20, 30), np.uint8), mask, "P")
    assert "palette" in error()
    gray16(mask)
    assert "another size" in error()
    mask.write_bytes(original)

    image = base / "aaaa/images/aaaa.png"
    save(RGB, image, "P")
    assert "palette" in error(pixels=True)
    gray16(image)
    error()
    save(RGB, image)
    truncate(image)
    assert str(image) in error(pixels=True)
    image.unlink()
    assert "missing" in error()
    for m in (base / "bbbb/masks").iterdir():
        m.unlink()
    assert "no masks" in error("bbbb")
    (base / "bbbb/masks").rmdir()
    assert "no such folder" in error("bbbb")
    assert [(r.image_id, r.n_masks, Path(r.file).is_file()) for r in dataset.index()] == [("aaaa", 3, False), ("bbbb", 0, True)]


@pytest.mark.shared
def test_bbbc_real_images(shared: Path) -> None:
    dataset = open_dataset(BBBC, root=shared / "data" / "bbbc038v1")
    index = dataset.index()
    assert len(index) == 120
    assert sum(r.n_masks for r in index) == 5272
    record = max(index, key=lambda r: r.n_masks)
    sample = dataset.load(record.image_id)
    assert len(sample.instances) + sample.n_dropped == record.n_masks
    assert sample.image.shape == (sample.height, sample.width, 3)
    folder = shared / "data/bbbc038v1/stage1_train" / record.image_id
    for instance in sample.instances[:5]:
        expected = np.asarray(Image.open(folder / "masks" / f"{instance.object_id}.png")) > 0
        assert np.array_equal(instance.region.full(), expected)
    assert np.array_equal(sample.image, np.asarray(Image.open(folder / "images" / f"{record.image_id}.png"))[..., :3])


# Finding and opening


def test_missing_dataset_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    assert find_root(BBBC) is None
    with pytest.raises(DataMissingError) as e:
        open_dataset(BBBC)
    text = str(e.value)
    assert str(tmp_path / "data" / "bbbc038v1") in text
    assert all(step in text for step in BBBC.access.steps)
    assert "sambench data adopt bbbc038v1" in text
    with pytest.raises(DataMissingError, match="nowhere"):
        open_dataset(BBBC, root=tmp_path / "nowhere")


def test_data_folder_is_found(bbbc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(bbbc.parent))
    bbbc.rename(bbbc.parent / "bbbc038v1")
    assert find_root(BBBC) == bbbc.parent / "bbbc038v1"
    assert len(open_dataset(BBBC).index()) == 2


def test_wrong_folder_is_explained(bbbc: Path, tmp_path: Path) -> None:
    def error(root: Path) -> str:
        with pytest.raises(DataError) as e:
            open_dataset(BBBC, root=root)
        return str(e.value)

    (tmp_path / "void").mkdir()
    assert "is empty" in error(tmp_path / "void")
    assert f"one level below: sambench data adopt bbbc038v1 {bbbc}" in error(tmp_path)
    inner = bbbc / "stage1_train"
    assert f"one level above: sambench data adopt bbbc038v1 {inner}" in (text := error(inner / "aaaa"))
    assert "images/, masks/" in text
    assert BBBC.layout[0] in text


def test_reader_problems_are_card_errors(bbbc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bbbc.parent / "odd_reader.py").write_text("def read(root, *, name, variant):\n    return 7\n")
    monkeypatch.syspath_prepend(bbbc.parent)
    with pytest.raises(CardError, match="options"):
        open_dataset(BBBC.model_copy(update={"options": {"colour": 1}}), root=bbbc)
    with pytest.raises(CardError, match="cannot be imported"):
        open_dataset(BBBC.model_copy(update={"reader": "sambench.nothing:Reader"}), root=bbbc)
    with pytest.raises(CardError, match="does not give a dataset"):
        open_dataset(BBBC.model_copy(update={"reader": "odd_reader:read"}), root=bbbc)
    with pytest.raises(UsageError, match="variant"):
        open_dataset(BBBC, root=bbbc, variant="semantic")


# COCO JSON


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
