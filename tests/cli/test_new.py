"""`sambench new`, `list readers` and `sambench.dataset`: data and models of one's own, from nothing to a table."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sambench
from sambench import cards
from sambench.cards.writing import toml_text
from sambench.errors import UsageError
from sambench.sources import datasets
from sambench.sources.data.readers import readers
from tests.helpers import ROOT, own_data
from tests.helpers.inprocess import Cli

RUN = ("run", "point", "--clicks", "1", "--workers", "1", "-q", "-o", "runs")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    cards.forget()
    return tmp_path


FORMS = {
    "coco": (own_data.coco, "my set"),
    "yolo": (own_data.yolo, "my set"),
    "labels": (own_data.labels, "my set"),
    "objects": (own_data.objects, "objects:my set"),
    "labelme": (own_data.labelme, "my set"),
    "via": (own_data.via, "my set"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_card_is_written_and_runs(form: str, here: Path, cli: Cli) -> None:
    make, source = FORMS[form]
    make(here / "my set")
    written = cli("new", "dataset", "leaves", "--from", source)
    assert written.code == 0, written.err
    assert str(here / "home/cards/datasets/leaves.toml") in written.out
    assert cli("data", "verify", "leaves").out.startswith("leaves: 3 images, 6 masks")
    if form == "coco":
        ended = cli(*RUN, "--datasets", "leaves", "-m", "otsu")
        assert ended.code == 0, ended.err
        assert len([*here.glob("runs/*/leaves-*/cell.json")]) == 1
    by_name = datasets.resolve("leaves")
    direct = datasets.resolve(datasets.names_in([source])[0])
    assert by_name.card.reader == direct.card.reader
    assert by_name.card.options == direct.card.options


def test_a_card_where_one_wants_it(here: Path, cli: Cli) -> None:
    own_data.labels(here / "set")
    written = cli("new", "dataset", "leaves", "--from", "labels:set/images,set/labels,keep=[1]", "--to", "mine/leaves.toml")
    assert written.code == 0, written.err
    assert cards.read_card(here / "mine/leaves.toml", "dataset").options["keep"] == [1]  # type: ignore[union-attr]
    assert cli("data", "verify", "mine/leaves.toml").out.startswith("mine/leaves.toml: 3 images, 3 masks")


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("My Set", "set", "name does not fit"),
        ("demo", "set", "there is a dataset of that name"),
        ("leaves", "set,demo", "one dataset is wanted"),
        ("leaves", "demo", "has a card already"),
        ("leaves", "sett", "unknown dataset"),
        ("leaves", "./sett", "is not there"),
        ("leaves", "empty", "folder is empty"),
    ],
)
def test_a_card_that_cannot_be_written(name: str, source: str, message: str, here: Path, cli: Cli) -> None:
    own_data.coco(here / "set")
    (here / "empty").mkdir()
    ended = cli("new", "dataset", name, "--from", source)
    assert ended.code == 2
    assert message in ended.err
    assert not [*here.rglob("leaves.toml")]


def test_a_card_is_not_written_over(here: Path, cli: Cli) -> None:
    own_data.coco(here / "set")
    assert cli("new", "dataset", "leaves", "--from", "set").code == 0
    ended = cli("new", "dataset", "leaves", "--from", "set")
    assert (ended.code, "there is a dataset of that name" in ended.err) == (2, True)


def test_a_model_is_written_checked_and_runs(here: Path, cli: Cli) -> None:
    written = cli("new", "model", "my_model")
    assert written.code == 0, written.err
    assert cli("check", "model", "python:my_model.py:make").code == 0
    ended = cli(*RUN, "--limit", "1", "-m", "python:my_model.py:make", "-M", "radius=0.2")
    assert ended.code == 0, ended.err
    tested = subprocess.run([sys.executable, "-m", "pytest", "-q", "test_my_model.py"], capture_output=True, text=True, cwd=here)
    assert tested.returncode == 0, tested.stdout
    again = cli("new", "model", "my_model")
    assert (again.code, "there is a file of that name" in again.err) == (2, True)
    for name in ("my-model", "class", "1a"):
        assert "name does not fit" in cli("new", "model", name).err


def test_readers_are_listed_with_their_options(cli: Cli) -> None:
    text, table = cli("list", "readers").out, cli("list", "readers", "--format", "markdown").out
    known = readers()
    assert {"coco", "yolo", "labels", "masks", "objects", "labelme", "via", "python"} <= set(known)
    for name, reader in known.items():
        assert f"| `{reader.form}` |" in table
        assert f"{name}:" in text
        for option in reader.options:
            assert f"`{option.name}`" in table
    shown = cli("show", "reader", "coco").out
    assert "Instances of a COCO JSON file" in shown
    assert "crowds" in shown
    assert "did you mean 'coco'" in cli("show", "reader", "cocoo").err


def test_a_dataset_from_python(here: Path) -> None:
    own_data.labels(here / "set")
    opened = sambench.dataset("set", keep=[1], name="mine")
    assert (len(opened), opened.card.id) == (3, "mine")
    assert repr(opened).startswith("<dataset 'mine': 3 images, 3 masks; labels:")
    assert [len(s.instances) for s in opened.samples()] == [1, 1, 1]
    assert opened.sheet(2).size[0] > 300
    results = sambench.run("point", datasets=opened, model="otsu", settings={"clicks": (1,)}, workers=1, out=str(here / "runs"))
    assert len(results.rows()) == 3
    again = sambench.dataset(str(opened))
    assert (str(again), again.annotation_digest()) == (str(opened), opened.annotation_digest())
    assert sambench.dataset(here / "set").card.id == "set"
    assert str(sambench.dataset("demo")) == "demo"
    with pytest.raises(UsageError, match="one dataset is wanted"):
        sambench.dataset("demo,demo:default")


def test_cards_as_text_are_read_back(tmp_path: Path) -> None:
    tables = {
        "id": "a",
        "text": 'q"uo\\te\n\x7f\u00e9\U0001f33f',
        "options": {"n": 1, "x": 0.5, "yes": True, "list": ["a", 2, [1.5]], "odd key": {"in": {"a.b": "c"}}, "none": []},
        "access": {"state": "manual"},
    }
    path = tmp_path / "a.toml"
    path.write_text(toml_text(tables), encoding="utf-8")
    assert tomllib.loads(path.read_text(encoding="utf-8")) == tables
    with pytest.raises(TypeError):
        toml_text({"a": None})


def test_the_page_of_datasets_lists_the_readers(cli: Cli) -> None:
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    table = page.partition("--format markdown` -->")[2].partition("<!-- end of readers -->")[0]
    assert table.strip() == cli("list", "readers", "--format", "markdown").out.strip()


def test_the_reader_of_the_page_runs(here: Path, cli: Cli) -> None:
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    code = page.partition("from dataclasses import dataclass")[2].partition("```")[0]
    (here / "reader.py").write_text(f"from dataclasses import dataclass{code}", encoding="utf-8")
    own_data.masks(here / "set", "", "")
    shown = cli("data", "verify", "python:reader.py:Leaves,set").out
    assert "3 images, 3 masks" in shown


@pytest.mark.parametrize("command", [("data", "adopt", "set", "."), ("data", "get", "set")])
def test_data_of_ones_own_is_neither_adopted_nor_fetched(command: tuple[str, ...], here: Path, cli: Cli) -> None:
    own_data.coco(here / "set")
    ended = cli(*command)
    assert (ended.code, "is read from where it lies" in ended.err) == (2, True)
    assert cli("data", "where", "set").out.startswith(str(here / "set"))
    shown = cli("show", "dataset", "coco:set/annotations.json,set/images").out
    assert "annotations = 'annotations.json'" in shown


def test_a_rating_study_of_ones_own_data(here: Path, cli: Cli) -> None:
    own_data.labels(here / "set")
    ended = cli("rate", "make", "--datasets", "set", "--prompts-only", "--per-dataset", "2", "--min-area", "10", "-o", "study")
    assert ended.code == 0, ended.err
    (source,) = here.glob("study/**/dataset.toml")
    assert cards.read_card(source, "dataset").options["layouts"]  # type: ignore[union-attr]
