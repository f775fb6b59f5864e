"""Datasets of one's own without a card: the card is made of the name.

What all sources of them share: where the files are, what the dataset is called, and a card that every part of sambench takes like
one from a file. Paths are kept relative to one folder, the deepest that holds them all, so that results are of the same dataset
wherever it lies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench import cards
from sambench.cards import Access, DatasetCard
from sambench.errors import DataError, UsageError, near_names, shown
from sambench.loaders.open import open_dataset
from sambench.sources.data import sniff
from sambench.sources.data.base import DatasetSpec, ResolvedDataset
from sambench.sources.data.words import Word, parse
from sambench.types import Dataset, Holds

_GENERIC = {
    "annotation", "annotations", "_annotations_coco", "coco", "data", "dataset", "default", "export", "gt", "ground_truth", "image",
    "images", "img", "imgs", "instances", "instances_default", "json", "label", "labels", "mask", "masks", "result", "results",
    "via_region_data",
}  # fmt: skip


@dataclass(frozen=True)
class Own:
    """What a source makes of a name. word: with paths relative to `root`, which is absolute (None: its files have no folder of the
    user's). options: of the reader.

    title: what it is, for people. layout: what lies in the folder. stem: what it is called by, beside the folder. notes: what must
    be said of it. reader: its code, where that is not the source's own. absolute: the name with absolute paths, where these are not
    all of its places.
    """

    word: Word
    root: Path | None
    options: Mapping[str, Any]
    title: str
    layout: tuple[str, ...]
    stem: str = ""
    notes: tuple[str, ...] = ()
    reader: str = ""
    absolute: str = ""


class OwnSource:
    """What the sources of such datasets share; each is one, and has a form, a reader, and `describe`."""

    form = ""
    needs = 1
    most = 1
    reader = ""

    def gives(self, name: str) -> Holds | None:
        return "masks"

    def describe(self, word: Word, root: Path | None) -> Own:
        """What a name means. root: the folder that its paths are relative to, where it is given. Raises UsageError, DataError."""
        raise NotImplementedError

    def resolve(self, name: str, *, root: str | None = None) -> ResolvedDataset:
        word = parse(name, self.form, least=self.needs, most=self.most)
        named = word.options.pop("name", None)
        return resolved(self.describe(word, Path(root).expanduser().absolute() if root else None), self.reader, named)

    def build(self, dataset: ResolvedDataset) -> Dataset:
        return open_dataset(dataset.card, variant=None, root=dataset.root, known=True)

    def check(self, dataset: ResolvedDataset, opened: Dataset) -> list[str]:
        return list(dataset.notes)


def resolved(own: Own, reader: str, named: Any = None) -> ResolvedDataset:
    """The dataset with a card made of what a source found. named: the option `name`. Raises UsageError on a name that is none."""
    absolute = own.absolute or own.word.text([str((own.root or Path()) / p) for p in own.word.places])
    card = DatasetCard(
        id=_checked(named, absolute) if named is not None else _id_of(own),
        name=own.title,
        reader=own.reader or reader,
        options=dict(own.options),
        access=Access(state="manual" if own.root is not None else "embedded"),
        layout=own.layout,
    )
    card.give_name(absolute)
    root = str(own.root) if own.root is not None else None
    return ResolvedDataset(DatasetSpec(own.word.text(), root=root), card, notes=own.notes)


def _id_of(own: Own) -> str:
    """What a dataset is called: by its folder, and by its file where that says more; never as a dataset that has a card."""
    slugs = [re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") for part in (own.root.name if own.root else "", own.stem)]
    parts = [s for s in slugs if s and s not in _GENERIC] or [s for s in slugs if s] or [own.word.prefix]
    name = "_".join(dict.fromkeys(parts))[:80]
    return f"{name}_{own.word.prefix}" if _taken(name) else name


def _taken(name: str) -> bool:
    return name in cards.dataset_cards() or cards.suite_card(name) is not None


def _checked(named: Any, where: str) -> str:
    name = cards.check_id(named, f"name= of {where}")
    if _taken(name):
        raise UsageError(
            "a dataset has the name of another one, which has a card",
            where=f"name= of {where}",
            found=name,
            remedy="choose another name",
        )
    return name


def placed(word: Word, root: Path | None) -> list[Path]:
    """The paths of a name, absolute and plain. Raises UsageError where one is none that the system takes."""
    out = []
    for text in word.places:
        try:
            path = Path(text).expanduser()
            path = Path(os.path.normpath(path if path.is_absolute() else (root or Path.cwd()) / path))
            path.exists()
        except (OSError, ValueError, RuntimeError) as e:  # longer than a file system takes, a NUL, an unknown ~user
            found = (e.strerror if isinstance(e, OSError) else None) or str(e)
            raise UsageError("a path cannot be read", where=shown(word.text()), expected="a path", found=found) from e
        out.append(path)
    return out


def existing_path(path: Path, what: str, *, kind: str = "") -> Path:
    """The path itself. kind: "file" or "folder", where it must be one. Raises DataError, with near names, where it is not there."""
    if kind == "file" and path.is_dir():
        raise DataError(f"{what} is a folder", where=path, expected="a file", found="a folder", remedy="name the file in it")
    if kind == "folder" and path.is_file():
        raise DataError(f"{what} is a file", where=path, expected="a folder", found="a file", remedy="name the folder of it")
    if path.exists():
        return path
    try:
        beside = sorted(os.listdir(path.parent))
    except OSError:
        remedy = f"the folder {path.parent} is not there either: check the path"
        raise DataError(f"{what} is not there", where=path, found="no such file or folder", remedy=remedy) from None
    near = [str(path.parent / n) for n in near_names(path.name, beside)]
    remedy = f"did you mean {' or '.join(near)}?" if near else f"that folder holds: {', '.join(beside[:8]) or 'nothing'}"
    raise DataError(f"{what} is not there", where=path, found="no such file or folder", remedy=remedy)


def gathered(word: Word, paths: Sequence[Path], root: Path | None) -> tuple[Word, Path, list[str]]:
    """The name with relative paths, the folder that they are relative to, and these paths, with slashes.

    That folder is `root` where all lie in it, else the deepest that holds all. Raises UsageError where there is none (two drives).
    """
    folders = [p if p.is_dir() else p.parent for p in paths]
    if root is None or not all(p.is_relative_to(root) for p in paths):
        try:
            root = Path(os.path.commonpath(folders))
        except ValueError as e:
            raise UsageError("the files of a dataset lie on several drives", where=shown(word.text()), remedy="move one") from e
    relative = [p.relative_to(root).as_posix() for p in paths]
    return Word(word.prefix, tuple(relative), word.options, word.written), root, relative


def joined(folder: str, name: str) -> str:
    """A path below a relative folder, which may be "."."""
    return name if folder in (".", "") else f"{folder}/{name}"


def pictures_of(source: Path, names: Sequence[str], form: str) -> Path:
    """The folder, near an annotation file, below which the pictures lie that it names first. form: how to name it, for errors.

    Raises DataError: none of the folders has them, or several do.
    """
    above = [source.parent, *([source.parent.parent] if source.parent.name.lower() in _GENERIC else [])]
    near = dict.fromkeys([*above, *(f for a in above for f in sniff.folders(a))])
    near |= dict.fromkeys(f for n in near if n.name.lower() in _GENERIC for f in sniff.folders(n))
    plain = [n.replace("\\", "/").lstrip("/") for n in names]
    found = [f for f in near if plain and all((f / n).is_file() for n in plain)]
    if not found:
        found = [f for f in near if plain and all((f / n.rpartition("/")[2]).is_file() for n in plain)]
    if len(found) == 1:
        return found[0]
    expected = f"one folder with {', '.join(plain[:3])}" if plain else "file names in it"
    lost = "are not found" if not found else "may be in several folders"
    raise DataError(
        f"the images of an annotation file {lost}",
        where=source,
        expected=expected,
        found=" and ".join(map(str, found[:4])) or f"none in {', '.join(f'{f}' for f in [*near][:6])}",
        remedy=f"name their folder: {form}",
    )


def check_format(source: Path, prefix: str) -> None:
    """Raise DataError where a file is not of the format that was named, and of another one that is recognised."""
    from sambench.sources.datasets import recognised_by

    names = recognised_by(source, but=prefix.removesuffix(":"))
    if names:
        message, remedy = f"a file is in another form than {prefix} says", f"name it by what it is: {names[0]}"
        raise DataError(message, where=source, expected=prefix, found=names[0].partition(":")[0], remedy=remedy)


def inside(path: Path) -> str:
    """What a folder holds, or what kind of file a file is, for an error."""
    if path.is_file():
        return f"a file {path.suffix or 'without a suffix'}"
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in path.iterdir() if not p.name.startswith("."))
    return shown(", ".join(names[:12]) + (", ..." if len(names) > 12 else "")) or "nothing"
