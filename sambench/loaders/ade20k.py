"""ADE20K, full: objects and parts, each a mask.

    release of 2021     <root>/[ADE20K_2021_17_01/]images/ADE/validation/<category>/<scene>/ADE_val_<n>.jpg
                            .../ADE_val_<n>.json, objects with the paths of their masks
                            .../ADE_val_<n>/instance_<k>_ADE_val_<n>.png, 255 visible and 128 hidden
    release of 2016     <root>/[ADE20K_2016_07_26/]images/validation/<letter>/<scene>/ADE_val_<n>.jpg
    both                    .../ADE_val_<n>_seg.png and .../ADE_val_<n>_parts_<level>.png, class and object as a colour
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sambench import paths
from sambench.errors import DataError
from sambench.files import content
from sambench.files.opening import cannot_open, check_file
from sambench.loaders import images
from sambench.loaders.coco_file import naming, read_picture, wrong
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.label_maps import regions_of
from sambench.loaders.pairs import Pairs, find_pairs, place_of
from sambench.loaders.values import plain_id
from sambench.pixels.region import Region
from sambench.types import BELOW_THRESHOLD, EMPTY, ImageRecord, Instance, Sample

_VISIBLE = 255  # 128 is the part of an object that others hide
_TREES = ("", "ADE20K_2021_17_01", "ADE20K_2016_07_26")


class _Object(NamedTuple):
    """An object or part. hidden: its mask has pixels, none of them visible."""

    object_id: str
    category: str
    part_level: int
    region: Region
    hidden: bool = False


@dataclass(frozen=True)
class ADE20K:
    """One mask an object or part; image_id is the path below the split's folder, without suffix.

    masks: 'files' reads the objects that the JSON lists, visible pixels of their PNG (object_id: the JSON's id), and where the
    release has none, as that of 2016, the colours; 'colours' takes those always: each pair of class and object code of _seg and
    _parts_N is a mask (object_id "<level>/<class>/<code>"), in which objects beyond 255 of an image run together.
    """

    root: Path
    name: str
    variant: str = "default"
    split: str = "validation"
    masks: Literal["files", "colours"] = "files"

    @staticmethod
    def fits(root: Path, *, split: str = "validation", **_: Any) -> bool:
        """Whether a release is here, of either year."""
        return place_of(root, _layouts(split), _TREES) is not None

    def index(self) -> Sequence[ImageRecord]:
        """All images with a _seg.png; their masks are read the first time, then the counts are remembered."""
        pairs = self._pairs()
        files = pairs.label_files()
        # Folders stand for the masks in them: stating every mask would take longer than a start may.
        json_files = [_json_file(pairs, i) for i in files]
        watched = [*files.values(), *json_files, *(f.with_suffix("") for f in json_files)]
        return cached_index({"dataset": self.name, "masks": self.masks}, watched, partial(self._build, pairs, files))

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image, no JSON in a release that has it, a mask absent, broken or of another size."""
        pairs = self._pairs()
        seg_file, image_file = pairs.label_file(image_id), pairs.image_file(image_id)
        with naming(self.name):
            size = images.read_size(image_file)
            objects = list(self._objects(pairs, image_id, seg_file, size))
        instances = tuple(Instance(i, r, category=c, attributes={"part_level": str(p)}) for i, c, p, r, _ in objects if r.area)
        hidden = sum(o.hidden for o in objects)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=instances,
            read=partial(read_picture, self.name, image_file, size),
            left_out={EMPTY: len(objects) - len(instances) - hidden, BELOW_THRESHOLD: hidden},
        )

    def annotation_digest(self) -> str:
        """Over names and bytes of all files of the split but the photographs."""
        pairs = self._pairs()
        base = pairs.base / pairs.labels.partition("{")[0]
        walk = paths.walk(base)
        files = (Path(d) / f for d, _, names in walk for f in names if f.endswith((".png", ".json")))
        return content.tree_digest(base, files, self.name)

    def _pairs(self) -> Pairs:
        return find_pairs(self.root, _layouts(self.split), _TREES, dataset=self.name)

    def _build(self, pairs: Pairs, files: Mapping[str, Path], progress: Progress) -> list[ImageRecord]:
        return pairs.counted(files, partial(self._count, pairs), progress)

    def _count(self, pairs: Pairs, image_id: str, seg_file: Path) -> int:
        return sum(o.region.area > 0 for o in self._objects(pairs, image_id, seg_file, None))

    def _objects(
        self, pairs: Pairs, image_id: str, seg_file: Path, size: tuple[int, int] | None
    ) -> Iterator[_Object]:
        """Every object and part."""
        if self.masks == "colours" or "/ADE/" not in pairs.labels:
            return _from_colours(seg_file, size)
        return _from_files(_json_file(pairs, image_id), size)


def _layouts(split: str) -> list[dict[str, str]]:
    bases = (f"images/ADE/{split}/", f"images/{split}/")
    return [{"images": b + "{path}.jpg", "labels": b + "{path}_seg.png"} for b in bases]


def _json_file(pairs: Pairs, image_id: str) -> Path:
    return pairs.base / pairs.images.replace("{path}.jpg", f"{image_id}.json")


def _from_files(path: Path, size: tuple[int, int] | None) -> Iterator[_Object]:
    for n, entry in enumerate(_entries(path)):
        where = f"object {n} of {path}"
        place, parts = entry.get("instance_mask"), entry.get("parts")
        if not isinstance(place, str) or "id" not in entry or not isinstance(parts, dict):
            raise DataError("an object lacks a key", where=where, expected="id, instance_mask and parts", found=f"{entry!r:.120}")
        if Path(place).is_absolute() or ".." in Path(place).parts:
            raise DataError("an object's mask is elsewhere", where=where, expected="a path below the JSON's folder", found=place)
        values = images.read_gray(path.parent / place, size=size)
        region = Region.from_array(values >= _VISIBLE)
        level = parts.get("part_level")
        level = level if isinstance(level, int) else 0
        object_id = str(plain_id(entry["id"], "id", where))
        yield _Object(object_id, str(entry.get("name", "")), level, region, not region.area and bool(values.any()))


def _entries(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON file. One object may stand without its list, as MATLAB writes it; some files are in Latin-1."""
    try:
        check_file(path, "an annotation file")
        raw = content.read_bytes(path)
        try:
            told = json.loads(raw)
        except UnicodeDecodeError:
            told = json.loads(raw.decode("latin-1"))
        objects = told["annotation"]["object"]
    except OSError as e:
        raise cannot_open(path, e, "an annotation file") from e
    except (ValueError, RecursionError) as e:
        raise wrong("an annotation file is truncated or not JSON", path, "one JSON object", str(e)) from e
    except (KeyError, TypeError) as e:
        raise wrong("an annotation file is in another form", path, "annotation.object, a list", repr(e)) from e
    objects = [objects] if isinstance(objects, dict) else objects
    if not isinstance(objects, list) or not all(isinstance(o, dict) for o in objects):
        raise wrong("an annotation file is in another form", path, "annotation.object, a list of objects", f"{objects!r:.120}")
    return objects


def _from_colours(seg_file: Path, size: tuple[int, int] | None) -> Iterator[_Object]:
    stem = seg_file.name.removesuffix("_seg.png")
    numbered = ((re.fullmatch(rf"{re.escape(stem)}_parts_(\d+)\.png", p.name), p) for p in paths.listed(seg_file.parent, ".png"))
    levels = {int(m.group(1)): p for m, p in numbered if m}
    for level, path in sorted({0: seg_file, **levels}.items()):
        colours = images.read_labels(path, size=size, colours=True)
        red, green, blue = colours >> 16, colours >> 8 & 255, colours & 255
        category = red // 10 * 256 + green
        code = np.where(blue > 0, category << 8 | blue, 0)
        for value, region in regions_of(code, {0}).items():
            yield _Object(f"{level}/{value >> 8}/{value & 255}", str(value >> 8), level, region)
