"""A name that is a card's and also a file or folder here: the card wins, and it is said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from sambench import cards
from sambench.engine.run import Request, plan
from sambench.errors import DataMissingError, ModelError, UsageError
from sambench.sources import datasets, models
from tests.helpers import own_data
from tests.helpers.inprocess import Cli


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_folder_with_the_name_of_a_dataset_is_spoken_of(tmp_path: Path) -> None:
    said = "`demo` is the built-in dataset; the folder here is `./demo`"
    assert not datasets.resolve("demo").notes
    own_data.labels(tmp_path / "demo")
    planned = plan(Request(task="point", datasets=("demo",), models=(("otsu", {}),), limit=1, out=str(tmp_path / "runs")))
    assert f"demo: {said}" in planned.notes
    assert not any(said in note for note in datasets.resolve("demo/").notes), "a path is no card's name"


def test_the_command_says_it(cli: Cli, tmp_path: Path) -> None:
    own_data.labels(tmp_path / "demo")
    ended = cli("run", "point", "-d", "demo", "-m", "otsu", "--limit", "1", "--dry-run", "-o", tmp_path / "runs")
    assert "the folder here is `./demo`" in ended.out + ended.err


def test_a_dataset_whose_files_are_absent(tmp_path: Path) -> None:
    own_data.labels(tmp_path / "ade20k")
    with pytest.raises(DataMissingError, match=r"(?s)'ade20k' are not here.*the folder here is `./ade20k`.*data adopt"):
        datasets.build(datasets.resolve("ade20k"))


def test_a_dataset_that_is_read_from_that_folder_is_not_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ade20k").mkdir()
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path))
    assert not datasets.resolve("ade20k").notes
    monkeypatch.delenv("SAMBENCH_DATA")
    assert datasets.resolve("ade20k").notes
    assert not datasets.resolve("ade20k", root="ade20k").notes


def test_a_card_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "cards" / "datasets").mkdir(parents=True)
    card = 'id = "mybig"\nname = "Big"\nreader = "sambench.loaders.coco:CocoJson"\n[access]\nstate = "manual"\n'
    (home / "cards" / "datasets" / "mybig.toml").write_text(card, encoding="utf-8")
    monkeypatch.setenv("SAMBENCH_HOME", str(home))
    cards.forget()
    (tmp_path / "mybig").mkdir()
    assert datasets.resolve("mybig").notes == ("`mybig` is your card of a dataset; the folder here is `./mybig`",)
    cards.forget()


def test_a_file_with_the_name_of_a_model(tmp_path: Path) -> None:
    assert not _otsu()
    (tmp_path / "otsu").write_bytes(b"weights")
    assert _otsu() == ("`otsu` is the built-in model; the file here is `./otsu`",)


def _otsu() -> tuple[str, ...]:
    return models.resolve("otsu", {}, device="cpu", precision="fp32").notes


@pytest.mark.parametrize(
    ("name", "found", "remedy"),
    [
        ("sq", "sq.py", "for the file sq.py here, write python:sq.py:square"),
        ("sqq", "sq.py", "for the file sq.py here, write python:sq.py:square"),
        ("sq.py", "sq.py", "named with the function that returns it: python:sq.py:square"),
        ("mine", "mine/config.json", "for the folder here, saved by transformers, write hf:./mine"),
        ("weights.pth", "weights.pth", "write -m CARD -M weights=weights.pth"),
    ],
)
def test_a_name_of_no_model_beside_a_file_that_may_be_one(tmp_path: Path, name: str, found: str, remedy: str) -> None:
    (tmp_path / found).parent.mkdir(exist_ok=True)
    (tmp_path / found).write_text("class Square: ...\ndef _hidden(): ...\ndef square(): ...\n", encoding="utf-8")
    with pytest.raises((UsageError, ModelError)) as e:
        models.source_of(name)
    assert remedy in str(e.value)
    assert "choose one of" not in str(e.value)


def test_a_name_that_is_like_none_gets_no_suggestion() -> None:
    with pytest.raises(UsageError) as e:
        datasets.source_of("nothere")
    assert "timberseg'?" not in str(e.value)
