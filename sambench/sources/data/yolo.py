"""`yolo:data.yaml`: images and label files of outlines, as YOLO's trainers have them; or the folder of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sambench.errors import DataError, shown, unknown_name
from sambench.files.content import regular_bytes
from sambench.loaders.yolo import label_folder
from sambench.sources.data import sniff
from sambench.sources.data.own import Own, OwnSource, existing_path, gathered, inside, placed
from sambench.sources.data.pairing import files_of
from sambench.sources.data.words import Word

PREFIX = "yolo:"
_KEYS = "keys names, and train, val or test"
_SPLITS = ("val", "valid", "validation", "test", "train")


class Yolo(OwnSource):
    """A `Recogniser`. The option split says which of the file's splits; else val, or the first that is there of test and train."""

    form = f"{PREFIX}data.yaml"
    reader = "sambench.loaders.yolo:YoloTxt"

    def describe(self, word: Word, root: Path | None) -> Own:
        (path,) = placed(word, root)
        existing_path(path, "the file or folder of a dataset")
        split = word.options.pop("split", None)
        file = path if path.is_file() else _file_in(path)
        folders, names, used = _of_file(file, split) if file is not None else _of_folder(path, split)
        for folder in folders:
            labels = Path(label_folder(folder.as_posix()))
            existing_path(labels, "the folder of the label files", kind="folder")
            if not files_of(labels, (".txt",)).n:
                raise DataError("a folder of label files has none", where=labels, expected="<image>.txt", found="no such file")
        _, base, relative = gathered(word, [path, *folders], root)
        images = relative[1:]
        notes = (f"split {used} of {(file or path).name}",) if used and split is None else ()
        options: dict[str, Any] = {"images": images[0] if len(images) == 1 else images, "names": names}
        return Own(
            Word("yolo", (relative[0],), word.options, word.written),
            base,
            {**options, **word.options},
            f"{(file or path).name}, in YOLO's form",
            tuple(f"<root>/{i}, with <root>/{label_folder(i)}/<image>.txt" for i in images),
            used if split is not None else "",
            notes,
        )

    def recognise(self, path: Path) -> Sequence[str]:
        if path.is_file():
            return [Word("yolo", (str(path),), {}).text()] if path.suffix.lower() in (".yaml", ".yml") and _is_yolo(path) else []
        file = _file_in(path)
        if file is not None:
            return [Word("yolo", (str(file),), {}).text()]
        try:
            _of_folder(path, None)
        except DataError:
            return []
        return [Word("yolo", (str(path),), {}).text()]


SOURCE = Yolo()


def _file_in(folder: Path) -> Path | None:
    found = [f for s in (".yaml", ".yml") for f in sniff.files(folder, s) if _is_yolo(f)]
    return found[0] if found else None


def _is_yolo(file: Path) -> bool:
    try:
        content = _content(file)
    except DataError:
        return False
    return "names" in content and any(s in content for s in _SPLITS)


def _content(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(regular_bytes(file))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as e:
        raise DataError("a file cannot be read as YAML", where=file, expected=_KEYS, found=str(e)) from e
    if not isinstance(content, dict):
        raise DataError("a YAML file is none of a dataset's", where=file, expected=_KEYS, found=shown(repr(content)))
    return content


def _of_file(file: Path, split: Any) -> tuple[list[Path], list[str], str]:
    """(folders of pictures, names of the classes, split) that a data.yaml says. Raises DataError, UsageError."""
    content = _content(file)
    here = [s for s in _SPLITS if content.get(s)]
    if not here:
        found = "keys " + ", ".join(map(str, content))
        raise DataError("a dataset's file names no images", where=file, expected="val, test or train", found=shown(found))
    if split is not None and split not in here:
        raise unknown_name("split", str(split), here, where=file)
    chosen = split or here[0]
    given = content[chosen]
    places = [str(p) for p in (given if isinstance(given, list) else [given])]
    return [_folder(file, str(content.get("path") or ""), p) for p in places], _names(content.get("names"), file), chosen


def _folder(file: Path, path: str, place: str) -> Path:
    """The folder of pictures that a data.yaml means; what was written on another machine, or for another folder, is beside it."""
    plain = place.replace("\\", "/")
    short = "/".join(p for p in PurePosixPath(plain).parts if p not in ("..", ".", "/"))  # as Roboflow's ../valid/images
    bases = [file.parent / path, file.parent, file.parent / PurePosixPath(path.replace("\\", "/")).name]
    found = [b / p for p in (plain, short) for b in bases]
    found += [b / "/".join(short.split("/")[-n:]) for n in (2, 1) for b in bases[1:2]]
    folder = next((f for f in found if f.is_dir()), None)
    if folder is None and any(f.is_file() for f in found):
        raise DataError(
            "a list of images is not read",
            where=f"{place} of {file}",
            expected="a folder of images",
            found="a file",
            remedy="put its images into a folder images/, and their labels into labels/, and give the folder above: yolo:FOLDER",
        )
    if folder is None:
        tried = list(dict.fromkeys(str(f) for f in found))
        expected = " or ".join(tried[:3])
        raise DataError("the images of a dataset are not there", where=file, expected=expected, found="no such folder")
    return folder.resolve()


def _names(given: Any, file: Path) -> list[str]:
    if isinstance(given, dict) and all(isinstance(k, int) and 0 <= k < 100_000 for k in given):
        return [str(given.get(k, k)) for k in range(max(given, default=-1) + 1)]
    if isinstance(given, list):
        return [str(n) for n in given]
    if given is None:
        return []
    raise DataError("the names of classes do not fit", where=file, expected="a list, or number: name", found=shown(repr(given)))


def _of_folder(folder: Path, split: Any) -> tuple[list[Path], list[str], str]:
    """As `_of_file`, of a folder with images/ and labels/, and maybe a folder for each split in them or above them."""
    splits = [str(split)] if split is not None else list(_SPLITS)
    layouts = [(folder / "images" / s, s) for s in splits] + [(folder / s / "images", s) for s in splits]
    layouts += [(folder / "images", "")] if split is None else []
    for images, used in layouts:
        labels = Path(label_folder(images.as_posix()))
        if images.is_dir() and labels.is_dir() and labels != images and files_of(images).n and _has_outlines(labels):
            return [images], [], used
    raise DataError(
        "a folder is not in YOLO's form",
        where=folder,
        expected="images/ and labels/ with a .txt for each image, maybe each with a folder val/ in it; or a data.yaml",
        found=inside(folder),
    )


def _has_outlines(labels: Path) -> bool:
    """Whether label files hold lines of numbers, by the first that holds a line."""
    found = files_of(labels, (".txt",))
    for stem in list(found.stems)[:200]:
        try:
            words = regular_bytes(labels / f"{stem}{found.stems[stem][0]}").decode("utf-8", "replace").split("\n")[0].split()
        except OSError:
            continue
        if words:
            return len(words) >= 5 and all(w.replace(".", "", 1).replace("-", "").replace("e", "").isdigit() for w in words)
    return False
