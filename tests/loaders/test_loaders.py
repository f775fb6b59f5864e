"""Datasets are found and opened; BBBC038v1 in its native layout."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench import cards
from sambench.errors import CardError, DataError, DataMissingError, UsageError
from sambench.loaders.bbbc038v1 import BBBC038v1
from sambench.loaders.open import find_root, open_dataset
from sambench.types import Dataset
from tests.helpers.rasters import RGB, gray16, save, truncate

BBBC = cards.dataset_card("bbbc038v1")


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
