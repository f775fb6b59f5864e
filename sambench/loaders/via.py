"""Datasets drawn with the VGG Image Annotator: JSON of shapes, of its versions 1 and 2.

A user's own card can name this reader:

    reader = "sambench.loaders.via:ViaJson"
    [options]
    sets = { images = "annotations/labels.json" }      # folder of pictures -> its annotation file

The file is an object of records, keyed by file name and size in bytes:

    {"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": [REGION, ...] or {"0": REGION, ...}, "file_attributes": {}}}
    REGION: {"shape_attributes": {"name": "polygon", "all_points_x": [..], "all_points_y": [..]}, "region_attributes": {..}}
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from sambench.errors import DataError
from sambench.files import content
from sambench.loaders import shapes
from sambench.loaders.coco_file import json_object, naming, wrong
from sambench.loaders.coco_images import note_place
from sambench.loaders.file_names import Place, locate
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.open import unknown_image
from sambench.loaders.turned import Frame, Orientation, frame_of, read_turned
from sambench.loaders.values import number, numbers, shown
from sambench.pixels.region import Region
from sambench.types import NO_AREA, TOO_SHORT, ImageRecord, Instance, Sample

_NO_AREA = ("point",)
_OUTLINES = ("polygon", "polyline")
_AREAS = (*_OUTLINES, "rect", "circle", "ellipse")


class _Annotated(NamedTuple):
    """A picture of the index: where it is, the annotation file, the file's name for it, and its regions."""

    place: Place
    source: Path
    filename: str
    regions: list[Any]


@dataclass(frozen=True)
class ViaJson:
    """Every region that is an area is one mask, clipped: polygons and polylines (closed), rectangles, circles, ellipses.

    Outlines are filled as COCO fills polygons. Points, outlines of fewer than three points, and regions that cover no pixel centre
    are left out and counted. image_id is the file's stem (`ids = "name"`: its name, where pictures differ in their suffix alone),
    '<folder>/<stem>' where there are several sets (file names recur); object_id the number of the region in its record, from 0.
    Pictures without regions are not in the index; records of one file are taken together. Attributes of regions that are texts and
    not empty are kept.

    sets: folder of pictures -> annotation file, below root. trees: folders below root where that may begin. category: the
    region attribute that names the category; default_category: the name without it. orientation: which frame the regions are in;
    browsers show pictures turned as their EXIF orientation says (`sambench.loaders.turned`).
    """

    root: Path
    name: str
    variant: str = "default"
    sets: Mapping[str, str] = field(default_factory=lambda: {"images": "annotations.json"})
    trees: Sequence[str] = ("",)
    category: str = ""
    default_category: str = ""
    orientation: Orientation = "shown"
    ids: Literal["stem", "name"] = "stem"

    @staticmethod
    def fits(root: Path, *, sets: Mapping[str, str] | None = None, trees: Sequence[str] = ("",), **_: Any) -> bool:
        """Whether all annotation files and folders of pictures are here."""
        return _base(root, sets or {"images": "annotations.json"}, trees) is not None

    def index(self) -> Sequence[ImageRecord]:
        """Pictures with regions, in the files' order. All regions are filled the first time, then the counts are remembered."""
        base = self._place()
        files = [base / f for f in (*self.sets.values(), *self.sets)]  # folders too: their mtime changes with their pictures
        key = {"dataset": self.name, "sets": dict(self.sets), "orientation": self.orientation, "ids": self.ids}
        return cached_index(key, files, self._build)

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no such picture, or a broken region."""
        listed = self._listed()
        if image_id not in listed:
            raise unknown_image(self.name, image_id, list(listed))
        found = listed[image_id]
        with naming(self.name):
            path = found.place.checked()
            note_place(found.place)
            frame = frame_of(path, self.orientation)
            instances, left_out = self._objects(found, frame)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=frame.size[0],
            width=frame.size[1],
            instances=instances,
            read=partial(read_turned, self.name, path, frame.turn),
            left_out=left_out,
        )

    def annotation_digest(self) -> str:
        """Over the bytes of all annotation files."""
        base = self._place()
        return content.files_digest({folder: base / f for folder, f in self.sets.items()}, self.name)

    def _place(self) -> Path:
        base = _base(self.root, self.sets, self.trees)
        if base is None:
            raise DataError(
                f"the files of {self.name} are not here",
                where=self.root,
                expected=" and ".join(f"{folder}/ with {f}" for folder, f in self.sets.items()),
                found="no such file or folder",
                of_release="unpack the archive again",
            )
        return base

    def _listed(self) -> dict[str, _Annotated]:
        """By image id."""
        base, found = self._place(), dict[str, _Annotated]()
        for folder, file in self.sets.items():
            source = base / file
            with naming(self.name):
                by_file = _parsed(source, content.file_sha256(source))
            for filename, regions in by_file.items():
                if not regions:
                    continue
                image_id = self._id_of(folder, filename)
                if image_id in found:
                    raise self._clash(image_id, source, found[image_id].filename, filename)
                where, name = f"{filename!r:.120} in {source}", _local(filename)
                place = locate([(base / folder, name)], self.root, where=where, beside=source.parent)
                found[image_id] = _Annotated(place, source, filename, regions)
        return found

    def _id_of(self, folder: str, filename: str) -> str:
        name = _local(filename).replace("\\", "/")
        if name.startswith(("/", "../")) or name[1:2] == ":":  # a path of another place
            name = PurePosixPath(name).name
        stem = name if self.ids == "name" else name.rpartition(".")[0] or name
        return f"{folder}/{stem}" if len(self.sets) > 1 else stem

    def _clash(self, image_id: str, source: Path, first: str, again: str) -> DataError:
        return DataError(
            f"two images of {self.name} have one id, {image_id!r:.80}",
            where=source,
            expected="file names that differ in more than their suffix or folder",
            found=f"{first!r:.80} and {again!r:.80}",
            remedy='set ids = "name" under [options] of the card' if self.ids == "stem" else "rename one of the images",
        )

    def _build(self, progress: Progress) -> list[ImageRecord]:
        listed, records = self._listed(), []
        for done, (image_id, found) in enumerate(listed.items()):
            progress(done, len(listed))
            try:
                objects, _ = self._objects(found, frame_of(found.place.checked(), self.orientation))
                n = sum(o.area_px > 0 for o in objects)
            except DataError:
                n = len(found.regions)  # `load` will say what is wrong
            records.append(ImageRecord(image_id, n, file=str(found.place.path)))
        return records

    def _objects(self, found: _Annotated, frame: Frame) -> tuple[tuple[Instance, ...], Counter[str]]:
        """Objects of a picture, and the number of regions of each kind that are none."""
        instances, left_out = [], Counter[str]()
        for k, region in enumerate(found.regions):
            mask = _fill(region, frame.size, f"region {k} of {found.place.path.name} in {found.source}")
            if isinstance(mask, str):
                left_out[mask] += 1
            else:  # an empty one is left out by the sample
                instances.append(Instance(str(k), mask, *self._words(region)))
        return tuple(instances), left_out

    def _words(self, region: dict[str, Any]) -> tuple[str, dict[str, str]]:
        given = region.get("region_attributes")
        words = {k: v for k, v in given.items() if isinstance(v, str) and v} if isinstance(given, dict) else {}
        return words.get(self.category, self.default_category), words


def _base(root: Path, sets: Mapping[str, str], trees: Sequence[str]) -> Path | None:
    bases = (root / t for t in trees)
    return next((b for b in bases if all((b / d).is_dir() and (b / f).is_file() for d, f in sets.items())), None)


def _local(filename: str) -> str:
    """A file name; of a picture that was annotated by its address, the path in that."""
    found = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*([^?#]*).*", filename, flags=re.DOTALL)
    return unquote(found[1]) if found else filename


@lru_cache(maxsize=4)
def _parsed(path: Path, _sha256: str) -> dict[str, list[Any]]:
    """Regions by file name."""
    raw = json_object(path)
    if isinstance(raw.get("view"), dict) and isinstance(raw.get("metadata"), dict):
        raise DataError(
            "an annotation file is of version 3 of the VGG Image Annotator, which is not read",
            where=path,
            expected="JSON of its versions 1 and 2: records with filename and regions",
            found=f"keys {', '.join(shown(k, 40) for k in [*raw][:8])}",
            remedy="convert it to the form of version 2, or to COCO's JSON (reader sambench.loaders.coco:CocoJson)",
        )
    records = raw.get("_via_img_metadata", raw)  # a whole project as version 2 saves it, or the export of its annotations
    found: dict[str, list[Any]] = {}
    for key, record in records.items() if isinstance(records, dict) and records else [("no records", records)]:
        name, regions = (record.get("filename"), record.get("regions")) if isinstance(record, dict) else (None, None)
        if not isinstance(name, str) or not name or not isinstance(regions, list | dict):
            expected = "records with filename (text) and regions (a list or an object)"
            raise wrong("an annotation file is not of the VGG Image Annotator", path, expected, f"{key!r:.80}: {shown(record)}")
        found.setdefault(name, []).extend(regions.values() if isinstance(regions, dict) else regions)
    return found


def _fill(region: Any, size: tuple[int, int], where: str) -> Region | str:
    """The mask of a region, or the kind of those that are none."""
    shape: Any = region.get("shape_attributes") if isinstance(region, dict) else None
    kind = shapes.kind_of(region, shape, "name", (*_AREAS, *_NO_AREA), "shape_attributes with a name", where)
    if kind in _NO_AREA:
        return NO_AREA
    if kind in _OUTLINES:
        return _outline(shape, size, where)

    def told(key: str) -> float:
        return number(shape.get(key), f"{key} of a {kind}", where)

    if kind == "rect":
        x, y = told("x"), told("y")
        return shapes.rectangle(x, y, x + told("width"), y + told("height"), size, where)
    radii = ("r", "r") if kind == "circle" else ("rx", "ry")
    rx, ry = (told(r) for r in radii)
    theta = told("theta") if shape.get("theta") is not None else 0.0
    return shapes.ellipse(told("cx"), told("cy"), rx, ry, size, where, theta=theta)


def _outline(shape: dict[str, Any], size: tuple[int, int], where: str) -> Region | str:
    xs, ys = (numbers(shape.get(k), k, where) for k in ("all_points_x", "all_points_y"))
    if len(xs) != len(ys):
        raise DataError(
            "an outline has points of one coordinate",
            where=where,
            expected="all_points_x and all_points_y of one length",
            found=f"{len(xs)} and {len(ys)}",
            remedy="mend that region, or compare the file with where it comes from",
        )
    return shapes.polygon([*zip(xs, ys, strict=True)], size, where) if len(xs) > 2 else TOO_SHORT
