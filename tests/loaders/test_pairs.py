"""Images and their annotation files: never one for the other, never one of two, in any letter case."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sambench
from sambench import cards
from sambench.errors import DataError
from sambench.loaders.bsds500 import BSDS500
from sambench.loaders.label_png import LabelPng
from sambench.loaders.mask_png import MaskPng
from sambench.loaders.open import open_dataset
from sambench.notes import noting
from tests.helpers import CASES

CASE = CASES / "03-label-taken-as-image"
PHOTO = np.full((20, 30, 3), 90, np.uint8)
MASK = np.zeros((20, 30), np.uint8)
MASK[4:9, 5:15] = 255


def put(root: Path, **files: np.ndarray) -> None:
    """name: `a_jpg` is a.jpg."""
    root.mkdir(parents=True, exist_ok=True)
    for name, array in files.items():
        stem, _, suffix = name.rpartition("_")
        kind = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF"}.get(suffix.lower(), suffix.upper())
        Image.fromarray(array).save(root / f"{stem}.{suffix}", format=kind)


def masks(root: Path, images: str, labels: str) -> MaskPng:
    return MaskPng(root, "mine", layouts=[{"images": images, "labels": labels}])


def test_the_photograph_beside_its_mask_is_the_image(tmp_path: Path) -> None:
    results = sambench.run("point", str(CASE / "card.toml"), "otsu", root=str(CASE), out=tmp_path, workers=1)
    assert round(100 * float(results.metrics()["value"].iloc[0]), 1) == 10.4  # mIoU after one click


PATTERNS = [("d/{id}.*", "d/{id}.png"), ("d/{id}.jpg", "d/{id}.*"), ("d/{path}.*", "d/{path}.png"), ("{path}.jpg", "{path}.*")]


@pytest.mark.parametrize(("images", "labels"), PATTERNS)
def test_a_pattern_with_its_suffix_decides(tmp_path: Path, images: str, labels: str) -> None:
    put(tmp_path / "d", a_jpg=PHOTO, a_png=MASK)
    dataset = masks(tmp_path, images, labels)
    (record,) = dataset.index()
    assert record.file.endswith("a.jpg")
    sample = dataset.load(record.image_id)
    assert sample.instances[0].area_px == 50
    assert np.ptp(sample.image) < 3


def test_a_label_alone_is_no_image(tmp_path: Path) -> None:
    put(tmp_path / "d", a_png=MASK, b_png=MASK, b_tif=PHOTO)
    dataset = masks(tmp_path, "d/{id}.*", "d/{id}.png")
    assert [r.image_id for r in dataset.index()] == ["a", "b"]
    with pytest.raises(DataError, match="fits only its annotation"):
        dataset.load("a")
    assert np.ptp(dataset.load("b").image) == 0
    with pytest.raises(DataError, match="fits only its annotation"):
        masks(tmp_path, "d/{id}.png", "d/{id}.png").load("a")


def test_patterns_that_do_not_tell_name_both_files(tmp_path: Path) -> None:
    put(tmp_path / "d", a_jpg=PHOTO, a_png=MASK)
    dataset = masks(tmp_path, "d/{id}.*", "d/{id}.*")
    with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
        dataset.load(dataset.index()[0].image_id)


@pytest.mark.parametrize("reader", [MaskPng, LabelPng])
def test_two_pictures_of_one_name(tmp_path: Path, reader: type) -> None:
    put(tmp_path / "im", a_jpg=PHOTO, a_png=PHOTO, b_jpg=PHOTO)
    put(tmp_path / "gt", a_png=MASK, b_png=MASK, b_tif=MASK, c_png=MASK)
    put(tmp_path / "im", c_JPG=PHOTO)
    dataset = reader(tmp_path, "mine", layouts=[{"images": "im/{id}.*", "labels": "gt/{id}.*"}])
    assert len(dataset.index()) == 3
    with pytest.raises(DataError, match=r"a\.jpg and a\.png") as e:
        dataset.load("a")
    assert "`images` of the card's layouts" in str(e.value)
    with pytest.raises(DataError, match=r"b\.png and b\.tif") as e:
        dataset.load("b")
    assert "`labels` of the card's layouts" in str(e.value)
    assert dataset.load("c").image.shape == (20, 30, 3)
    dataset = reader(tmp_path, "mine", layouts=[{"images": "im/{id}.png", "labels": "gt/{id}.png"}])
    assert dataset.load("a").image.shape == (20, 30, 3)


@pytest.mark.parametrize("images", ["im/{id}.png", "im/{id}.*"])
@pytest.mark.parametrize(("image", "label"), [("a_PNG", "a_png"), ("a_Png", "a_PNG"), ("a_png", "a_Png"), ("A_png", "a_png")])
def test_other_letter_case(tmp_path: Path, images: str, image: str, label: str) -> None:
    put(tmp_path / "im", **{image: PHOTO})
    put(tmp_path / "gt", **{label: MASK})
    dataset = masks(tmp_path, images, "gt/{id}.png")
    (record,) = dataset.index()
    assert record.image_id == "a"
    with noting() as said:
        assert dataset.load("a").image.shape == (20, 30, 3)
    assert any("letter case" in s for s in said) is (image[0] == "A" or "{id}.png" in images or label != "a_png")


def test_the_named_case_wins_over_others(tmp_path: Path) -> None:
    put(tmp_path / "im", a_png=PHOTO, a_PNG=PHOTO[:, :10])
    put(tmp_path / "gt", a_png=MASK)
    assert masks(tmp_path, "im/{id}.png", "gt/{id}.png").load("a").image.shape == (20, 30, 3)
    with pytest.raises(DataError, match=r"a\.PNG and a\.png"):
        masks(tmp_path, "im/{id}.*", "gt/{id}.png").load("a")


def test_a_pipe_costs_its_image_only(tmp_path: Path) -> None:
    put(tmp_path / "im", b_png=PHOTO)
    put(tmp_path / "gt", a_png=MASK, b_png=MASK)
    os.mkfifo(tmp_path / "im" / "a.png")
    card = cards.DatasetCard(
        id="mine",
        name="mine",
        reader="sambench.loaders.mask_png:MaskPng",
        access=cards.Access(state="manual", steps=("x",)),
        options={"layouts": [{"images": "im/{id}.*", "labels": "gt/{id}.png"}]},
    )
    dataset = open_dataset(card, root=tmp_path)
    assert [r.image_id for r in dataset.index()] == ["a", "b"]
    with pytest.raises(DataError, match="a named pipe"):
        dataset.load("a")
    assert len(dataset.load("b").instances) == 1


def test_two_photographs_of_one_ground_truth(tmp_path: Path) -> None:
    (tmp_path / "groundTruth/test").mkdir(parents=True)
    (tmp_path / "groundTruth/test/1.mat").write_bytes(b"")
    put(tmp_path / "images/test", **{"1_jpg": PHOTO, "1_png": PHOTO})
    dataset = BSDS500(tmp_path, "mine")
    assert len(dataset.index()) == 1
    with pytest.raises(DataError, match=r"1\.jpg and 1\.png"):
        dataset.load("1")
