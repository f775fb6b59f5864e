"""Clicks that people made, in place of simulated ones: the file, what of it does not fit, and what the point task does with it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sambench import tasks
from sambench.errors import DataError, UsageError
from sambench.loaders.recorded_clicks import read_clicks
from sambench.pixels.region import Region
from sambench.provenance import digest
from sambench.tasks.point import PointTask
from sambench.tasks.prompted import Context
from sambench.tasks.settings.point import PointSettings
from sambench.types import ImageRecord, Instance, Prediction, Prompt, Sample
from tests.helpers.inprocess import Cli

H, W = 40, 60
HEADER = ("image", "object", "k", "x", "y", "label")
Line = tuple[Any, ...]


def square(x: int, y: int, side: int = 19) -> np.ndarray:
    mask = np.zeros((H, W), np.bool_)
    mask[y : y + side, x : x + side] = True
    return mask


class World:
    """Two images of two objects, `o0` on the left and `o1` on the right."""

    name, variant = "made", "default"

    def index(self) -> list[ImageRecord]:
        return [ImageRecord(i, 2) for i in ("a", "7")]

    def load(self, image_id: str) -> Sample:
        instances = tuple(Instance(f"o{i}", Region.from_array(square(x, 5))) for i, x in enumerate((5, 35)))
        return Sample("made", image_id, H, W, instances, lambda: np.zeros((H, W, 3), np.uint8))

    def annotation_digest(self) -> str:
        return "0"


class Growing:
    """Its mask is a square of the object's corner that grows with every click; remembers its prompts."""

    max_batch = 64

    def __init__(self, whole: bool = False) -> None:
        self.asked: list[Prompt] = []
        self.whole = whole

    def encode(self, image: Any) -> None:
        return None

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        self.asked += prompts
        sides = [19 if self.whole else 6 + 3 * len(p.labels) for p in prompts]
        masks = [square(5 if p.points_xy[0, 0] < 30 else 35, 5, s) for p, s in zip(prompts, sides, strict=True)]
        return [Prediction(m[None], np.ones(1, np.float32)) for m in masks]  # type: ignore[arg-type]


def written(path: Path, lines: list[Line], header: Line = HEADER) -> Path:
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([header, *lines])
    return path


def every(n: int) -> list[Line]:
    """n clicks on each object of the world, at places where no simulated click is."""
    return [(i, f"o{o}", k, 6 + 30 * o + k, 7, int(k != 2)) for i in ("a", "7") for o in range(2) for k in range(1, n + 1)]


def task_of(path: Path, clicks: tuple[int, ...] = (1, 2, 3), **more: Any) -> PointTask:
    return PointTask.of(PointSettings(prompt=f"file:{path}", clicks=clicks, **more))


def clicks_of(rows: list[dict[str, Any]], object_id: str, k: int) -> tuple[list[int], list[int]]:
    (row,) = (r for r in rows if r["object_id"] == object_id and r["k"] == k)
    return row["clicks_xy"], row["clicks_label"]


def test_recorded_clicks_replace_simulated_ones(tmp_path: Path) -> None:
    task, model = task_of(written(tmp_path / "clicks.csv", every(3))), Growing()
    assert task.check_images(World(), ["a", "7"]) == []
    rows = task.rows(World().load("a"), model, Context())
    assert {r["prompt"] for r in rows} == {"recorded"}
    assert clicks_of(rows, "o0", 3) == ([7, 7, 8, 7, 9, 7], [1, 0, 1])
    assert clicks_of(rows, "o1", 2) == ([37, 7, 38, 7], [1, 0])
    assert model.asked[-1].points_xy.tolist() == [[37, 7], [38, 7], [39, 7]]
    assert model.asked[-1].labels.tolist() == [1, 0, 1]
    assert [p.multimask for p in model.asked] == [True, True, False, False, False, False]


def test_they_are_given_after_a_perfect_mask_too(tmp_path: Path) -> None:
    """Whoever recorded them saw other masks; only an IoU to stop at ends an object."""
    path = written(tmp_path / "clicks.csv", every(3))
    rows = task_of(path).rows(World().load("a"), Growing(whole=True), Context())
    assert [len(r["clicks_label"]) for r in rows if r["object_id"] == "o0"] == [1, 2, 3]
    rows = task_of(path, until_iou=0.9).rows(World().load("a"), Growing(whole=True), Context())
    assert [len(r["clicks_label"]) for r in rows if r["object_id"] == "o0"] == [1]


def test_simulated_clicks_written_to_a_file_give_the_same_rows(tmp_path: Path) -> None:
    simulated = PointTask(PointSettings(clicks=(1, 2, 3))).rows(World().load("a"), Growing(), Context())
    lines = []
    for row in (r for r in simulated if r["k"] == 3):
        xy = np.reshape(row["clicks_xy"], (-1, 2))
        labelled = enumerate(zip(xy, row["clicks_label"], strict=True), 1)
        lines += [("a", row["object_id"], k, x, y, label) for k, ((x, y), label) in labelled]
    recorded = task_of(written(tmp_path / "clicks.csv", lines)).rows(World().load("a"), Growing(), Context())
    timed = ("prompt", "encode_ms", "decode_ms")
    assert [{k: v for k, v in r.items() if k not in timed} for r in recorded] == [
        {k: v for k, v in r.items() if k not in timed} for r in simulated
    ]
    # The first one alone, the others simulated: the same again.
    first = written(tmp_path / "first.csv", [line for line in lines if line[2] == 1])
    again = task_of(first, beyond="simulate").rows(World().load("a"), Growing(), Context())
    assert [r["clicks_xy"] for r in again] == [r["clicks_xy"] for r in simulated]


def test_the_identity_is_the_clicks_and_older_ones_stay(tmp_path: Path) -> None:
    path = written(tmp_path / "clicks.csv", every(2))
    one = task_of(path, (1, 2)).identity()
    assert one["prompt"] == "recorded"
    assert str(tmp_path) not in str(one)
    shuffled = [(*line, "someone") for line in reversed(every(2))]
    other = written(tmp_path / "elsewhere.csv", shuffled, (*HEADER, "annotator"))
    assert task_of(other, (1, 2)).identity() == one
    moved = written(tmp_path / "moved.csv", [*every(2)[:-1], ("7", "o1", 2, 39, 8, 0)])
    assert task_of(moved, (1, 2)).identity() != one
    assert task_of(path, (1, 2), beyond="simulate").identity() != one
    # As they were before there were recorded clicks.
    plain = {"protocol": "point@1", "prompt": "center", "clicks": (1, 2, 3, 5, 9), "until_iou": None, "noc": ()}
    plain |= {"mask_feedback": True}
    assert PointTask().identity() == plain
    assert digest(PointTask().identity()) == digest(plain)
    seeded = {**plain, "prompt": "random", "seed": 3}
    assert PointTask(PointSettings(prompt="random", seed=3)).identity() == seeded
    # A stored cell is opened where its file is not.
    stored = tasks.settings_of(task_of(path, (1, 2)))
    path.unlink()
    assert tasks.build("point", stored).identity() == one


def refused(path: Path, **more: Any) -> str:
    with pytest.raises(DataError) as e:
        task_of(path, **more).check_images(World(), ["a", "7"])
    return str(e.value)


def test_what_does_not_fit_is_said_by_line(tmp_path: Path) -> None:
    good = every(3)
    text = refused(written(tmp_path / "a.csv", [*good, ("a", "o0", 2, 9, 9, 1)]))
    assert "line 14: click 2 on object 'o0' of image 'a' stands in line 3 too" in text
    bad: list[Line] = [("a", "o2", 1, 3, 3, 1), ("b", "o0", 1, 3, 3, 1), ("a", "o1", 4, 60, 3, 1), ("a", "o0", 4, 3, 40, 1)]
    text = refused(written(tmp_path / "b.csv", [*good, *bad]))
    assert "line 14: image 'a' has no object 'o2'; it has o0, o1" in text
    assert "line 15: there is no image 'b'" in text
    assert "line 16: the click (60, 3) is outside of image 'a'; it has 60 x 40 pixels" in text
    assert "line 17: the click (3, 40) is outside of image 'a'" in text
    odd: list[Line] = [("a", "o0", 0, 3, 3, 1), ("a", "o0", 4, 3.5, -1, 2), ("a", "", 4, 3, 3, 1), ("a", "o0", "nan", 3, 3, 1)]
    text = refused(written(tmp_path / "c.csv", [*good, *odd]))
    for part in ("line 14: k is '0'", "line 15: x is '3.5'", "line 15: y is '-1'", "line 15: label is '2'", "line 16: no object"):
        assert part in text, text
    assert "line 17: k is 'nan'" in text
    text = refused(written(tmp_path / "d.csv", [line for line in good if line[2] != 2]))
    assert "line 3: click 3 on object 'o0' without click 2" in text
    text = refused(written(tmp_path / "e.csv", [line[:-1] for line in good], HEADER[:-1]))
    assert "no label" in text
    assert "no such file" in refused(tmp_path / "none.csv").lower()


def test_objects_with_too_few_clicks(tmp_path: Path) -> None:
    """An error before anything runs that names them; unless simulated clicks shall follow. One click is always needed."""
    short = written(tmp_path / "short.csv", [line for line in every(3) if line[:2] != ("7", "o1") or line[2] == 1])
    text = refused(short)
    assert "image 7, object o1: 1 click" in text
    assert "--clicks" in text
    assert "--beyond simulate" in text
    assert task_of(short, (1,)).check_images(World(), ["a", "7"]) == []
    assert task_of(short, beyond="simulate").check_images(World(), ["a", "7"]) == []
    assert task_of(short).check_images(World(), ["a"]) == []  # the other image is not asked for
    rows = task_of(short, beyond="simulate").rows(World().load("7"), Growing(), Context())
    xy, _ = clicks_of(rows, "o1", 3)
    assert xy[:2] == [37, 7]
    assert xy[2:4] != [38, 7]
    none = written(tmp_path / "none.csv", [line for line in every(3) if line[:2] != ("7", "o1")])
    assert "image 7, object o1: no click" in refused(none, beyond="simulate")


def test_ids_as_spreadsheets_write_them_and_several_datasets(tmp_path: Path) -> None:
    lines = [("made", "7.0" if line[0] == "7" else line[0], *line[1:]) for line in every(1)]
    path = written(tmp_path / "clicks.csv", [*lines, ("other", "z", "o0", 1, 3, 3, 1)], ("dataset", *HEADER))
    assert task_of(path, (1,)).check_images(World(), ["a", "7"]) == []
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace(",", ";"))
    assert "semicolons" in task_of(other, (1,)).check_images(World(), ["a", "7"])[0]
    assert read_clicks(path).of("other", "z")["o0"][0][1:] == (3, 3, True)


def test_clicks_that_change_under_a_run_are_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "clicks.csv", every(3))
    task = task_of(path)
    written(path, [*every(3)[:-1], ("7", "o1", 3, 50, 9, 1)])
    with pytest.raises(DataError, match="others than those that the run began with"):
        replace(task).rows(World().load("a"), Growing(), Context())


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="centre"):
        PointSettings(prompt="centre")
    with pytest.raises(UsageError, match="no file is named"):
        PointSettings(prompt="file:")
    with pytest.raises(UsageError, match="only for recorded clicks"):
        PointSettings(beyond="simulate")
    with pytest.raises(UsageError, match="simulat"):
        PointSettings(prompt="file:x.csv", beyond="simulat")  # type: ignore[arg-type]


def test_on_the_command_line(tmp_path: Path, cli: Cli) -> None:
    path = written(tmp_path / "clicks.csv", [("no_such", "1", 1, 3, 3, 1)])
    more = ("--model", "otsu", "--out", tmp_path / "runs", "--dry-run")
    ended = cli("run", "point", "--prompt", f"file:{path}", *more, "--limit", 1)
    assert ended.code == 2
    assert "line 2: there is no image 'no_such'" in ended.err
    ended = cli("run", "point", "--prompt", "middle", *more)
    assert ended.code == 2
    assert "file:CLICKS.csv" in ended.err
