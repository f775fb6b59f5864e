"""Datasets drawn with LabelMe: one JSON of shapes beside each image.

A user's own card can name this reader:

    reader = "sambench.loaders.labelme:LabelmeJson"
    [options]
    layouts = [{ images = "train/{id}.*", labels = "train/{id}.json" }]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sambench.loaders import images
from sambench.loaders.coco_file import json_object, naming, read_picture, wrong
from sambench.loaders.coco_masks import region_of
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.pairs import Pairs, count_or_one, find_pairs, place_of
from sambench.masks import Region
from sambench.types import EMPTY, ImageRecord, Instance, Sample


@dataclass(frozen=True)
class LabelmeJson:
    """Every polygon or rectangle is one mask, filled as the COCO API does; object_id is its position in the file.

    Polygons of fewer than three points, and those without a pixel, are dropped and counted. layouts, trees: where the files are
    (`sambench.loaders.pairs`). The image that a JSON may hold itself is not read.
    """

    root: Path
    name: str
    variant: str = "default"
    layouts: Sequence[Mapping[str, Any]] = ()
    trees: Sequence[str] = ("",)

    @staticmethod
    def fits(root: Path, *, layouts: Sequence[Mapping[str, Any]] = (), trees: Sequence[str] = ("",), **_: Any) -> bool:
        """Whether the folders of one of the layouts are here."""
        return place_of(root, layouts, trees) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All images that have a JSON; every file is read the first time, then the counts are remembered."""
        pairs = self._pairs()
        files = pairs.label_files()
        key = {"dataset": self.name, "layout": [pairs.images, pairs.labels]}
        return cached_index(key, files.values(), partial(self._build, pairs, files))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image or another size of it, a broken JSON or polygon, a shape of another kind."""
        pairs = self._pairs()
        label_file, image_file = pairs.label_file(image_id), pairs.image_file(image_id)
        with naming(self.name):
            size, objects = _read(label_file)
            found = images.read_size(image_file)
            if found != size:
                expected = f"{size[1]} x {size[0]} (width x height)"
                message = "an image has another size than its annotations"
                raise wrong(message, image_file, expected, f"{found[1]} x {found[0]}")
        instances = tuple(Instance(str(n), r, category=label) for n, (label, r) in enumerate(objects) if r.area)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=instances,
            read=partial(read_picture, self.name, image_file, size),
            left_out={EMPTY: len(objects) - len(instances)},
        )

    def annotation_digest(self) -> str:
        """Over ids and bytes of the JSON files."""
        return self._pairs().digest()

    def _pairs(self) -> Pairs:
        return find_pairs(self.root, self.layouts, self.trees, dataset=self.name, prefixes=(), gaps=False)

    def _build(self, pairs: Pairs, files: Mapping[str, Path], progress: Progress) -> list[ImageRecord]:
        records = []
        for done, (image_id, path) in enumerate(files.items()):
            progress(done, len(files))
            n = count_or_one(lambda p: sum(r.area > 0 for _, r in _read(p)[1]), path)
            records.append(ImageRecord(image_id, n, file=pairs.image_path(image_id)))
        return records


def _read(path: Path) -> tuple[tuple[int, int], list[tuple[str, Region]]]:
    """((height, width), (label, region) of every shape) of a file. Raises DataError naming it."""
    raw = json_object(path)
    height, width, shapes = raw.get("imageHeight"), raw.get("imageWidth"), raw.get("shapes")
    if type(height) is not int or type(width) is not int or height < 1 or width < 1 or not isinstance(shapes, list):
        found = "keys " + ", ".join(map(repr, raw))
        raise wrong("an annotation file is not in LabelMe's form", path, "shapes (a list), imageHeight and imageWidth", found)
    objects = []
    for n, shape in enumerate(shapes):
        if not isinstance(shape, dict) or not isinstance(shape.get("points"), list):
            raise wrong("a shape lacks a key", path, "label and points", f"shapes[{n}]: {shape!r:.120}")
        objects.append((str(shape.get("label", "")), _region(shape, height, width, f"shape {n} of {path}", path)))
    return (height, width), objects


def _region(shape: dict[str, Any], height: int, width: int, where: str, path: Path) -> Region:
    points, kind = shape["points"], shape.get("shape_type") or "polygon"
    if not all(isinstance(p, list) and len(p) == 2 for p in points) or kind not in ("polygon", "rectangle"):
        found = f"{where}: {kind}, {points!r:.80}"
        raise wrong("a shape is of another kind", path, "a polygon or rectangle of points [x, y]", found)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    if len(points) < 3:
        return Region(0, 0, np.zeros((0, 0), np.bool_), height, width)
    return region_of([[c for p in points for c in p]], height, width, where=where)
