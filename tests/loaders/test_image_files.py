"""Pixels as they are read from files, and every damaged file by its name."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench.errors import DataError
from sambench.loaders import images
from tests.helpers.rasters import RGB, RNG, gray16, png, save, truncate


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
