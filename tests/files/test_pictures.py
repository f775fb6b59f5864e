"""Pictures of every depth and colour, by one rule; files that are no pictures; masks and label maps in formats that lose values."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from sambench import cards
from sambench.errors import CardError, DataError, UsageError
from sambench.files.opening import cannot_open
from sambench.files.picture import MAX_PIXELS, VARIABLE
from sambench.loaders import images
from sambench.loaders.bbbc038v1 import BBBC038v1
from sambench.loaders.eight_bit import depth_is
from sambench.loaders.label_png import LabelPng
from sambench.loaders.mask_png import MaskPng
from sambench.loaders.open import open_dataset
from sambench.models.otsu import otsu
from sambench.notes import noting
from sambench.types import Prompt

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
RAMP = np.linspace(0, 1, 600).reshape(20, 30)


def rgb16(path: Path, values: np.ndarray) -> Path:
    cv2.imwrite(str(path), values[:, :, ::-1].astype(np.uint16))
    return path


def saved(path: Path, array: Any, mode: str | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


# The rule


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize(("largest", "white"), [(255, 255), (700, 1023), (4000, 4095), (9999, 16383), (65000, 65535)])
def test_gray_of_16_bits_is_shown_by_the_bits_that_it_uses(tmp_path: Path, suffix: str, largest: int, white: int) -> None:
    values = np.rint(RAMP * largest).astype(np.uint16)
    path = saved(tmp_path / f"a.{suffix}", values)
    found = images.read_rgb(path)
    assert found.dtype == np.uint8
    assert np.abs(found[:, :, 0] - values * (255 / white)).max() <= 0.5
    assert (found == found[:, :, :1]).all()
    with depth_is("full"):
        assert np.abs(images.read_rgb(path)[:, :, 1] - values * (255 / 65535)).max() <= 0.5


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colour_of_16_bits_keeps_its_low_bytes(tmp_path: Path, suffix: str) -> None:
    values = RNG.integers(0, 1024, (20, 30, 3))  # whose high bytes are 0 to 3
    values[0, 0] = 1023
    found = images.read_rgb(rgb16(tmp_path / f"a.{suffix}", values))
    assert np.abs(found - values * (255 / 1023)).max() <= 0.5


def test_floats(tmp_path: Path) -> None:
    for k, (scale, white) in enumerate(((1, 1), (0.4, 1), (255, 255))):
        path = saved(tmp_path / f"{k}.tif", (RAMP * scale).astype(np.float32))
        assert np.abs(images.read_rgb(path)[:, :, 0] - RAMP * (255 * scale / white)).max() <= 0.51
    for k, odd in enumerate((RAMP * 3000, RAMP - 0.5, np.where(RAMP > 0.5, np.nan, RAMP))):
        path = saved(tmp_path / f"odd{k}.tif", odd.astype(np.float32))
        with pytest.raises(DataError, match='depth = "window"') as e:
            images.read_rgb(path)
        assert str(path) in str(e.value)
        with depth_is("window"):
            found = images.read_rgb(path)[:, :, 0]
        assert (found.min(), found.max()) == (0, 255)
        shown = np.isfinite(odd)
        assert (np.diff(found[shown].astype(int)) >= 0).all()
        assert not found[~shown].any()


def test_the_window_is_that_of_percentiles_over_all_channels(tmp_path: Path) -> None:
    values = RNG.integers(10_000, 20_000, (40, 50, 3))
    values[0, 0], values[0, 1] = 0, 65535
    path = rgb16(tmp_path / "a.png", values)
    low, high = np.percentile(values, (1, 99))
    with depth_is("window"):
        found = images.read_rgb(path)
    assert np.abs(found - np.clip((values - low) * (255 / (high - low)), 0, 255)).max() <= 0.51
    with depth_is("window"):  # 8 bits are taken as they are
        assert (images.read_rgb(saved(tmp_path / "b.png", RGB)) == RGB).all()


def test_32_bit_integers(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", np.rint(RAMP * 4095).astype(np.int32))
    assert np.abs(images.read_rgb(path)[:, :, 0] - RAMP * 255).max() <= 0.6
    beyond = saved(tmp_path / "b.tif", np.rint(RAMP * 1e6).astype(np.int32))
    with pytest.raises(DataError, match="depth"):
        images.read_rgb(beyond)
    with depth_is("window"):
        assert images.read_rgb(beyond).max() == 255


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    flat = np.zeros((16, 24, 3), np.uint8) + np.array([200, 90, 30], np.uint8)
    path = saved(tmp_path / f"a.{suffix}", flat, "CMYK")
    with noting() as said:
        found = images.read_rgb(path)
    assert np.abs(found.astype(int) - flat).max() <= 4
    assert any("CMYK" in s for s in said)
    if suffix == "jpg":  # inverted, as Adobe and OpenCV have it
        assert np.abs(found.astype(int) - cv2.imread(str(path))[:, :, ::-1]).max() <= 3


def test_lab_and_ycbcr(tmp_path: Path) -> None:
    flat = np.zeros((16, 24, 3), np.uint8) + np.array([200, 90, 30], np.uint8)
    assert np.abs(images.read_rgb(saved(tmp_path / "y.tif", flat, "YCbCr")).astype(int) - flat).max() <= 3
    assert np.abs(images.read_rgb(saved(tmp_path / "l.tif", flat, "LAB")).astype(int) - flat).max() <= 6


def test_transparency_is_dropped_and_not_composited(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(8)
    palette.save(tmp_path / "p.png", transparency=bytes([0, 40, 80, 120, 160, 200, 240, 255]))
    wanted = np.asarray(palette.convert("RGB"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (images.read_rgb(tmp_path / "p.png") == wanted).all()
    assert (images.read_rgb(saved(tmp_path / "a.png", np.dstack([RGB, RGB[:, :, 0]]))) == RGB).all()
    assert (images.read_rgb(saved(tmp_path / "la.png", np.dstack([RGB[:, :, 0], RGB[:, :, 1]]))) == RGB[:, :, :1]).all()


def test_deep_tiffs_are_read_as_stored(tmp_path: Path) -> None:
    values = RNG.integers(0, 65536, (20, 30, 3)) | 1
    values[0, 0] = 65535
    path = rgb16(tmp_path / "a.tif", values)
    raw = bytearray(path.read_bytes())
    (at,) = struct.unpack("<I", raw[4:8])
    (n,) = struct.unpack("<H", raw[at : at + 2])
    entries = [raw[at + 2 + 12 * k : at + 14 + 12 * k] for k in range(n)]
    turned = sorted([*entries, struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)], key=lambda e: struct.unpack("<H", e[:2]))
    raw[4:8] = struct.pack("<I", len(raw))
    path.write_bytes(bytes(raw) + struct.pack("<H", n + 1) + b"".join(turned) + bytes(4))
    assert images.read_size(path) == (20, 30)
    assert np.abs(images.read_rgb(path) - values / 257).max() <= 0.5


def coco(root: Path, picture: Path) -> cards.DatasetCard:
    height, width = images.read_size(picture)
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 8, 6], "area": 48, "iscrowd": 0}
    file = {
        "images": [{"id": 1, "file_name": picture.name, "height": height, "width": width}],
        "annotations": [{**annotation, "segmentation": [[2, 2, 10, 2, 10, 8, 2, 8]]}],
        "categories": [{"id": 1, "name": "a"}],
    }
    (root / "a.json").write_text(json.dumps(file))
    return cards.DatasetCard(
        id="mine",
        name="mine",
        reader="sambench.loaders.coco:CocoJson",
        access=cards.Access(state="manual", steps=("x",)),
        options={"annotations": "a.json", "images": ""},
    )


@pytest.mark.parametrize("form", ["cmyk.jpg", "gray16.png", "rgb16.tif", "float.tif", "lab.tif", "palette.png"])
def test_otsu_finds_the_rectangle_in_pictures_of_every_form(tmp_path: Path, form: str) -> None:
    gray = np.full((48, 64), 40, np.uint8)
    gray[2:8, 2:10] = 210
    rgb, path = np.repeat(gray[:, :, None], 3, axis=2), tmp_path / form
    kind = form.partition(".")[0]
    if kind == "rgb16":
        rgb16(path, rgb.astype(np.uint16) * 257)
    elif kind in ("gray16", "float"):
        saved(path, gray.astype(np.uint16) * 257 if kind == "gray16" else (gray / 255).astype(np.float32))
    elif kind == "palette":
        Image.fromarray(rgb).quantize(4).save(path)
    else:
        saved(path, rgb, {"cmyk": "CMYK", "lab": "LAB"}[kind], **({"quality": 95} if kind == "cmyk" else {}))
    sample = open_dataset(coco(tmp_path, path), root=tmp_path).load("1")
    model = otsu()
    (answer,) = model.decode(model.encode(sample.image), [Prompt(np.array([[5, 4]], np.float32), np.ones(1, np.int8))])
    assert np.array_equal(np.asarray(answer.masks.array(0)), sample.instances[0].region.full())


def test_a_card_chooses_the_depth_for_any_reader(tmp_path: Path) -> None:
    values = np.rint(RAMP * 300 + 40).astype(np.uint16)
    card = coco(tmp_path, saved(tmp_path / "a.png", values))
    found = {}
    for depth in ("auto", "full", "window"):
        chosen = card.model_copy(update={"options": {**card.options, "depth": depth}})
        with noting() as said:
            found[depth] = open_dataset(chosen, root=tmp_path).load("1").image[:, :, 0]
        assert any("16-bit images" in s for s in said)
    assert (found["auto"] == open_dataset(card, root=tmp_path).load("1").image[:, :, 0]).all()
    assert found["full"].max() == 1
    assert found["auto"].max() == round(340 * 255 / 1023)
    assert (found["window"].min(), found["window"].max()) == (0, 255)
    with pytest.raises(CardError, match="'deep'"):
        open_dataset(card.model_copy(update={"options": {**card.options, "depth": "deep"}}), root=tmp_path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # of the files that are cut
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_tiffs_that_pillow_does_not_open(tmp_path: Path, dtype: type) -> None:
    values = (RGB * 16 if dtype is np.int32 else RGB / 255).astype(dtype)
    values[0, 0] = 4095 if dtype is np.int32 else 1
    cv2.imwrite(str(tmp_path / "a.tif"), values[:, :, ::-1])
    assert images.read_size(tmp_path / "a.tif") == (20, 30)
    assert images.read_orientation(tmp_path / "a.tif") == 1
    found = images.read_rgb(tmp_path / "a.tif", size=(20, 30))
    assert np.abs(found - values / values.max() * 255).max() <= 0.51
    with pytest.raises(DataError, match="another size"):
        images.read_rgb(tmp_path / "a.tif", size=(30, 20))
    with pytest.raises(DataError, match="3 channels of"):
        images.read_rgb(tmp_path / "a.tif", plain=True)
    cv2.imwrite(str(tmp_path / "b.tif"), values[:, :, 0])
    assert images.read_rgb(tmp_path / "b.tif").shape == (20, 30, 3)
    raw = (tmp_path / "a.tif").read_bytes()
    for n in (60, len(raw) // 2):
        (tmp_path / "cut.tif").write_bytes(raw[:n])
        with pytest.raises(DataError, match=r"cut\.tif"):
            images.read_rgb(tmp_path / "cut.tif")


def test_pictures_of_ones_own_in_a_releases_layout(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    saved(folder / "images/x.PNG", np.rint(RAMP * 4095).astype(np.uint16))
    saved(folder / "masks/m.PNG", ((RAMP > 0.5) * 255).astype(np.uint8))
    with pytest.raises(DataError, match="plain = false"):
        BBBC038v1(tmp_path, "mine").load("x").read()
    assert BBBC038v1(tmp_path, "mine", plain=False).load("x").image.max() == 255


# What is opened at all


def bits(path: Path, width: int, height: int) -> Path:
    """A 1-bit PNG of any size in few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    squeeze = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(squeeze.compress(row * min(512, height - y)) for y in range(0, height, 512)) + squeeze.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def test_a_small_file_does_not_take_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bits(tmp_path / "big.png", 32000, 32000)
    assert path.stat().st_size < 1 << 18
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))\n"
        "from pathlib import Path; from sambench.loaders import images; from sambench.errors import DataError\n"
        "for read in (images.read_size, images.read_rgb, images.read_labels, images.read_mask):\n"
        "    try: read(Path(sys.argv[1])); sys.exit(1)\n"
        "    except DataError as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"where: {path}") == 4
    assert f"at most {MAX_PIXELS} pixels" in done.stdout
    assert VARIABLE in done.stdout
    small = bits(tmp_path / "small.png", 40, 30)
    monkeypatch.setenv(VARIABLE, "1199")
    with pytest.raises(DataError, match="40 x 30"):
        images.read_rgb(small)
    monkeypatch.setenv(VARIABLE, "1200")
    assert images.read_rgb(small).shape == (30, 40, 3)
    monkeypatch.setenv(VARIABLE, "2")
    with pytest.raises(DataError, match="bytes"):
        images.read_rgb(small)
    for odd in ("many", "-3", "0", "9" * 5000):
        monkeypatch.setenv(VARIABLE, odd)
        with pytest.raises(UsageError, match=VARIABLE):
            images.read_rgb(small)


def test_the_size_is_compared_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", RGB)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(DataError, match="another size"):
        images.read_rgb(path, size=(30, 20))


@pytest.mark.parametrize(("make", "says"), [(os.mkfifo, "a named pipe"), (os.mkdir, "a folder")])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    make(tmp_path / "a.png")
    for read in (images.read_size, images.read_rgb, images.read_labels, images.read_orientation):
        with pytest.raises(DataError, match=says):
            read(tmp_path / "a.png")


def test_a_device_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="a device"):
        images.read_rgb(tmp_path / "a.png")


def test_permission_denied_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", RGB)
    whole = Path.open

    def denied(self: Path, *args: Any, **options: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return whole(self, *args, **options)

    monkeypatch.setattr(Path, "open", denied)  # these tests may run as root, who may read everything
    for read in (images.read_size, images.read_rgb, images.read_labels):
        with pytest.raises(DataError, match="permission denied") as e:
            read(path)
        assert "damaged" not in str(e.value)
    assert "no such file" in str(cannot_open(path, FileNotFoundError(2, "x"), "an image file"))


FORMS: list[tuple[str, str | None, dict[str, Any]]] = [
    ("png", None, {}),
    ("png", "P", {}),
    ("jpg", "CMYK", {}),
    ("tif", "LAB", {"compression": "tiff_lzw"}),
    ("webp", None, {"lossless": True}),
    ("jp2", None, {}),
    ("gif", "L", {}),
    ("bmp", None, {}),
    ("tif", None, {"compression": "jpeg"}),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("suffix", "mode", "options"), FORMS)
def test_damaged_pictures_raise_nothing_else(tmp_path: Path, suffix: str, mode: str | None, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(7)
    raw = saved(tmp_path / f"a.{suffix}", RGB, mode, **options).read_bytes()
    path = tmp_path / f"b.{suffix}"
    for _ in range(60):
        harmed = bytearray(raw[: int(rng.integers(1, len(raw) + 1))] if rng.random() < 0.3 else raw)
        for at in rng.integers(0, min(len(harmed), 400), int(rng.integers(1, 6))):
            harmed[at] = int(rng.integers(0, 256))
        path.write_bytes(harmed)
        for read in (images.read_size, images.read_rgb, images.read_labels, images.read_mask_values, images.read_orientation):
            with suppress(DataError):
                read(path)


def test_a_tiff_that_lacks_rows_is_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", RGB)
    raw = bytearray(path.read_bytes())
    (at,) = struct.unpack("<I", raw[4:8])
    (n,) = struct.unpack("<H", raw[at : at + 2])
    height = next(at + 2 + 12 * k for k in range(n) if raw[at + 2 + 12 * k : at + 4 + 12 * k] == b"\x01\x01")
    raw[height : height + 12] = struct.pack("<HHII", 257, 4, 1, 50_000)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="20 of 50000 rows"):
        images.read_rgb(path)


# Values in files


LABELS = np.repeat(np.repeat(RNG.integers(0, 7, (5, 6)), 8, axis=0), 8, axis=1).astype(np.uint8)
LOSSY: list[tuple[str, dict[str, Any]]] = [
    ("jpg", {}),
    ("tif", {"compression": "jpeg"}),
    ("webp", {"quality": 90}),
    ("jp2", {"irreversible": True}),
]


@pytest.mark.parametrize(("suffix", "options"), LOSSY)
def test_values_are_not_read_from_lossy_formats(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    saved(tmp_path / "im/a.png", np.repeat(LABELS[:, :, None] * 30, 3, axis=2))
    gray = (LABELS > 3).astype(np.uint8) * 255
    saved(tmp_path / f"gt/a.{suffix}", np.repeat(gray[:, :, None], 3, axis=2) if suffix == "webp" else gray, **options)
    layouts = [{"images": "im/{id}.*", "labels": "gt/{id}.*"}]
    with pytest.raises(DataError, match="lossy") as e:
        LabelPng(tmp_path, "mine", layouts=layouts, colours=True).load("a")
    assert f"a.{suffix}" in str(e.value)
    with pytest.raises(DataError, match="lossy = true"):
        MaskPng(tmp_path, "mine", layouts=layouts).load("a")
    (mask,) = MaskPng(tmp_path, "mine", layouts=layouts, lossy=True).load("a").instances
    assert np.mean(mask.region.full() == (LABELS > 3)) > 0.99
    with pytest.raises(DataError, match="lossy"):
        images.read_mask(tmp_path / f"gt/a.{suffix}")


LOSSLESS = [("webp", {"lossless": True}), ("jp2", {}), ("tif", {"compression": "tiff_lzw"}), ("bmp", {}), ("gif", {})]


@pytest.mark.parametrize(("suffix", "options"), LOSSLESS)
def test_values_are_read_from_lossless_formats(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    rgb = suffix == "webp"  # WebP has no gray
    path = saved(tmp_path / f"a.{suffix}", np.repeat(LABELS[:, :, None], 3, axis=2) if rgb else LABELS, **options)
    found = images.read_labels(path, colours=True)
    assert (found == LABELS.astype(int) * (0x010101 if rgb else 1)).all() if suffix != "gif" else len(np.unique(found)) == 7


def test_a_mask_below_its_threshold_is_no_empty_mask(tmp_path: Path) -> None:
    for name, values in (("a", LABELS), ("b", LABELS * 0), ("c", (LABELS > 3) * 1), ("d", (LABELS > 3) * 255)):
        saved(tmp_path / f"im/{name}.png", RGB[:1, :1].repeat(40, 0).repeat(48, 1))
        saved(tmp_path / f"gt/{name}.png", values.astype(np.uint8))
    dataset = MaskPng(tmp_path, "mine", layouts=[{"images": "im/{id}.png", "labels": "gt/{id}.png"}])
    assert {r.image_id: r.n_masks for r in dataset.index()} == {"a": 1, "b": 0, "c": 1, "d": 1}
    with pytest.raises(DataError, match="set `above`, below 6") as e:
        dataset.load("a")
    assert "a.png" in str(e.value)
    assert dataset.load("b").n_dropped == 1
    assert dataset.load("c").instances[0].area_px == dataset.load("d").instances[0].area_px == (LABELS > 3).sum()
