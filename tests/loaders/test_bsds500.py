"""The reader of BSDS500: every tree it is distributed in, both forms of its files, and what is wrong with broken ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import sambench
from sambench import cards
from sambench.errors import DataError, DataMissingError, UsageError
from sambench.loaders.bsds500 import BSDS500, _n_annotators
from sambench.loaders.open import open_dataset
from tests import helpers
from tests.helpers import CASES
from tests.helpers.bsds import put

TREES = ("data", "BSDS500/data", "BSR/BSDS500/data")


def boundaries(seed: int, height: int = 30, width: int = 40, n: int = 3) -> list[np.ndarray]:
    """Thin made-up lines, a different one for every annotator."""
    out = []
    for a in range(n):
        b = np.zeros((height, width), np.uint8)
        b[5 + (seed + 3 * a) % 20] = 1
        b[:, 7 + (2 * seed + a) % 25] = 1
        out.append(b)
    return out




@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("compressed", [True, False])
def test_every_tree(tmp_path: Path, tree: str, compressed: bool) -> None:
    maps = boundaries(1)
    put(tmp_path / tree, "12", boundaries(2, n=2), do_compression=compressed)
    put(tmp_path / tree, "3", maps, do_compression=compressed)
    (tmp_path / tree / "images" / "test" / "Thumbs.db").write_bytes(b"x")
    assert BSDS500.fits(tmp_path)
    dataset = BSDS500(tmp_path, "bsds500")
    assert [(r.image_id, r.n_masks) for r in dataset.index()] == [("12", 2), ("3", 3)]
    assert all(Path(r.file).is_file() for r in dataset.index())
    sample = dataset.load("3")
    assert (sample.height, sample.width, sample.instances) == (30, 40, ())
    assert sample.boundary_max_dist == 0.0075
    assert sample.image.shape == (30, 40, 3)
    assert [b.dtype for b in sample.boundaries] == [np.dtype(bool)] * 3
    assert all((b == m).all() for b, m in zip(sample.boundaries, maps, strict=True))


def test_splits_and_digests(tmp_path: Path) -> None:
    put(tmp_path / "a" / "data", "1", boundaries(1))
    put(tmp_path / "a" / "data", "2", boundaries(2), split="val", suffix=".png")
    shutil.copytree(tmp_path / "a" / "data", tmp_path / "b" / "BSR" / "BSDS500" / "data")
    one, other = BSDS500(tmp_path / "a", "bsds500"), BSDS500(tmp_path / "b", "bsds500")
    assert one.annotation_digest() == other.annotation_digest()
    val = open_dataset(cards.dataset_card("bsds500"), variant="val", root=tmp_path / "a")
    assert [r.image_id for r in val.index()] == ["2"]
    assert val.load("2").image.shape == (30, 40, 3)
    assert val.annotation_digest() != one.annotation_digest()
    with pytest.raises(UsageError, match="test"):
        BSDS500(tmp_path / "a", "bsds500", split="tset").index()
    with pytest.raises(UsageError, match="did you mean 'train'"):
        open_dataset(cards.dataset_card("bsds500"), variant="trian", root=tmp_path / "a")


def test_a_card_of_ones_own_sets_the_tolerance(tmp_path: Path) -> None:
    put(tmp_path / "data", "5001", boundaries(1), suffix=".png")
    card = tmp_path / "nyudv2.toml"
    card.write_text(
        'id = "nyudv2"\nname = "NYUDv2"\nreader = "sambench.loaders.bsds500:BSDS500"\nmask_kind = "boundary"\n'
        'options = { max_dist = 0.011 }\n[access]\nstate = "manual"\n'
    )
    dataset = open_dataset(cards.dataset_card(str(card)), root=tmp_path)
    assert dataset.load("5001").boundary_max_dist == 0.011
    with pytest.raises(DataError, match="tolerance"):
        BSDS500(tmp_path, "nyudv2", max_dist=4.3)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    put(data, "1", boundaries(1))
    put(data, "2", boundaries(2))
    put(data, "3", [b[:-1] for b in boundaries(3)])
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(data / "images" / "test" / "3.jpg")
    put(data, "4", [b * 2 for b in boundaries(4)])
    truth = data / "groundTruth" / "test"
    (data / "images" / "test" / "2.jpg").unlink()
    for image_id, raw in (("5", b"not a mat file"), ("6", b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\0\2IM" + b"\x89HDF" * 99)):
        put(data, image_id, boundaries(5))
        (truth / f"{image_id}.mat").write_bytes(raw)
    put(data, "7", boundaries(5))
    savemat(truth / "7.mat", {"groundTruth": np.array([[{"Segmentation": np.ones((30, 40))}]], object)})
    dataset = BSDS500(tmp_path, "bsds500")
    assert len(dataset.index()) == 7
    for image_id, message in (
        ("2", "2.jpg or 2.png"),
        ("3", r"annotator 1.*\[29, 40\]"),
        ("4", "largest value 2"),
        ("5", "5.mat"),
        ("6", "7.3"),
        ("7", "no field Boundaries"),
    ):
        with pytest.raises(DataError, match=message):
            dataset.load(image_id)
    with pytest.raises(DataError, match="no image '11'"):
        dataset.load("11")
    with pytest.raises(DataMissingError, match="BSR_bsds500"):
        open_dataset(cards.dataset_card("bsds500"), root=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert not BSDS500.fits(tmp_path / "empty")


@pytest.mark.shared
def test_the_real_test_set(shared: Path) -> None:
    dataset = open_dataset(cards.dataset_card("bsds500"), root=shared / "data" / "bsds500")
    index = dataset.index()
    assert (len(index), sum(r.n_masks for r in index)) == (200, 1063)
    truth = shared / "data" / "bsds500" / "data" / "groundTruth" / "test"
    for record in index[::50]:
        sample = dataset.load(record.image_id)
        assert len(sample.boundaries) == record.n_masks == _n_annotators(truth / f"{record.image_id}.mat")
        assert {(sample.height, sample.width)} <= {(321, 481), (481, 321)}
        assert sample.image.shape == (sample.height, sample.width, 3)
        assert all(b.any() for b in sample.boundaries)


CASE = CASES / "15-own-edge-card"


@pytest.mark.parametrize("truth", ["groundTruth/test/1.mat", "double.mat"])
def test_a_card_of_ones_own_need_not_say_that_it_holds_boundaries(tmp_path: Path, truth: str) -> None:
    root = tmp_path / "data"
    shutil.copytree(CASE, root)
    shutil.copy(CASE / truth, root / "groundTruth/test/1.mat")
    results = sambench.run("edge", str(root / "card.toml"), "sobel", root=str(root), out=tmp_path / "runs", workers=1)
    assert results.metrics().set_index("metric")["value"]["ods"] == pytest.approx(0.829, abs=5e-4)
    with pytest.raises(UsageError, match="one with boundaries"):
        sambench.run("point", str(root / "card.toml"), "otsu", root=str(root), out=tmp_path / "runs")


def test_a_card_whose_reader_does_not_say_what_it_holds_is_told_of_the_option(tmp_path: Path) -> None:
    helpers.write_nuclei(tmp_path, 1)
    with pytest.raises(UsageError, match='mask_kind = "boundary"'):
        sambench.run("edge", "bbbc038v1", "sobel", root=str(tmp_path / "bbbc038v1"), out=tmp_path / "runs")


def test_boundaries_of_any_numeric_type(tmp_path: Path) -> None:
    data, wanted = tmp_path / "data", [np.eye(30, 40) > 0]
    dataset = BSDS500(tmp_path, "mine")
    for image_id, dtype in (("1", np.uint8), ("2", np.float64), ("3", np.float32), ("4", np.int16), ("5", np.bool_)):
        put(data, image_id, [wanted[0].astype(dtype)])
        assert (dataset.load(image_id).boundaries[0] == wanted[0]).all()
    for image_id, odd, says in (
        ("6", wanted[0] * 0.5, "whole numbers.*0.5"),
        ("7", np.where(wanted[0], np.nan, 0), "whole numbers.*nan"),
        ("8", wanted[0] * -1.0, "smallest value -1"),
        ("9", wanted[0].astype(np.uint8) * 255, "largest value 255"),
    ):
        put(data, image_id, [odd])
        with pytest.raises(DataError, match=f"(?s){says}"):
            dataset.load(image_id)
