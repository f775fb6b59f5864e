"""Datasets drawn with the VGG Image Annotator: JSON of polygons and polylines, of its versions 1 and 2.

A user's own card can name this reader:

    reader = "sambench.loaders.via:ViaJson"
    [options]
    sets = { images = "annotations/labels.json" }      # folder of pictures -> its annotation file

The file is an object of records, keyed by file name and size in bytes:

    {"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": [REGION, ...] or {"0": REGION, ...}, "file_attributes": {}}}
    REGION: {"shape_attributes": {"name": "polygon", "all_points_x": [..], "all_points_y": [..]}, "region_attributes": {..}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sambench import content
from sambench.errors import DataError
from sambench.loaders import images as image_files
from sambench.loaders.coco_file import json_object, naming, read_picture, wrong
from sambench.loaders.coco_masks import region_of
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.open import unknown_image
from sambench.masks import Region
from sambench.types import EMPTY, ImageRecord, Instance, Sample

_SHAPES = ("polygon", "polyline")


@dataclass(frozen=True)
class ViaJson:
    """Every region is one mask: its points in pixels, closed, filled as COCO fills polygons, clipped to the frame.

    Regions of fewer than three points, and those that cover no pixel centre, are dropped and counted. image_id is the file's
    stem, '<folder>/<stem>' where there are several sets (file names recur); object_id the number of the region in its record, from
    0. Pictures without regions are not in the index; records of one file are taken together. Attributes of regions that are
    texts and not empty are kept.

    sets: folder of pictures -> annotation file, below root. trees: folders below root where that may begin. category: the
    region attribute that names the category; default_category: the name without it.
    """

    root: Path
    name: str
    variant: str = "default"
    sets: Mapping[str, str] = field(default_factory=lambda: {"images": "annotations.json"})
    trees: Sequence[str] = ("",)
    category: str = ""
    default_category: str = ""

    @staticmethod
    def fits(root: Path, *, sets: Mapping[str, str] | None = None, trees: Sequence[str] = ("",), **_: Any) -> bool:
        """Whether all annotation files and folders of pictures are here."""
        return _base(root, sets or {"images": "annotations.json"}, trees) is not None

    def index(self) -> Sequence[ImageRecord]:
        """Pictures with regions, in the files' order. All regions are filled the first time, then the counts are remembered."""
        base = self._place()
        files = [base / f for f in (*self.sets.values(), *self.sets)]  # folders too: their mtime changes with their pictures
        return cached_index({"dataset": self.name, "sets": dict(self.sets)}, files, self._build)

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no such picture, or a broken region."""
        listed = self._listed()
        if image_id not in listed:
            raise unknown_image(self.name, image_id, list(listed))
        path, source, regions = listed[image_id]
        with naming(self.name):
            size = image_files.read_size(path)
            drawn = [(str(k), r, _fill(r, size, f"region {k} of {path.name} in {source}")) for k, r in enumerate(regions)]
        instances = tuple(Instance(k, mask, *self._words(region)) for k, region, mask in drawn if mask.area)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=instances,
            read=partial(read_picture, self.name, path, size),
            left_out={EMPTY: len(regions) - len(instances)},
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
                remedy="unpack the archive again",
            )
        return base

    def _listed(self) -> dict[str, tuple[Path, Path, list[Any]]]:
        """By image id: the picture, the annotation file, and its regions."""
        base, found = self._place(), {}
        for folder, file in self.sets.items():
            source = base / file
            with naming(self.name):
                by_file = _parsed(source, content.file_sha256(source))
            for filename, regions in by_file.items():
                stem = filename.rpartition(".")[0] or filename
                if regions:
                    found[f"{folder}/{stem}" if len(self.sets) > 1 else stem] = (base / folder / filename, source, regions)
        return found

    def _build(self, progress: Progress) -> list[ImageRecord]:
        listed, records = self._listed(), []
        for done, (image_id, (path, _, regions)) in enumerate(listed.items()):
            progress(done, len(listed))
            try:
                size = image_files.read_size(path)
                n = sum(_fill(r, size, "").area > 0 for r in regions)
            except DataError:
                n = len(regions)  # `load` will say what is wrong
            if n:
                records.append(ImageRecord(image_id, n, file=str(path)))
        return records

    def _words(self, region: dict[str, Any]) -> tuple[str, dict[str, str]]:
        given = region.get("region_attributes")
        words = {k: v for k, v in given.items() if isinstance(v, str) and v} if isinstance(given, dict) else {}
        return words.get(self.category, self.default_category), words


def _base(root: Path, sets: Mapping[str, str], trees: Sequence[str]) -> Path | None:
    bases = (root / t for t in trees)
    return next((b for b in bases if all((b / d).is_dir() and (b / f).is_file() for d, f in sets.items())), None)


@lru_cache(maxsize=4)
def _parsed(path: Path, _sha256: str) -> dict[str, list[Any]]:
    """Regions by file name."""
    raw = json_object(path)
    records = raw.get("_via_img_metadata", raw)  # a whole project as version 2 saves it, or the export of its annotations
    found: dict[str, list[Any]] = {}
    for key, record in records.items() if isinstance(records, dict) and records else [("no records", records)]:
        name, regions = (record.get("filename"), record.get("regions")) if isinstance(record, dict) else (None, None)
        if not isinstance(name, str) or not name or not isinstance(regions, list | dict):
            expected = "records with filename (text) and regions (a list or an object)"
            raise wrong("an annotation file is not of the VGG Image Annotator", path, expected, f"{key!r}: {record!r:.120}")
        found.setdefault(name, []).extend(regions.values() if isinstance(regions, dict) else regions)
    return found


def _fill(region: Any, size: tuple[int, int], where: str) -> Region:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    kind = shape.get("name") if isinstance(shape, dict) else None
    xs, ys = (shape.get("all_points_x"), shape.get("all_points_y")) if isinstance(shape, dict) else (None, None)
    if kind not in _SHAPES or not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise DataError(
            "a region is not an outline",
            where=where,
            expected=f"shape_attributes with name {' or '.join(_SHAPES)}, all_points_x and all_points_y of one length",
            found=f"{region!r:.160}",
            remedy="compare the file with the official release",
        )
    return region_of([[c for xy in zip(xs, ys, strict=True) for c in xy]], *size, where=where, skip_short=True)
