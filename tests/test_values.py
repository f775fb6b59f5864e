"""Values that people write: finite, plain and bounded, or refused with a sentence; whatever door they come through."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sambench
from sambench import tasks
from sambench.cards import dataset_cards
from sambench.errors import CardError, UsageError
from sambench.loaders.open import check_options, load_entry
from sambench.sources.models import resolve
from sambench.sources.options import parse_options
from sambench.values import MAX_DEPTH, misfit, read_toml
from tests.helpers.inprocess import Cli

DEEP: Any = 1
for _ in range(MAX_DEPTH + 2):
    DEEP = [DEEP]
BAD = [float("nan"), float("inf"), 1 << 70, datetime.date(2024, 1, 1), DEEP, "a\0b", "x" * 70_000, {1: 2}, {"a": object()}, {1, 2}]


@pytest.mark.parametrize("value", BAD, ids=lambda v: type(v).__name__)
def test_what_cannot_stand_in_an_identity(value: object) -> None:
    said = misfit({"outer": [1, value]})
    assert said is not None
    assert said.startswith("outer[1]")
    with pytest.raises(UsageError, match="option of model 'otsu'"):
        resolve("otsu", {"x": value}, device="cpu", precision="fp32")
    with pytest.raises(UsageError, match="setting of task point"):
        tasks.build("point", {"clicks": value})


@pytest.mark.parametrize("value", [0, -1.5, True, None, "text", "", [], [[1], {"a": (2, "x")}], (1 << 63) - 1])
def test_what_can(value: object) -> None:
    assert misfit(value) is None


def test_a_cycle_ends() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    assert misfit(cycle) is not None


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 3000 + "]" * 3000, "a = ", "a = 1\na = 2"])
def test_toml_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_toml(text)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("a=3#4", "3#4"),
        ("a=1\nb=2", "1\nb=2"),
        ('a="x#y"', "x#y"),
        ("a=2024-01-01", "2024-01-01"),
        ("a=07:32:00", "07:32:00"),
        ("a=[1, 2]", [1, 2]),
        ("a=true", True),
        ("a=some text", "some text"),
        ("a=", ""),
    ],
)
def test_an_option_is_a_value_or_a_text(pair: str, value: object) -> None:
    assert parse_options([pair]) == {"a": value}


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000])
def test_an_option_that_is_neither(value: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        parse_options([f"a={value}"])


CARD = """
id = "own"
name = "Own"
reader = "{reader}"
layout = ["ann.json"]
[options]
{options}
[access]
state = "manual"
"""
COCO = "sambench.loaders.coco:CocoJson"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "img").mkdir()
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "img" / "a.png")
    (tmp_path / "ann.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 50}], "categories": [{"id": 1, "name": "x"}],'
        '"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 400, "bbox": [5, 5, 20, 20],'
        '"segmentation": [[5, 5, 25, 5, 25, 25, 5, 25]]}]}'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("x = nan", "no finite number"),
        ("annotations = 2024-01-01", "a date"),
        ("annotations = " + "[" * 3000 + "]" * 3000, "nested"),
        ("annotations = " + "9" * 5000, "5000 digits"),
        ("annotations = 5", "valid string"),
        ('annotations = "ann.json"\nimages = ["img", 3]', "valid string"),
        ('annotations = "ann\\u0000.json"', "zero byte"),
        (f'annotations = "{"n" * 300}.json"', "File name too long"),
        ('annotations = "ann.json"\nexact = "yes"', "'exact'"),
        ('annotations = "ann.json"\ncluster = "("', "regular expression"),
        ('annotations = "ann.json"\ncluster = "a"', "a group"),
        ('annotations = "ann.json"\ncluster = 5', "'cluster'"),
    ],
)
def test_a_cards_options(cli: Cli, folder: Path, options: str, says: str) -> None:
    (folder / "own.toml").write_text(CARD.format(reader=COCO, options=options))
    ended = cli("run", "point", "-d", "own.toml", "--root", ".", "-m", "otsu", "-q")
    assert ended.code == 2
    assert says in ended.err
    assert not (folder / "runs").exists()


def test_all_cards_fit_their_readers() -> None:
    for card in dataset_cards().values():
        reader = load_entry(card.reader, where=card.id)
        for variant in (None, *card.variants):
            check_options(card, reader, card.options_of(variant))


@pytest.mark.parametrize(
    "text",
    [
        "limit = 2024-01-01", "clicks-until = nan", "out = " + "[" * 3000 + "]" * 3000, "limit = " + "9" * 5000, "out = {a = 1}",
        'out = ""', "limit = [1, 2]", 'quiet = "maybe"', "option = {a = nan}", "option = {weights = 5}", "model = {a = 1}",
        'datasets = [["demo"]]', 'out = "a\\u0000b"', "limit = -3", "limit = 1.5", "seed = -1", "clicks = [999999999]",
        "noc = true\nmax-clicks = 999999999", "clicks = []",
    ],
)  # fmt: skip
def test_a_configuration_that_does_not_fit(cli: Cli, folder: Path, text: str) -> None:
    (folder / "run.toml").write_text(text)
    ended = cli("run", "point", "-d", "demo", "-m", "otsu", "--dry-run", "--config", "run.toml")
    assert ended.code == 2
    assert "error of its own" not in ended.err


def test_options_of_a_configuration_keep_their_kind(folder: Path, cli: Cli) -> None:
    (folder / "m.py").write_text(
        "def make(flag, text, numbers, table):\n    raise ValueError(repr([flag, text, numbers, table]))\n"
    )
    (folder / "run.toml").write_text('option = {flag = true, text = "5", numbers = [1, 2.5], table = {a = "x#y"}}')
    ended = cli("run", "point", "-d", "demo", "-m", "python:m.py:make", "--limit", "1", "--config", "run.toml", "-q")
    assert "[True, '5', [1, 2.5], {'a': 'x#y'}]" in ended.err


@pytest.mark.parametrize(
    "args",
    [
        ("run", "point", "--seed", "-1"), ("run", "proposals", "--seed", "-1"), ("rescore", "x", "--seed", "-1"),
        ("rate", "stats", "x", "--seed", "-1"), ("rate", "stats", "x", "--resamples", "1000000000"),
        ("rescore", "x", "--resamples", "1000000000"), ("run", "point", "--clicks", "999999999"),
        ("run", "point", "--noc", "--max-clicks", "999999999"), ("run", "point", "--clicks-until", "nan"),
        ("run", "edge", "--grid", "1000000"), ("run", "edge", "--thresholds", "999999999"), ("run", "edge", "--max-dist", "inf"),
        ("run", "proposals", "--grid", "1000000"), ("run", "proposals", "--nms-iou", "nan"),
        ("run", "point", "--clicks", "9" * 5000),
    ],
)  # fmt: skip
def test_numbers_beyond_all_use(cli: Cli, args: tuple[str, ...]) -> None:
    ended = cli(*args)
    assert ended.code == 2
    assert "error of its own" not in ended.err


def test_the_same_from_python() -> None:
    for settings in ({"clicks": (10**9,)}, {"seed": -1}, {"clicks": 5}, {"clicks": ("a",)}, {"until_iou": float("nan")}):
        with pytest.raises(UsageError):
            sambench.run("point", model="otsu", settings=settings)


def test_a_definition_of_a_report_is_read_alike(cli: Cli, folder: Path) -> None:
    (folder / "r.toml").write_text('kind = "report"\nid = "r"\nx = nan\n')
    ended = cli("report", "./r.toml")
    assert ended.code == 2
    assert "no finite number" in ended.err


def test_a_card_error_is_short(folder: Path) -> None:
    from sambench.cards import dataset_card

    (folder / "own.toml").write_text(CARD.format(reader=COCO, options="").replace('name = "Own"', f"name = {[1] * 5000}"))
    with pytest.raises(CardError) as e:
        dataset_card("own.toml")
    assert len(str(e.value)) < 500
