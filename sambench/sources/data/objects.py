"""`objects:FOLDER`: pictures, and one mask file for each object, in folders or with names that say whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.errors import DataError
from sambench.loaders.object_files import ObjectFiles
from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, gathered, inside, placed, there
from sambench.sources.data.pairing import files_of
from sambench.sources.data.words import Word

PREFIX = "objects:"
_IMAGES, _MASKS = ("images", "image", "imgs", "img", "pictures", "im"), ("masks", "mask", "objects", "annotations", "gt", "labels")
_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
_SHAPES = ("{id}/{object}", "{id}_{object}", "{id}-{object}", "{id}.{object}")


class Objects(OwnSource):
    """A `Recogniser`. The options images and masks are patterns, where the usual ones do not fit."""

    form = f"{PREFIX}FOLDER"
    reader = "sambench.loaders.object_files:ObjectFiles"

    def describe(self, word: Word, root: Path | None) -> Own:
        (folder,) = placed(word, root)
        there(folder, "the folder of a dataset", kind="folder")
        given = {k: str(word.options[k]) for k in ("images", "masks") if k in word.options}
        found = [given] if len(given) == 2 else [{**f, **given} for f in _layouts(folder)]
        found = [f for f in found if _n_shared(folder, f)]
        if not found:
            raise DataError(
                "no masks of objects are found beside pictures",
                where=folder,
                expected="images/{id}.jpg with masks/{id}/{object}.png or masks/{id}_{object}.png; or {id}/images/, {id}/masks/",
                found=" and ".join(f"{k} = {v}" for k, v in given.items()) or inside(folder),
                remedy=f'say how they are named: {PREFIX}FOLDER,images="images/{{id}}.jpg",masks="masks/{{id}}_{{object}}.png"',
            )
        word, base, _ = gathered(word, [folder], root)
        layout = found[0]
        pattern = [f"<root>/{layout[k]}" for k in ("images", "masks")]
        notes = () if given else (f"objects are {layout['masks']}, of pictures {layout['images']}",)
        return Own(word, base, {**layout, **word.options}, f"one file an object, in {folder.name}", tuple(pattern), notes=notes)

    def recognise(self, path: Path) -> Sequence[str]:
        if not path.is_dir():
            return []
        fits = any(_n_shared(path, f) for f in _layouts(path))
        return [Word("objects", (str(path),), {}).text()] if fits else []


SOURCE = Objects()


def _layouts(folder: Path) -> list[dict[str, str]]:
    """Usual patterns whose folders are here."""
    here = {f.name.lower(): f.name for f in sniff.folders(folder)}
    images = next((here[n] for n in _IMAGES if n in here), None)
    masks = next((here[n] for n in _MASKS if n in here), None)
    out = []
    if images is not None and masks is not None:
        suffix = _suffix(folder / masks)
        out = [{"images": f"{images}/{{id}}.*", "masks": f"{masks}/{shape}{suffix}"} for shape in _SHAPES] if suffix else []
    for first in sniff.folders(folder)[:1]:
        within = {f.name.lower(): f.name for f in sniff.folders(first)}
        one, many = (next((within[n] for n in names if n in within), None) for names in (_IMAGES, _MASKS))
        if one is not None and many is not None and (suffix := _suffix(first / many)):
            out.append({"images": f"{{id}}/{one}/{{id}}.*", "masks": f"{{id}}/{many}/{{object}}{suffix}"})
    return out


def _suffix(folder: Path) -> str:
    """The suffix that mask files below a folder have, '' where there are none."""
    found = {s for suffixes in files_of(folder, _SUFFIXES).stems.values() for s in suffixes}
    return next((s for s in sorted(found) if s.lower() == ".png"), min(found, default=""))


def _n_shared(folder: Path, layout: dict[str, str]) -> int:
    """Pictures that have masks, where all masks are of pictures and some picture has several; else 0."""
    if not ObjectFiles.fits(folder, **layout):
        return 0
    records = ObjectFiles(folder, "", **layout).index()
    lost = sum(not Path(r.file).is_file() for r in records)
    return 0 if lost or not any(r.n_masks > 1 for r in records) else sum(r.n_masks > 0 for r in records)
