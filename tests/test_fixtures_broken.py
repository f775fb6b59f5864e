"""Every reader on broken copies of its fixture: errors name the dataset, the file, what should be there, and the step to take.

Files are harmed two of a kind (same folder but for digits, same suffix): the first and the last of each.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sambench import cards, fixtures
from sambench.cards import load_entry
from sambench.errors import DataError
from sambench.loaders.open import open_dataset

NAMES = fixtures.names()
each_fixture = pytest.mark.parametrize("name", NAMES)

Found = dict[str, list[tuple[str, Any]]]


def read_all(name: str, root: Path) -> Found:
    """Everything that a run reads, by image id."""
    dataset = open_dataset(cards.dataset_card(name), root=root)
    dataset.annotation_digest()
    found: Found = {}
    for record in dataset.index():
        if record.n_masks:
            sample = dataset.load(record.image_id)
            assert sample.image.size
            found[record.image_id] = [(i.object_id, i.region.rle()["counts"]) for i in sample.instances]
    return found


def tried(name: str, root: Path) -> list[DataError]:
    """The errors of every image; the one error of the dataset where it does not open. Anything but a DataError goes up."""
    try:
        dataset = open_dataset(cards.dataset_card(name), root=root)
        dataset.annotation_digest()
        records = list(dataset.index())
    except DataError as e:
        return [e]
    errors = []
    for record in records:
        try:
            if record.n_masks:
                assert dataset.load(record.image_id).image.size
        except DataError as e:
            errors.append(e)
    return errors


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    base = tmp_path_factory.mktemp("originals")
    made: set[str] = set()

    def of(name: str) -> Path:
        if name not in made:
            fixtures.write(name, base / name)
            made.add(name)
        return base / name

    yield of
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def root(originals: Callable[[str], Path], name: str, tmp_path: Path) -> Path:
    """A copy of the fixture that may be harmed."""
    return Path(shutil.copytree(originals(name), tmp_path / "here" / "copy"))


def kinds(root: Path) -> list[Path]:
    """The first and the last file of each kind."""
    by_kind: dict[str, list[Path]] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".")):
        relative = path.relative_to(root)
        by_kind.setdefault(f"{re.sub('[0-9]+', '#', relative.parent.as_posix())}/{relative.suffix}", []).append(path)
    return [p for paths in by_kind.values() for p in {paths[0]: None, paths[-1]: None}]


@each_fixture
def test_an_empty_folder(name: str, tmp_path: Path) -> None:
    card = cards.dataset_card(name)
    with pytest.raises(DataError) as e:
        open_dataset(card, root=tmp_path)
    text = str(e.value)
    assert repr(name) in text
    assert str(tmp_path) in text
    assert card.layout[0] in text
    assert f"sambench data adopt {name}" in (e.value.remedy or "")


@each_fixture
def test_one_level_too_high(root: Path, name: str) -> None:
    """Either the reader finds the files below, or the error names the folder that is right."""
    expected = read_all(name, root)
    found, error = attempt(name, root.parent)
    if error is None:
        assert found == expected
    else:
        assert f"sambench data adopt {name} {root}" in (error.remedy or "")
        assert repr(name) in str(error)


@each_fixture
def test_one_level_too_low(root: Path, name: str) -> None:
    """Either the reader knows that level, too, or the error says what it expects, and how to name the right folder."""
    expected = read_all(name, root)
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        found, error = attempt(name, folder)
        if error is None:
            assert 0 < len(found) <= len(expected), folder
        else:
            assert name in str(error)
            assert error.expected or error.found
            assert re.search(f"sambench (data adopt|show dataset) {name}", error.remedy or "") or str(folder) in str(error.where)


def attempt(name: str, root: Path) -> tuple[Found, DataError | None]:
    try:
        return read_all(name, root), None
    except DataError as e:
        return {}, e


@each_fixture
def test_another_dataset(name: str, originals: Callable[[str], Path]) -> None:
    """The folder of an unlike dataset is not taken for this one, unless it is in the very same format."""
    card = cards.dataset_card(name)
    fits = load_entry(card.reader, where=name).fits
    for other in ("bbbc038v1", "bsds500"):
        if cards.dataset_card(other).reader.partition(":")[0] == card.reader.partition(":")[0] or name.startswith(other):
            continue
        assert not fits(originals(other), **card.options), f"takes {other} for {name}"


HARMS: dict[str, Callable[[Path], object]] = {
    "absent": lambda p: p.unlink(),
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "emptied": lambda p: p.write_bytes(b""),
    "a web page": lambda p: p.write_text("<!DOCTYPE html><title>404</title>"),
}


@pytest.mark.parametrize("how", HARMS)
@each_fixture
def test_a_harmed_file(root: Path, name: str, how: str, tmp_path: Path) -> None:
    """Whatever file is harmed: a DataError that names it (or what lacks it), the dataset, what should be there and what to do."""
    whole = read_all(name, root)
    noticed = 0
    for path in kinds(root):
        content = path.read_bytes()
        HARMS[how](path)
        errors = tried(name, root)
        for e in errors:
            text = str(e).replace(str(tmp_path), "")
            named = (path.name, path.stem, path.parent.name)
            assert any(n in text for n in named), f"{path} {how}, but the error does not name it: {text}"
            assert name in text
            assert e.expected, text
            assert e.remedy, text
        noticed += bool(errors) or read_all(name, root) != whole
        path.write_bytes(content)
    assert noticed, f"no file {how} makes a difference"
    assert read_all(name, root) == whole


JSONS = {
    "an empty object": "{}",
    "an empty list": "[]",
    "a number": "5",
    "another form": '{"images": [{"x": 1}], "annotations": 3}',
}


@pytest.mark.parametrize("how", JSONS)
@each_fixture
def test_json_of_another_release(root: Path, name: str, how: str) -> None:
    files = [p for p in kinds(root) if p.suffix == ".json"]
    if not files:
        pytest.skip("no JSON in its layout")
    for path in files:
        content = path.read_bytes()
        path.write_text(JSONS[how])
        for e in tried(name, root):
            assert path.name in str(e) or path.stem in str(e) or str(path.parent) in str(e)
        path.write_bytes(content)


@each_fixture
def test_unknown_json_fields_do_no_harm(root: Path, name: str) -> None:
    files = sorted(p for p in root.rglob("*.json") if not p.name.startswith("."))
    if not files:
        pytest.skip("no JSON in its layout")
    whole = read_all(name, root)
    for path in files:
        path.write_text(json.dumps(with_unknown_fields(parsed(path))))
    assert read_all(name, root) == whole


def parsed(path: Path) -> Any:
    raw = path.read_bytes()
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return json.loads(raw.decode("latin-1"))


def with_unknown_fields(value: Any) -> Any:
    """Every record gets a field that no reader knows. A record is an object, but not one that maps names to records alike."""
    if isinstance(value, list):
        return [with_unknown_fields(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {k: with_unknown_fields(v) for k, v in value.items()}
    alike = all(isinstance(v, dict) for v in value.values()) and len({frozenset(v) for v in value.values()}) == 1
    return out if alike or all(k.isdigit() for k in value) else {**out, "unheard_of": {"deep": [1, None]}}
