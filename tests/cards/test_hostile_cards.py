"""Cards that nobody should trust: whatever stands in one, the answer is a card or a CardError that names the file."""

from __future__ import annotations

import json
import os
import random
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from sambench import cards, paths
from sambench.cards.schema import KINDS
from sambench.errors import CardError, DataError, UsageError, message_of, shown
from sambench.getting import datasets as getting
from sambench.values import toml_file

EXAMPLES: dict[str, dict[str, Any]] = {
    "dataset": {
        "kind": "dataset",
        "id": "mine",
        "name": "Mine",
        "reader": "sambench.loaders.demo:Demo",
        "options": {"a": {"b": [1, 2.5, "x"]}},
        "variants": {"coarse": {"description": "x", "options": {"b": 3}}},
        "access": {
            "state": "auto",
            "steps": ["one"],
            "files": [{"url": "https://x.org/a", "file": "a.zip", "unpack_to": "in/it", "members": ["*.png"], "inner": "in/b.rar"}],
            "fetcher": "sambench.getting.hypersim_frames:fetch",
        },
        "paper": {"name": "M", "split": "val", "images": 3, "masks": 5, "subsampled": True},
        "full": {"images": 3, "masks": 5},
    },
    "suite": {"kind": "suite", "id": "all_mine", "name": "All", "members": ["demo", "mine"], "aliases": ["both"]},
    "boxes": {"kind": "boxes", "id": "found", "name": "F", "dataset": "demo", "file": {"file": "a.json"}, "size": "1 MB"},
    "model": {
        "kind": "model",
        "id": "mine",
        "name": "Mine",
        "factory": "sambench.models.otsu:otsu",
        "max_batch": 8,
        "options": {"threshold": 0.5},
        "weights": {"url": "https://x.org/w.pth", "file": "w.pth", "packaged": "models/w.pth", "sha256": "0" * 64, "bytes": 9},
        "overlaps": ["demo"],
        "published": [{"task": "point", "dataset": "demo", "metric": "miou", "value": 0.5, "source": "x", "k": 1}],
    },
}
# TOML of values that hardly anybody means, by what they are.
HOSTILE = {
    "nan": "nan",
    "minus infinity": "-inf",
    "overflowing float": "1e999",
    "date": "2024-01-31",
    "time": "07:32:00",
    "moment": "1979-05-27T07:32:00Z",
    "many digits": "9" * 5000,
    "many hex digits": "0x" + "f" * 5000,
    "beyond 64 bits": str(1 << 63),
    "negative": "-1",
    "true": "true",
    "float": "0.5",
    "text": '"1"',
    "empty": '""',
    "long": f'"{"x" * 200_000}"',
    "NUL": '"a\\u0000b"',
    "escape": '"\\u001b[31m"',
    "C1": '"\\u009b"',
    "out": '"../../../etc/passwd"',
    "absolute": '"/etc/passwd"',
    "backslash": '"..\\\\x"',
    "list": "[]",
    "list of lists": "[[[]]]",
    "table": "{}",
    "table of a table": "{a = {b = 1}}",
    "deep list": "[" * 5000 + "]" * 5000,
    "deep table": "{" + ".".join(["a"] * 5000) + " = 1}",
    "64 lists": "[" * 64 + "]" * 64,
    "colon": '":"',
    "dots": '"..:x"',
}
NEVER = {"nan", "minus infinity", "overflowing float", "date", "time", "moment", "many digits", "many hex digits", "beyond 64 bits"}
NEVER |= {"NUL", "escape", "C1", "deep list", "deep table", "64 lists", "long"}


def toml(value: Any) -> str:
    """A value as inline TOML; a string that begins with a tab stands for itself."""
    if isinstance(value, str) and value.startswith("\t"):
        return value[1:]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def text_of(card: dict[str, Any]) -> str:
    return "\n".join(f"{k} = {toml(v)}" for k, v in card.items())


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every value of a card, tables and lists too."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*at, key))


def changed(card: dict[str, Any], at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(json.dumps(card))
    holder: Any = out
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = value
    return out


def schema_keys(model: Any, at: str = "") -> Iterator[str]:
    """Every key of a card's schema, dotted."""
    for name, field in model.model_fields.items():
        yield f"{at}{name}"
        for kind in (field.annotation, *get_args(field.annotation), *(b for a in get_args(field.annotation) for b in get_args(a))):
            if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) and issubclass(kind, BaseModel):
                yield from schema_keys(kind, f"{at}{name}.")


def read(path: Path, text: str | bytes) -> CardError | None:
    """The error that the card ends in, None where it is one; anything else is raised. The error must be fit to be printed."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    error: CardError | None = None
    try:
        cards.read_card(path, "dataset")
    except CardError as e:
        error = e
    if error is not None:
        assert str(path) in str(error.where)
        assert len(str(error)) < 5000
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", str(error))
    return error


def test_the_examples_are_cards(tmp_path: Path) -> None:
    for kind, card in EXAMPLES.items():
        assert read(tmp_path / f"{kind}.toml", text_of(card)) is None


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_place_of_a_card_with_every_hostile_value(tmp_path: Path, kind: str) -> None:
    """Each ends as a card or a CardError; of those that no field of a card can hold, all as errors that name the key."""
    for at in places(EXAMPLES[kind]):
        for what, value in HOSTILE.items():
            error = read(tmp_path / "x.toml", text_of(changed(EXAMPLES[kind], at, f"\t{value}")))
            assert error is not None or what not in NEVER, (at, what)
            if what in NEVER and not what.startswith(("deep", "many digits")):
                key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in at).lstrip(".")
                assert key in str(error), (at, what)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_key_of_the_schema_with_hostile_values(tmp_path: Path, kind: str) -> None:
    for key in schema_keys(KINDS[kind]):
        for what in ("nan", "date", "list of lists", "table of a table", "NUL", "true"):
            top, *rest = key.split(".")
            held: Any = f"\t{HOSTILE[what]}"
            for part in reversed(rest):
                held = {part: held}
            read(tmp_path / "x.toml", text_of({**EXAMPLES[kind], top: held}))


@pytest.mark.parametrize("key", ["file", "unpack_to", "inner"])
@pytest.mark.parametrize("value", ["../x", "/etc/passwd", "a/../../x", "a/./x", "a//x", "a/", "..", "a\\x", ".hidden", "a/.b"])
def test_paths_of_a_card_stay_in_their_folder(tmp_path: Path, key: str, value: str) -> None:
    card = changed(EXAMPLES["dataset"], ("access", "files", 0, key), value)
    assert f"access.files.0.{key}" in str(read(tmp_path / "x.toml", text_of(card)))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("revision",), True),
        (("revision",), "1"),
        (("paper", "masks"), -1),
        (("paper", "subsampled"), 1),
        (("full", "images"), 2.5),
        (("access", "files", 0, "bytes"), 0),
        (("variants",), {"a/b": {"description": "x"}}),
        (("variants",), {"default": {"description": "x"}}),
        (("reader",), ".:x"),
        (("reader",), "..a:x"),
        (("id",), "x" * 300),
    ],
)
def test_values_that_do_not_fit_name_their_key(tmp_path: Path, at: tuple[Any, ...], value: Any) -> None:
    assert ".".join(map(str, at)) in str(read(tmp_path / "x.toml", text_of(changed(EXAMPLES["dataset"], at, value))))


@pytest.mark.parametrize("n", [pytest.param(300, id="quick"), pytest.param(3000, id="all", marks=pytest.mark.slow)])
def test_mutated_cards(tmp_path: Path, n: int) -> None:
    """Bytes changed, cut out, doubled, put in, of cards that come with sambench and of the examples."""
    rng = random.Random(n)
    texts = [text_of(c).encode() for c in EXAMPLES.values()]
    texts += [p.read_bytes() for kind in ("datasets", "baselines") for p in sorted(paths.packaged(kind).glob("*.toml"))][::7]
    pieces = [*(v.encode() for v in HOSTILE.values()), b"[", b"]", b"{", b'"""', b"'''", b"\xff", b"\x00", b"=", b"[[a]]\n"]
    for _ in range(n):
        raw = bytearray(rng.choice(texts))
        for _ in range(rng.randint(1, 4)):
            i, j = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
            j = min(j, i + rng.choice((1, 1, 8, 200)))
            raw[i:j] = rng.choice((b"", bytes(raw[i:j]) * 2, rng.randbytes(j - i), rng.choice(pieces)))
        read(tmp_path / "x.toml", bytes(raw))


# --- what is no card at all


def test_a_pipe_a_folder_a_device_and_a_file_without_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    with (tmp_path / "huge.toml").open("wb") as f:
        f.truncate(1 << 40)
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    for name, says in {"pipe": "neither", "folder": "a folder", "huge": "too large", "zero": "neither", "loop": "symbolic"}.items():
        with pytest.raises(CardError) as e:
            cards.read_card(tmp_path / f"{name}.toml", "dataset")
        assert says in str(e.value)
    for path in (tmp_path / f"{'x' * 300}.toml", tmp_path / "a\0.toml"):
        with pytest.raises(CardError, match="cannot be read"):
            cards.dataset_card(str(path))


def test_a_folder_of_cards_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / ("x" * 300)))
    cards.forget()
    with pytest.raises(CardError, match="a folder of cards cannot be read") as e:
        cards.dataset_card("demo")
    assert "SAMBENCH_HOME" in str(e.value)
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "none"))
    cards.forget()
    assert cards.dataset_card("demo").id == "demo"


MODULES = {
    "exits": "import sys\nsys.exit(0)",
    "raises": "raise ValueError('no')",
    "unprintable": "class E(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise E",
    "syntax": "def",
    "number": "x = 3",
    "nothing": "",
}


@pytest.mark.parametrize("name", MODULES)
def test_an_entry_whose_module_does_not_give_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / f"hostile_{name}.py").write_text(MODULES[name])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CardError, match=f"hostile_{name}:x") as e:
        cards.load_entry(f"hostile_{name}:x", where="card mine")
    assert e.value.where == "card mine"
    assert e.value.found


def test_a_plug_in_that_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name, value = "toys", "toys:folder"

        @staticmethod
        def load() -> Callable[[], None]:
            raise SystemExit(0)

    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [Entry] if group == "sambench.datasets" else [])
    cards.forget()
    with pytest.raises(CardError, match="plug-in 'toys'"):
        cards.dataset_cards()
    cards.forget()


# --- the reader of TOML that cards and configurations share


def test_another_error_and_kind_for_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    for value in ("nan", "2024-01-31", HOSTILE["many digits"], HOSTILE["deep list"], HOSTILE["deep table"], "=", '"\\u0000"'):
        path.write_text(f"clicks = {value}")
        with pytest.raises(UsageError, match="a configuration file") as e:
            toml_file(path, "a configuration file", UsageError)
        assert str(path) in str(e.value)
    path.write_text("clicks = 3\r\n[option]\na = [1, 2.0, true, 'x']\n")
    good = toml_file(path, "a configuration file", UsageError)
    assert good == {"clicks": 3, "option": {"a": [1, 2.0, True, "x"]}}


def test_values_of_errors_are_bounded_and_harmless() -> None:
    class Bad:
        def __str__(self) -> str:
            raise ValueError("no")

    assert shown("a\x1b[31m\0\udcff") == "a\\x1b[31m\\x00\\udcff"
    assert shown("x" * 1000).endswith("... (1000 characters)")
    assert "cannot be printed" in shown(Bad())
    assert "cannot be printed" in shown(9 ** 9999)
    assert message_of(SystemExit()) == "SystemExit"
    assert message_of(ValueError("no")) == "ValueError: no"


# --- getting a dataset by such a card

FETCHERS = {
    "raises": "def fetch(card, tree, progress):\n    raise KeyError('no')",
    "exits": "def fetch(card, tree, progress):\n    raise SystemExit(0)",
    "takes nothing": "def fetch():\n    pass",
}


@pytest.mark.parametrize("name", FETCHERS)
def test_a_fetcher_that_fails_is_named_and_never_a_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    module = f"fetcher_{name.replace(' ', '_')}"
    (tmp_path / f"{module}.py").write_text(FETCHERS[name])
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "list.txt").write_text("x")
    access = {"state": "auto", "files": [{"file": "list.txt"}], "fetcher": f"{module}:fetch"}
    (tmp_path / "mine.toml").write_text(text_of({**EXAMPLES["dataset"], "access": access}))
    with pytest.raises(CardError, match=f"fetcher '{module}:fetch' failed") as e:
        getting.get(getting.offer(str(tmp_path / "mine.toml")), brought=tmp_path)
    assert e.value.where == "card mine"
    assert not (tmp_path / "data" / "mine").exists()
    with pytest.raises(DataError, match="cannot be read"):
        getting.get(getting.offer(str(tmp_path / "mine.toml")), brought=tmp_path / ("y" * 300))
