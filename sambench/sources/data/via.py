"""`via:ANNOTATIONS.json,IMAGES`: the export of the VGG Image Annotator, and the folder of its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, check_format, existing_path, gathered, pictures_of, placed
from sambench.sources.data.words import Word

PREFIX = "via:"


class Via(OwnSource):
    """A `Recogniser`. Without IMAGES the folder is looked for that holds the pictures which the file names first."""

    form = f"{PREFIX}ANNOTATIONS.json,IMAGES"
    most = 2
    reader = "sambench.loaders.via:ViaJson"

    def describe(self, word: Word, root: Path | None) -> Own:
        paths = placed(word, root)
        source = existing_path(paths[0], "an annotation file", kind="file")
        check_format(source, PREFIX)
        if len(paths) == 1:
            paths.append(pictures_of(source, sniff.file_names(source, "filename"), f"{PREFIX}{source},FOLDER"))
        existing_path(paths[1], "the folder of the images", kind="folder")
        word, base, (file, images) = gathered(word, paths, root)
        layout = (f"<root>/{file}", f"<root>/{images}/<filename>")
        return Own(word, base, {"sets": {images: file}, **word.options}, f"{source.name}, of VIA", layout, source.stem)

    def recognise(self, path: Path) -> Sequence[str]:
        found = [path] if path.is_file() else sniff.files(path, ".json")
        return [Word("via", (str(p),), {}).text() for p in found if p.suffix.lower() == ".json" and sniff.is_via(p)]


SOURCE = Via()
