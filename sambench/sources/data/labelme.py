"""`labelme:FOLDER`: images with a JSON of shapes next to each, as LabelMe writes them; `labelme:JSONS,IMAGES` for two folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.errors import DataError
from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, existing_path, gathered, joined, placed
from sambench.sources.data.pairing import files_of
from sambench.sources.data.words import Word

PREFIX = "labelme:"
_LOOKED = 8


class Labelme(OwnSource):
    """A `Recogniser`. Folders in the folder count too. Of a picture with another name than its JSON, imagePath in that says it."""

    form = f"{PREFIX}FOLDER"
    most = 2
    reader = "sambench.loaders.labelme:LabelmeJson"

    def describe(self, word: Word, root: Path | None) -> Own:
        folders = [existing_path(p, "the folder of a dataset", kind="folder") for p in placed(word, root)]
        found = files_of(folders[0], (".json",))
        if not any(sniff.is_labelme(folders[0] / f"{s}{found.stems[s][0]}") for s in list(found.stems)[:_LOOKED]):
            there_are = ", ".join(f"{s}.json" for s in list(found.stems)[:4]) or "no JSON files"
            expected = "a JSON with shapes next to each image"
            raise DataError("a folder holds no annotations of LabelMe", where=folders[0], expected=expected, found=there_are)
        word, base, relative = gathered(word, folders, root)
        placeholder = "{path}" if any("/" in s for s in found.stems) else "{id}"
        labels, images = (joined(f, f"{placeholder}{s}") for f, s in ((relative[0], ".json"), (relative[-1], ".*")))
        options = {"layouts": [{"images": images, "labels": labels}], **word.options}
        return Own(word, base, options, f"annotations of LabelMe in {base.name}", (f"<root>/{images}", f"<root>/{labels}"))

    def recognise(self, path: Path) -> Sequence[str]:
        if not path.is_dir():
            return []
        if any(sniff.is_labelme(p) for p in sniff.files(path, ".json")[:_LOOKED]):
            return [Word("labelme", (str(path),), {}).text()]
        inside = sniff.folders(path)
        images = [f for f in inside if files_of(f).n]
        of_json = [f for f in inside if any(sniff.is_labelme(p) for p in sniff.files(f, ".json")[:_LOOKED])]
        if len(of_json) == 1 and not files_of(of_json[0]).n and len(images) == 1:
            return [Word("labelme", (str(of_json[0]), str(images[0])), {}).text()]
        return [Word("labelme", (str(path),), {}).text()] if of_json else []


SOURCE = Labelme()
