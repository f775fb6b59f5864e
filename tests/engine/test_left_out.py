"""What is left out of a dataset is the same for every task, and is said by kind: in runs, plans, `data verify` and errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import sambench
from sambench import cards, tasks
from sambench.cli.app import app
from sambench.conformance import data
from sambench.errors import DataError, RunError
from sambench.left_out import sentences
from sambench.loaders.open import open_dataset
from sambench.loaders.subsets import choose_subset
from sambench.models.otsu import otsu
from sambench.notes import note, noting
from sambench.pixels.region import Region
from sambench.tasks.prompted import Context
from sambench.types import CROWD, EMPTY, IGNORED, NO_AREA, TOO_SHORT, Dataset, Instance, Sample
from tests.helpers import CASES
from tests.helpers import sambench as command_line

H, W = 20, 30


def opened(case: str, card: str = "card.toml") -> Dataset:
    return open_dataset(cards.dataset_card(str(CASES / case / card)), root=CASES / case)


def scores(case: str, card: str = "card.toml", task: str = "point") -> list[float]:
    """IoU in percent of each object, by Otsu's threshold at one click."""
    built, dataset = tasks.build(task, {"clicks": (1,)} if task == "point" else {}), opened(case, card)
    samples = [dataset.load(r.image_id) for r in dataset.index()]
    return [round(100 * row["iou_top"], 1) for s in samples for row in built.rows(s, otsu(), Context())]


def cli(*command: str) -> Any:
    return CliRunner().invoke(app, list(command), env={"COLUMNS": "200"})


# The cases that were seen


@pytest.mark.parametrize("task", ["point", "box"])
def test_an_object_inside_a_crowd_costs_neither_its_image_nor_the_score(task: str) -> None:
    assert scores("01-object-inside-crowd", task=task) == [100.0]
    sample = opened("01-object-inside-crowd").load("1")
    assert sample.left_out == {CROWD: 1, IGNORED: 1}
    assert sample.annotated is not None
    assert len(sample.annotated().objects) == 3  # detection has its own rule for crowds


@pytest.mark.parametrize(
    ("case", "card", "right"),
    [
        ("04-tiff-orientation", "coco.toml", [100.0]),
        ("04-tiff-orientation", "exif.toml", [100.0]),
        ("05-via-labelme-exif", "via.toml", [100.0]),
        ("05-via-labelme-exif", "labelme.toml", [100.0]),
        ("06-labelme-group", "card.toml", [55.6]),
        ("12-cvat-brush-crowd", "card.toml", [100.0]),
    ],
)
def test_right_values(case: str, card: str, right: list[float]) -> None:
    assert scores(case, card) == right


def test_a_crowd_is_said_in_the_run_the_plan_and_by_verify(tmp_path: Path) -> None:
    case = CASES / "12-cvat-brush-crowd"
    said = "1 crowd annotation is an ignore region"
    assert f"  {said} (" in data.verify(str(case / "card.toml"), root=case).text()
    command = ("run", "point", "-d", str(case / "card.toml"), "--root", str(case), "-m", "otsu", "--clicks", "1", "-q")
    planned = cli(*command, "-o", str(tmp_path / "plan"), "--dry-run")
    assert f"cvat-brush-crowd: {said} (" in planned.stdout
    results = sambench.evaluate(otsu(), datasets=str(case / "card.toml"), root=str(case), out=tmp_path / "out")  # type: ignore[arg-type]
    (cell,) = results.cells
    assert cell.record.counts.left_out == {CROWD: 1}
    assert cell.record.counts.n_dropped == 0
    shown = cli("table", str(cell.path))
    assert said in shown.stdout


# One rule for all readers and tasks


def region(*box: int) -> Region:
    full = np.zeros((H, W), np.bool_)
    y0, x0, y1, x1 = box
    full[y0:y1, x0:x1] = True
    return Region.from_array(full)


def sample_of(regions: Sequence[Region], ignore: Region | None, **more: Any) -> Sample:
    instances = tuple(Instance(str(k), r) for k, r in enumerate(regions))
    return Sample("toy", "a", H, W, instances, lambda: np.zeros((H, W, 3), np.uint8), ignore=ignore, **more)


def test_objects_without_a_pixel_that_counts_are_left_out_of_every_sample() -> None:
    band = region(0, 0, 10, 10)
    objects = [region(2, 2, 6, 6), region(0, 0, 0, 0), region(0, 0, 10, 10), region(5, 5, 11, 9), region(12, 12, 14, 14)]
    sample = sample_of(objects, band, left_out={CROWD: 2, EMPTY: 1, TOO_SHORT: 0})
    assert [i.object_id for i in sample.instances] == ["3", "4"]
    assert sample.left_out == {CROWD: 2, EMPTY: 2, IGNORED: 2}
    assert sample.n_dropped == 4
    assert len(sample_of(objects, None).instances) == 4
    assert len(sample_of(objects, region(0, 0, 0, 0)).instances) == 4


@pytest.mark.parametrize("prompt", ["center", "random"])
def test_every_object_of_a_sample_can_be_clicked(prompt: str) -> None:
    sample = sample_of([region(2, 2, 6, 6), region(5, 5, 11, 9)], region(0, 0, 10, 10))
    rows = tasks.build("point", {"clicks": (1,), "prompt": prompt}).rows(sample, otsu(), Context())
    assert [r["object_id"] for r in rows] == ["1"]
    assert rows[0]["clicks_xy"][1] == 10  # its one row beyond the ignored ones


def test_sentences_name_the_kind_and_the_number() -> None:
    told = sentences({EMPTY: 1, CROWD: 2, IGNORED: 0, NO_AREA: 1234, "a reader's own": 1})
    assert told == [
        "1 annotation without pixels left out",
        '2 crowd annotations are ignore regions (crowds = "objects" under [options] of the card: objects)',
        "1,234 shapes without an area (points, lines) left out",
        "1 annotation left out: a reader's own",
    ]


def test_notes_are_heard_within_and_only_there() -> None:
    note("nobody hears")
    with noting() as outer:
        note("a")
        with noting() as inner:
            note("b")
        note("a")
    assert (list(outer), list(inner)) == (["a"], ["b"])


# Datasets without an object, and readers that lose them


def coco(root: Path, annotations: list[dict[str, Any]]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(root / "1.png")
    image = {"id": 1, "file_name": "1.png", "width": W, "height": H}
    listed = [{"id": k, "image_id": 1, "category_id": 1, **a} for k, a in enumerate(annotations)]
    content = {"images": [image], "annotations": listed, "categories": [{"id": 1, "name": "a"}]}
    (root / "ann.json").write_text(json.dumps(content))
    return card_of(root, "sambench.loaders.coco:CocoJson", 'annotations = "ann.json"')


def card_of(root: Path, reader: str, options: str) -> Path:
    path = root / "card.toml"
    access = '[access]\nstate = "manual"\nsteps = ["x"]\n'
    path.write_text(f'id = "toy"\nname = "toy"\nreader = "{reader}"\n[options]\n{options}\n{access}')
    return path


CROWDED = {"iscrowd": 1, "segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]]}


def test_where_all_are_crowds_the_error_says_so(tmp_path: Path) -> None:
    path = coco(tmp_path, [CROWDED, CROWDED])
    card = cards.dataset_card(str(path))
    dataset = open_dataset(card, root=tmp_path)
    for call in (lambda: choose_subset(dataset, card, "full"), lambda: data.verify(str(path), root=tmp_path)):
        with pytest.raises(DataError) as e:
            call()
        assert "2 crowds" in str(e.value)
        assert 'crowds = "objects"' in str(e.value)


def test_where_no_shape_is_an_area_the_error_says_so(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    regions = [{"shape_attributes": {"name": "point", "cx": 3, "cy": 4}}] * 2
    (tmp_path / "via.json").write_text(json.dumps({"a.png1": {"filename": "a.png", "size": 1, "regions": regions}}))
    path = card_of(tmp_path, "sambench.loaders.via:ViaJson", 'sets = { images = "via.json" }')
    card = cards.dataset_card(str(path))
    with pytest.raises(DataError) as e:
        choose_subset(open_dataset(card, root=tmp_path), card, "full")
    assert "1 image; 2 shapes without an area (points, lines) left out" in str(e.value)
    assert "polygons, rectangles, circles, ellipses, masks" in str(e.value)
    report = data.verify(str(path), root=tmp_path)
    assert not report.sound
    assert "  2 shapes without an area (points, lines) left out\n" in report.text()
    assert "there is no mask to evaluate: only shapes with an area" in report.text()
    done = cli("data", "verify", str(path), "--root", str(tmp_path))
    assert done.exit_code == 1
    assert done.stdout == report.text() + "\n"


def test_a_survey_is_of_the_first_images_alone(tmp_path: Path) -> None:
    from sambench.loaders.survey import survey

    path = coco(tmp_path, [CROWDED, {"segmentation": [[12, 2, 19, 2, 19, 9, 12, 9]]}])
    dataset = open_dataset(cards.dataset_card(str(path)), root=tmp_path)
    assert survey(dataset, ["1", "1", "1"], most=2).sentences() == [
        '2 crowd annotations are ignore regions (crowds = "objects" under [options] of the card: objects) (of the first 2 images)'
    ]
    broken = survey(dataset, ["nothing", "1"])
    assert broken.sentences()[1].startswith("1 image cannot be used, the first is nothing: ")


READERS = """
import dataclasses
from sambench.types import ImageRecord, Instance, Sample

class Base:
    variant = "default"

    def __init__(self, root, name, variant="default"):
        self.name = name

    def index(self):
        return [ImageRecord("a", 2), ImageRecord("b", 0)]

    def annotation_digest(self):
        return "0" * 64

    def load(self, image_id):
        import numpy as np
        return Sample(self.name, image_id, 4, 5, (), lambda: np.zeros((4, 5, 3), np.uint8))

class Nothing(Base):
    pass

class Raises(Base):
    def load(self, image_id):
        raise KeyError("masks")
"""


@pytest.mark.parametrize(("reader", "said"), [("Nothing", "counts 2 objects and gives 0"), ("Raises", "KeyError: 'masks'")])
def test_verify_notices_a_reader_that_gives_no_object(reader: str, said: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "my_readers_of_nothing.py").write_text(READERS)
    monkeypatch.syspath_prepend(tmp_path)
    path = card_of(tmp_path, f"my_readers_of_nothing:{reader}", "")
    report = data.verify(str(path), root=tmp_path)
    assert report.broken[0][0] == "a"
    assert said in report.broken[0][1]
    assert not report.sound


# A run without a result


class Fails:
    """A model that fails on dark pictures."""

    def encode(self, image: Any) -> Any:
        if image.max() < 100:
            raise ValueError("too dark")
        return image

    def decode(self, state: Any, prompts: Any) -> Any:
        return [sambench.Prediction(np.ones((1, *state.shape[:2]), np.bool_), np.ones(1, np.float32)) for _ in prompts]


def test_a_run_in_which_every_image_failed_is_a_failure(tmp_path: Path) -> None:
    path = coco(tmp_path, [{"segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]]}])
    with pytest.raises(RunError) as e:
        sambench.evaluate(Fails(), datasets=str(path), root=str(tmp_path), out=tmp_path / "out")  # type: ignore[arg-type]
    assert "every image failed" in str(e.value)
    assert "1 image failed, the first is 1 of toy: ValueError: too dark" in str(e.value)
    assert next((tmp_path / "out").rglob("cell.json")).exists()  # what failed is recorded, and tried again
    Image.fromarray(np.full((H, W, 3), 200, np.uint8)).save(tmp_path / "1.png")
    results = sambench.evaluate(Fails(), datasets=str(path), root=str(tmp_path), out=tmp_path / "out")  # type: ignore[arg-type]
    assert len(results.rows()) == 5


@pytest.mark.slow
def test_on_the_command_line_it_ends_with_2(tmp_path: Path) -> None:
    path = coco(tmp_path, [{"segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]]}])
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:45])
    flags = ("-d", str(path), "--root", str(tmp_path), "-m", "otsu", "-o", str(tmp_path / "out"), "--workers", "1")
    done = command_line("run", "point", *flags)
    assert done.returncode == 2, done.stderr
    assert "every image failed" in done.stderr
    assert "mIoU" not in done.stdout
