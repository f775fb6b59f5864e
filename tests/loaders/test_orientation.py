"""Pictures with an EXIF orientation: formats are read as they are stored, readers take the frame in which their tools draw."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from sambench.errors import CardError, DataError
from sambench.loaders import images, orientation
from sambench.loaders.coco import CocoJson
from sambench.loaders.labelme import LabelmeJson
from sambench.loaders.mask_png import MaskPng
from sambench.loaders.turned import frame_of
from sambench.loaders.via import ViaJson
from sambench.notes import noting
from sambench.types import Dataset, UInt8Array

HEIGHT, WIDTH = 40, 64
BOX = (6, 4, 22, 16)  # x0, y0, x1, y1, half-open, of the bright object in the picture as it is shown

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("png", {}),
    "webp": ("webp", {"lossless": True}),
    "jpeg": ("jpg", {"quality": 95}),
    "tiff": ("tif", {}),
    "tiff_lzw": ("tif", {"compression": "tiff_lzw"}),
    "tiff_jpeg": ("tif", {"compression": "tiff_jpeg"}),
    "big_tiff": ("tif", {"big_tiff": True}),
}
UNTURN = {**{k: k for k in range(1, 9)}, 6: 8, 8: 6}


def stored(tag: int) -> UInt8Array:
    """What a camera stores of the picture whose tag is `tag`."""
    shown = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    x0, y0, x1, y1 = BOX
    shown[y0:y1, x0:x1] = 220
    return images.turn(shown, UNTURN[tag])


def save(path: Path, tag: int, kind: str = "jpeg") -> Path:
    suffix, options = FORMATS[kind]
    path = path.with_suffix(f".{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[orientation.TAG] = tag
    Image.fromarray(stored(tag)).save(path, exif=exif, **options)
    return path


def brightness(dataset: Dataset, image_id: str = "a") -> tuple[float, float]:
    """Mean of the picture inside and outside of its one object."""
    sample = dataset.load(image_id)
    assert sample.image.shape[:2] == (sample.height, sample.width)
    (instance,) = sample.instances
    inside = instance.region.full()
    return float(sample.image[inside].mean()), float(sample.image[~inside].mean())


def fits(dataset: Dataset) -> bool:
    inside, outside = brightness(dataset)
    return inside > 210 and outside < 40


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_as_it_is_stored(kind: str, tmp_path: Path) -> None:
    for tag in range(1, 9):
        path = save(tmp_path / f"{tag}", tag, kind)
        assert images.read_orientation(path) == tag
        assert images.read_size(path) == stored(tag).shape[:2]
        pixels = images.read_rgb(path)
        assert np.abs(pixels.astype(int) - stored(tag)).max() <= (60 if kind.endswith("jpeg") else 0)
        assert images.turn(pixels, tag).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "value", "found"), [(3, 6, 6), (4, 6, 6), (1, 6, 6), (3, 0, 1), (3, 9, 1), (2, 6, 1)])
def test_odd_values_of_the_tag(order: str, kind: int, value: int, found: int) -> None:
    held = struct.pack(f"{order}{({1: 'B3x', 4: 'I'}).get(kind, 'H2x')}", value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    raw = head + struct.pack(f"{order}H", 1) + struct.pack(f"{order}HHI", orientation.TAG, kind, 1) + held + b"\0" * 4
    assert orientation.look(io.BytesIO(raw)).value == found


def test_damaged_metadata_say_nothing(tmp_path: Path) -> None:
    raw = save(tmp_path / "a", 6).read_bytes()
    rng = np.random.default_rng(0)
    for cut in range(0, 200, 3):
        assert orientation.look(io.BytesIO(raw[:cut])).value in range(1, 9)
        harmed = bytearray(raw[:400])
        harmed[rng.integers(2, 60)] = rng.integers(256)
        assert orientation.look(io.BytesIO(bytes(harmed))).value in range(1, 9)


def test_many_exif_segments_cost_next_to_nothing(tmp_path: Path) -> None:
    """Pillow would join all of them, at each of 800, at each opening."""
    path = save(tmp_path / "a", 3)
    raw, segment = path.read_bytes(), b"\xff\xe1" + struct.pack(">H", 65533) + b"Exif\0\0" + b"\0" * 65525
    (_, end), *more = orientation._exif_segments(io.BytesIO(raw))
    assert not more
    before = images.read_rgb(path)
    path.write_bytes(raw[:end] + segment * 800 + raw[end:])
    read = _Counted(path.read_bytes())
    assert orientation.look(read).value == images.read_orientation(path) == 3
    assert read.n_bytes < 20_000
    with path.open("rb") as file, Image.open(orientation.plain(file)) as image:
        assert "exif" not in image.info
    assert np.array_equal(images.read_rgb(path), before)


class _Counted(io.BytesIO):
    n_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.n_bytes += len(found)
        return found


def test_endless_chunks_end(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + (struct.pack(">I", 0) + b"tEXt" + b"\0" * 4) * 150_000)
    assert orientation.look(io.BytesIO(path.read_bytes())) == orientation.Found()


# Readers


def via(root: Path, tag: int, **options: Any) -> ViaJson:
    save(root / "images" / "a", tag)
    x0, y0, x1, y1 = BOX
    region = {"shape_attributes": {"name": "polygon", "all_points_x": [x0, x1, x1, x0], "all_points_y": [y0, y0, y1, y1]}}
    (root / "via.json").write_text(json.dumps({"a.jpg1": {"filename": "a.jpg", "size": -1, "regions": [region]}}))
    return ViaJson(root, "mine", sets={"images": "via.json"}, **options)


def labelme(root: Path, tag: int, size: tuple[int, int] | None = (HEIGHT, WIDTH), **options: Any) -> LabelmeJson:
    save(root / "a", tag)
    x0, y0, x1, y1 = BOX
    shape = {"label": "a", "points": [[x0, y0], [x1, y1]], "shape_type": "rectangle", "group_id": None}
    sizes = {} if size is None else {"imageHeight": size[0], "imageWidth": size[1]}
    (root / "a.json").write_text(json.dumps({"shapes": [shape], **sizes}))
    return LabelmeJson(root, "mine", layouts=[{"images": "{id}.jpg", "labels": "{id}.json"}], **options)


def coco(root: Path, tag: int, *, shown: bool = False, sized: bool = True, **options: Any) -> CocoJson:
    save(root / "a", tag)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    x0, y0, x1, y1 = BOX
    mask[y0:y1, x0:x1] = 1
    mask = mask if shown else images.turn(mask, UNTURN[tag])
    rle = coco_mask.encode(np.asfortranarray(mask))
    segmentation = {"size": [*mask.shape], "counts": rle["counts"].decode()}
    height, width = mask.shape if sized else (-1, -1)
    image = {"id": "a", "file_name": "a.jpg", "height": height, "width": width}
    content = {"images": [image], "annotations": [{"id": 1, "image_id": "a", "segmentation": segmentation}], "categories": []}
    (root / "annotations.json").write_text(json.dumps(content))
    return CocoJson(root, "mine", exact=True, **options)


def masked(root: Path, tag: int, *, shown: bool, kind: str = "jpeg", **options: Any) -> MaskPng:
    save(root / "im" / "a", tag, kind)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    x0, y0, x1, y1 = BOX
    mask[y0:y1, x0:x1] = 255
    (root / "gt").mkdir()
    Image.fromarray(mask if shown else images.turn(mask, UNTURN[tag])).save(root / "gt" / "a.png")
    pattern = f"im/{{id}}.{FORMATS[kind][0]}"
    return MaskPng(root, "mine", layouts=[{"images": pattern, "labels": "gt/{id}.png"}], **options)


@pytest.mark.parametrize("tag", [1, 3, 5, 6])
def test_tools_that_show_pictures_turned(tag: int, tmp_path: Path) -> None:
    assert fits(via(tmp_path / "v", tag))
    assert fits(labelme(tmp_path / "l", tag))
    assert fits(labelme(tmp_path / "s", tag, size=None))


@pytest.mark.parametrize(("kind", "tag"), [("jpeg", 6), ("tiff", 3), ("tiff", 6), ("png", 6), ("webp", 2)])
def test_masks_are_of_the_stored_pixels_unless_the_card_says_otherwise(kind: str, tag: int, tmp_path: Path) -> None:
    assert fits(masked(tmp_path / "stored", tag, shown=False, kind=kind))
    assert fits(masked(tmp_path / "shown", tag, shown=True, kind=kind, orientation="shown"))
    for name, option in {"exif": {"exif": True}, "fitting": {"orientation": "fitting"}}.items():
        assert fits(masked(tmp_path / name, tag, shown=True, kind=kind, **option))
    if tag == 6:  # only its size tells which frame it is in
        assert fits(masked(tmp_path / "fits stored", tag, shown=False, kind=kind, orientation="fitting"))


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("tag", [1, 3, 5, 6])
def test_coco_is_of_the_stored_pixels_unless_the_card_says_otherwise(tag: int, sized: bool, tmp_path: Path) -> None:
    for shown, options in ((False, {}), (True, {"orientation": "shown"})):
        dataset = coco(tmp_path / str(shown), tag, shown=shown, sized=sized, **options)
        assert fits(dataset)
        assert [r.n_masks for r in dataset.index()] == [1]
        assert dataset.image_size("a") == (dataset.load("a").height, dataset.load("a").width)


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (coco, {"shown": True}, 'the image shown has that size: set orientation = "shown" under [options] of the card'),
        (masked, {"shown": True}, 'the image shown has that size: set orientation = "shown" under [options] of the card'),
        (masked, {"shown": False, "orientation": "shown"}, 'the image stored has that size: set orientation = "stored"'),
        (labelme, {"size": (WIDTH, HEIGHT)}, 'the image stored has that size: set orientation = "stored"'),
    ],
)
def test_the_error_of_sizes_names_the_option(make: Any, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as e:
        make(tmp_path, 6, **options).load("a")
    assert said in str(e.value)
    assert "EXIF orientation 6" in str(e.value)


def test_the_frame_that_was_taken_is_noted(tmp_path: Path) -> None:
    cases = ((via, {}, 6, "taken as shown"), (via, {"orientation": "stored"}, 6, "taken as stored"), (via, {}, 1, ""))
    for n, (make, options, tag, said) in enumerate(cases):
        dataset = make(tmp_path / str(n), tag, **options)
        with noting() as notes:
            dataset.load("a")
        assert [said in text and "orientation = " in text for text in notes] == ([True] if said else [])


def test_an_unknown_orientation_is_the_cards_fault(tmp_path: Path) -> None:
    path = save(tmp_path / "a", 1)
    with pytest.raises(CardError, match="orientation"):
        frame_of(path, "up")  # type: ignore[arg-type]
