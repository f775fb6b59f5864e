"""Datasets with one object and one binary mask file an image: salient, high-resolution and interactive sets.

A user's own card can name this reader:

    reader = "sambench.loaders.mask_png:MaskPng"
    [options]
    layouts = [{ images = "im/{id}.jpg", labels = "gt/{id}.png" }]
    above = 128
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sambench.loaders import images as image_files
from sambench.loaders.clusters import Cluster, cluster_of
from sambench.loaders.coco_file import naming
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.mask_files import Channel, MaskFiles
from sambench.loaders.pairs import Pairs, find_pairs, place_of
from sambench.loaders.turned import Orientation, frame_of, read_turned
from sambench.types import EMPTY, ImageRecord, Instance, Sample


@dataclass(frozen=True)
class MaskPng:
    """The foreground of an image's mask file is its one object, of object_id "1".

    layouts, trees, prefixes, gaps: where the files are (`sambench.loaders.pairs`).
    above: a pixel is foreground if its value, of 255, is greater; a mask whose largest value is 1 counts as 0 and 1 instead.
    A mask that has values, of which none is above, is an error of its image.
    channel: of a colour mask the first, the largest of its channels, or its alpha. Where the first has nothing and others have, or
    alpha says something else, that is an error which names the choice. ignore: a value whose pixels count nowhere; -1: none.
    lossy: masks in formats that do not keep values (JPEG) are taken too; their threshold must leave room for that.
    orientation: which frame the mask is in (`sambench.loaders.turned`). exif: the same as orientation = "fitting".
    nonempty: the release has no empty mask: count files and leave them unread. category: of every object.
    cluster: a regular expression searched in the image's id, whose first group is the cluster_id.
    """

    root: Path
    name: str
    variant: str = "default"
    layouts: Sequence[Mapping[str, Any]] = ()
    trees: Sequence[str] = ("",)
    prefixes: Sequence[str] = ()
    gaps: bool = False
    above: int = 127
    channel: Channel = "first"
    lossy: bool = False
    ignore: int = -1
    orientation: Orientation = "stored"
    exif: bool = False
    nonempty: bool = False
    category: str = ""
    cluster: Cluster = ""

    @staticmethod
    def fits(root: Path, *, layouts: Sequence[Mapping[str, Any]] = (), trees: Sequence[str] = ("",), **_: Any) -> bool:
        """Whether the folders of one of the layouts are here."""
        return place_of(root, layouts, trees) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All images that have a mask file; n_masks is 0 where that is empty (read once, then remembered) unless `nonempty`."""
        pairs = self._pairs()
        files = pairs.label_files()
        if self.nonempty:
            return pairs.counted(files, lambda *_: 1, lambda *_: None, self.cluster)
        key = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("root", "name", "category")}
        return cached_index({"dataset": self.name, **key}, files.values(), partial(self._build, pairs, files))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image, or a mask that is broken or of another size."""
        pairs = self._pairs()
        mask_file, image_file = pairs.label_file(image_id), pairs.image_file(image_id)
        with naming(self.name):
            size = image_files.read_size(mask_file)
            frame = frame_of(image_file, "fitting" if self.exif else self.orientation, size, than="its mask")
            mask, ignore = self._masks().read(mask_file)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=(Instance("1", mask, category=self.category),) if mask.area else (),
            read=partial(read_turned, self.name, image_file, frame.turn),
            cluster_id=cluster_of(self.cluster, image_id),
            ignore=ignore if ignore is not None and ignore.area else None,
            left_out={} if mask.area else {EMPTY: 1},
        )

    def annotation_digest(self) -> str:
        """Over ids and bytes of the mask files."""
        return self._pairs().digest()

    def _masks(self) -> MaskFiles:
        return MaskFiles(self.above, self.channel, self.lossy, self.ignore)

    def _pairs(self) -> Pairs:
        return find_pairs(self.root, self.layouts, self.trees, dataset=self.name, prefixes=self.prefixes, gaps=self.gaps)

    def _build(self, pairs: Pairs, files: Mapping[str, Path], progress: Progress) -> list[ImageRecord]:
        masks = self._masks()
        return pairs.counted(files, lambda _, path: int(masks.read(path)[0].area > 0), progress, self.cluster)
