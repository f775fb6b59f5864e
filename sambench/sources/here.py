"""What lies in the folder at hand under a name that means something else: a name of a card wins, and it is said so."""

from __future__ import annotations

import ast
import os
import shlex
from difflib import SequenceMatcher
from pathlib import Path

from sambench.errors import near_names

_ALIKE = 0.8  # of a name that was written and one that is here, from 0 to 1


def exists(text: str) -> bool:
    """Whether a text is the path of a file or folder; never an exception."""
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # longer than a file system takes, a NUL, an unknown ~user
        return False


def names() -> list[str]:
    """The files and folders in the folder at hand."""
    try:
        return os.listdir()
    except OSError:  # it was removed, or may not be read
        return []


def alike(name: str) -> list[str]:
    """The files and folders here whose names begin with a name or are much like it, sorted: there may be anything here."""
    return sorted(n for n in names() if n.startswith(name) or SequenceMatcher(None, name, n).ratio() > _ALIKE)


def as_models(name: str) -> list[str]:
    """What to do where a name is that of no model, but what lies here may be one: instructions, none where nothing does."""
    path = Path(name)
    if path.suffix == ".py":
        return [f"a model of one's own is named with the function that returns it: python:{name}:{_factory(path)}"]
    if exists(name) and path.is_dir():
        return [f"for the folder here, saved by transformers, write hf:./{name}"]
    if exists(name):
        return [f"for the file here, if it is a checkpoint, write -m CARD -M weights={shlex.quote(name)}"]
    files = [f"{stem}.py" for stem in near_names(name, [n.removesuffix(".py") for n in names() if n.endswith(".py")], 2)]
    return [f"for the file {file} here, write python:{file}:{_factory(Path(file))}" for file in files]


def _factory(file: Path) -> str:
    """The function of a Python file that is likely to return its model, by a look at its text."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return "make"
    own = [n.name for kind in (ast.FunctionDef, ast.ClassDef) for n in body if isinstance(n, kind) and not n.name.startswith("_")]
    return next((n for n in ("make", "build", "model") if n in own), own[0] if own else "make")


def notes_on(name: str, kind: str, *, released: bool, read: Path | None = None) -> tuple[str, ...]:
    """What to say where the name of a card is a file or folder here, too.

    name: the card's, without a variant. kind: "dataset" or "model". released: it comes with sambench. read: the folder that is
    read, about which nothing need be said.
    """
    path = Path(name)
    if not exists(name) or (read is not None and exists(str(read)) and read.samefile(path)):
        return ()
    whose = "the built-in" if released else "your card of a"
    what = "folder" if path.is_dir() else "file"
    return (f"`{name}` is {whose} {kind}; the {what} here is `{shlex.quote(f'./{name}')}`",)
