"""Pictures, masks, label maps and drawings as people's tools write them: the object that was meant, or a named error."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image, PngImagePlugin, TiffImagePlugin

from sambench import paths
from sambench.conformance import data
from sambench.errors import DataError
from sambench.loaders import images, shapes
from sambench.loaders.bsds500 import BSDS500
from sambench.loaders.label_png import LabelPng
from sambench.loaders.labelme import LabelmeJson
from sambench.loaders.mask_png import MaskPng
from sambench.loaders.via import ViaJson
from sambench.loaders.visor import _Frame
from sambench.models.edges.folder import EdgeFolder
from sambench.notes import noting
from sambench.types import Dataset, UInt8Array
from tests.helpers.inprocess import Cli

H, W = 24, 40
BOX = (6, 4, 30, 18)  # x0, y0, x1, y1, half-open
OBJECT = np.zeros((H, W), np.bool_)
OBJECT[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
PICTURE = np.where(OBJECT[:, :, None], np.uint8(220), np.uint8(30)).repeat(3, axis=2)
OUTLINE = [[BOX[0], BOX[1]], [BOX[2], BOX[1]], [BOX[2], BOX[3]], [BOX[0], BOX[3]]]


def values(value: int, dtype: Any = np.uint8) -> Any:
    return (OBJECT * value).astype(dtype)


def colours(*of: int, alpha: Any = None) -> UInt8Array:
    """The object in a colour on black, with an alpha channel if one is given."""
    rgb = np.stack([values(v) for v in of], axis=2)
    return rgb if alpha is None else np.dstack([rgb, np.broadcast_to(alpha, (H, W)).astype(np.uint8)])


def palette(index: int) -> Image.Image:
    """The object as a palette's index, in PASCAL VOC's colours."""
    image = Image.fromarray(values(index)).convert("P")
    image.putdata(values(index).ravel().tolist())
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128] + [0] * 753)
    return image


def pair(root: Path, label: Any, suffix: str = "png") -> list[dict[str, str]]:
    """A picture and its annotation as files; the layout of them."""
    for folder in ("im", "gt"):
        (root / folder).mkdir(exist_ok=True)
    Image.fromarray(PICTURE).save(root / "im/a.png")
    (label if isinstance(label, Image.Image) else Image.fromarray(label)).save(root / f"gt/a.{suffix}")
    return [{"images": "im/{id}.png", "labels": f"gt/{{id}}.{suffix}"}]


def is_the_object(dataset: Dataset) -> bool:
    sample = dataset.load("a")
    (instance,) = sample.instances
    return bool((instance.region.full() == OBJECT).all()) and bool((sample.image == PICTURE).all())


# Masks


@pytest.mark.parametrize(
    "mask",
    [
        colours(255, 255, 255),
        colours(255, 255, 255, alpha=255),
        colours(255, 255, 255, alpha=values(255)),
        palette(1),
        palette(3),
        values(1, np.uint16),
        values(65535, np.uint16),
    ],
    ids=["rgb", "opaque", "agreeing", "palette", "yellow", "16 bits, 1", "16 bits"],
)
def test_masks_in_every_form_are_the_object(mask: Any, tmp_path: Path) -> None:
    with noting() as said:
        assert is_the_object(MaskPng(tmp_path, "mine", layouts=pair(tmp_path, mask)))
    assert not said


@pytest.mark.parametrize("mask", [colours(0, 255, 0), palette(2), palette(4)], ids=["green", "palette", "blue of 128"])
def test_a_mask_in_another_channel_is_no_empty_mask(mask: Any, tmp_path: Path) -> None:
    layouts = pair(tmp_path, mask)
    with pytest.raises(DataError, match='set channel = "max"'):
        MaskPng(tmp_path, "mine", layouts=layouts).load("a")
    assert [r.n_masks for r in MaskPng(tmp_path, "mine", layouts=layouts).index()] == [1]
    assert is_the_object(MaskPng(tmp_path, "mine", layouts=layouts, channel="max"))


@pytest.mark.parametrize(
    "mask",
    [
        colours(0, 0, 0, alpha=values(255)),
        np.dstack([PICTURE * 0 + 255, values(255)]),
        np.dstack([np.full((H, W), 255, np.uint8), values(255)]),
    ],
    ids=["black", "white", "gray"],
)
def test_a_mask_that_is_transparency_is_told(mask: Any, tmp_path: Path) -> None:
    layouts = pair(tmp_path, mask)
    with pytest.raises(DataError, match='channel = "alpha"'):
        MaskPng(tmp_path, "mine", layouts=layouts).load("a")
    assert is_the_object(MaskPng(tmp_path, "mine", layouts=layouts, channel="alpha"))


def test_alpha_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no alpha channel"):
        MaskPng(tmp_path, "mine", layouts=pair(tmp_path, values(255)), channel="alpha").load("a")


def test_zero_and_one_beside_a_band_of_255(tmp_path: Path) -> None:
    mask = values(1)
    mask[0] = 255
    sample = MaskPng(tmp_path, "mine", layouts=pair(tmp_path, mask), ignore=255).load("a")
    assert (sample.instances[0].region.full() == OBJECT).all()
    assert sample.ignore is not None
    assert sample.ignore.area == W


# Label maps


@pytest.mark.parametrize(
    ("label", "suffix"),
    [
        (colours(3, 3, 3), "png"),
        (colours(3, 3, 3, alpha=255), "png"),
        (np.dstack([values(3), values(0) + 255]), "png"),
        (values(3, np.float32), "tif"),
        (palette(3), "png"),
        (values(3, np.uint16), "png"),
    ],
    ids=["rgb", "rgba", "la", "float", "palette", "16 bits"],
)
def test_label_maps_in_every_form(label: Any, suffix: str, tmp_path: Path) -> None:
    dataset = LabelPng(tmp_path, "mine", layouts=pair(tmp_path, label, suffix))
    assert is_the_object(dataset)
    assert dataset.load("a").instances[0].object_id == "3"


@pytest.mark.parametrize("label", [colours(3, 3, 4), colours(3, 3, 3, alpha=values(255)), values(3, np.float32) / 2])
def test_label_maps_that_are_none(label: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several channels or is not of integers"):
        LabelPng(tmp_path, "mine", layouts=pair(tmp_path, label, "tif")).load("a")


def test_values_that_programs_read_differently(tmp_path: Path) -> None:
    pages, inverted = tmp_path / "pages.tif", tmp_path / "inverted.tif"
    Image.fromarray(values(1)).save(pages, save_all=True, append_images=[Image.fromarray(values(2))])
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    Image.fromarray(values(1)).save(inverted, tiffinfo=tags)
    for path, said in ((pages, "several images"), (inverted, "0 is white")):
        for read in (images.read_labels, images.read_mask_values, images.read_gray):
            with pytest.raises(DataError, match=said):
                read(path)
    with noting() as notes:
        images.read_rgb(pages)
    assert any("the first was taken" in n for n in notes)


# Pictures


def tiff(path: Path, samples: Any, *, channels: int = 1, **tags: int) -> Path:
    """A little-endian TIFF of raw samples in one strip, or one a channel where planar = 2."""
    raw, size = np.ascontiguousarray(samples).tobytes(), 1
    strips = channels if tags.get("planar") == 2 else size
    one = len(raw) // strips
    bits = np.asarray(samples).dtype.itemsize * 8
    entries: list[tuple[int, int, Sequence[int]]] = [
        (256, 4, [W]), (257, 4, [H]), (258, 3, [bits] * channels), (259, 3, [1]), (262, 3, [tags.get("photometric", 1)]),
        (273, 4, [0] * strips), (277, 3, [channels]), (278, 4, [H]), (279, 4, [one] * strips),
        (284, 3, [tags.get("planar", 1)]), (339, 3, [tags.get("kind", 1)] * channels),
    ]  # fmt: skip
    beyond = 8 + 2 + 12 * len(entries) + 4
    held = {t: len(v) * (2 if k == 3 else 4) for t, k, v in entries}
    at = beyond + sum(n for n in held.values() if n > 4)
    entries = [(t, k, [at + i * one for i in range(strips)] if t == 273 else v) for t, k, v in entries]
    head, tail = b"II*\0" + (8).to_bytes(4, "little") + len(entries).to_bytes(2, "little"), b""
    for tag, kind, found in entries:
        packed = b"".join(v.to_bytes(2 if kind == 3 else 4, "little") for v in found)
        head += tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + len(found).to_bytes(4, "little")
        head += packed.ljust(4, b"\0") if len(packed) <= 4 else (beyond + len(tail)).to_bytes(4, "little")
        tail += packed if len(packed) > 4 else b""
    path.write_bytes(head + b"\0" * 4 + tail + raw)
    return path


def test_planes_of_16_bits_are_refused(tmp_path: Path) -> None:
    deep = PICTURE.astype(np.uint16) * 257
    path = tiff(tmp_path / "a.tif", deep.transpose(2, 0, 1), channels=3, planar=2, photometric=2)
    with pytest.raises(DataError, match="planes of their own"):
        images.read_rgb(path)
    plain = tiff(tmp_path / "b.tif", PICTURE.transpose(2, 0, 1), channels=3, planar=2, photometric=2)
    assert (images.read_rgb(plain) == PICTURE).all()
    assert (images.read_rgb(tiff(tmp_path / "c.tif", deep, channels=3, photometric=2)) == PICTURE).all()


def test_planes_of_floats_are_refused(tmp_path: Path) -> None:
    planes = (PICTURE / 255).astype(np.float32).transpose(2, 0, 1)
    with pytest.raises(DataError, match="planes of their own"):
        images.read_rgb(tiff(tmp_path / "a.tif", planes, channels=3, planar=2, photometric=2, kind=3))


def test_zero_as_white_is_shown_so_at_every_depth(tmp_path: Path) -> None:
    gray = PICTURE[:, :, 0]
    for samples in (255 - gray, 65535 - gray.astype(np.uint16) * 257):
        assert (images.read_rgb(tiff(tmp_path / "a.tif", samples, photometric=0)) == PICTURE).all()


def test_signed_bytes_do_not_wrap_round(tmp_path: Path) -> None:
    signed = (PICTURE[:, :, 0].astype(np.int16) - 128).astype(np.int8)
    with pytest.raises(DataError, match="signed 8-bit"):
        images.read_rgb(tiff(tmp_path / "a.tif", signed, kind=2))
    with pytest.raises(DataError, match="signed 8-bit"):
        images.read_labels(tmp_path / "a.tif")


def test_samples_that_no_library_reads_are_no_damage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    half = (PICTURE[:, :, 0] / 255).astype(np.float16)
    with pytest.raises(DataError, match="save it as PNG") as e:
        images.read_rgb(tiff(tmp_path / "a.tif", half, kind=3))
    assert "16-bit float" in str(e.value)
    assert not capfd.readouterr().err


# Orientation


@pytest.mark.parametrize("packed", [True, False])
def test_exif_that_imagemagick_keeps_in_a_png(packed: bool, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    info, held = PngImagePlugin.PngInfo(), raw if raw.startswith(b"Exif") else b"Exif\0\0" + raw
    info.add_text("Comment", "x" * 100)
    info.add_text("Raw profile type exif", f"\nexif\n{len(held):8d}\n{held.hex()}\n", zip=packed)
    Image.fromarray(PICTURE).save(tmp_path / "a.png", pnginfo=info)
    assert Image.open(tmp_path / "a.png").getexif()[0x0112] == 6
    assert images.read_orientation(tmp_path / "a.png") == 6
    whole = (tmp_path / "a.png").read_bytes()
    for cut in range(30, 400, 7):  # damaged metadata say nothing
        (tmp_path / "b.png").write_bytes(whole[:cut] + bytes(200))
        assert images.orientation.look(io.BytesIO(whole[:cut] + bytes(200))).value in (1, 6)


def test_the_orientation_of_avif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    try:
        Image.fromarray(PICTURE).save(tmp_path / "a.avif", exif=exif)
    except (OSError, KeyError, ValueError):
        pytest.skip("Pillow without AVIF")
    assert images.read_orientation(tmp_path / "a.avif") == 6
    assert images.read_rgb(tmp_path / "a.avif").shape == (H, W, 3)


# LabelMe and VIA


def labelme(root: Path, *drawn: dict[str, Any], picture: str | None = "a.png", **more: Any) -> LabelmeJson:
    (root / "d").mkdir(exist_ok=True)
    if picture:
        (root / "d" / picture).parent.mkdir(exist_ok=True)
        Image.fromarray(PICTURE).save(root / "d" / picture)
    whole = {"shapes": list(drawn), "imagePath": "a.png", "imageData": None, "imageHeight": H, "imageWidth": W, **more}
    (root / "d/a.json").write_text(json.dumps(whole))
    return LabelmeJson(root, "mine", layouts=[{"images": "d/{id}.*", "labels": "d/{id}.json"}])


def polygon(label: Any = "car") -> dict[str, Any]:
    return {"label": label, "points": OUTLINE, "shape_type": "polygon", "group_id": None, "flags": {}}


@pytest.mark.parametrize("named", ["IMG_1.png", "photos\\IMG_1.png", "./photos/img_1.PNG"])
def test_the_picture_that_image_path_names(named: str, tmp_path: Path) -> None:
    there = "photos/IMG_1.png" if "photos" in named else "IMG_1.png"
    dataset = labelme(tmp_path, polygon(), picture=there, imagePath=named)
    with noting() as said:
        assert is_the_object(dataset)
    assert any("imagePath names" in n for n in said)
    (record,) = dataset.index()
    assert (record.n_masks, Path(record.file)) == (1, tmp_path / "d" / there)


def test_another_name_than_that_of_the_picture_taken_is_said(tmp_path: Path) -> None:
    with noting() as said:
        assert is_the_object(labelme(tmp_path, polygon(), imagePath="C:\\x\\b.jpg"))
    assert [n for n in said if "another image" in n]
    with noting() as said:
        labelme(tmp_path, polygon(), imagePath="C:\\x\\A.jpg").load("a")
    assert not said


def test_a_picture_in_its_annotation_file_alone(tmp_path: Path) -> None:
    dataset = labelme(tmp_path, polygon(), picture=None, imageData="iVBORw0KGgo=")
    with pytest.raises(DataError, match="imageData"):
        dataset.load("a")
    assert [r.n_masks for r in dataset.index()] == [1]
    labelme(tmp_path, polygon(), polygon())
    assert [r.n_masks for r in dataset.index()] == [2]  # counted anew once the picture is there


def test_a_label_of_nothing(tmp_path: Path) -> None:
    assert labelme(tmp_path, polygon(None)).load("a").instances[0].category == ""


def encoded(image: Image.Image) -> str:
    raw = io.BytesIO()
    image.save(raw, "PNG")
    return base64.b64encode(raw.getvalue()).decode()


def test_bitmaps_of_labelme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = (BOX[3] - BOX[1], BOX[2] - BOX[0])
    text = encoded(Image.new("1", box[::-1], 1))
    for given in (text, "data:image/png;base64," + text):
        assert (shapes.bitmap(given, *BOX[:2], box, (H, W), "x").full() == OBJECT).all()
    monkeypatch.setenv("SAMBENCH_MAX_PIXELS", "5000")
    with pytest.raises(DataError, match="10000 x 10000"):
        shapes.bitmap(encoded(Image.new("1", (10_000, 10_000))), 0, 0, box, (H, W), "x")


def via(root: Path, name: str, there: str) -> ViaJson:
    (root / "im").mkdir(exist_ok=True)
    Image.fromarray(PICTURE).save(root / "im" / there)
    xs, ys = zip(*OUTLINE, strict=True)
    shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
    record = {"filename": name, "size": -1, "regions": [{"shape_attributes": shape, "region_attributes": {}}]}
    (root / "v.json").write_text(json.dumps({"x": record}))
    return ViaJson(root, "mine", sets={"im": "v.json"})


@pytest.mark.parametrize("name", ["https://x.org/d/my%20a.png?raw=1#t", "file:///C:/d/my%20a.png", "my a.png", "im\\my a.png"])
def test_addresses_of_pictures(name: str, tmp_path: Path) -> None:
    dataset = via(tmp_path, name, "my a.png")
    (record,) = dataset.index()
    assert record.image_id in ("my a", "im/my a")
    assert (dataset.load(record.image_id).instances[0].region.full() == OBJECT).all()


def test_version_3_of_via_is_called_by_its_name(tmp_path: Path) -> None:
    dataset = via(tmp_path, "a.png", "a.png")
    project = {"project": {}, "config": {}, "attribute": {}, "file": {}, "metadata": {}, "view": {}}
    (tmp_path / "v.json").write_text(json.dumps(project))
    with pytest.raises(DataError, match="version 3"):
        dataset.index()


# Edge maps


def test_gray_edge_maps_as_colours(tmp_path: Path) -> None:
    for name, map_ in (("a", colours(255, 255, 255)), ("b", colours(255, 255, 255, alpha=255))):
        Image.fromarray(map_).save(tmp_path / f"{name}.png")
    Image.fromarray(colours(255, 0, 0)).save(tmp_path / "c.png")
    folder = EdgeFolder(tmp_path)
    for name in "ab":
        assert (folder.edge_map(name, (H, W)) == OBJECT).all()
    with pytest.raises(DataError, match="no gray image"):
        folder.edge_map("c", (H, W))


def test_negative_edges_are_not_told_of_a_scale_that_does_not_help(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", OBJECT * 12.0 - 6)
    with pytest.raises(DataError, match="of scores below 0, their sigmoid") as e:
        EdgeFolder(tmp_path).edge_map("a", (H, W))
    assert "scale=" not in str(e.value)


def test_truth_of_ones_own_in_other_files(tmp_path: Path) -> None:
    for folder in ("images/test", "groundTruth/test"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(PICTURE).save(tmp_path / "images/test/a.png")
    Image.fromarray(values(255)).save(tmp_path / "groundTruth/test/a.png")
    dataset = BSDS500(tmp_path, "mine")
    with pytest.raises(DataError, match=r"found: a\.png"):
        dataset.index()
    cells = np.empty((1, 1), object)
    cells[0, 0] = {"Boundaries": values(1)}
    scipy.io.savemat(tmp_path / "groundTruth/test/a.mat", {"groundTruth": cells})
    (tmp_path / "groundTruth/test/a.mat").rename(tmp_path / "groundTruth/test/a.MAT")
    assert [r.image_id for r in dataset.index()] == ["a"]
    assert (dataset.load("a").boundaries[0] == OBJECT).all()


# What all have in common


def test_frames_in_archives_have_the_limit_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    Image.fromarray(PICTURE).save(raw, "PNG")
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as z:
        z.writestr("v/f.jpg", raw.getvalue())
        z.writestr("v/g.jpg", b"no picture")
    frame = _Frame(tmp_path / "v" / "f.jpg", tmp_path / "v.zip")
    assert (frame.read("x", (H, W)) == PICTURE).all()
    with pytest.raises(DataError, match="not an image"):
        _Frame(tmp_path / "v" / "g.jpg", tmp_path / "v.zip").size()
    monkeypatch.setenv("SAMBENCH_MAX_PIXELS", "100")
    with pytest.raises(DataError, match="too large"):
        frame.size()


def test_folders_that_may_not_be_read_are_no_empty_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ai_1/images", "ai_2/images", "x/images"):
        (tmp_path / name / "cam").mkdir(parents=True)
    assert [p.parts[-3] for p in paths.matching(tmp_path, "ai_?/images/c*")] == ["ai_1", "ai_2"]
    assert paths.matching(tmp_path, "nothing/*") == []
    listing: Callable[[Path], Any] = Path.iterdir

    def closed(self: Path) -> Any:
        if self == tmp_path / "ai_2":
            raise PermissionError(13, "Permission denied", str(self))
        return listing(self)

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(PermissionError):
        paths.matching(tmp_path, "ai_?/images/*")


CARD = """
id = "mine"
name = "Mine"
reader = "sambench.loaders.labelme:LabelmeJson"
layout = ["<root>/d/<id>.png"]
[options]
layouts = [{images = "d/{id}.png", labels = "d/{id}.json"}]
[access]
state = "manual"
steps = ["ask me"]
"""


def test_the_plan_the_run_and_verify_say_the_same(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    point = {"label": "x", "points": [[1, 1]], "shape_type": "point"}
    away = {"label": "x", "points": [[-9, -9], [-5, -9], [-5, -5]], "shape_type": "polygon"}
    for name, drawn in (("a", [polygon(), point]), ("b", [point]), ("c", [away])):
        labelme(tmp_path, *drawn, imagePath=f"{name}.png")
        for suffix in ("json", "png"):
            (tmp_path / f"d/{name}.{suffix}").write_bytes((tmp_path / f"d/a.{suffix}").read_bytes())
    labelme(tmp_path, polygon(), point)
    (tmp_path / "card.toml").write_text(CARD)
    card, root = str(tmp_path / "card.toml"), str(tmp_path)
    verified = data.verify(card, root=tmp_path)
    assert verified.said.left_out == {"shape without area": 2, "empty mask": 1}
    common = ("run", "point", "-d", card, "--root", root, "-m", "otsu", "--clicks", "1", "--workers", "1", "-o", tmp_path / "out")
    planned, ran = cli(*common, "--dry-run"), cli(*common)
    alone = "1 shape without an area (point, line) left out"
    for said in (verified.text(), planned.out, ran.out + ran.err):
        assert "2 images without masks left out" in said
    for text in (alone, f"in images without masks: {alone}", "in images without masks: 1 annotation without pixels left out"):
        assert f"mine: {text}" in planned.out.replace("\n", " ")
    assert alone in ran.out + ran.err
