"""A card of one's own, given by its path: every command that an error advises works with it, and no error speaks of a release."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench import cards
from sambench.errors import DataError
from sambench.loaders.guard import Origin
from tests.helpers.inprocess import Cli

CARD = """
id = "mine"
name = "Mine"
reader = "sambench.loaders.coco:CocoJson"
layout = ["<root>/ann.json", "<root>/img/<file_name>"]
[options]
annotations = "ann.json"
images = "img"
[variants.broken]
description = "not JSON"
options = {annotations = "bad.json"}
[access]
state = "manual"
steps = ["ask me"]
"""
GIVEN = "./cards of mine/my card.toml"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a card and, beside it, the files."""
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "cards of mine").mkdir()
    (tmp_path / GIVEN).write_text(CARD)
    data = tmp_path / "the data"
    (data / "img").mkdir(parents=True)
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (40, 50, 3)).astype(np.uint8)).save(data / "img" / "a.png")
    ring = [5, 5, 25, 5, 25, 25, 5, 25]
    one = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 400, "bbox": [5, 5, 20, 20], "segmentation": [ring]}
    image = {"id": 1, "file_name": "a.png", "height": 40, "width": 50}
    whole = {"images": [image], "categories": [{"id": 1, "name": "x"}], "annotations": [one]}
    (data / "ann.json").write_text(json.dumps(whole))
    (data / "bad.json").write_text('{"images": [')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def advised(text: str) -> list[list[str]]:
    """The commands in an error, as a shell would split them."""
    found = re.findall(r"sambench ((?:show|data) .*?)(?= says| reads|`|$|;)", text, flags=re.MULTILINE)
    return [shlex.split(f) for f in found]


def test_what_an_absent_dataset_advises_works(cli: Cli, world: Path) -> None:
    ended = cli("run", "point", "-d", GIVEN, "-m", "otsu")
    assert ended.code == 2
    (command,) = advised(ended.err)
    assert command == ["data", "adopt", GIVEN, "FOLDER"]
    wrong = cli("data", "adopt", GIVEN, ".")
    assert wrong.code == 2
    (command,) = advised(wrong.err)  # one level below, with a space in its name
    adopted = cli(*command)
    assert adopted.code == 0, adopted.err
    (verify,) = advised(adopted.out)
    assert cli(*verify).code == 0
    assert json.loads((world / "home" / "roots.json").read_text()) == {"mine": str(world / "the data")}
    for args in (("show", "dataset"), ("data", "where"), ("data", "get"), ("data", "verify"), ("data", "preview")):
        assert cli(*args, GIVEN).code == 0, args
    assert (world / "mine-preview.png").is_file()
    ran = cli("run", "point", "-d", GIVEN, "-m", "otsu", "--clicks", "1", "--workers", "1")
    assert ran.code == 0, ran.err


def test_the_variant_of_a_card_by_path(cli: Cli, world: Path) -> None:
    ended = cli("data", "verify", f"{GIVEN}:broken", "--root", "the data")
    assert ended.code == 2
    assert "bad.json" in ended.err
    (command,) = advised(ended.err)
    assert cli(*command).code == 0
    assert cards.split_variant("a:b") == ("a", "b")
    assert cards.split_variant("x/a.toml") == ("x/a.toml", None)
    assert cards.split_variant("x/a.toml:b") == ("x/a.toml", "b")


@pytest.mark.parametrize("place", ["path", "home"])
def test_no_release_where_there_is_none(cli: Cli, world: Path, place: str) -> None:
    name = GIVEN
    if place == "home":
        (world / "home/cards/datasets").mkdir(parents=True)
        (world / GIVEN).rename(world / "home/cards/datasets/mine.toml")
        name = "mine"
    (world / "the data" / "img" / "a.png").write_bytes(b"x")
    for args in ((f"{name}:broken",), (name,)):
        ended = cli("data", "verify", *args, "--root", "the data")
        said = (ended.out + ended.err).replace(str(world), "")
        assert ended.code in (1, 2)
        assert not re.search(r"unpack|fetch|release|archive", said), said
        assert f"sambench show dataset {shlex.quote(name)} says" in said


MEND = "mend the file, or what the card says of it; sambench show dataset ./a.toml says what is expected"


HERE = "; sambench show dataset a says where it comes from"


@pytest.mark.parametrize(
    ("of_release", "remedy", "own", "released"),
    [
        (None, None, MEND, "fetch or unpack this file again" + HERE),
        ("unpack the archive again", None, MEND, "unpack the archive again" + HERE),
        ("compare the file", "mend that record", "mend that record", "compare the file, or mend that record" + HERE),
        (None, "did you mean 'x'?", "did you mean 'x'?", "did you mean 'x'?"),
        (None, "unpack it, or write it again", "unpack it, or write it again", "unpack it, or write it again"),
    ],
)
def test_what_to_do_depends_on_whose_it_is(of_release: str | None, remedy: str | None, own: str, released: str) -> None:
    error = DataError("a file is broken", of_release=of_release, remedy=remedy)
    assert Origin("a", "./a.toml", released=False).advice(error) == own
    assert Origin("a", "a").advice(error) == released
    assert ("what to do" in str(error)) is bool(of_release or remedy)


def test_whose_a_card_is(world: Path) -> None:
    assert cards.dataset_card("demo").released
    assert cards.dataset_card("demo").named == "demo"
    mine = cards.dataset_card(GIVEN)
    assert not mine.released
    assert shlex.split(mine.named) == [GIVEN]


def test_results_of_a_relative_card_from_another_folder(cli: Cli, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = cli("run", "point", "-d", GIVEN, "--root", "the data", "-m", "otsu", "--clicks", "1", "--workers", "1", "-o", "my runs")
    assert ran.code == 0, ran.err
    (following,) = re.findall(r"^next: sambench (.*)$", ran.err, flags=re.MULTILINE)
    assert cli(*shlex.split(following)).code == 0
    (cell,) = (world / "my runs").glob("*/*/cell.json")
    before = cell.parent.name
    elsewhere = world / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for args in (("gallery",), ("plot",)):
        ended = cli(*args, str(world / "my runs"))
        assert ended.code == 0, ended.err
        assert ".png" in ended.out
    again = cli("run", "point", "-d", world / GIVEN, "--root", world / "the data", "-m", "otsu", "--clicks", "1", "--workers", "1")
    assert again.code == 0, again.err
    assert [p.parent.name for p in elsewhere.glob("runs/*/*/cell.json")] == [before]  # the path is not in the identity


READERS = """
import sys
from sambench.types import ImageRecord
def raises(root, *, name, variant): raise KeyError("k")
def exits(root, *, name, variant): sys.exit(0)
def nothing(root, *, name, variant): return None
value = 5
class Reader:
    def __init__(self, root, *, name, variant): self.name, self.variant = name, variant
    def index(self): return [ImageRecord("a", 1)]
    def load(self, image_id): return None
    def annotation_digest(self): return "x"
class IndexNone(Reader):
    def index(self): return None
class IndexOther(Reader):
    def index(self): return [ImageRecord("a", "one")]
class IndexExits(Reader):
    def index(self): sys.exit(0)
class DigestNone(Reader):
    def annotation_digest(self): return None
class LoadExits(Reader):
    def load(self, image_id): sys.exit(0)
class FitsRaises(Reader):
    @staticmethod
    def fits(root): raise ZeroDivisionError("z")
"""


@pytest.mark.parametrize(
    ("reader", "code", "says"),
    [
        ("own_readers:raises", 2, "KeyError: 'k'"),
        ("own_readers:exits", 2, "SystemExit: 0"),
        ("own_readers:nothing", 2, "NoneType"),
        ("own_readers:value", 2, "cannot be called"),
        ("own_readers:absent", 2, "cannot be imported"),
        ("own_exits:x", 2, "SystemExit: 0"),
        ("own_readers:IndexNone", 2, "a list of sambench.types.ImageRecord"),
        ("own_readers:IndexOther", 2, "a list of sambench.types.ImageRecord"),
        ("own_readers:IndexExits", 2, "SystemExit: 0"),
        ("own_readers:DigestNone", 2, "annotation_digest()"),
        ("own_readers:FitsRaises", 2, "ZeroDivisionError: z"),
        ("own_readers:Reader", 1, "sambench.types.Sample"),
        ("own_readers:LoadExits", 1, "SystemExit: 0"),
    ],
)
def test_a_reader_of_ones_own_cannot_end_a_command(
    cli: Cli, world: Path, monkeypatch: pytest.MonkeyPatch, reader: str, code: int, says: str
) -> None:
    (world / "own_readers.py").write_text(READERS)
    (world / "own_exits.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(str(world))
    (world / "r.toml").write_text(f'id = "r"\nname = "R"\nreader = "{reader}"\nlayout = ["x"]\n[access]\nstate = "manual"\n')
    ended = cli("data", "verify", "r.toml", "--root", "the data")
    if reader != "own_readers:DigestNone":  # which nothing asks for here
        assert ended.code == code
        assert says in ended.out + ended.err
    planned = cli("run", "point", "-d", "r.toml", "--root", "the data", "-m", "otsu", "--dry-run")
    assert planned.code == (2 if code == 2 else 0)
    assert code == 1 or says in planned.err


def test_the_line_of_a_reader_is_shown_on_demand(cli: Cli, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (world / "own_readers_b.py").write_text(READERS)
    monkeypatch.syspath_prepend(str(world))
    monkeypatch.setenv("SAMBENCH_DEBUG", "1")
    (world / "r.toml").write_text('id = "r"\nname = "R"\nreader = "own_readers_b:raises"\n[access]\nstate = "manual"\n')
    assert f"own_readers_b.py{os.sep}"[:-1] in cli("data", "verify", "r.toml", "--root", "the data").err
