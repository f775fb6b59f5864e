"""Datasets as YOLO's trainers have them: a text file of outlines beside each picture.

A user's own card can name this reader:

    reader = "sambench.loaders.yolo:YoloTxt"
    [options]
    images = "images/val"            # the labels are in labels/val
    names = ["leaf", "stem"]

Each line of a label file is one object: its class, then x and y of each point of its outline as fractions of the picture's width
and height (Ultralytics' form for segmentation). A line of five numbers is a box, which is no mask.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sambench.errors import DataError
from sambench.files import content
from sambench.loaders import shapes, values
from sambench.loaders.clusters import Cluster, cluster_of
from sambench.loaders.coco_file import naming
from sambench.loaders.file_patterns import SUFFIXES, without_suffix
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.open import unknown_image
from sambench.loaders.pairs import count_or_one
from sambench.loaders.turned import Orientation, frame_of, read_turned
from sambench.pixels.region import Region
from sambench.types import NO_MASK, TOO_SHORT, ImageRecord, Instance, Sample

_BOX = 4  # numbers after the class


@dataclass(frozen=True)
class YoloTxt:
    """Every outline of a label file is one mask, filled as COCO fills polygons; object_id is its line, from 1.

    image_id is the picture's path below its folder, without suffix. Pictures without a label file, or with an empty one, show none
    of the objects: they are in the index, with 0. Boxes and outlines of fewer than three points are left out and counted.

    images: folder of the pictures below root, or several. labels: folder of the label files, one for each of `images`; empty: the
    folder whose path has `labels` where that of the pictures has `images` last. names: of the classes, by number. classes: numbers
    or names to keep; empty keeps all. orientation: which frame the outlines are in (`sambench.loaders.turned`); YOLO's trainers see
    pictures turned as their EXIF orientation says. cluster: a regular expression searched in the image's id, whose first group is
    the cluster_id.
    """

    root: Path
    name: str
    variant: str = "default"
    images: str | Sequence[str] = "images"
    labels: str | Sequence[str] = ""
    names: Sequence[str] = ()
    classes: Sequence[int | str] = ()
    orientation: Orientation = "shown"
    cluster: Cluster = ""

    @staticmethod
    def fits(root: Path, *, images: str | Sequence[str] = "images", labels: str | Sequence[str] = "", **_: Any) -> bool:
        """Whether the folders are here."""
        return all((root / i).is_dir() and (root / j).is_dir() for i, j in _folders(images, labels))

    def index(self) -> Sequence[ImageRecord]:
        """All pictures by id. Every label file is read the first time, then the counts are remembered."""
        found = self._found
        counted = {"classes": [*self.classes], "names": [*self.names], "cluster": self.cluster}
        key = {"dataset": self.name, "images": self.images, "labels": self.labels, **counted}
        return cached_index(key, [label for _, label in found.values()], partial(self._build, found))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, a broken picture, or a line of its label file that is broken."""
        found = self._found
        if image_id not in found:
            raise unknown_image(self.name, image_id, list(found))
        image_file, label_file = found[image_id]
        with naming(self.name):
            frame = frame_of(image_file, self.orientation)
            instances, left_out = self._objects(label_file, frame.size)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=frame.size[0],
            width=frame.size[1],
            instances=instances,
            read=partial(read_turned, self.name, image_file, frame.turn),
            cluster_id=cluster_of(self.cluster, image_id),
            left_out=left_out,
        )

    def annotation_digest(self) -> str:
        """Over ids and bytes of the label files; a picture without one counts as with an empty one."""
        files = {i: label for i, (_, label) in self._found.items()}
        return content.files_digest({i: label for i, label in files.items() if label.is_file()}, self.name)

    def _build(self, found: Mapping[str, tuple[Path, Path]], progress: Progress) -> list[ImageRecord]:
        records = []
        for done, (image_id, (image_file, label_file)) in enumerate(found.items()):
            progress(done, len(found))
            n = count_or_one(lambda path: sum(len(v) > _BOX + 1 for _, _, v in self._kept(path)), label_file)
            records.append(ImageRecord(image_id, n, cluster_of(self.cluster, image_id), str(image_file)))
        return records

    @cached_property
    def _found(self) -> dict[str, tuple[Path, Path]]:
        """(picture, label file) by image id; the latter need not be there. Raises DataError: no pictures, or two of one id."""
        found: dict[str, tuple[Path, Path]] = {}
        folders = _folders(self.images, self.labels)
        for images, labels in folders:
            for path in sorted(_pictures(self.root / images)):
                relative = path.relative_to(self.root / images).as_posix()
                stem = without_suffix(relative)
                image_id = stem if len(folders) == 1 else f"{images}/{stem}"
                if image_id in found:
                    raise DataError(
                        f"two images of {self.name} have one id, {image_id!r:.80}",
                        where=self.root / images,
                        expected="file names that differ in more than their suffix",
                        found=f"{found[image_id][0].name} and {path.name}",
                        remedy="rename one of them, and its label file",
                    )
                found[image_id] = (path, self.root / labels / f"{stem}.txt")
        if not found:
            expected = " or ".join(f"{i}/*.jpg" for i, _ in folders)
            raise DataError(f"there are no images of {self.name}", where=self.root, expected=expected, found="none")
        return found

    def _kept(self, path: Path) -> Iterator[tuple[int, int, list[float]]]:
        """(line from 1, class, all numbers) of the lines that count. Raises DataError naming the line."""
        keep = {str(c) for c in self.classes}
        for line, text in enumerate(_lines(path), 1):
            words = text.split()
            if not words:
                continue
            where = f"line {line} of {path}"
            numbers = values.numbers(words, "a number", where)
            kind = values.whole(numbers[0], "a class", where, low=0)
            if not keep or str(kind) in keep or self._category(kind) in keep:
                yield line, kind, numbers

    def _objects(self, path: Path, size: tuple[int, int]) -> tuple[tuple[Instance, ...], Counter[str]]:
        instances, left_out = [], Counter[str]()
        for line, kind, numbers in self._kept(path):
            found = _outline(numbers[1:], size, f"line {line} of {path}")
            if isinstance(found, str):
                left_out[found] += 1
            else:  # an empty one is left out by the sample
                instances.append(Instance(str(line), found, category=self._category(kind)))
        return tuple(instances), left_out

    def _category(self, kind: int) -> str:
        return self.names[kind] if kind < len(self.names) else str(kind)


def _outline(numbers: Sequence[float], size: tuple[int, int], where: str) -> Region | str:
    """The mask of an outline, or the kind of those that are none."""
    if len(numbers) == _BOX:
        return NO_MASK
    if len(numbers) % 2:
        raise DataError(
            "a line of a label file is no outline",
            where=where,
            expected="a class, then x and y of each point",
            found=f"{len(numbers)} numbers after the class",
            remedy="export the labels for segmentation; those of poses and of turned boxes are other ones",
        )
    if max(map(abs, numbers), default=0) > 2:
        raise DataError(
            "a line of a label file is not in fractions of the image",
            where=where,
            expected="x / width and y / height, from 0 to 1",
            found=f"numbers up to {max(numbers):g}",
            remedy="divide x by the image's width and y by its height",
        )
    height, width = size
    points = [(x * width, y * height) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    return shapes.polygon(points, size, where) if len(points) > 2 else TOO_SHORT


def _lines(path: Path) -> list[str]:
    try:
        return content.read_bytes(path).decode("utf-8-sig").splitlines()
    except FileNotFoundError:  # a picture that shows none
        return []
    except UnicodeDecodeError as e:
        raise DataError("a label file is no text", where=path, expected="lines of numbers", found=str(e)) from e


def _folders(images: str | Sequence[str], labels: str | Sequence[str]) -> list[tuple[str, str]]:
    """(folder of pictures, folder of label files), each below the dataset's."""
    of_images = [images] if isinstance(images, str) else [*images]
    of_labels = [labels] if isinstance(labels, str) else [*labels]
    if not any(of_labels):
        of_labels = [label_folder(i) for i in of_images]
    if len(of_images) != len(of_labels):
        raise DataError(
            "the folders of images and of labels are not as many",
            where="options images and labels",
            expected=f"{len(of_images)} folders of labels",
            found=len(of_labels),
        )
    return list(zip(of_images, of_labels, strict=True))


def label_folder(images: str) -> str:
    """The folder of the label files of a folder of pictures, with slashes: `labels` for the last `images`, as trainers have it."""
    parts = images.split("/")
    at = next((n for n in range(len(parts) - 1, -1, -1) if parts[n] == "images"), None)
    return images if at is None else "/".join([*parts[:at], "labels", *parts[at + 1 :]])


def _pictures(folder: Path) -> Iterator[Path]:
    for place, below, names in os.walk(folder, followlinks=True):
        below[:] = [b for b in below if not b.startswith((".", "__MACOSX"))]
        yield from (Path(place, n) for n in names if n.lower().endswith(SUFFIXES) and not n.startswith("."))
