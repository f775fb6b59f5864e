"""Datasets with one label map an image: a palette, gray or 16-bit PNG in which every value is one object (or class).

A user's own card can name this reader:

    reader = "sambench.loaders.label_png:LabelPng"
    [options]
    layouts = [{ images = "image/{id}.jpg", labels = "label/{id}.png" }]
    ignore = [255]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sambench.loaders import images as image_files
from sambench.loaders.clusters import Cluster, cluster_of
from sambench.loaders.coco_file import naming
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.label_maps import regions_of, values_of
from sambench.loaders.pairs import Pairs, find_pairs, place_of
from sambench.loaders.turned import Orientation, frame_of, read_turned
from sambench.pixels.region import Region, components, union
from sambench.types import ImageRecord, Instance, Sample


@dataclass(frozen=True)
class LabelPng:
    """Every distinct value of an image's label map is one mask, however many pieces it has; its object_id is the value.

    layouts, trees, prefixes, gaps: where the files are (`sambench.loaders.pairs`).
    skip: values that are no objects. ignore: values whose pixels count nowhere. keep: the only values that are objects;
    empty: all that are neither skipped nor ignored. per_class: if not 0, values from it on are class * per_class + number, and
    smaller ones a class by themselves. skip_classes, categories (names by class) go by class, which else is the value.
    colours: a map may also be an RGB image, every colour but black one object, its value R * 65536 + G * 256 + B.
    one_mask: 'value'; 'component' (8-connected, of all objects' pixels together); 'foreground' (one mask an image).
    orientation: which frame the map is in (`sambench.loaders.turned`). exif: the same as orientation = "fitting".
    cluster: a regular expression searched in the image's id, whose first group is the cluster_id.
    """

    root: Path
    name: str
    variant: str = "default"
    layouts: Sequence[Mapping[str, Any]] = ()
    trees: Sequence[str] = ("",)
    prefixes: Sequence[str] = ()
    gaps: bool = False
    skip: Sequence[int] = (0,)
    ignore: Sequence[int] = ()
    keep: Sequence[int] = ()
    per_class: int = 0
    skip_classes: Sequence[int] = ()
    categories: Mapping[str, str] = field(default_factory=dict)
    colours: bool = False
    one_mask: Literal["value", "component", "foreground"] = "value"
    orientation: Orientation = "stored"
    exif: bool = False
    cluster: Cluster = ""

    @staticmethod
    def fits(root: Path, *, layouts: Sequence[Mapping[str, Any]] = (), trees: Sequence[str] = ("",), **_: Any) -> bool:
        """Whether the folders of one of the layouts are here."""
        return place_of(root, layouts, trees) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All images that have a label map; every map is read the first time, then the counts are remembered."""
        pairs = self._pairs()
        files = pairs.label_files()
        key = {k: v for k, v in self._options().items() if k != "categories"}
        return cached_index(key, files.values(), partial(self._build, pairs, files))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image, a label map of another size, broken, or of several channels."""
        pairs = self._pairs()
        label_file, image_file = pairs.label_file(image_id), pairs.image_file(image_id)
        with naming(self.name):
            size = image_files.read_size(label_file)
            frame = frame_of(image_file, "fitting" if self.exif else self.orientation, size, than="its mask")
            labels = image_files.read_labels(label_file, colours=self.colours)
        ignored = list(regions_of(labels, set(values_of(labels)) - set(self.ignore)).values()) if self.ignore else []
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=tuple(
                Instance(object_id, region, category=self._category(value)) for object_id, value, region in self._objects(labels)
            ),
            read=partial(read_turned, self.name, image_file, frame.turn),
            cluster_id=cluster_of(self.cluster, image_id),
            ignore=union(ignored, *size) if ignored else None,
        )

    def annotation_digest(self) -> str:
        """Over ids and bytes of the label maps."""
        return self._pairs().digest()

    def _pairs(self) -> Pairs:
        return find_pairs(self.root, self.layouts, self.trees, dataset=self.name, prefixes=self.prefixes, gaps=self.gaps)

    def _options(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("root", "name")}
        return {"dataset": self.name, **values}

    def _build(self, pairs: Pairs, files: Mapping[str, Path], progress: Progress) -> list[ImageRecord]:
        return pairs.counted(files, self._count, progress, self.cluster)

    def _count(self, _: str, path: Path) -> int:
        labels = image_files.read_labels(path, colours=self.colours)
        if self.one_mask == "component":
            return len(self._objects(labels))
        n = sum(map(self._is_object, values_of(labels)))
        return n if self.one_mask == "value" else min(n, 1)

    def _objects(self, labels: npt.NDArray[np.int32]) -> list[tuple[str, int | None, Region]]:
        """(object_id, value, region) of every object; the value is None where a mask is not one value."""
        values = [v for v in values_of(labels) if self._is_object(v)]
        if self.one_mask == "value":
            regions = regions_of(labels, set(values_of(labels)) - set(values))
            return [(str(v), v, r) for v, r in regions.items()]
        foreground = np.isin(labels, values)
        if self.one_mask == "foreground":
            region = Region.from_array(foreground)
            return [("1", None, region)] if region.area else []
        parts, _ = components(foreground)
        # Numbered by their first pixel, row by row: the order of OpenCV's labels is not promised.
        _, first = np.unique(parts, return_index=True)
        order = [int(parts.flat[i]) for i in sorted(first) if parts.flat[i]]
        regions = regions_of(parts, {0})
        return [(str(n), None, regions[part]) for n, part in enumerate(order, 1)]

    def _is_object(self, value: int) -> bool:
        if value in self.skip or value in self.ignore or (self.keep and value not in self.keep):
            return False
        return self._class_of(value) not in self.skip_classes

    def _class_of(self, value: int) -> int:
        return value // self.per_class if self.per_class and value >= self.per_class else value

    def _category(self, value: int | None) -> str:
        """By class, else what `*` stands for, else ''."""
        other = self.categories.get("*", "")
        return other if value is None else self.categories.get(str(self._class_of(value)), other)

