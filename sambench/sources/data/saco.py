"""`saco:ANNOTATIONS.json,IMAGES`: phrases with masks in SA-Co's form, a file for each annotator, and the folder of the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.errors import DataError
from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, existing_path, gathered, joined, pictures_of, placed
from sambench.sources.data.words import Word
from sambench.types import Holds

PREFIX = "saco:"


class Saco(OwnSource):
    """A `Recogniser`. Without IMAGES the folder is looked for that holds the pictures which the file names first."""

    form = f"{PREFIX}ANNOTATIONS.json[,OTHER_ANNOTATOR.json ...],IMAGES"
    most = 17
    reader = "sambench.loaders.saco:SacoPairs"

    def gives(self, name: str) -> Holds | None:
        return "concepts"

    def describe(self, word: Word, root: Path | None) -> Own:
        paths = placed(word, root)
        sources = [p for i, p in enumerate(paths) if i == 0 or p.suffix.lower() == ".json"]
        for source in sources:
            _check(existing_path(source, "an annotation file", kind="file"))
        others = [p for p in paths if p not in sources]
        if not others:
            others = [pictures_of(sources[0], sniff.file_names(sources[0]), f"{PREFIX}{sources[0]},FOLDER")]
        if len(others) > 1:
            expected, found = "one folder, after the files", " and ".join(map(str, others))
            raise DataError("the images are not in one folder", where=word.text(), expected=expected, found=found)
        existing_path(others[0], "the folder of the images", kind="folder")
        plain, base, (*files, images) = gathered(word, [*sources, others[0]], root)
        below = "" if images == "." else images
        layout = (*(f"<root>/{f}" for f in files), joined(f"<root>/{below}" if below else "<root>", "<file_name>"))
        options = {"annotations": files, "images": below, **plain.options}
        return Own(plain, base, options, f"{sources[0].name}, in SA-Co's form", layout, sources[0].stem)

    def recognise(self, path: Path) -> Sequence[str]:
        found = [path] if path.is_file() else [p for f in (path, path / "annotations") for p in sniff.files(f, ".json")]
        return [Word("saco", (str(p),), {}).text() for p in found if p.suffix.lower() == ".json" and sniff.is_saco(p)]


SOURCE = Saco()


def _check(source: Path) -> None:
    if not sniff.is_saco(source):
        raise DataError(
            "a file is in another form than saco: says",
            where=source,
            expected="lists images and annotations, with text_input in each image record",
            found="no text_input in its first image record" if sniff.is_coco(source) else "no such lists",
            remedy="a file of categories is coco:FILE,IMAGES,concepts=exhaustive (or =federated)",
        )
