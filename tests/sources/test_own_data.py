"""One's own data in one line: every format gives the masks that were drawn, by a name or by a path alone, wherever it lies."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sambench.errors import CardError, DataError, SambenchError, UsageError
from sambench.sources import datasets
from sambench.sources.data import words
from sambench.sources.data.base import Recogniser
from tests.helpers import own_data
from tests.helpers.inprocess import Cli

Make = Callable[[Path], object]
# (writes an export, its names from the folder above, what is beside it)
FORMS: dict[str, tuple[Make, str]] = {
    "coco": (own_data.coco, "coco:set/annotations.json,set/images"),
    "coco alone": (own_data.coco, "coco:set/annotations.json"),
    "coco deep": (lambda r: own_data.coco(r, "annotations/instances_val.json", "val"), "coco:set/annotations/instances_val.json"),
    "coco template": (own_data.coco, 'coco:set/annotations.json,"set/images/{file_name}"'),
    "yolo": (own_data.yolo, "yolo:set/data.yaml"),
    "yolo folder": (own_data.yolo, "yolo:set"),
    "labels": (own_data.labels, "labels:set/images,set/labels"),
    "labels named": (lambda r: own_data.labels(r, form="{}_gt.png"), "labels:set/images,set/labels"),
    "labels beside": (lambda r: own_data.labels(r, "both", "both"), "labels:set/both,set/both"),
    "labels pattern": (lambda r: own_data.labels(r, form="m-{}.png"), "labels:set/images/{id}.jpg,set/labels/m-{id}.png"),
    "labels star": (lambda r: own_data.labels(r, form="m-{}.png"), "labels:set/images/*.jpg,set/labels/m-*.png"),
    "objects": (own_data.objects, "objects:set"),
    "objects in folders": (lambda r: own_data.objects(r, mask="masks/{id}/{object}.png"), "objects:set"),
    "objects as nuclei": (lambda r: own_data.objects(r, "{id}/images/{id}.jpg", "{id}/masks/{object}.png"), "objects:set"),
    "objects named": (
        lambda r: own_data.objects(r, "p/{id}.jpg", "q/{object} of {id}.png"),
        'objects:set,images="p/{id}.jpg",masks="q/{object} of {id}.png"',
    ),
    "labelme": (own_data.labelme, "labelme:set"),
    "labelme apart": (lambda r: own_data.labelme(r, "images"), "labelme:set,set/images"),
    "via": (own_data.via, "via:set/via_region_data.json,set"),
    "via alone": (lambda r: own_data.via(r, images="images"), "via:set/via_region_data.json"),
}


def masks_in(dataset: Any) -> dict[str, list[np.ndarray[Any, Any]]]:
    """By the first letter of a picture's name, or the number of its place, the masks of its objects, sorted."""
    out = {}
    for record in dataset.index():
        sample = dataset.load(record.image_id)
        assert sample.image.shape == (own_data.HEIGHT, own_data.WIDTH, 3)
        assert record.n_masks == len(sample.instances)
        letter = record.image_id[:1] if record.image_id[0].isalpha() else "abc"[int(record.image_id) - 1]
        out[letter] = sorted((i.region.full() for i in sample.instances), key=lambda m: m.tobytes())
    return out


def drawn(*, joined: bool = False) -> dict[str, list[np.ndarray[Any, Any]]]:
    """What was drawn, as `masks_in`. joined: one mask a picture."""
    found = {name[0]: own_data.masks_of(name) for name in own_data.NAMES}
    if joined:
        found = {k: [np.logical_or.reduce(v)] for k, v in found.items()}
    return {k: sorted(v, key=lambda m: m.tobytes()) for k, v in found.items()}


def same(a: dict[str, list[np.ndarray[Any, Any]]], b: dict[str, list[np.ndarray[Any, Any]]]) -> bool:
    return a.keys() == b.keys() and all(
        len(a[k]) == len(b[k]) and all((x == y).all() for x, y in zip(a[k], b[k], strict=True)) for k in a
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_what_was_drawn(form: str, here: Path) -> None:
    make, name = FORMS[form]
    make(here / "set")
    (one,) = datasets.names_in([name])
    found = datasets.resolve(one)
    assert same(masks_in(datasets.build(found)), drawn())
    assert found.card.id.startswith(("set", "both"))
    again = datasets.resolve(found.spec.name, root=found.spec.root)
    assert again.spec == found.spec
    assert again.identity() == found.identity()
    shown = datasets.resolve(datasets.names_in([found.card._given])[0])  # as commands name it, from anywhere
    assert (shown.spec, shown.identity()) == (found.spec, found.identity())


def test_one_mask_a_picture(here: Path) -> None:
    own_data.masks(here / "set")
    assert same(masks_in(datasets.build(datasets.resolve("masks:set/images,set/masks"))), drawn(joined=True))
    assert datasets.resolve("set").spec == datasets.resolve("masks:set/images,set/masks").spec


@pytest.mark.parametrize("form", ["coco", "yolo", "labels", "objects", "objects in folders", "objects as nuclei", "labelme", "via"])
def test_a_path_is_enough(form: str, here: Path) -> None:
    make, name = FORMS[form]
    made = make(here / "set")
    for path in ("set", "./set/", str(here / "set"), *([f"set/{made.name}"] if isinstance(made, Path) and made.is_file() else [])):
        found = datasets.resolve(path)
        assert found.spec == datasets.resolve(name).spec
        (note,) = [n for n in found.notes if " is read as " in n]
        assert note.startswith(f"{path} is read as {name.partition(':')[0]}:")


def test_results_are_of_the_same_dataset_wherever_it_lies(here: Path, cli: Cli) -> None:
    own_data.coco(here / "first/set")
    run = ("run", "point", "--clicks", "1", "-m", "otsu", "--workers", "1", "-q", "-o", "runs")
    assert cli(*run, "--datasets", "coco:first/set/annotations.json,first/set/images").code == 0
    shutil.move(here / "first", here / "second")
    ended = cli(*run, "--datasets", "second/set")
    assert ended.code == 0, ended.err
    (path,) = here.glob("runs/*/set-*/cell.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["dataset"]["source"] == "coco:annotations.json,images"
    (here / "second/set/images").rename(here / "second/set/pictures")
    assert cli(*run, "--datasets", "second/set").code == 0  # other pictures may be there: another dataset
    assert len([*here.glob("runs/*/set-*/cell.json")]) == 2


def test_options_of_the_reader_follow(here: Path) -> None:
    own_data.labels(here / "set")
    (name,) = datasets.names_in(["labels:set/images,set/labels,keep=[2, 7],name=mine"])
    found = datasets.resolve(name)
    assert found.card.id == "mine"
    assert found.card.options["keep"] == [2, 7]
    assert all(r.n_masks == 1 for r in datasets.build(found).index())
    assert datasets.resolve(found.spec.name, root=found.spec.root).card.id == "mine"
    with pytest.raises(CardError, match="does not take") as e:
        datasets.build(datasets.resolve("labels:set/images,set/labels,kepp=[2]"))
    assert "keep" in str(e.value)
    with pytest.raises(UsageError, match="name does not fit"):
        datasets.resolve("labels:set/images,set/labels,name=My Set")
    with pytest.raises(UsageError, match="which has a card"):
        datasets.resolve("labels:set/images,set/labels,name=demo")
    with pytest.raises(UsageError, match="given twice"):
        datasets.resolve("labels:set/images,set/labels,keep=[1],keep=[2]")


def test_no_folder_is_taken_for_a_dataset_with_a_card(here: Path) -> None:
    own_data.coco(here / "ade20k")
    assert datasets.resolve("./ade20k").card.id == "ade20k_coco"
    assert datasets.resolve("ade20k").spec.name == "ade20k"  # the card


def test_two_datasets_of_one_name_are_told_apart(here: Path) -> None:
    own_data.coco(here / "a/set")
    own_data.labels(here / "b/set")
    with pytest.raises(UsageError, match="two datasets have one name, 'set'") as e:
        datasets.find_targets(["a/set", "b/set"], subset="full")
    assert "name=" in str(e.value.remedy)
    targets, _, _ = datasets.find_targets(datasets.names_in(["a/set,b/set,name=other", "a/set"]), subset="full")
    assert [t.card.id for t in targets] == ["set", "other"]


SPLIT = [
    (["demo,sa23"], ["demo", "sa23"]),
    ([" demo , demo", "demo"], ["demo"]),
    (["coco:a.json,b,demo"], ["coco:a.json,b", "demo"]),
    (["coco:a.json,demo"], ["coco:a.json", "demo"]),
    (["demo,coco:a.json,b", "x/y"], ["demo", "coco:a.json,b", "x/y"]),
    (["masks:a,demo,demo"], ["masks:a,demo", "demo"]),
    (["labels:a,b,keep=[1,2],name=x,bsds500:default"], ["labels:a,b,keep=[1,2],name=x", "bsds500:default"]),
    (['coco:"a, b.json",c d'], ['coco:"a, b.json",c d']),
    (["coco:C:\\data\\a.json,C:\\data\\b\\"], ["coco:C:\\data\\a.json,C:\\data\\b\\"]),
    (["coco:a.json,b,coco:c.json"], ["coco:a.json,b", "coco:c.json"]),
    (["my.toml,yolo:data.yaml,other.toml:coarse"], ["my.toml", "yolo:data.yaml", "other.toml:coarse"]),
]


@pytest.mark.parametrize(("given", "names"), SPLIT)
def test_names_between_commas(given: list[str], names: list[str], here: Path) -> None:
    assert datasets.names_in(given) == names


def test_a_path_with_a_comma(here: Path) -> None:
    own_data.coco(here / "a, b")
    (name,) = datasets.names_in(["a, b"])
    found = datasets.resolve(name)
    assert found.card.id == "a_b"
    (quoted,) = datasets.names_in(['coco:"a, b/annotations.json","a, b/images"'])
    assert datasets.resolve(quoted).spec == found.spec
    assert same(masks_in(datasets.build(found)), drawn())
    with pytest.raises(UsageError, match="a quote is not closed"):
        datasets.names_in(['coco:"a, b/annotations.json'])


def test_a_name_that_is_also_a_folder(here: Path) -> None:
    (here / "demo").mkdir()
    with pytest.raises(UsageError, match="'demo' is the name of a dataset and of a file or folder here") as e:
        datasets.names_in(["coco:a.json,demo"])
    assert "./demo" in str(e.value.remedy)
    assert datasets.names_in(["coco:a.json,./demo"]) == ["coco:a.json,./demo"]


@pytest.mark.parametrize("text", ["plain", "a,b", 'say "hi"', " edge ", "key=value", "C:\\x\\", 'a",b', "[1,2]"])
def test_any_path_survives_its_quoting(text: str) -> None:
    word = words.Word("coco", (text, "x"), {})
    (name,) = datasets.names_in([word.text()])
    assert words.parse(name, "", most=2).places == (text, "x")


def broken(root: Path, what: str) -> None:
    """A dataset that is nearly one."""
    if what == "empty":
        (root / "set").mkdir()
    elif what == "a zip":
        (root / "set.zip").write_bytes(b"PK\3\4")
    elif what == "images alone":
        own_data.pictures(root / "set")
    elif what == "two formats":
        own_data.coco(root / "set")
        own_data.via(root / "set", images="images")
    elif what == "two splits":
        for split in ("train", "val"):
            own_data.coco(root / "set", f"{split}.json", split)
    elif what == "boxes of yolo":
        own_data.yolo(root / "set")
        for path in (root / "set/labels").rglob("*.txt"):
            path.write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    elif what == "no folder":
        pass


NEAR_MISSES = [
    ("empty", "set", "folder is empty", "coco:ANNOTATIONS.json,IMAGES"),
    ("a zip", "set.zip", "not recognised", "a file .zip"),
    ("images alone", "set", "not recognised", "c.jpg"),
    ("two formats", "set", "fits several formats", "--datasets via:"),
    ("two splits", "set", "several datasets", "val.json"),
    ("no folder", "./sett", "is not there", "no such file or folder"),
    ("no folder", "coco:set/a.json", "is not there", "check the path"),
    ("empty", "coco:set", "is a folder", "name the file in it"),
    ("empty", "yolo:set", "not in YOLO's form", "labels/"),
    ("empty", "labelme:set", "holds no annotations of LabelMe", "no JSON files"),
    ("empty", "objects:set", "no masks of objects", "masks/{id}_{object}.png"),
    ("empty", "labels:set,set", "no image has one", "{id}"),
    ("images alone", "labels:set,sett", "is not there", "did you mean"),
    ("empty", "labels:set", "too few parts", "labels:IMAGES,LABELS"),
    ("empty", "yolo:a,b", "too many parts", "--datasets several times"),
    ("empty", "labels:set/{id}.png,set", "is a pattern, and the other is none", "two patterns"),
    ("empty", "labels:set/*/*.png,set/*.png", "pattern of files does not fit", "one {id}"),
    ("empty", "python:set/reader.py:R", "is not there", "no such file"),
    ("empty", "python:reader.py", "not readable", "python:FILE.py:Reader,FOLDER"),
    ("empty", "coca:set", "unknown dataset", "did you mean 'coco:set'?"),
    ("empty", "se", "unknown dataset", "./set"),
    ("two formats", "coco:set/via_region_data.json", "in another form", "name it by what it is: via:"),
    ("two formats", "via:set/annotations.json", "in another form", "name it by what it is: coco:"),
]


@pytest.mark.parametrize(("what", "name", "message", "said"), NEAR_MISSES)
def test_what_is_nearly_a_dataset_is_explained(what: str, name: str, message: str, said: str, here: Path) -> None:
    broken(here, what)
    with pytest.raises(SambenchError, match=message) as e:
        datasets.resolve(datasets.names_in([name])[0])
    assert said in str(e.value)


def test_boxes_are_no_masks(here: Path) -> None:
    broken(here, "boxes of yolo")
    with pytest.raises(DataError, match="holds no masks") as e:
        datasets.find_targets(["set"], subset="full")
    assert "only objects with a mask can be evaluated" in str(e.value)


READER = '''
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from helper import N
from sambench.pixels.region import Region
from sambench.types import ImageRecord, Instance, Sample


@dataclass(frozen=True)
class Discs:
    root: Path
    name: str
    variant: str = "default"
    radius: int = 9

    def index(self):
        return [ImageRecord(f"d{i}", 1) for i in range(N)]

    def load(self, image_id):
        y, x = np.mgrid[:48, :64]
        mask = (y - 24) ** 2 + (x - 30) ** 2 < self.radius**2
        image = np.repeat((mask * 200).astype(np.uint8)[..., None], 3, 2)
        return Sample(self.name, image_id, 48, 64, (Instance("1", Region.from_array(mask)),), lambda: image)

    def annotation_digest(self):
        return f"{N} discs"
'''
CARD = """
id = "discs"
name = "Discs"
reader = "python:reader.py:Discs"
[options]
radius = 7
[access]
state = "embedded"
"""


def test_a_reader_of_ones_own(here: Path, cli: Cli) -> None:
    (here / "own").mkdir()
    (here / "own/reader.py").write_text(READER, encoding="utf-8")
    (here / "own/helper.py").write_text("N = 2\n", encoding="utf-8")
    (here / "own/card.toml").write_text(CARD, encoding="utf-8")
    run = ("run", "point", "--clicks", "1", "-m", "otsu", "--workers", "1", "-q", "-o", "runs")
    names = ("--datasets", "python:own/reader.py:Discs,radius=5,own/card.toml")
    ended = cli(*run, *names)
    assert ended.code == 0, ended.err
    first = sorted(p.name for p in here.glob("runs/*/*-*"))
    assert [n.partition("-")[0] for n in first] == ["discs", "own"]
    assert cli(*run, *names).code == 0
    assert sorted(p.name for p in here.glob("runs/*/*-*")) == first
    named = datasets.resolve("own/card.toml").identity()
    (here / "own/helper.py").write_text("N = 2  # changed\n", encoding="utf-8")
    assert datasets.resolve("own/card.toml").identity() != named
    os.rename(here / "own", here / "moved")
    (here / "moved/helper.py").write_text("N = 2\n", encoding="utf-8")
    assert datasets.resolve("moved/card.toml").identity() == named
    with pytest.raises(CardError, match="cannot be imported"):
        datasets.resolve("python:moved/reader.py:Disks").identity()


def test_formats_that_are_recognised() -> None:
    known = datasets.sources()
    recognised = {name for name, source in known.items() if isinstance(source, Recogniser)}
    assert recognised == {"coco", "labelme", "labels", "masks", "objects", "sa1b", "saco", "via", "yolo"}


def test_large_coco_files_are_recognised_without_parsing(here: Path) -> None:
    from sambench.sources.data import sniff

    source = own_data.coco(here / "set")
    content = json.loads(source.read_text(encoding="utf-8"))
    padded = {"info": {"description": "x" * (3 << 20)}, **content}
    source.write_text(json.dumps(padded), encoding="utf-8")
    assert sniff.is_coco(source)
    source.write_text(json.dumps({"images": [], "info": "annotations"}), encoding="utf-8")
    assert not sniff.is_coco(source)


def test_a_yaml_of_another_machine(here: Path) -> None:
    roboflow = "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['thing']\n"
    own_data.yolo(here / "set", yaml=roboflow)
    (here / "set/valid").mkdir()
    for kind in ("images", "labels"):
        os.rename(here / f"set/{kind}/val", here / f"set/valid/{kind}")
    found = datasets.resolve("yolo:set/data.yaml")
    assert found.card.options["images"] == "valid/images"
    assert same(masks_in(datasets.build(found)), drawn())
    elsewhere = "path: /home/someone/datasets/set\nval: valid/images\nnames: {0: thing}\n"
    (here / "set/data.yaml").write_text(elsewhere, encoding="utf-8")
    assert datasets.resolve("yolo:set/data.yaml").card.options["images"] == "valid/images"
    with pytest.raises(UsageError, match="unknown split 'tset'"):
        datasets.resolve("yolo:set/data.yaml,split=tset")


def test_lines_of_labels_that_are_none(here: Path) -> None:
    own_data.yolo(here / "set")
    dataset = datasets.build(datasets.resolve("yolo:set"))
    file = here / "set/labels/val/c.txt"
    for line, message in (
        ("0 0.1 0.1 0.2 0.1 0.2", "is no outline"),
        ("0 10 10 20 10 20 20", "not in fractions"),
        ("thing 0.1 0.1 0.2 0.1 0.2 0.2", "a number"),
    ):
        file.write_text(line + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=message) as e:
            dataset.load("c")
        assert "c.txt" in str(e.value.where)
    file.unlink()
    assert not dataset.load("c").instances


def test_sizes_of_object_files_are_checked(here: Path) -> None:
    own_data.objects(here / "set")
    Image.new("L", (10, 10), 255).save(here / "set/masks/c_1.png")
    with pytest.raises(DataError, match="another size"):
        datasets.build(datasets.resolve("objects:set")).load("c")


def test_names_may_begin_with_the_folder_of_the_pictures(here: Path) -> None:
    file = own_data.coco(here / "set")
    content = json.loads(file.read_text(encoding="utf-8"))
    for image in content["images"]:
        image["file_name"] = f"images/{image['file_name']}"
    file.write_text(json.dumps(content), encoding="utf-8")
    for name in ("coco:set/annotations.json,set/images", "coco:set/annotations.json", "set"):
        assert same(masks_in(datasets.build(datasets.resolve(name))), drawn())
