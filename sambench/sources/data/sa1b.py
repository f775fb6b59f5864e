"""`sa1b:FOLDER`: a JSON of masks for each image, in SA-1B's form (`sambench masks`); `sa1b:JSONS,IMAGES` for two folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.errors import DataError
from sambench.loaders.sa1b import FORM, mask_files, read_mask_file
from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, existing_path, gathered, joined, pictures_of, placed
from sambench.sources.data.words import Word

PREFIX = "sa1b:"
_LOOKED = 8


class Sa1bFolders(OwnSource):
    """A `Recogniser`. Folders in the folder count. Without IMAGES the pictures are looked for beside the JSON files, and near."""

    form = f"{PREFIX}FOLDER"
    most = 2
    reader = "sambench.loaders.sa1b:Sa1b"

    def describe(self, word: Word, root: Path | None) -> Own:
        folders = [existing_path(p, "the folder of a dataset", kind="folder") for p in placed(word, root)]
        files = list(mask_files(folders[0]).values())
        if not files or not any(sniff.is_sa1b(p) for p in files[:_LOOKED]):
            found = ", ".join(p.name for p in files[:4]) or "no JSON files"
            raise DataError("a folder holds no files of masks", where=folders[0], expected=FORM, found=found)
        if len(folders) == 1:
            folders.append(_pictures(folders[0], files[0]))
        word, base, (annotations, images) = gathered(word, folders, root)
        word = Word(word.prefix, tuple(dict.fromkeys((annotations, images))), word.options, word.written)
        places = {"annotations": "" if annotations == "." else annotations, "images": "" if images == "." else images}
        files_at = (("annotations", "<id>.json"), ("images", "<file_name>"))
        layout = tuple(joined(f"<root>/{places[key]}".rstrip("/"), name) for key, name in files_at)
        title = f"masks of images in {folders[0].name}, in SA-1B's form"
        return Own(word, base, {**places, **word.options}, title, layout, folders[0].name)

    def recognise(self, path: Path) -> Sequence[str]:
        if not path.is_dir():
            return []
        near = [path, *sniff.folders(path)[:_LOOKED]]
        if any(sniff.is_sa1b(p) for folder in near for p in sniff.files(folder, ".json")[:_LOOKED]):
            return [Word("sa1b", (str(path),), {}).text()]
        return []


SOURCE = Sa1bFolders()


def _pictures(folder: Path, first: Path) -> Path:
    """The folder of the pictures, told by the first of the files."""
    held = read_mask_file(first)
    beside = [folder, first.parent]
    if any((f / held.file_name).is_file() for f in beside):
        return folder
    return pictures_of(first, [held.file_name], f"{PREFIX}{folder},IMAGES")
