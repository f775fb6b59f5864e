"""`coco:ANNOTATIONS.json,IMAGES`: an annotation file in COCO's form, and the folder of its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, check_format, existing_path, gathered, joined, pictures_of, placed
from sambench.sources.data.words import Word

PREFIX = "coco:"


class Coco(OwnSource):
    """A `Recogniser`. Without IMAGES the folder is looked for that holds the pictures which the file names first."""

    form = f"{PREFIX}ANNOTATIONS.json,IMAGES"
    most = 2
    reader = "sambench.loaders.coco:CocoJson"

    def describe(self, word: Word, root: Path | None) -> Own:
        paths = placed(word, root)
        source = existing_path(paths[0], "an annotation file", kind="file")
        check_format(source, PREFIX)
        notes: tuple[str, ...] = ()
        template = len(paths) > 1 and "{" in paths[1].name  # a template of the file names
        if len(paths) == 1:
            paths.append(pictures_of(source, sniff.file_names(source), f"{PREFIX}{source},FOLDER"))
        elif not template:
            existing_path(paths[1], "the folder of the images", kind="folder")
            paths[1], notes = _holding(paths[1], sniff.file_names(source))
        folders = [source, paths[1].parent if template else paths[1]]
        word, base, (annotations, images) = gathered(Word(PREFIX[:-1], word.places, word.options, word.written), folders, root)
        if template:
            images = joined(images, paths[1].name)
        word = Word(word.prefix, (annotations, images), word.options, word.written)
        return Own(
            word,
            base,
            {"annotations": annotations, "images": "" if images == "." else images, **word.options},
            f"{source.name}, in COCO's form",
            (f"<root>/{annotations}", joined(f"<root>/{images}" if images != "." else "<root>", "<file_name>")),
            source.stem,
            notes,
        )

    def recognise(self, path: Path) -> Sequence[str]:
        found = [path] if path.is_file() else [p for f in (path, path / "annotations") for p in sniff.files(f, ".json")]
        return [Word("coco", (str(p),), {}).text() for p in found if p.suffix.lower() == ".json" and _is_coco(p)]


SOURCE = Coco()


def _is_coco(path: Path) -> bool:
    return sniff.is_coco(path) and not sniff.is_saco(path)


def _holding(images: Path, names: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """The folder that the file's names are below: the one that is given, or that above it, whose name they begin with."""
    if names and not any((images / n).is_file() for n in names) and all((images.parent / n).is_file() for n in names):
        return images.parent, (f"file names begin with the folder's name: they are taken below {images.parent}",)
    return images, ()
