"""What the sources of label maps and of masks share: two folders, paired by the names of their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sambench.errors import DataError, SambenchError
from sambench.loaders import images
from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, existing_path, gathered, placed
from sambench.sources.data.pairing import Files, files_of, paired, pattern_in
from sambench.sources.data.words import Word
from sambench.text import counted

_LOOKED = 12  # label files whose values are looked at
_MOST_READ = 200  # label files that are read to say why a folder is none of labels
_SHOWN = 3
_MOST_FOLDERS = 12  # of a folder that holds one for pictures and one for labels
_MOST_VALUES = 4096  # of a label map
_PICTURES = {"images", "image", "imgs", "img", "pictures", "jpegimages"}  # names of folders, in lower case
_LABELS = {"labels": "labels", "label": "labels", "label_maps": "labels", "masks": "masks", "mask": "masks"}


class MapSource(OwnSource):
    """A source of pictures with one file of labels each. what: these, in the plural."""

    needs = 2
    most = 2
    what = ""

    def describe(self, word: Word, root: Path | None) -> Own:
        kinds = ("the folder of the images", f"the folder of the {self.what}")
        folders, names = [], []
        for path, place, kind in zip(placed(word, root), word.places, kinds, strict=True):
            pattern = pattern_in(place)
            if pattern is None:
                folders.append(existing_path(path, kind, kind="folder"))
                names.append("")
                continue
            start = pattern[: pattern.index("{")].rpartition("/")[0]
            (folder,) = placed(Word(word.prefix, (start or ".",), {}), root)
            folders.append(existing_path(folder, kind, kind="folder"))
            names.append(pattern.removeprefix(start).lstrip("/"))
        _, base, relative = gathered(word, folders, root)
        places = ["/".join(p for p in (r if r != "." or not n else "", n) if p) for r, n in zip(relative, names, strict=True)]
        found = paired(base, places[0], places[1], self.what)
        pairs = f"{counted(found.n, 'image has', 'images have')} one of the {self.what}: {found.images} with {found.labels}"
        notes = [pairs] * (found.images != places[0])
        bare = counted(found.alone[0], "image has none, and is left out", "images have none, and are left out")
        notes += [bare] * (found.alone[0] > 0)
        notes += [f"{found.alone[1]:,} of the {self.what} belong to no image"] * (found.alone[1] > 0 and not found.alone[0])
        return Own(
            Word(word.prefix, tuple(places), word.options, word.written),
            base,
            {"layouts": [{"images": found.images, "labels": found.labels}], **word.options},
            f"images and {self.what} in {base.name or base}",
            (f"<root>/{found.images}", f"<root>/{found.labels}"),
            "" if found.n else places[1],
            tuple(notes),
        )


def recognised(path: Path, *, masks: bool) -> Iterator[tuple[Path, Path]]:
    """(pictures, label files): folders in a folder that are paired by their files' names, of which one holds label files.

    masks: those whose label files have one value beside 0; else the others.
    """
    if not path.is_dir() or any(sniff.files(path, s) for s in (".yaml", ".json")):
        return
    folders = sniff.folders(path)
    found = [f for f in map(files_of, folders) if f.n] if len(folders) <= _MOST_FOLDERS else []
    for labels in found:
        if not _are_labels(labels) or _is_mask(labels) is not masks:
            continue
        for pictures in found:
            if pictures is not labels and not _are_labels(pictures) and _fit(path, pictures, labels):
                yield pictures.folder, labels.folder


def nearest(path: Path) -> tuple[str, str] | None:
    """Of a folder that is not recognised, but holds one for pictures and one for labels by their names: how it is named with a
    prefix, and why it was not taken for that; None of another folder, or where nothing is found that speaks against it."""
    folders = {f.name.lower(): f for f in sniff.folders(path)} if path.is_dir() else {}
    pictures = [f for name, f in folders.items() if name in _PICTURES]
    labels = [(prefix, folders[name]) for name, prefix in _LABELS.items() if name in folders]
    if len(pictures) != 1 or len(labels) != 1:
        return None
    (images_at,), ((prefix, labels_at),) = pictures, labels
    of_images, of_labels = files_of(images_at), files_of(labels_at)
    why = [f"{f.folder.name}/ holds no pictures" for f in (of_images, of_labels) if not f.n]
    if not why:
        files = [f"{stem}{suffix}" for stem, suffixes in of_labels.stems.items() for suffix in suffixes]
        why = [f"{labels_at.name}/{name}: {said}" for name in files[:_MOST_READ] if (said := _no_labels(labels_at / name))]
        why = [*why[:_SHOWN], *([f"{len(why) - _SHOWN} more"] if len(why) > _SHOWN else [])]
        try:
            found = paired(path, images_at.name, labels_at.name)
            pairs = ((found.alone[0], "picture", f"no file in {labels_at.name}/"), (found.alone[1], "label file", "no picture"))
            why += [f"{n:,} {what}{'s have' if n > 1 else ' has'} {lacks}" for n, what, lacks in pairs if n > 0]
        except DataError as e:
            why.append(e.message)
    return (Word(prefix, (str(images_at), str(labels_at)), {}).text(), "; ".join(why)) if why else None


def _no_labels(file: Path) -> str:
    """Why a file is no label map; "" where it is one."""
    try:
        values = [int(v) for v in np.unique(images.read_labels(file, colours=True))]
    except SambenchError as e:
        return e.message
    return "" if len(values) <= _MOST_VALUES and _few(values, file) else f"{len(values):,} values, as a picture has"


def _fit(base: Path, pictures: Files, labels: Files) -> bool:
    try:
        found = paired(base, pictures.folder.name, labels.folder.name)
    except DataError:
        return False
    return 3 * found.n >= 2 * labels.n  # else several belong to one picture: one file an object


def _some(files: Files) -> Iterator[Path]:
    names = list(files.stems)
    for stem in names[:: max(1, len(names) // _LOOKED)][:_LOOKED]:
        yield files.folder / f"{stem}{files.stems[stem][0]}"


def _values(path: Path) -> list[int] | None:
    """The values of a label file, ascending; None where it is a picture."""
    try:
        labels = images.read_labels(path, colours=True)
    except SambenchError:
        return None
    found = np.unique(labels)
    return [int(v) for v in found] if len(found) <= _MOST_VALUES else None


def _are_labels(files: Files) -> bool:
    """Whether the files hold few values each, as label maps do and pictures do not."""
    counts = [(_values(path), path) for path in _some(files)]
    return bool(counts) and all(values is not None and _few(values, path) for values, path in counts)


def _few(values: list[int], path: Path) -> bool:
    height, width = images.read_size(path)
    return len(values) <= 2 or (len(values) * 50 <= height * width and (len(values) < 64 or max(values) > 255))


def _is_mask(files: Files) -> bool:
    """Whether each of the files has at most one value beside 0, the same in all that have one."""
    beside = {v for path in _some(files) for v in (_values(path) or []) if v}
    return len(beside) == 1
