"""`objects:FOLDER`: images, and one mask file for each object, in folders or with names that say whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sambench.errors import DataError
from sambench.loaders.object_files import ObjectFiles
from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, existing_path, gathered, inside, placed
from sambench.sources.data.pairing import files_of
from sambench.sources.data.words import Word
from sambench.types import ImageRecord

PREFIX = "objects:"
_IMAGES, _MASKS = ("images", "image", "imgs", "img", "pictures", "im"), ("masks", "mask", "objects", "annotations", "gt", "labels")
_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
_SHAPES = ("{id}/{object}", "{id}_{object}", "{id}-{object}", "{id}.{object}")


class _Layout(NamedTuple):
    """Patterns of the pictures and of the masks."""

    images: str
    masks: str


class Objects(OwnSource):
    """A `Recogniser`. The options images and masks are patterns, where the usual ones do not fit."""

    form = f"{PREFIX}FOLDER"
    reader = "sambench.loaders.object_files:ObjectFiles"

    def describe(self, word: Word, root: Path | None) -> Own:
        (folder,) = placed(word, root)
        existing_path(folder, "the folder of a dataset", kind="folder")
        images, masks = (str(word.options[k]) if k in word.options else "" for k in ("images", "masks"))
        usual = [_Layout("", "")] if images and masks else _layouts(folder)
        found = [f for f in (_Layout(images or u.images, masks or u.masks) for u in usual) if _fits(folder, f)]
        if not found:
            raise DataError(
                "no masks of objects are found next to images",
                where=folder,
                expected="images/{id}.jpg with masks/{id}/{object}.png or masks/{id}_{object}.png; or {id}/images/, {id}/masks/",
                found=" and ".join(p for p in (images, masks) if p) or inside(folder),
                remedy=f'say how they are named: {PREFIX}FOLDER,images="images/{{id}}.jpg",masks="masks/{{id}}_{{object}}.png"',
            )
        word, base, _ = gathered(word, [folder], root)
        layout = found[0]
        notes = () if images and masks else (f"objects are {layout.masks}, of images {layout.images}",)
        options = {**word.options, "images": layout.images, "masks": layout.masks}
        return Own(word, base, options, f"one file per object, in {folder.name}", tuple(f"<root>/{p}" for p in layout), notes=notes)

    def recognise(self, path: Path) -> Sequence[str]:
        if not path.is_dir():
            return []
        # Where each picture has one mask, nobody can tell it from `masks:` by looking.
        fits = any(any(r.n_masks > 1 for r in _records(path, f)) for f in _layouts(path))
        return [Word("objects", (str(path),), {}).text()] if fits else []


SOURCE = Objects()


def _layouts(folder: Path) -> list[_Layout]:
    """Usual patterns whose folders are here."""
    here = {f.name.lower(): f.name for f in sniff.folders(folder)}
    images = next((here[n] for n in _IMAGES if n in here), None)
    masks = next((here[n] for n in _MASKS if n in here), None)
    out: list[_Layout] = []
    if images is not None and masks is not None:
        suffix = _suffix(folder / masks)
        out = [_Layout(f"{images}/{{id}}.*", f"{masks}/{shape}{suffix}") for shape in _SHAPES] if suffix else []
    for first in sniff.folders(folder)[:1]:
        within = {f.name.lower(): f.name for f in sniff.folders(first)}
        one, many = (next((within[n] for n in names if n in within), None) for names in (_IMAGES, _MASKS))
        if one is not None and many is not None and (suffix := _suffix(first / many)):
            out.append(_Layout(f"{{id}}/{one}/{{id}}.*", f"{{id}}/{many}/{{object}}{suffix}"))
    return out


def _suffix(folder: Path) -> str:
    """The suffix that mask files below a folder have, '' where there are none."""
    found = {s for suffixes in files_of(folder, _SUFFIXES).stems.values() for s in suffixes}
    return next((s for s in sorted(found) if s.lower() == ".png"), min(found, default=""))


def _fits(folder: Path, layout: _Layout) -> bool:
    return bool(_records(folder, layout))


def _records(folder: Path, layout: _Layout) -> Sequence[ImageRecord]:
    """The images where there are masks and all of them are of pictures; else none."""
    if not ObjectFiles.fits(folder, images=layout.images, masks=layout.masks):
        return ()
    records = ObjectFiles(folder, "", images=layout.images, masks=layout.masks).index()
    return records if all(Path(r.file).is_file() for r in records) else ()
