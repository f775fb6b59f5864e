"""What is said of a dataset that has no card speaks of the options after its name, not of those of a card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from sambench.errors import DataError
from sambench.notes import as_named
from sambench.sources import datasets
from tests.helpers import own_data
from tests.helpers.inprocess import Cli


@pytest.mark.parametrize(
    ("said", "of_a_name"),
    [
        ('that size: set orientation = "shown" under [options] of the card', "that size: add `,orientation=shown` to the name"),
        ('(crowds = "objects" under [options] of the card: objects)', "(`,crowds=objects` after the name: objects)"),
        ("set all_images = true under [options] of its card", "add `,all_images=true` to the name"),
        ("becomes white (card option depth = 'auto')", "becomes white (option `,depth=auto` after the name)"),
        ("set `above`, below 3, under [options] of the card if", "set `above`, below 3, as `,key=value` after the name if"),
        ("give the images' place in `images` of the card's layouts", "give the images' place in the name"),
    ],
)
def test_words_for_a_card_and_for_a_name(said: str, of_a_name: str) -> None:
    assert as_named(said, "labels:images,labels") == of_a_name
    assert as_named(said, "ade20k") == as_named(said, "./mine.toml") == said


@pytest.fixture
def turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures with label maps; the EXIF data of one say that it is to be turned."""
    monkeypatch.chdir(tmp_path)
    own_data.labels(tmp_path / "set")
    path = tmp_path / "set" / "images" / "c.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(path).save(path, exif=exif)
    return tmp_path / "set"


def test_notes_on_files(cli: Cli, turned: Path) -> None:
    said = cli("data", "verify", "labels:set/images,set/labels").out
    assert "(`,orientation=" in said
    assert "of the card" not in said
    assert cli("data", "verify", "labels:set/images,set/labels,orientation=shown").code == 0, "what is advised works"


def test_errors_of_crowds_alone(tmp_path: Path) -> None:
    file = own_data.coco(tmp_path)
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    file.write_text(json.dumps(content))
    name = f"coco:{file},{tmp_path / 'images'}"
    with pytest.raises(DataError) as e:
        datasets.build(datasets.resolve(name)).index()
    assert "`,crowds=objects`" in str(e.value)
    assert "of the card" not in str(e.value)
    assert datasets.build(datasets.resolve(f"{name},crowds=objects")).index(), "what is advised works"
