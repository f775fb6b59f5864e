"""WoodScape: fisheye pictures, and one JSON of polygons an image, of things and stuff, in layers.

    <root>/rgb_images/<number>_<camera>.png
    <root>/instance_annotations/[instance_annotations/]<number>_<camera>.json
                {"<file's own name>": {image_width, image_height, annotation: [{id, tags, z_order, segmentation: [[x, y], ...]}]}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sambench.errors import DataError
from sambench.loaders.coco_file import json_object, naming, wrong
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.pairs import Pairs, find_pairs, place_of
from sambench.loaders.polygons import Polygon, fill_even_odd, integer_points
from sambench.loaders.turned import Orientation, frame_of, read_turned
from sambench.loaders.values import number, numbers, plain_id, shown, whole
from sambench.pixels.region import Region
from sambench.types import ImageRecord, Instance, Sample

_LAYOUTS = [
    {"images": f"{image}rgb_images/{{id}}.png", "labels": f"{labels}instance_annotations/{{id}}.json"}
    for labels in ("instance_annotations/", "")
    for image in ("rgb_images/", "")
]
_REACH = 1 << 20  # pixels beyond the frame that a vertex may lie; the rasteriser walks all of them


@dataclass(frozen=True)
class WoodScape:
    """Every polygon with exactly one tag is one mask, as the authors read them; the tag is its category.

    Rasterised as theirs: vertices cut to whole pixels, outline and inside filled. painted: polygons are painted one over the
    other by z_order, and a mask is what remains visible of it; else each is whole. skip_tags: tags that are no masks.
    orientation: which frame the polygons are in (`sambench.loaders.turned`).
    """

    root: Path
    name: str
    variant: str = "default"
    painted: bool = False
    skip_tags: Sequence[str] = ()
    orientation: Orientation = "stored"

    @staticmethod
    def fits(root: Path, **_: Any) -> bool:
        """Whether pictures and instance annotations are here."""
        return place_of(root, _LAYOUTS, ("",)) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All annotated images; every file is read the first time, then the counts are remembered."""
        pairs = self._pairs()
        files = pairs.label_files()
        key = {"dataset": self.name, "painted": self.painted, "skip_tags": [*self.skip_tags]}
        return cached_index(key, files.values(), partial(self._build, pairs, files))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image or another size of it, a broken JSON or polygon."""
        pairs = self._pairs()
        label_file, image_file = pairs.label_file(image_id), pairs.image_file(image_id)
        with naming(self.name):
            size, entries = _read(label_file)
            frame = frame_of(image_file, self.orientation, size)
            instances = tuple(Instance(i, region, category=tag) for i, tag, region in self._objects(label_file, size, entries))
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=instances,
            read=partial(read_turned, self.name, image_file, frame.turn),
        )

    def annotation_digest(self) -> str:
        """Over names and bytes of the annotation files."""
        return self._pairs().digest()

    def _pairs(self) -> Pairs:
        return find_pairs(self.root, _LAYOUTS, ("",), dataset=self.name)

    def _build(self, pairs: Pairs, files: Mapping[str, Path], progress: Progress) -> list[ImageRecord]:
        return pairs.counted(files, partial(self._count, pairs), progress)

    def _count(self, pairs: Pairs, image_id: str, path: Path) -> int:
        size, entries = _read(path)
        frame = frame_of(pairs.image_file(image_id), self.orientation, size)  # nothing is filled in a frame that no picture has
        return sum(region.area > 0 for _, _, region in self._objects(path, frame.size, entries))

    def _objects(
        self, path: Path, size: tuple[int, int], entries: list[dict[str, Any]]
    ) -> Iterator[tuple[str, str, Region]]:
        """(object_id, tag, region) of the entries that are masks, in the file's order."""
        one_tag = [(n, e) for n, e in enumerate(entries) if len(e["tags"]) == 1]
        regions = {n: polygon_region(e["segmentation"], *size, where=f"annotation {n} of {path}") for n, e in one_tag}
        if self.painted:
            _paint(regions, {n: e["z_order"] for n, e in one_tag}, size)
        seen: dict[str, int] = {}
        for n, entry in one_tag:
            object_id, tag = str(plain_id(entry.get("id", n), "id", f"annotation {n} of {path}")), str(entry["tags"][0])
            seen[object_id] = seen.get(object_id, 0) + 1
            if tag not in self.skip_tags:
                yield object_id if seen[object_id] == 1 else f"{object_id}.{seen[object_id]}", tag, regions[n]


def polygon_region(points: Any, height: int, width: int, *, where: str) -> Region:
    """The pixels of one polygon [[x, y], ...]: vertices cut towards zero to whole pixels, outline and inside, clipped to the frame.

    Empty for no points. Raises DataError naming `where` on anything that is not a list of pairs of finite numbers.
    """
    return fill_even_odd([_vertices(points, where)], height, width)


def _vertices(points: Any, where: str) -> Polygon:
    pairs = [numbers(p, "a point [x, y]", where, n=2) for p in points] if isinstance(points, list) else None
    if pairs is None or any(abs(c) >= _REACH for p in pairs for c in p):
        raise DataError(
            "an annotation has a broken polygon",
            where=where,
            expected="a list of [x, y], finite numbers of pixels near the image",
            found=shown(points),
            of_release="compare the file with the official release",
        )
    return integer_points(pairs)


def _paint(regions: dict[int, Region], z_order: dict[int, Any], size: tuple[int, int]) -> None:
    """Leave of every region what no later one (higher z_order, then later in the file) covers."""
    covered = np.zeros(size, np.bool_)
    for n in sorted(regions, key=lambda n: (z_order[n], n), reverse=True):
        y0, x0, y1, x1 = regions[n].window
        visible = regions[n].array & ~covered[y0:y1, x0:x1]
        covered[y0:y1, x0:x1] |= regions[n].array
        regions[n] = Region.from_window(visible, y0, x0, *size)


def _read(path: Path) -> tuple[tuple[int, int], list[dict[str, Any]]]:
    """((height, width), entries) of an annotation file. Raises DataError on another form."""
    raw = json_object(path)
    # The one key is the file's own name; a file that was renamed keeps the old one.
    content = raw.get(path.name, next(iter(raw.values()), None) if len(raw) == 1 else raw)
    expected = "{'<name>.json': {image_width, image_height, annotation: [...]}}"
    if not isinstance(content, dict) or not isinstance(content.get("annotation"), list):
        raise wrong("an annotation file is not in WoodScape's form", path, expected, shown(raw, 120))
    height, width = (whole(content.get(k), k, path, low=1) for k in ("image_height", "image_width"))
    for n, e in enumerate(content["annotation"]):
        if not isinstance(e, dict) or not isinstance(e.get("tags"), list) or "segmentation" not in e:
            found = f"annotation[{n}]: {shown(e, 120)}"
            raise wrong("an annotation lacks a key", path, "tags (a list), z_order and segmentation", found)
        e["z_order"] = number(e.get("z_order", 0), "z_order", f"annotation {n} of {path}")
    return (height, width), content["annotation"]
