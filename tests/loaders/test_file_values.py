"""What files say, read by one rule: numbers and flags in whatever type, names of files, and sizes that are none."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sambench.errors import DataError
from sambench.loaders import file_names, values
from sambench.loaders.clusters import cluster_of
from sambench.loaders.file_names import BESIDE, CASE, SLASHES, TAIL, locate

NAN, INF = float("nan"), float("inf")
Read = Callable[[Any], Any]


def reader(name: str) -> Read:
    function = getattr(values, name)
    return lambda v: function(v, "key", "entry 7 of a.json")


TAKEN: list[tuple[str, list[Any], Any]] = [
    ("plain_id", [0, 0.0, "0", "0.0"], 0),
    ("plain_id", [1, 1.0, "1", "1.0", "1.00"], 1),
    ("plain_id", [-3, -3.0, "-3"], -3),
    ("plain_id", ["007"], "007"),
    ("plain_id", ["a7"], "a7"),
    ("plain_id", [10**19, str(10**19)], 10**19),
    ("whole", [64, 64.0, "64", "64.0", " 64 ", "+64"], 64),
    ("number", [0.5, "0.5", "5e-1", ".5"], 0.5),
    ("number", [3, 3.0, "3"], 3.0),
    ("flag", [True, 1, 1.0, "1", "1.0", "true", "True", "yes"], True),
    ("flag", [False, 0, 0.0, "0", "0.0", "false", "FALSE", "", None], False),
    ("side", [64, 64.0, "64"], 64),
    ("side", [None, 0, -1, -1.0, "-1", "", NAN], None),
    ("run_lengths", [[392, 16, 2664], [392.0, 16.0, 2664.0], ["392", 16, "2664.0"]], [392, 16, 2664]),
    ("points", [[[1, 2], [3, 4]], [["1", 2.0], [3.0, "4"]]], [[1.0, 2.0], [3.0, 4.0]]),
]


@pytest.mark.parametrize(("name", "given", "plain"), TAKEN)
def test_what_says_the_same_is_read_the_same(name: str, given: list[Any], plain: Any) -> None:
    for value in given:
        found = reader(name)(value)
        assert found == plain
        assert type(found) is type(plain)


REFUSED: list[tuple[str, list[Any]]] = [
    ("plain_id", [None, True, 1.5, NAN, INF, "", [], {}, 2.0**53]),
    ("whole", [None, True, 1.5, "1.5", NAN, -INF, "", "x", "6_4", "0x1", [], "9" * 5000]),
    ("number", [None, False, NAN, INF, "nan", "inf", "1,5", "1_0", "", [], 10**400, "1e999"]),
    ("flag", [2, -1, 0.5, NAN, "maybe", [], {}]),
    ("side", [64.5, -5, "wide", True, [], INF]),
    ("run_lengths", [None, "abc", [1.5], [-1], [NAN], [None], [True]]),
    ("points", [None, [1, 2], [[1]], [[1, 2, 3]], [[1, NAN]], [[1, None]], "x"]),
    ("text", [None, "", 5, "a\0b", "\ud800"]),
]


@pytest.mark.parametrize(("name", "given"), REFUSED)
def test_what_says_nothing_is_an_error_that_names_it(name: str, given: list[Any]) -> None:
    for value in given:
        with pytest.raises(DataError) as e:
            reader(name)(value)
        said = str(e.value)
        assert all(part in said for part in ("key", "entry 7 of a.json", "expected:", "found:", "what to do:"))
        if isinstance(value, float) and not math.isfinite(value):
            assert "NaN" in said or "infinity" in said
        assert len(said) < 600


def test_quoting_never_fails() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert len(values.shown(deep)) <= 80
    for value in ([0] * 10**6, "x" * 10**7, {i: i for i in range(10**5)}, 10**6000, {"a": deep}):
        assert len(values.shown(value)) <= 80
    with pytest.raises(DataError, match="nested"):
        values.json_text(deep, "key", "")
    with pytest.raises(DataError, match="key"):
        values.json_text([NAN], "key", "")


# Names of files.


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("img/1.png", "img/Sub/Übung 2.JPG", "img/two.png", "img/TWO.png", "ann/a.json", "9.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


FOUND = [
    ("1.png", "img", "img/1.png", ""),
    ("img/1.png", "", "img/1.png", ""),
    ("img/../img/1.png", "", "img/../img/1.png", ""),
    ("img\\1.png", "", "img/1.png", SLASHES),
    (".\\img\\1.png", "", "img/1.png", SLASHES),
    ("img\\1.png", "img", "img/1.png", TAIL),
    ("1.PNG", "img", "img/1.png", CASE),
    ("IMG/1.png", "", "img/1.png", CASE),
    ("sub/U\u0308BUNG 2.jpg", "img", "img/Sub/Übung 2.JPG", CASE),
    ("C:\\data\\mine\\img\\1.png", "", "img/1.png", TAIL),
    ("D:/x/1.png", "img", "img/1.png", TAIL),
    ("/home/someone/img/1.png", "img", "img/1.png", TAIL),
    ("/home/someone/img/1.PNG", "img", "img/1.png", CASE),
    ("../img/1.png", "", "img/1.png", BESIDE),
    ("..\\img\\1.png", "", "img/1.png", BESIDE),
    ("../../media/upload/1.png", "img", "img/1.png", TAIL),
]


@pytest.mark.parametrize(("name", "folder", "file", "note"), FOUND)
def test_a_name_is_found(root: Path, name: str, folder: str, file: str, note: str) -> None:
    place = locate([(root / folder, name)], root, where="image 1", beside=root / "ann")
    assert os.path.samefile(place.checked(), root / file)
    assert place.note == note


def test_absolute_names_that_exist_may_lie_anywhere(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.png"
    elsewhere.write_text("")
    assert locate([(root / "img", str(elsewhere))], root, where="").checked() == elsewhere
    relative = os.path.relpath(elsewhere, root / "img")
    place = locate([(root / "img", relative)], root, where="image 1 of a.json")
    with pytest.raises(DataError, match="leads out of the dataset's folder") as e:
        place.checked()
    assert "image 1 of a.json" in str(e.value)
    # But a file of that name in the folder is it.
    (root / "img/x.png").write_text("")
    assert locate([(root / "img", relative)], root, where="").checked() == root / "img/x.png"


@pytest.mark.parametrize("name", ["Two.png", "/somewhere/tWO.png", "a\\TWO.PNG"])
def test_several_that_fit_are_named(root: Path, name: str) -> None:
    place = locate([(root / "img", name)], root, where="image 1 of a.json")
    with pytest.raises(DataError, match="fits several files") as e:
        place.checked()
    assert all(str(part) in str(e.value) for part in (root / "img/two.png", root / "img/TWO.png", "image 1 of a.json"))


def test_a_tail_that_two_files_have_is_not_guessed(root: Path) -> None:
    (root / "1.png").write_text("")
    with pytest.raises(DataError, match="fits several files"):
        locate([(root, "/home/someone/img/1.png")], root, where="").checked()


@pytest.mark.parametrize("name", ["no.png", "a/b/c.png", "x" * 5000, "a\0b", "\ud800.png", "/", "..", "\\", "C:\\"])
def test_what_is_nowhere_has_its_place(root: Path, name: str) -> None:
    place = locate([(root / "img", name)], root, where="image 1")
    assert isinstance(place.path, Path)
    assert place.note == ""


def test_folders_are_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(file_names.os, "listdir", lambda f: read.append(f) or ["1.png"])
    file_names._listed.cache_clear()
    for i in range(50):
        locate([(root / "img", f"gone{i}.png")], root, where="")
    assert read == [str(root / "img")]


def test_clusters() -> None:
    assert cluster_of(r"(v\d)/", "v1/a.png") == "v1"
    assert cluster_of(r"(v\d)/", "w1/a.png") == ""
    assert cluster_of(r"(v)?w1", "w1/a.png") == ""  # a group that takes part in no match
    assert cluster_of("", "a") == ""
