"""What of a dataset moves a cell, and what does not: bytes do, places, times, prose and code's whereabouts do not."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sambench import api, cards, fixtures
from sambench.engine.run import Request, execute, plan
from sambench.errors import SambenchError
from sambench.files import content
from sambench.loaders.open import open_dataset
from sambench.types import Dataset

CARD = """id = "own"
name = "Own"
reader = "sambench.loaders.mask_png:MaskPng"
access = { state = "manual" }
[options]
layouts = [{ images = "im/{id}.png", labels = "gt/{id}.png" }]
"""


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))


def flip(path: Path) -> None:
    """Another byte in the middle; size and mtime stay."""
    raw, stat = bytearray(path.read_bytes()), path.stat()
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def objects_of(dataset: Dataset) -> list[Any]:
    """All that a dataset says of its objects."""
    out: list[Any] = []
    for record in dataset.index():
        sample = dataset.load(record.image_id)
        objects = [(o.object_id, o.category, dict(o.attributes), o.region.rle()["counts"]) for o in sample.instances]
        boundaries = [b.tobytes() for b in sample.boundaries]
        ignore = None if sample.ignore is None else sample.ignore.rle()["counts"]
        where = (sample.image_id, sample.cluster_id, sample.height, sample.width)
        out.append((where, objects, boundaries, ignore, dict(sample.left_out)))
    return out


@pytest.mark.parametrize("name", fixtures.names())
def test_whatever_changes_an_object_changes_the_digest(name: str, tmp_path: Path) -> None:
    """In every reader, of every file, though size and time stay; also in a second process, whose caches are full."""
    root = tmp_path / "data"
    fixtures.write(name, root)
    card = cards.dataset_card(name)
    dataset = open_dataset(card, root=root)
    digest, index, objects = dataset.annotation_digest(), list(dataset.index()), objects_of(dataset)
    pictures = {os.path.abspath(r.file) for r in index}
    changed = 0
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.stat().st_size and str(p) not in pictures):
        flip(path)
        try:
            again = open_dataset(card, root=root)
            if (again.annotation_digest(), list(again.index())) == (digest, index):
                assert objects_of(again) == objects, path
            else:
                changed += 1
        except SambenchError:
            changed += 1
        flip(path)
    assert changed
    assert open_dataset(card, root=root).annotation_digest() == digest


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A card of one's own with two pictures, bright squares of which the masks have a part."""
    root = tmp_path / "data"
    for folder in ("im", "gt"):
        (root / folder).mkdir(parents=True)
    for i in range(2):
        square = np.zeros((40, 60), np.uint8)
        square[10:30, 10 + i : 40] = 255
        Image.fromarray(square).save(root / "im" / f"{i}.png")
        Image.fromarray(square).save(root / "gt" / f"{i}.png")
    (tmp_path / "own.toml").write_text(CARD)
    return tmp_path


def request_of(own: Path, card: str = "own.toml", root: str = "data", **more: Any) -> Request:
    where = {"root": str(own / root), "out": str(own / "out")}
    return Request("point", datasets=(str(own / card),), models=(("otsu", {}),), **where, **more)


def cell_of(own: Path, card: str = "own.toml", root: str = "data", **more: Any) -> tuple[str, str]:
    """(cell id, cell directory's name) of a request."""
    (cell,) = plan(request_of(own, card, root, **more)).cells
    return cell.cell_id, cell.cell_dir.name


def other_option(own: Path) -> None:
    (own / "own.toml").write_text(CARD + "above = 3\n")


def other_revision(own: Path) -> None:
    (own / "own.toml").write_text("revision = 2\n" + CARD)


def other_reader(own: Path) -> None:
    (own / "own.toml").write_text(CARD.replace("mask_png:MaskPng", "label_png:LabelPng"))


def annotation_byte(own: Path) -> None:
    mask = np.array(Image.open(own / "data/gt/1.png"))
    mask[10, 20] = 0
    Image.fromarray(mask).save(own / "data/gt/1.png")


def one_more(own: Path) -> None:
    for folder in ("im", "gt"):
        shutil.copy(own / "data" / folder / "1.png", own / "data" / folder / "2.png")


@pytest.mark.parametrize("change", [other_option, other_revision, other_reader, annotation_byte, one_more])
def test_what_moves_a_cell(own: Path, change: Callable[[Path], None]) -> None:
    before = cell_of(own)
    change(own)
    after = cell_of(own)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_the_images_that_are_asked_for_move_a_cell(own: Path) -> None:
    (own / "ids.txt").write_text("1\n")
    assert len({cell_of(own), cell_of(own, subset=str(own / "ids.txt"))}) == 2


def prose(own: Path) -> None:
    text = CARD.replace('"Own"', '"Another name"').replace("access", 'notes = "well"\nlicence = "none"\naccess')
    (own / "own.toml").write_text(text)


def times(own: Path) -> None:
    for path in (own / "data").rglob("*"):
        os.utime(path, ns=(10**18, 10**18))


def picture(own: Path) -> None:
    """Pictures are looked at one by one: a changed one is computed anew in its cell."""
    flip(own / "data/im/1.png")


@pytest.mark.parametrize("change", [prose, times, picture])
def test_what_does_not_move_a_cell(own: Path, change: Callable[[Path], None]) -> None:
    before = cell_of(own)
    change(own)
    assert cell_of(own) == before


def test_another_place_is_the_same_cell(own: Path) -> None:
    before = cell_of(own)
    shutil.move(own / "data", own / "elsewhere")
    shutil.move(own / "own.toml", own / "card.toml")
    assert cell_of(own, "card.toml", "elsewhere") == before


def test_a_readers_module_path_is_in_no_identity(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cell_of(own)
    moved = importlib.import_module("sambench.loaders.mask_png")
    monkeypatch.setitem(sys.modules, "sambench.loaders.moved", moved)
    (own / "own.toml").write_text(CARD.replace("loaders.mask_png:", "loaders.moved:"))
    assert cell_of(own) == before


def test_of_a_reader_of_ones_own_the_source_counts_not_its_place(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from sambench.loaders.mask_png import MaskPng as Mine\n"
    for module, text in (("own_reader_a", source), ("own_reader_b", source), ("own_reader_c", source + "# another\n")):
        (own / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(own)
    cells = []
    for module in ("own_reader_a", "own_reader_b", "own_reader_c"):
        (own / "own.toml").write_text(CARD.replace("sambench.loaders.mask_png:MaskPng", f"{module}:Mine"))
        cells.append(cell_of(own))
    assert cells[0] == cells[1] != cells[2]


def test_an_absolute_path_among_the_options_goes_in_by_content(own: Path) -> None:
    cells = []
    (own / "lists").mkdir()
    for name, ids in (("a.txt", "0\n1\n"), ("b.txt", "0\n1\n"), ("c.txt", "1\n0\n")):
        (own / "lists" / name).write_text(ids)
        layout = f'labels = "gt/{{id}}.png", ids = "{own / "lists" / name}" }}]'
        (own / "own.toml").write_text(CARD.replace('labels = "gt/{id}.png" }]', layout))
        cells.append(cell_of(own))
    assert cells[0] == cells[1] != cells[2]


def test_a_changed_picture_is_computed_anew_and_nothing_else(own: Path) -> None:
    request = request_of(own, workers=1)

    def run() -> tuple[list[str], float]:
        computed: list[str] = []
        outcome = execute(plan(request), lambda e: computed.append(e["image_id"]) if e["event"] == "image" else None)
        metrics = api._results(outcome).metrics().query("metric == 'miou' and variant == 'top' and k == 1")
        top = metrics[metrics["group_by"].isna()]
        return sorted(computed), float(top["value"].iloc[0])

    assert run() == (["0", "1"], 1.0)
    assert run() == ([], 1.0)
    file = own / "data/im/1.png"
    stat, pixels = file.stat(), np.array(Image.open(file))
    half = pixels.copy()
    half[:, 25:] = 0
    Image.fromarray(half).save(file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    computed, value = run()
    assert computed == ["1"]
    assert value < 0.9
    Image.fromarray(pixels).save(file)  # mended: the same pixels, and the same bytes
    assert run() == (["1"], 1.0)
    os.utime(file, ns=(10**18, 10**18))
    assert run() == ([], 1.0)
    content.memory().file.unlink()
    content._memories.clear()
    assert run() == ([], 1.0)
