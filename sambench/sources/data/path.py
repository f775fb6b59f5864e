"""A path alone: the format of what lies there is recognised, by every source that knows its own (`Recogniser`)."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

from sambench.errors import DataError
from sambench.sources.data import words
from sambench.sources.data.base import Recogniser, ResolvedDataset
from sambench.sources.data.maps import nearest
from sambench.sources.data.own import OwnSource, existing_path, inside
from sambench.types import Dataset

_FORMS = "name the format and its files by one of these forms, or write a reader (docs/datasets.md)"


def is_path(name: str) -> bool:
    """Whether a name without a known prefix is meant as a path: it has a slash, or it is there."""
    text = words.unquoted(words.split(name)[0]) if words.split(name) else ""
    if re.match(r"\.{0,2}[/\\]|~|[A-Za-z]:[/\\]", text) or "/" in text:
        return True
    try:
        return (bool(text) and text not in (".", "..") and Path(text).exists()) or text in (".", "..")
    except (OSError, ValueError):
        return False


class Paths(OwnSource):
    """A `DatasetSource` that gives what the source of the recognised format gives."""

    def resolve(self, name: str, *, root: str | None = None) -> ResolvedDataset:
        from sambench.sources.datasets import resolve

        given = words.split(name)
        path = Path(words.unquoted(given[0])).expanduser()
        path = existing_path(path if path.is_absolute() else Path(root or Path.cwd()) / path, "a dataset's file or folder")
        word = recognised(path.resolve())
        found = resolve(",".join([word, *given[1:]]), root=root)
        return replace(found, notes=(f"{given[0]} is read as {word}", *found.notes))

    def build(self, dataset: ResolvedDataset) -> Dataset:
        raise NotImplementedError("the name in its spec is that of another source")


SOURCE = Paths()


def recognised(path: Path) -> str:
    """The name that says the same with a prefix. path: absolute.

    Raises DataError: no format fits, or several do.
    """
    from sambench.sources.datasets import recognised_by, sources

    found = recognised_by(path)
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            "what lies at a path fits several formats, or is several datasets",
            where=path,
            expected="one of the names below",
            found=f"{len(found)} readings of it",
            remedy="\n    ".join(["say which, by one of:", *(f"--datasets {shlex.quote(word)}" for word in found)]),
        )
    near = nearest(_as_here(path))
    empty = path.is_dir() and not any(path.iterdir())
    raise DataError(
        "a dataset's folder is empty" if empty else "the format of what lies at a path is not recognised",
        where=path,
        expected=", ".join(source.form for source in sources().values() if isinstance(source, Recogniser)),
        found=inside(path) + (f"; nearest to {near[0].partition(':')[0]}, but {near[1]}" if near else ""),
        remedy=f"say `{near[0]}`, which takes what fits and names each file that does not" if near else _FORMS,
    )


def _as_here(path: Path) -> Path:
    """The path as it is written shortest: relative to the folder at hand, where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and path != here else path
