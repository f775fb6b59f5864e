"""Any dataset in COCO's JSON form: polygons, compressed and uncompressed RLE, crowds.

A user's own card can name this reader:

    reader = "sambench.loaders.coco:CocoJson"
    [options]
    annotations = "annotations/instances_val.json"    # or a list of accepted places, the first that exists
    images = "val"                                     # a folder, or a template: "val/{id:012d}.jpg"

What is wrong with the file as a whole (truncated, a key missing, an id twice) is an error at once. What is wrong with one
annotation is an error of its image, when that is loaded: one broken polygon costs one image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sambench.errors import DataError, unknown_name
from sambench.loaders import images as image_files
from sambench.loaders.coco_masks import region_of
from sambench.loaders.open import unknown_image
from sambench.masks import Region, union
from sambench.provenance import file_sha256
from sambench.types import ImageRecord, Instance, Sample


@dataclass(frozen=True)
class CocoJson:
    """Instances of a COCO JSON file.

    image_id is the text of the image's `id`, object_id of the annotation's. Annotations with `iscrowd` (absent: 0) become
    the ignore region. Images without other annotations are not in the index. Annotations without pixels (an empty list of
    polygons, or one that covers no pixel centre) are dropped and counted. The file's `area` and `bbox` are not read.

    annotations: path below root, or several, of which the first that exists counts. images: folder below root, or a
    template over the image record's keys (`{file_name}`, `{id:012d}`). file_name: the key that holds an image's path.
    categories: names or ids to keep; empty keeps all. cluster: a regular expression searched in the image's path, whose
    first group is the cluster_id (say, the video).
    """

    root: Path
    name: str
    variant: str = "default"
    annotations: str | Sequence[str] = "annotations.json"
    images: str = ""
    file_name: str = "file_name"
    categories: Sequence[str | int] = field(default=())
    cluster: str = ""

    @staticmethod
    def fits(root: Path, *, annotations: str | Sequence[str] = "annotations.json", **_: Any) -> bool:
        """Whether one of the accepted annotation files is here."""
        return any((root / a).is_file() for a in _listed(annotations))

    def index(self) -> Sequence[ImageRecord]:
        """Images with at least one annotation that is not a crowd, in the file's order."""
        content = self._content()
        records = []
        for image_id, image in content.images.items():
            n = sum(1 for a in self._kept(content, image_id) if not a.get("iscrowd"))
            if n:
                path = self._image_file(image)
                records.append(ImageRecord(image_id, n, self._cluster_id(path), _file_bytes(path)))
        return records

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, missing image file or another size of it, or a broken annotation."""
        content = self._content()
        if image_id not in content.images:
            raise unknown_image(self.name, image_id, list(content.images))
        image = content.images[image_id]
        path, size = self._image_file(image), (image["height"], image["width"])
        found = image_files.read_size(path)
        if found != size:
            raise DataError(
                f"an image of {self.name} has another size than its annotations",
                where=path,
                expected=f"{size[1]} x {size[0]} (width x height, image {image_id} of {content.path.name})",
                found=f"{found[1]} x {found[0]}",
            )
        instances, crowds, dropped = self._instances(content, image_id, size)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=instances,
            read=partial(image_files.read_rgb, path, size=size),
            cluster_id=self._cluster_id(path),
            ignore=union(crowds, *size) if crowds else None,
            n_dropped=dropped,
        )

    def annotation_digest(self) -> str:
        """sha256 of the annotation file."""
        return file_sha256(self._annotation_file())

    def _instances(self, content: _Content, image_id: str, size: tuple[int, int]) -> tuple[tuple[Instance, ...], list[Region], int]:
        instances, crowds, dropped = [], [], 0
        for a in self._kept(content, image_id):
            region = region_of(a.get("segmentation"), *size, where=f"annotation {a['id']} of {content.path}")
            if a.get("iscrowd"):
                crowds.append(region)
            elif region.area:
                instances.append(Instance(str(a["id"]), region, category=content.category_of(a)))
            else:
                dropped += 1
        return tuple(instances), crowds, dropped

    def _kept(self, content: _Content, image_id: str) -> list[dict[str, Any]]:
        found = content.by_image.get(image_id, [])
        if not self.categories:
            return found
        keep = {str(c) for c in self.categories}
        return [a for a in found if str(a.get("category_id")) in keep or content.category_of(a) in keep]

    def _content(self) -> _Content:
        path = self._annotation_file()
        stat = path.stat()
        content = _parsed(path, stat.st_size, stat.st_mtime_ns, self.file_name)
        known = {*map(str, content.category_names), *content.category_names.values()}
        for c in map(str, self.categories):
            if c not in known:
                raise unknown_name(f"category of {self.name}", c, known, where=path)
        return content

    def _annotation_file(self) -> Path:
        candidates = [self.root / a for a in _listed(self.annotations)]
        found = next((p for p in candidates if p.is_file()), None)
        if found is None:
            raise DataError(
                f"the annotation file of {self.name} is missing",
                where=self.root,
                expected=" or ".join(str(p) for p in candidates),
                found="no such file",
            )
        return found

    def _image_file(self, image: dict[str, Any]) -> Path:
        template = self.images
        if "{" not in template:
            return self.root / template / str(image[self.file_name])
        try:
            return self.root / template.format_map(image)
        except (KeyError, ValueError, IndexError) as e:
            raise DataError(
                f"the template of image paths of {self.name} does not fit",
                where=f"option images = {template!r}",
                expected="keys of an image record: " + ", ".join(image),
                found=repr(e),
            ) from e

    def _cluster_id(self, path: Path) -> str:
        if not self.cluster:
            return ""
        match = re.search(self.cluster, path.relative_to(self.root).as_posix())
        return match.group(1) if match else ""


@dataclass(frozen=True)
class _Content:
    """A parsed file: image records and annotations by image id, category names by id."""

    path: Path
    images: dict[str, dict[str, Any]]
    by_image: dict[str, list[dict[str, Any]]]
    category_names: dict[Any, str]

    def category_of(self, annotation: dict[str, Any]) -> str:
        category = annotation.get("category_id")
        return self.category_names.get(category, "" if category is None else str(category))


@lru_cache(maxsize=4)
def _parsed(path: Path, _size: int, _mtime_ns: int, name_key: str) -> _Content:
    """The file, read once a process for each of its versions."""
    raw = _json_of(path)
    images: dict[str, dict[str, Any]] = {}
    for i, image in enumerate(raw["images"]):
        _check_image(image, i, name_key, path)
        if str(image["id"]) in images:
            raise _wrong("two images have the same id", path, "ids that occur once", f"id {image['id']} again at images[{i}]")
        images[str(image["id"])] = image
    by_image: dict[str, list[dict[str, Any]]] = {}
    seen: set[str] = set()
    for i, a in enumerate(raw["annotations"]):
        if not isinstance(a, dict) or "id" not in a or "image_id" not in a:
            raise _wrong("an annotation lacks a key", path, "an object with id and image_id", f"annotations[{i}]: {a!r:.120}")
        if str(a["id"]) in seen:
            raise _wrong("two annotations have the same id", path, "ids that occur once", f"{a['id']} again at annotations[{i}]")
        seen.add(str(a["id"]))
        if str(a["image_id"]) not in images:
            found = f"annotation {a['id']} belongs to image {a['image_id']}, which is not among the {len(images)} images"
            raise _wrong("an annotation belongs to no image", path, "image ids of the file", found)
        by_image.setdefault(str(a["image_id"]), []).append(a)
    names = {c["id"]: str(c.get("name", c["id"])) for c in raw.get("categories") or () if isinstance(c, dict) and "id" in c}
    return _Content(path, images, by_image, names)


def _json_of(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as e:
        remedy = "fetch or unpack this file again"
        raise _wrong("an annotation file is truncated or not JSON", path, "one JSON object", str(e), remedy) from e
    if not isinstance(raw, dict):
        raise _wrong("an annotation file is not in COCO's form", path, "an object", f"a JSON {type(raw).__name__}")
    lacking = [k for k in ("images", "annotations") if not isinstance(raw.get(k), list)]
    if lacking:
        found = "keys " + ", ".join(map(repr, raw)) if raw else "an empty object"
        expected = "lists " + " and ".join(map(repr, lacking))
        raise _wrong("an annotation file is not in COCO's form", path, expected, found)
    return raw


def _check_image(image: Any, i: int, name_key: str, path: Path) -> None:
    expected = f"id, {name_key} (text), height and width (positive integers)"
    if not isinstance(image, dict) or "id" not in image:
        raise _wrong("an image record lacks a key", path, expected, f"images[{i}]: {image!r:.120}")
    sizes_ok = all(type(image.get(k)) is int and image[k] > 0 for k in ("height", "width"))
    if not sizes_ok or not isinstance(image.get(name_key), str):
        raise _wrong("an image record lacks a key", path, expected, f"images[{i}], id {image['id']}: {image!r:.160}")


def _wrong(message: str, path: Path, expected: str, found: str, remedy: str | None = None) -> DataError:
    return DataError(message, where=path, expected=expected, found=found, remedy=remedy)


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
