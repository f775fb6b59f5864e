"""Images and the annotation files that belong to them, paired by patterns of their paths.

A pattern is a path below the dataset's folder with one placeholder, and `.*` for any image suffix at its end:

    gt/{id}.png               one name in that folder
    gtFine/val/{path}_gtFine_instanceIds.png      also folders: the id is then "<city>/<name>"

Suffixes count in any letter case, whole names where no other file fits. A file is never the image and the annotation at once: the
pattern that names a suffix decides which it is. Where two files fit one pattern their image is an error that names both.

A card gives `layouts`, a list of tables `{ images = PATTERN, labels = PATTERN, ids = LIST FILES }` of which the first that is
on the disk counts, and `trees`, folders below the root where that may begin (archives unpack with and without their own).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sambench.errors import CardError, DataError
from sambench.files import content
from sambench.loaders.clusters import Cluster, cluster_of
from sambench.loaders.file_names import CASE
from sambench.loaders.file_patterns import PLACEHOLDERS, candidates, fill, folder_of, matches, why_absent, without_suffix
from sambench.loaders.index_cache import Progress
from sambench.loaders.open import unknown_image
from sambench.notes import note
from sambench.types import ImageRecord

_KEYS = {"images", "labels", "ids"}


@dataclass(frozen=True)
class Pairs:
    """The pairs of one layout below `base`, by image id: what the placeholder stands for.

    ids: files that list the ids to take, one a line, image suffix or not; empty takes every label file.
    prefixes: an id is taken if it begins with one of them, in any case; empty takes all.
    gaps: listed ids may have no label file, and are left out then; else that is an error.
    """

    dataset: str
    base: Path
    images: str
    labels: str
    ids: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    gaps: bool = False

    def image_ids(self) -> list[str]:
        """All ids that have a label file, in the order of `label_files`. Raises DataError if there are none."""
        return list(self.label_files())

    def label_files(self) -> dict[str, Path]:
        """All label files by id, listed ones in the list's order, else sorted. Raises DataError if there are none.

        The folder is read once: for tens of thousands of files much faster than asking for each.
        """
        there = self._labels_by_id()
        names = self._listed() if self.ids else sorted(there)
        kept = [n for n in names if self._wanted(n)]
        if names and not kept:
            raise self._other_prefixes(names)
        if self.ids:
            kept = self._with_labels(kept, there)
        if not kept:
            raise DataError(
                f"there are no annotations of {self.dataset}",
                where=self.base,
                expected=f"{self.labels}, of the ids in {' and '.join(self.ids)}" if self.ids else self.labels,
                found="a list without ids" if self.ids and not names else "no such file",
                of_release="unpack the archive again",
            )
        return {n: there[n] for n in kept}

    def label_file(self, image_id: str) -> Path:
        """The label file of an id. Raises DataError on an id that has none, or several."""
        found = self._labels_of(image_id) if self._wanted(image_id) else []
        if not found:
            raise unknown_image(self.dataset, image_id, self.image_ids())
        return self._only("annotation", self.labels, image_id, found)

    def image_file(self, image_id: str) -> Path:
        """The image of an id. Raises DataError: it is not where it should be, or several files fit."""
        found = self._images_of(image_id)
        if found:
            return self._only("image", self.images, image_id, found)
        missing = self.base / fill(self.images, image_id)
        beside = candidates(self.base, self.images, image_id)
        if beside:
            raise DataError(
                f"an annotated image of {self.dataset} is missing: the pattern of images fits only its annotation",
                where=missing,
                expected="an image next to " + " and ".join(map(str, self._labels_of(image_id))),
                found=" and ".join(p.name for p in beside),
                remedy="give the images' folder or suffix in `images` of the card's layouts, or put the image there",
            )
        raise DataError(
            f"an annotated image of {self.dataset} is missing",
            where=missing,
            expected="the image that belongs to " + str(self.base / fill(self.labels, image_id)),
            found=why_absent(missing),
            of_release="unpack the archive with the images into the same folder again",
            remedy="put the image there, or give the images' place in `images` of the card's layouts",
        )

    def has_image(self, image_id: str) -> bool:
        """Whether a file fits the pattern of images for an id, one or several."""
        return bool(self._images_of(image_id))

    def image_path(self, image_id: str) -> str:
        """Where the image's file is, or should be."""
        found = self._images_of(image_id)
        return str(found[0] if found else self.base / fill(self.images, image_id))

    def counted(
        self, files: Mapping[str, Path], count: Callable[[str, Path], int], progress: Progress, cluster: Cluster = ""
    ) -> list[ImageRecord]:
        """The index of label files by id. count: of an id and its file the number of masks. As `count_or_one`."""
        records = []
        for done, (image_id, path) in enumerate(files.items()):
            progress(done, len(files))
            n = count_or_one(partial(count, image_id), path)
            records.append(ImageRecord(image_id, n, cluster_of(cluster, image_id), self.image_path(image_id)))
        return records

    def digest(self) -> str:
        """sha256 hex over ids and bytes of the label files: the same in every tree that holds the release."""
        return content.files_digest(self.label_files(), self.dataset)

    def _images_of(self, image_id: str) -> list[Path]:
        """Files that may be the image of an id: none that is its annotation, unless the patterns do not tell."""
        found = candidates(self.base, self.images, image_id)
        images_any, labels_any = self.images.endswith(".*"), self.labels.endswith(".*")
        if not self._patterns_meet or (labels_any and not images_any) or (labels_any and len(found) > 1):
            return found
        labels = candidates(self.base, self.labels, image_id)
        return [p for p in found if p not in labels]

    def _labels_of(self, image_id: str) -> list[Path]:
        """Files that may be the annotation of an id: none that the pattern of images names."""
        found = candidates(self.base, self.labels, image_id)
        if not self._patterns_meet or not self.labels.endswith(".*") or self.images.endswith(".*"):
            return found
        images = candidates(self.base, self.images, image_id)
        return [p for p in found if p not in images]

    @property
    def _patterns_meet(self) -> bool:
        """Whether one file could fit both patterns."""
        return folder_of(self.images) == folder_of(self.labels) or "{path}" in self.images + self.labels

    def _labels_by_id(self) -> dict[str, Path]:
        """The label files of the folder by what the placeholder stands for; of several one, since `load` says that they are."""
        found: dict[str, list[Path]] = {}
        for image_id, path in matches(self.base, self.labels):
            found.setdefault(image_id, []).append(path)
        chosen = {i: ps[0] for i, ps in found.items()}
        for image_id, paths in found.items():
            if len(paths) > 1 or self._patterns_meet:
                own = self._labels_of(image_id)
                if own:
                    chosen[image_id] = own[0]
                else:
                    del chosen[image_id]  # an image without annotation
        return chosen

    def _only(self, what: str, pattern: str, image_id: str, found: Sequence[Path]) -> Path:
        """The one file that fits a pattern for an id. Raises DataError naming them where several do."""
        if len(found) == 1:
            named = self.base / fill(pattern, image_id)
            if named.name != (f"{found[0].stem}.*" if pattern.endswith(".*") else found[0].name):
                note(CASE)
            return found[0]
        key = "images" if what == "image" else "labels"
        raise DataError(
            f"several files of {self.dataset} fit as the {what} of one id",
            where=self.base / folder_of(pattern),
            expected=f"one file for {pattern}",
            found=" and ".join(p.name for p in found),
            remedy=f"give the suffix in `{key}` of the card's layouts, as {pattern.removesuffix('.*')}{found[0].suffix}, "
            "or take the other files out of the folder",
        )

    def _wanted(self, image_id: str) -> bool:
        return not self.prefixes or image_id.lower().startswith(tuple(p.lower() for p in self.prefixes))

    def _listed(self) -> list[str]:
        names: dict[str, None] = {}
        for place in self.ids:
            path = self.base / place
            try:
                lines = content.read_bytes(path).decode("utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as e:
                raise DataError(
                    f"a list of images of {self.dataset} cannot be read",
                    where=path,
                    expected="a text file with one image per line",
                    found="no such file" if isinstance(e, FileNotFoundError) else str(e),
                    of_release="unpack the archive again",
                ) from e
            stripped = (line.strip() for line in lines)
            names.update((without_suffix(n), None) for n in stripped if n)
        return list(names)

    def _with_labels(self, names: list[str], there: Mapping[str, Path]) -> list[str]:
        absent = [n for n in names if n not in there]
        if absent and not self.gaps:
            raise DataError(
                f"{len(absent)} of {len(names)} listed annotations of {self.dataset} are missing",
                where=self.base / fill(self.labels, absent[0]),
                expected=f"a file for each line of {' and '.join(self.ids)}",
                found="no such file",
                of_release="unpack the archive again",
            )
        return [n for n in names if n in there]

    def _other_prefixes(self, names: Sequence[str]) -> DataError:
        counts = Counter(re.split(r"[_\-/]", n, maxsplit=1)[0] for n in names)
        found = ", ".join(f"{p} ({n})" for p, n in counts.most_common(8)) + (", ..." if len(counts) > 8 else "")
        return DataError(
            f"no file of {self.dataset} has a name that its card selects",
            where=self.base,
            expected="names that begin with " + " or ".join(self.prefixes),
            found=f"{len(names)} files, whose names begin with {found}",
            remedy="give the right beginnings as `prefixes` in a card of your own, or use a variant that takes all files",
        )


def find_pairs(
    root: Path,
    layouts: Sequence[Mapping[str, Any]],
    trees: Sequence[str],
    *,
    dataset: str,
    prefixes: Sequence[str] = (),
    gaps: bool = False,
) -> Pairs:
    """The first layout that is there, in the first tree that has it. Raises DataError if none is, CardError on an odd table."""
    found = place_of(root, layouts, trees)
    if found is None:
        expected = " or ".join(f"{lay['images']} with {lay['labels']}" for lay in layouts)
        message, of_release = f"the files of {dataset} are not here", "unpack the archive again"
        raise DataError(message, where=root, expected=expected, of_release=of_release)
    base, layout = found
    return Pairs(dataset, base, str(layout["images"]), str(layout["labels"]), _ids(layout), tuple(prefixes), gaps)


def place_of(root: Path, layouts: Sequence[Mapping[str, Any]], trees: Sequence[str]) -> tuple[Path, Mapping[str, Any]] | None:
    """(base, layout) of the first of `layouts` whose folders and lists exist below one of `trees`, or None."""
    for layout in layouts:
        _check(layout)
        for tree in trees:
            base = root / tree
            folders = [base / folder_of(layout[k]) for k in ("images", "labels")]
            if all(f.is_dir() for f in folders) and all((base / i).is_file() for i in _ids(layout)):
                return base, layout
    return None


def has_labels(root: Path, layouts: Sequence[Mapping[str, Any]], trees: Sequence[str]) -> bool:
    """Whether the folders of one of the layouts are here, with at least one label file in them."""
    found = place_of(root, layouts, trees)
    return found is not None and next(matches(found[0], str(found[1]["labels"])), None) is not None


def count_or_one(count: Callable[[Path], int], path: Path) -> int:
    """What `count` finds in a file, and 1 where that is broken: its image stays in the index, and `load` says what is wrong."""
    try:
        return count(path)
    except DataError:
        return 1


def _check(layout: Mapping[str, Any]) -> None:
    odd = set(layout) - _KEYS
    patterns = [layout.get(k) for k in ("images", "labels")]
    if odd or not all(isinstance(p, str) and sum(p.count(x) for x in PLACEHOLDERS) == 1 for p in patterns):
        raise CardError(
            "a layout of a card does not fit",
            where="option layouts",
            expected="images and labels, patterns with one {id} or {path}, and at most ids",
            found=repr(dict(layout)),
        )


def _ids(layout: Mapping[str, Any]) -> tuple[str, ...]:
    ids = layout.get("ids", ())
    return (ids,) if isinstance(ids, str) else tuple(ids)
