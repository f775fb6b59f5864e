"""Datasets of Hugging Face, as their library writes them: label maps, one mask a picture, lists of masks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sambench.errors import DataError, UsageError, install
from sambench.sources import datasets
from tests.helpers import own_data


def table(kind: str) -> Any:
    """A table of three pictures with two objects each."""
    library = pytest.importorskip("datasets", exc_type=ImportError)
    pictures, masks = [], []
    for name in own_data.NAMES:
        objects = own_data.masks_of(name)
        values = np.zeros((own_data.HEIGHT, own_data.WIDTH), np.uint8)
        for value, mask in enumerate(objects, 1):
            values[mask] = value
        pictures.append(Image.fromarray(np.repeat((values * 90)[..., None], 3, 2)))
        as_files = [Image.fromarray(m.astype(np.uint8) * 255) for m in objects]
        both = Image.fromarray((values > 0).astype(np.uint8) * 255)
        masks.append({"labels": Image.fromarray(values), "mask": both, "objects": as_files}[kind])
    lists = getattr(library, "List", None) or library.Sequence
    feature = lists(library.Image()) if kind == "objects" else library.Image()
    features = library.Features({"image": library.Image(), kind: feature, "key": library.Value("string")})
    return library.Dataset.from_dict({"image": pictures, kind: masks, "key": ["x", "y", "z"]}, features=features)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize(("kind", "options", "n"), [("labels", "", 2), ("objects", "", 2), ("mask", ",one_mask=foreground", 1)])
def test_each_kind_of_masks(kind: str, options: str, n: int, here: Path) -> None:
    table(kind).save_to_disk(here / "set")
    found = datasets.resolve(f"hf:./set{options}")
    dataset = datasets.build(found)
    assert [(r.image_id, r.n_masks) for r in dataset.index()] == [(f"{i:06d}", n) for i in range(3)]
    for i, name in enumerate(own_data.NAMES):
        sample = dataset.load(f"{i:06d}")
        drawn = own_data.masks_of(name)
        expected = drawn if n == 2 else [np.logical_or.reduce(drawn)]
        assert len(sample.instances) == n
        for one in sample.instances:
            assert any((one.region.full() == m).all() for m in expected)
        assert sample.image.shape == (own_data.HEIGHT, own_data.WIDTH, 3)
    again = datasets.build(datasets.resolve(found.spec.name, root=found.spec.root))
    assert again.annotation_digest() == dataset.annotation_digest()


def test_splits_and_ids(here: Path) -> None:
    written = table("labels")
    (here / "set/data").mkdir(parents=True)
    for split in ("train", "test"):
        written.to_parquet(here / f"set/data/{split}-00000-of-00001.parquet")
    dataset = datasets.build(datasets.resolve("hf:set,id=key"))
    assert [r.image_id for r in dataset.index()] == ["x", "y", "z"]
    with pytest.raises(DataError, match="no such split") as e:
        datasets.build(datasets.resolve("hf:set,split=tset")).index()
    assert e.value.remedy == "did you mean 'test'?"
    with pytest.raises(DataError, match="no such column") as e:
        datasets.build(datasets.resolve("hf:set,masks=labls")).index()
    assert "labels" in str(e.value.remedy)


def test_columns_that_are_not_clear(here: Path) -> None:
    table("labels").remove_columns("labels").save_to_disk(here / "set")
    with pytest.raises(DataError, match="not clear which columns") as e:
        datasets.build(datasets.resolve("hf:./set")).index()
    assert "image: Image" in str(e.value.found)


def test_without_the_library_or_a_connection(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no id of a dataset"):
        datasets.resolve("hf:a/b/c")
    with pytest.raises(DataError, match="is not there"):
        datasets.resolve("hf:./nothing")
    found = datasets.resolve("hf:org/leaves,split=val")
    assert (found.card.id, found.spec.root) == ("org_leaves_val", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="need the package datasets") as e:
        datasets.build(found).index()
    assert e.value.remedy == install("hf")


def test_a_dataset_that_cannot_be_had(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("datasets", exc_type=ImportError)
    # Both libraries read their environment once, when they are imported; without this they try a network for 20 seconds.
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="cannot be had") as e:
        datasets.build(datasets.resolve("hf:org/nothing")).index()
    assert "org/nothing" in str(e.value.where)
