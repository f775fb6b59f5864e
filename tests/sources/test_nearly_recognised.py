"""A folder that is not recognised as labels says what kept it from that, and the name with which it is read all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sambench.errors import DataError
from sambench.sources import datasets
from tests.helpers import own_data


def test_a_label_that_is_missing_and_one_that_is_a_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labels = own_data.labels(tmp_path / "lbad")
    (labels / "c.png").unlink()
    Image.open(labels / "a 1.png").save(labels / "a 1.jpg")
    (labels / "a 1.png").unlink()
    with pytest.raises(DataError) as e:
        datasets.resolve("lbad")
    said = str(e.value)
    assert "nearest to labels, but labels/a 1.jpg: " in said
    assert "1 picture has no file in labels/" in said
    assert "say `labels:lbad/images,lbad/labels`" in said
    assert datasets.resolve("labels:lbad/images,lbad/labels").notes, "what is advised works"


def test_pictures_in_place_of_masks(tmp_path: Path) -> None:
    own_data.pictures(tmp_path / "set" / "images")
    own_data.pictures(tmp_path / "set" / "masks", ".png")
    with pytest.raises(DataError, match=r"nearest to masks, but masks/a 1.png: [\d,]+ values, as a picture has"):
        datasets.resolve(str(tmp_path / "set"))
    for file in (tmp_path / "set" / "masks").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="masks/ holds no pictures"):
        datasets.resolve(str(tmp_path / "set"))
