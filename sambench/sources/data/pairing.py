"""Which files of two folders belong together, told by their names: as patterns that a reader of pairs takes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.errors import DataError, UsageError
from sambench.loaders.file_patterns import PLACEHOLDERS, SUFFIXES, matches

_TRIED = 40  # names that are looked at to find what is added to them
_MOST = 200_000  # files of a folder that are paired
_MOST_SEEN = 1_000_000  # names that are looked at: a whole disk is no dataset


@dataclass(frozen=True)
class Files:
    """Files of a folder. stems: paths below it, without suffix, with slashes; by stem the suffixes."""

    folder: Path
    stems: dict[str, list[str]]

    @property
    def n(self) -> int:
        return len(self.stems)


@dataclass(frozen=True)
class Paired:
    """images, labels: patterns below a common folder. n: pairs. alone: pictures without a label file, and the other way round."""

    images: str
    labels: str
    n: int
    alone: tuple[int, int]


def files_of(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> Files:
    """The files below a folder that have one of the suffixes, but hidden ones."""
    stems: dict[str, list[str]] = {}
    seen = 0
    for place, below, names in os.walk(folder, followlinks=True):
        seen += len(below) + len(names)
        below[:] = sorted(b for b in below if not b.startswith((".", "__MACOSX")))
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes and not name.startswith("."):
                stems.setdefault(Path(place, stem).relative_to(folder).as_posix(), []).append(suffix)
        if len(stems) > _MOST or seen > _MOST_SEEN:
            break
    return Files(folder, stems)


def pattern_in(place: str) -> str | None:
    """A place that is a pattern already, with `{id}` or `{path}`, or with one `*` for them; else None. Raises UsageError on two."""
    name = place.replace("\\", "/")
    if "*" in name and not any(p in name for p in PLACEHOLDERS) and not name.endswith(".*"):
        name = name.replace("**/*", "{path}", 1) if "**/*" in name else name.replace("*", "{id}", 1)
    if not any(p in name for p in PLACEHOLDERS):
        return None
    if sum(name.count(p) for p in PLACEHOLDERS) != 1 or "*" in name.removesuffix(".*"):
        raise UsageError("a pattern of files does not fit", where=place, expected="one {id}, {path} or *", found=place)
    return name


def paired(base: Path, images: str, labels: str, what: str = "label maps") -> Paired:
    """The patterns of pictures and of their label files in two folders, or given as patterns. images, labels: below `base`.

    Raises DataError where no name of the one fits one of the other.
    """
    of_images, of_labels = pattern_in(images), pattern_in(labels)
    found: Paired | None
    if of_images is not None and of_labels is not None:
        found = _counted(base, of_images, of_labels)
    elif of_images is not None or of_labels is not None:
        given = of_images or of_labels
        raise UsageError(
            "one of two places is a pattern, and the other is none",
            where=given,
            expected="two folders, or two patterns",
            found=f"{images} and {labels}",
        )
    else:
        found = _by_names(base, images, labels)
    if found is None or not found.n:
        raise _nothing(base, images, labels, what)
    return found


def _by_names(base: Path, images: str, labels: str) -> Paired | None:
    pictures, maps = files_of(base / images), files_of(base / labels)
    deep = any("/" in stem for stem in [*pictures.stems, *maps.stems])
    placeholder = "{path}" if deep else "{id}"
    if (base / images).samefile(base / labels):
        pictures, maps = _beside(pictures)
    best: tuple[int, str, str] = (0, "", "")
    for of_images, of_labels in _affixes(pictures, maps):
        ids = _ids(maps, of_labels) & _ids(pictures, of_images)
        best = max(best, (len(ids), of_images, of_labels), key=lambda b: b[0])
    if not best[0]:
        return None
    image_pattern, label_pattern = (
        f"{'' if folder in ('.', '') else folder + '/'}{affix.replace('{}', placeholder)}{_suffix(files)}"
        for folder, affix, files in ((images, best[1], pictures), (labels, best[2], maps))
    )
    alone = (pictures.n - best[0], maps.n - best[0])
    return Paired(image_pattern, label_pattern, best[0], alone)


def _beside(files: Files) -> tuple[Files, Files]:
    """Pictures and label files that lie in one folder: told by their suffix, else by what the names of the latter have added."""
    counts = Counter(s.lower() for suffixes in files.stems.values() for s in suffixes)
    lossy = [s for s in counts if s in (".jpg", ".jpeg", ".jfif", ".webp")]
    if lossy and len(counts) > len(lossy):
        split = [{k: [x for x in v if (x.lower() in lossy) is of] for k, v in files.stems.items()} for of in (True, False)]
        first, second = ({k: v for k, v in part.items() if v} for part in split)
        return Files(files.folder, first), Files(files.folder, second)
    added = [s for s in files.stems if any(s != o and o in s for o in files.stems)]
    plain = {k: v for k, v in files.stems.items() if k not in added}
    return Files(files.folder, plain), Files(files.folder, {k: files.stems[k] for k in added})


def _affixes(pictures: Files, maps: Files) -> list[tuple[str, str]]:
    """Forms of the names of pictures and of label files, with {} for what they share, likely ones first."""
    found = [("{}", "{}")]
    every = max(1, maps.n // _TRIED)
    by_name: Counter[str] = Counter()
    names = {s.rpartition("/")[2]: s for s in pictures.stems}
    for stem in list(maps.stems)[::every][:_TRIED]:
        name = stem.rpartition("/")[2]
        inside = [n for n in names if n in name and n != name] if len(names) <= _MOST // 100 else []
        if inside:
            by_name[name.replace(max(inside, key=len), "{}", 1)] += 1
    found += [("{}", form) for form, _ in by_name.most_common(3)]
    found += [(form, "{}") for form in _common(pictures, maps)]
    return [*found, (_form(pictures), _form(maps))]


def _common(pictures: Files, maps: Files) -> list[str]:
    """Forms of the pictures' names where these have something added to those of the label files."""
    counted: Counter[str] = Counter()
    for stem in list(pictures.stems)[:: max(1, pictures.n // _TRIED)][:_TRIED]:
        name = stem.rpartition("/")[2]
        inside = [m for m in (s.rpartition("/")[2] for s in maps.stems) if m in name and m != name]
        if inside:
            counted[name.replace(max(inside, key=len), "{}", 1)] += 1
    return [form for form, _ in counted.most_common(2)]


def _form(files: Files) -> str:
    """What all names of a folder begin and end with, but digits, around {}."""
    names = [s.rpartition("/")[2] for s in files.stems]
    if len(names) < 2:
        return "{}"
    start = re.sub(r"\d+$", "", _shared(names))
    end = re.sub(r"^\d+", "", _shared([n[len(start) :][::-1] for n in names])[::-1])
    return f"{start}{{}}{end}"


def _shared(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    first, last = min(texts), max(texts)
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))]


def _ids(files: Files, form: str) -> set[str]:
    start, _, end = form.partition("{}")
    out = set()
    for stem in files.stems:
        folder, slash, name = stem.rpartition("/")
        if name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end):
            out.add(folder + slash + name[len(start) : len(name) - len(end)])
    return out


def _suffix(files: Files) -> str:
    found = {s for suffixes in files.stems.values() for s in suffixes}
    return next(iter(found)) if len(found) == 1 else ".*"


def _counted(base: Path, images: str, labels: str) -> Paired:
    pictures, maps = ({i for i, _ in matches(base, p)} for p in (images, labels))
    n = len(pictures & maps)
    return Paired(images, labels, n, (len(pictures) - n, len(maps) - n))


def _nothing(base: Path, images: str, labels: str, what: str) -> DataError:
    def shown(place: str) -> str:
        if pattern_in(place):
            return f"files for {place}: {sum(1 for _ in matches(base, str(pattern_in(place))))}"
        names = sorted(files_of(base / place).stems)
        return f"in {base / place}: " + (", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "no images")

    return DataError(
        f"no image has one of the {what}",
        where=base,
        expected=f"names by which the {what} belong to the images, as a.jpg and a.png, or a.jpg and a_mask.png",
        found="; ".join(dict.fromkeys(shown(p) for p in (images, labels))),
        remedy="say how they are named, with {id} for what both share: IMAGES/{id}.jpg,LABELS/{id}_mask.png",
    )
