"""What a user may do wrong, through the command line: an error that says what to do, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from sambench.cards import dataset_card
from sambench.errors import DataError
from sambench.loaders.open import check_layout
from sambench.loaders.subsets import choose_subset
from sambench.types import ImageRecord
from tests.helpers import sambench, write_nuclei

MODELS = """
import os, sys
import numpy as np
from sambench import Prediction

class Model:
    def encode(self, image):
        return image

    def decode(self, state, prompts):
        n = [3 if p.multimask else 1 for p in prompts]
        return [Prediction(np.ones((c, *state.shape[:2]), bool), np.full(c, self.score), carry=None) for c in n]

    score = 0.5

class NaN(Model):
    score = float("nan")

class Exits(Model):
    def encode(self, image):
        sys.exit(0)

class Dies(Model):
    def encode(self, image):
        os._exit(0)

class Hungry(Model):
    def encode(self, image):
        raise MemoryError("no room for 3 TB")

class Few(Model):
    def decode(self, state, prompts):
        return super().decode(state, prompts)[1:]

def raises():
    raise ValueError("no such weights")
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_nuclei(tmp_path / "data", 3)
    (tmp_path / "models.py").write_text(MODELS)
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    return tmp_path


def run(world: Path, *more: str, model: str = "otsu") -> tuple[int, str]:
    """Exit code and standard error of a run; model: a card's id, or a name in MODELS."""
    name = model if model in ("otsu", "sam_vit_b") else f"python:{world / 'models.py'}:{model}"
    args = ["run", "point", "-d", "bbbc038v1", "-m", name, "--workers", "1", "--clicks", "1", "-o", str(world / "out"), *more]
    done = sambench(*args)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("weights", ["hello, this is no checkpoint\n" * 9, "<!DOCTYPE html><html></html>"])
def test_a_refused_checkpoint_leaves_no_cell(world: Path, weights: str) -> None:
    (world / "weights.pth").write_text(weights)
    code, err = run(world, "-M", f"weights={world / 'weights.pth'}", model="sam_vit_b")
    assert code == 2
    assert "not a checkpoint" in err
    assert files(world / "out") == []


@pytest.mark.parametrize(
    ("model", "says"), [("NaN", "NaN"), ("Few", "per prompt"), ("Dies", "exit code 0")]
)
def test_a_model_that_ends_the_run_leaves_no_cell(world: Path, model: str, says: str) -> None:
    code, err = run(world, model=model)
    assert code == 2
    assert says in err
    assert "what to do" in err
    assert files(world / "out") == []


def test_a_factory_that_raises_leaves_nothing(world: Path) -> None:
    code, err = run(world, model="raises")
    assert code == 2
    assert "no such weights" in err
    (log,) = files(world / "out")  # nothing but the traceback, which the error names
    assert log in err
    assert "no such weights" in (world / "out" / log).read_text()


def test_an_error_keeps_what_is_there(world: Path) -> None:
    assert run(world, "--limit", "2")[0] == 0
    before = files(world / "out")
    (world / "data/bbbc038v1/stage1_train/image000/images/image000.png").write_bytes(b"")
    code, err = run(world, "--on-error", "stop")
    assert code == 2
    assert "image000" in err
    (record,) = (json.loads(p.read_text()) for p in (world / "out").rglob("cell.json"))
    assert record["status"] in ("interrupted", "incomplete")
    assert {n for n in before if n.endswith(".parquet") and "shards" in n} <= set(files(world / "out"))


def test_a_model_that_exits_fails_its_images(world: Path) -> None:
    code, err = run(world, model="Exits")
    assert code == 2  # all of them: there is no result
    assert "every image failed" in err
    assert "sys.exit(0)" in err
    assert "3 images failed" in err


def test_a_model_without_room_fails_its_images(world: Path) -> None:
    """One large image must not end a run; that none was computed does."""
    code, err = run(world, model="Hungry")
    assert code == 2
    assert "the memory does not suffice for this image" in err
    assert "--workers" in err
    assert "3 images failed" in err


@pytest.mark.parametrize("flag", ["--datasets", "--model"])
def test_an_empty_name_is_not_the_default(world: Path, flag: str) -> None:
    done = sambench("run", "point", flag, "", "-o", str(world / "out"))
    assert done.returncode == 2
    assert flag in done.stderr
    assert not (world / "out").exists()


def test_a_folder_of_images_and_masks_is_another_layout(tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "data/train" / part).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "data/train" / part / "a.png")
    with pytest.raises(DataError, match="another way"):
        check_layout(dataset_card("bbbc038v1"), tmp_path / "data")


def test_a_table_does_not_show_numbers_of_rows_that_are_gone(world: Path) -> None:
    write_nuclei(world / "more", 6)
    env = {"SAMBENCH_DATA": str(world / "more")}
    args = ["run", "point", "-d", "bbbc038v1", "-m", f"python:{world / 'models.py'}:Model", "--workers", "1", "--clicks", "1"]
    assert sambench(*args, "-o", str(world / "out"), env=env).returncode == 0
    whole = sambench("table", str(world / "out"), "--format", "json")
    (shard,) = (world / "out").rglob("000000.parquet")
    shard.unlink()
    table = sambench("table", str(world / "out"), "--format", "json")
    assert table.returncode == 0, table.stderr
    before, after = (json.loads(t.stdout)["rows"][0] for t in (whole, table))
    assert after["n_images"] == 2
    assert [k for k in before if k.startswith("miou") and before[k] != after[k]]


@pytest.mark.parametrize(("name", "content"), [("metrics.parquet", "x"), ("cell.json", "[]"), ("cell.json", "{")])
def test_a_damaged_record_is_mended_by_the_same_command(world: Path, name: str, content: str) -> None:
    assert run(world)[0] == 0
    (path,) = (world / "out").rglob(name)
    path.write_text(content)
    told = sambench("table", str(world / "out"))
    assert told.returncode == 2
    assert "issue the run's command again" in told.stderr
    code, err = run(world)
    assert code == 0, err
    assert "nothing to compute" in err
    assert sambench("table", str(world / "out")).returncode == 0


def test_status_shows_the_neighbours_of_a_damaged_cell(world: Path) -> None:
    for first_click in ("center", "random"):
        code, err = run(world, "--prompt", first_click)
        assert code == 0, err
    first, second = sorted((world / "out").glob("*/*/cell.json"))
    first.write_text("{")
    done = sambench("status", str(world / "out"))
    assert done.returncode == 1
    assert "damaged" in done.stdout
    assert "complete" in done.stdout
    assert str(first) in done.stderr
    assert str(second) not in done.stderr


def test_masks_without_pixels_are_counted_and_told(world: Path) -> None:
    for j in (0, 1):
        Image.new("L", (128, 96)).save(world / f"data/bbbc038v1/stage1_train/image001/masks/mask{j}.png")
    assert run(world)[0] == 0
    table = sambench("table", str(world / "out"))
    assert "2 annotations without pixels left out" in table.stdout


def test_a_terminal_that_knows_ascii_alone() -> None:
    done = sambench("list", "datasets", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    assert "bbbc038v1" in done.stdout


class _Odd:
    name, variant = "odd", "default"

    def __init__(self, image_id: str) -> None:
        self.image_id = image_id

    def index(self) -> list[ImageRecord]:
        return [ImageRecord(self.image_id, 1)]


@pytest.mark.parametrize("image_id", ["two\nlines", "next\x85line", "\u2028", os.fsdecode(b"caf\xe9"), ""])
def test_an_id_that_is_no_line_of_text_is_refused(image_id: str) -> None:
    with pytest.raises(DataError, match="line of text"):
        choose_subset(_Odd(image_id), dataset_card("bbbc038v1"), "full")  # type: ignore[arg-type]


def test_ids_with_spaces_quotes_and_umlauts(world: Path) -> None:
    base = world / "data/bbbc038v1/stage1_train"
    shutil.copytree(base / "image000", base / "a 'b\" ü [red]")
    (base / "a 'b\" ü [red]/images/image000.png").rename(base / "a 'b\" ü [red]/images/a 'b\" ü [red].png")
    code, err = run(world)
    assert code == 0, err
    assert "4/4 images" in err
    assert "nothing to compute" in run(world)[1]


@pytest.mark.parametrize("variable", ["SAMBENCH_HOME", "SAMBENCH_OUT"])
def test_a_file_in_the_place_of_a_folder(world: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    (world / "file").write_text("")
    monkeypatch.setenv(variable, str(world / "file"))
    out = [] if variable == "SAMBENCH_OUT" else ["-o", str(world / "out")]
    done = sambench("run", "point", "-d", "bbbc038v1", "-m", "otsu", *out)
    assert done.returncode == 2
    assert "Errno" not in done.stderr
    assert "Error(" not in done.stderr
    assert str(world / "file") in done.stderr
    assert ("set SAMBENCH_HOME" if variable == "SAMBENCH_HOME" else "--out") in done.stderr
