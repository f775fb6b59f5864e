"""Datasets drawn with LabelMe: one JSON of shapes beside each image.

A user's own card can name this reader:

    reader = "sambench.loaders.labelme:LabelmeJson"
    [options]
    layouts = [{ images = "train/{id}.*", labels = "train/{id}.json" }]
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from sambench.errors import DataError
from sambench.loaders import shapes
from sambench.loaders.coco_file import json_object, naming, wrong
from sambench.loaders.file_names import locate
from sambench.loaders.file_patterns import folder_of
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.pairs import Pairs, find_pairs, place_of
from sambench.loaders.turned import Frame, Orientation, frame_of, read_turned
from sambench.loaders.values import numbers, plain_id, shown, side
from sambench.notes import note
from sambench.pixels.region import Region
from sambench.types import NO_AREA, TOO_SHORT, ImageRecord, Instance, Sample

# Of the tool and its offspring; what has four corners or more is an outline like any other.
_OUTLINES = ("polygon", "rectangle", "oriented_rectangle", "rotation", "quadrilateral")
_AREAS = {**dict.fromkeys(_OUTLINES, 3), "circle": 2, "mask": 2}  # and the points that each needs
_BY_NAME = "the image is the one that imagePath names, since none fits the layout's pattern"
_BY_PATTERN = "imagePath names another image than the layout's pattern, which was taken"
_NO_AREA = ("point", "points", "line", "linestrip")


class _Annotations(NamedTuple):
    """A file: the (height, width) that it says, None for what it does not, its shapes, the name that it has for the picture ("":
    none), and whether it holds a copy of that."""

    path: Path
    size: tuple[int | None, int | None]
    shapes: list[Any]
    picture: str
    has_copy: bool


@dataclass(frozen=True)
class LabelmeJson:
    """Every polygon, rectangle, circle or mask is one mask, filled as the COCO API does; object_id is its position in the file.

    Shapes of one label and one group_id are the parts of one object, known by its first part (`groups = "separate"`: each is an
    object). Points and lines, outlines of fewer than three points, and objects without a pixel are left out and counted.

    layouts, trees: where the files are (`sambench.loaders.pairs`); where no picture fits the pattern, the JSON's imagePath counts.
    The image that a JSON may hold itself is not read. orientation:
    which frame the shapes are in; LabelMe shows pictures turned as their EXIF orientation says (`sambench.loaders.turned`).
    """

    root: Path
    name: str
    variant: str = "default"
    layouts: Sequence[Mapping[str, Any]] = ()
    trees: Sequence[str] = ("",)
    orientation: Orientation = "shown"
    groups: Literal["joined", "separate"] = "joined"

    @staticmethod
    def fits(root: Path, *, layouts: Sequence[Mapping[str, Any]] = (), trees: Sequence[str] = ("",), **_: Any) -> bool:
        """Whether the folders of one of the layouts are here."""
        return place_of(root, layouts, trees) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All images that have a JSON; every file is read the first time, then the counts are remembered."""
        pairs = self._pairs()
        files = pairs.label_files()
        key = {"dataset": self.name, "layout": [pairs.images, pairs.labels], "option": [self.orientation, self.groups]}
        pictures = pairs.base / folder_of(pairs.images)  # its mtime changes with its pictures, without which nothing is counted
        return cached_index(key, [*files.values(), pictures], partial(self._build, pairs, files))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image or another size of it, a broken JSON or shape, a shape of an unknown kind."""
        pairs = self._pairs()
        label_file = pairs.label_file(image_id)
        with naming(self.name):
            told = _read(label_file)
            image_file = self._image(pairs, image_id, told)
            frame = self._frame(image_file, told)
            instances, left_out = self._objects(told, frame.size)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=frame.size[0],
            width=frame.size[1],
            instances=instances,
            read=partial(read_turned, self.name, image_file, frame.turn),
            left_out=left_out,
        )

    def annotation_digest(self) -> str:
        """Over ids and contents of the JSON files."""
        return self._pairs().digest()

    def _pairs(self) -> Pairs:
        return find_pairs(self.root, self.layouts, self.trees, dataset=self.name)

    def _image(self, pairs: Pairs, image_id: str, told: _Annotations) -> Path:
        """The picture of a JSON: by the pattern of the layout, else where its imagePath says. Raises DataError as `Pairs`."""
        names = [(told.path.parent, told.picture)]
        if not pairs.has_image(image_id) and told.picture:
            place = locate(names, self.root, where=f"imagePath of {told.path}", beside=told.path.parent)
            if place.error is not None or place.path.is_file():
                path = place.checked()
                note(_BY_NAME)
                return path
        if not pairs.has_image(image_id) and told.has_copy:
            raise _copy_alone(told.path, pairs.image_path(image_id))
        found = pairs.image_file(image_id)
        stem = PurePosixPath(told.picture.replace("\\", "/")).stem
        if stem and stem.casefold() != found.stem.casefold():
            note(_BY_PATTERN)
        return found

    def _frame(self, image: Path, told: _Annotations) -> Frame:
        return frame_of(image, self.orientation, told.size, where=told.path.name)

    def _build(self, pairs: Pairs, files: Mapping[str, Path], progress: Progress) -> list[ImageRecord]:
        records = []
        for done, (image_id, path) in enumerate(files.items()):
            progress(done, len(files))
            records.append(self._record(pairs, image_id, path))
        return records

    def _record(self, pairs: Pairs, image_id: str, path: Path) -> ImageRecord:
        picture, n = pairs.image_path(image_id), 1
        try:
            told = _read(path)
            found = self._image(pairs, image_id, told)
            picture = str(found)
            # The picture's size, not the file's: nothing is filled in a frame that no picture has.
            n = sum(o.area_px > 0 for o in self._objects(told, self._frame(found, told).size)[0])
        except DataError:  # `load` says what is wrong
            pass
        return ImageRecord(image_id, n, file=picture)

    def _objects(self, told: _Annotations, size: tuple[int, int]) -> tuple[tuple[Instance, ...], Counter[str]]:
        """Objects in the order of their first parts, and the number of shapes of each kind that are none."""
        parts: dict[tuple[str, str], list[tuple[int, Region]]] = {}
        left_out = Counter[str]()
        for n, shape in enumerate(told.shapes):
            where = f"shape {n} of {told.path}"
            region = _region(shape, size, where)
            if isinstance(region, str):
                left_out[region] += 1
                continue
            group = self._group(shape, where)
            parts.setdefault((_label(shape), f"alone {n}" if group is None else group), []).append((n, region))
        return tuple(
            Instance(str(found[0][0]), shapes.joined([r for _, r in found], size), category=label)
            for (label, _), found in parts.items()
        ), left_out  # an empty one is left out by the sample

    def _group(self, shape: Mapping[str, Any], where: str) -> str | None:
        given = shape.get("group_id")
        if self.groups == "separate" or given in (None, "") or (isinstance(given, float) and math.isnan(given)):
            return None
        return f"group {plain_id(given, 'group_id', where)}"


def _read(path: Path) -> _Annotations:
    """Raises DataError naming the file, where it is none of LabelMe's."""
    raw = json_object(path)
    if not isinstance(raw.get("shapes"), list):
        found = "keys " + ", ".join(shown(k, 40) for k in [*raw][:12])
        raise wrong("an annotation file is not in LabelMe's form", path, "shapes (a list), imageHeight and imageWidth", found)
    height, width = (side(raw.get(k), k, path) for k in ("imageHeight", "imageWidth"))
    picture = raw.get("imagePath")
    named = picture if isinstance(picture, str) and "\0" not in picture else ""
    return _Annotations(path, (height, width), raw["shapes"], named, bool(raw.get("imageData")))


def _copy_alone(path: Path, picture: str) -> DataError:
    return DataError(
        "an annotated image is only in its annotation file",
        where=path,
        expected=f"the image as a file, {picture}",
        found="imageData in the JSON, which is not read",
        remedy="write the images out as files (LabelMe's labelme_export_json does), next to the JSON or where `images` of "
        "the card's layouts says",
    )


def _label(shape: Mapping[str, Any]) -> str:
    given = shape.get("label")
    return "" if given is None else str(given)


def _region(shape: Any, size: tuple[int, int], where: str) -> Region | str:
    """The mask of a shape, or the kind of those that are none."""
    form = "points (a list), and as shape_type a text"
    described = shape if isinstance(shape, dict) and isinstance(shape.get("points"), list) else None
    kind = shapes.kind_of(shape, described, "shape_type", (*_AREAS, *_NO_AREA), form, where, default="polygon")
    if kind in _NO_AREA:
        return NO_AREA
    points = [numbers(p, "a point [x, y]", where, n=2) for p in shape["points"]]
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return shapes.rectangle(x0, y0, x1, y1, size, where)
    if len(points) < _AREAS[kind]:
        return TOO_SHORT
    if kind == "circle":
        (cx, cy), radius = points[0], math.dist(points[0], points[1])
        return shapes.ellipse(cx, cy, radius, radius, size, where)
    if kind == "mask":
        (left, top), (right, bottom) = ([math.trunc(c) for c in p] for p in points[:2])  # as LabelMe does
        return shapes.bitmap(shape.get("mask"), left, top, (bottom - top + 1, right - left + 1), size, where)
    return shapes.polygon(points, size, where)
