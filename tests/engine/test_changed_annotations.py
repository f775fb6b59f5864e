"""Annotations that change while they are evaluated end the run: nothing made with others is stored under the first ones' name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sambench
from sambench.engine import annotations
from sambench.engine.run import Request, execute, plan
from sambench.errors import RunError
from sambench.sources import datasets
from tests.helpers import own_data
from tests.helpers.store_world import Bright, values_of, write_world

CHANGED = "annotations of dataset .* changed during the run"


class Meanwhile(Bright):
    """At the second picture something is done to the files."""

    def __init__(self, happens: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.happens, self.seen = happens, 0

    def encode(self, image: np.ndarray) -> np.ndarray:
        self.seen += 1
        if self.seen == 2:
            self.happens()
        return super().encode(image)


def run(data: str, out: Path, model: Any = None) -> dict[int, float]:
    found = sambench.evaluate(model or Meanwhile(), datasets=data, name="bright", settings={"clicks": (1,)}, out=str(out))
    (cell,) = found.cells
    return values_of(cell)


def put(path: Path, raw: bytes) -> None:
    path.with_suffix(".aside").write_bytes(raw)
    os.replace(path.with_suffix(".aside"), path)


def fewer_objects(file: Path) -> bytes:
    raw = json.loads(file.read_text())
    for a in raw["annotations"]:
        a["segmentation"] = [[2, 2, 60, 2, 60, 44, 2, 44]]
    return json.dumps(raw).encode()


def test_an_annotation_file_that_is_replaced_ends_the_run(tmp_path: Path) -> None:
    file = own_data.coco(tmp_path / "data")
    good, other = file.read_bytes(), fewer_objects(file)
    data = f"coco:{file},{tmp_path / 'data/images'}"
    with pytest.raises(RunError, match=CHANGED) as e:
        run(data, tmp_path / "runs", Meanwhile(lambda: put(file, other)))
    assert str(file) in str(e.value.where)
    assert "host" in str(e.value.where)
    put(file, good)
    assert run(data, tmp_path / "runs") == run(data, tmp_path / "whole")


def test_a_file_that_is_written_again_with_the_same_content_has_not_changed(tmp_path: Path) -> None:
    file = own_data.coco(tmp_path / "data")
    data = f"coco:{file},{tmp_path / 'data/images'}"
    found = run(data, tmp_path / "runs", Meanwhile(lambda: put(file, file.read_bytes())))
    assert found == run(data, tmp_path / "whole")


@pytest.mark.parametrize("few", [annotations.FEW, 0])
def test_masks_of_which_each_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(annotations, "FEW", few)
    root = write_world(tmp_path / "data")
    monkeypatch.setenv("SAMBENCH_DATA", str(root))
    files = {f: f.read_bytes() for f in root.rglob("masks/*.png")}

    def drawn_anew() -> None:
        for file in files:
            Image.fromarray(np.full((96, 128), 255, np.uint8)).save(file)

    with pytest.raises(RunError, match=CHANGED):
        run("bbbc038v1", tmp_path / "runs", Meanwhile(drawn_anew))
    for file, raw in files.items():
        put(file, raw)
    assert run("bbbc038v1", tmp_path / "runs") == run("bbbc038v1", tmp_path / "whole")


def test_a_worker_that_opens_others_than_were_planned(tmp_path: Path) -> None:
    file = own_data.coco(tmp_path / "data")
    other, data = fewer_objects(file), f"coco:{file},{tmp_path / 'data/images'}"
    request = Request("box", (data,), (("otsu", {}),), settings={}, out=str(tmp_path / "runs"), workers=1)
    planned = plan(request)
    put(file, other)
    with pytest.raises(RunError, match=CHANGED) as e:
        execute(planned)
    assert str(file) in str(e.value.where)
    assert "host" in str(e.value.where)
    assert not list((tmp_path / "runs").rglob("*.parquet"))


def test_annotations_of_another_copy_say_which_file_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(write_world(tmp_path / "data")))
    dataset = datasets.build(datasets.resolve("bbbc038v1"))
    opened = annotations.Annotations(dataset)
    opened.check_plan(dataset.annotation_digest())
    with pytest.raises(RunError, match=CHANGED) as e:
        opened.check_plan("0" * 64)
    assert "the last written of 12 files" in str(e.value.where)


READER = """
import hashlib, json
from pathlib import Path
import numpy as np
from sambench.pixels.region import Region
from sambench.types import ImageRecord, Instance, Sample

class Reader:
    def __init__(self, root, name, variant):
        self.file, self.name, self.variant = Path(root) / "boxes.json", name, variant
    def index(self):
        return [ImageRecord(i, 1) for i in json.loads(self.file.read_text())]
    def annotation_digest(self):
        return hashlib.sha256(self.file.read_bytes()).hexdigest()
    def load(self, image_id):
        mask = np.zeros((40, 50))
        mask[:, : json.loads(self.file.read_text())[image_id]] = 1
        image = np.zeros((40, 50, 3), np.uint8)
        image[:, :20] = 200
        return Sample(self.name, image_id, 40, 50, (Instance("a", Region.from_array(mask)),), lambda: image)
"""


def test_a_reader_whose_files_nobody_sees(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "reader.py").write_text(READER)
    file = tmp_path / "data/boxes.json"
    file.write_text(json.dumps({f"image{i}": 20 for i in range(6)}))
    good, other = file.read_bytes(), json.dumps({f"image{i}": 5 for i in range(6)}).encode()
    data = f"python:{tmp_path / 'reader.py'}:Reader,{tmp_path / 'data'}"
    with pytest.raises(RunError, match=CHANGED):
        run(data, tmp_path / "runs", Meanwhile(lambda: put(file, other)))
    assert not list((tmp_path / "runs").rglob("*.parquet"))
    put(file, good)
    assert run(data, tmp_path / "runs") == run(data, tmp_path / "whole")
