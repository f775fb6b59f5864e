"""An annotation file in COCO's JSON form, checked as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench.errors import DataError
from sambench.loaders import images
from sambench.loaders.pieces import Pieces, read_pieces
from sambench.types import UInt8Array


@dataclass(frozen=True)
class CocoFile:
    """Image records and annotations by image id (as text), category records by id."""

    path: Path
    pieces: Pieces
    categories: dict[Any, dict[str, Any]]

    def image_ids(self) -> list[str]:
        """In the file's order."""
        return list(self.pieces)

    def image(self, image_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The image's record and its annotations. Raises KeyError."""
        record, annotations = self.pieces[image_id]
        return record, annotations

    def category_of(self, annotation: dict[str, Any]) -> str:
        """The category's name, its id where the file does not name it, or '' without one."""
        category = annotation.get("category_id")
        if category in self.categories:
            return str(self.categories[category].get("name", category))
        return "" if category is None else str(category)


def read_coco(path: Path, name_key: str) -> CocoFile:
    """The file, read anew when it has changed. Raises DataError on what concerns it as a whole: not JSON, lists or keys that
    are missing, an id twice, an annotation of no image. name_key: the key of an image record that holds its path."""
    pieces = read_pieces(path, split_coco, name_key)
    return CocoFile(path, pieces, {c["id"]: c for c in pieces.head["categories"]})


@contextmanager
def naming(dataset: str) -> Iterator[None]:
    """Within it, a DataError says which dataset it concerns, what should be there, and what to do."""
    try:
        yield
    except DataError as e:
        named = any(f"{word} {dataset}" in e.message for word in ("of", "dataset"))
        message = e.message if named else f"{e.message} (dataset {dataset})"
        remedy = e.remedy or f"unpack the release again; sambench show dataset {dataset} says where it comes from"
        expected = e.expected or "this file, where and as the release has it"
        raise type(e)(message, expected=expected, found=e.found, where=e.where, remedy=remedy) from e


def read_picture(dataset: str, path: Path, size: tuple[int, int]) -> UInt8Array:
    """uint8 [H, W, 3], RGB, of a picture of (height, width) pixels. Raises DataError naming the dataset and the file."""
    with naming(dataset):
        return images.read_rgb(path, size=size)


def json_object(path: Path, what: str = "an annotation file") -> dict[str, Any]:
    """The object that a JSON file holds. Raises DataError naming the file if it is damaged or holds something else."""
    try:
        raw = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as e:
        remedy = "fetch or unpack this file again"
        raise wrong(f"{what} is truncated or not JSON", path, "one JSON object", str(e), remedy) from e
    if not isinstance(raw, dict):
        raise wrong(f"{what} is in another form", path, "an object", f"a JSON {type(raw).__name__}")
    return raw


def wrong(message: str, path: Path, expected: str, found: str, remedy: str | None = None) -> DataError:
    """An error of a file."""
    remedy = remedy or "compare the file with the official release, or fetch it again"
    return DataError(message, where=path, expected=expected, found=found, remedy=remedy)


def split_coco(path: Path, name_key: str) -> tuple[dict[str, Any], Iterator[tuple[str, Any]]]:
    """Checked, and cut into [image record, annotations]; the head has the categories."""
    raw = json_object(path)
    lacking = [k for k in ("images", "annotations") if not isinstance(raw.get(k), list)]
    if lacking:
        found = "keys " + ", ".join(map(repr, raw)) if raw else "an empty object"
        raise wrong("an annotation file is not in COCO's form", path, "lists " + " and ".join(map(repr, lacking)), found)
    records: dict[str, dict[str, Any]] = {}
    for i, image in enumerate(raw["images"]):
        _check_image(image, i, name_key, path)
        if str(image["id"]) in records:
            raise wrong("two images have the same id", path, "ids that occur once", f"id {image['id']} again at images[{i}]")
        records[str(image["id"])] = image
    by_image: dict[str, list[dict[str, Any]]] = {}
    seen: set[str] = set()
    for i, a in enumerate(raw["annotations"]):
        if not isinstance(a, dict) or "id" not in a or "image_id" not in a:
            raise wrong("an annotation lacks a key", path, "an object with id and image_id", f"annotations[{i}]: {a!r:.120}")
        if str(a["id"]) in seen:
            raise wrong("two annotations have the same id", path, "ids that occur once", f"{a['id']} again at annotations[{i}]")
        seen.add(str(a["id"]))
        if str(a["image_id"]) not in records:
            found = f"annotation {a['id']} belongs to image {a['image_id']}, which is not among the {len(records)} images"
            raise wrong("an annotation belongs to no image", path, "image ids of the file", found)
        by_image.setdefault(str(a["image_id"]), []).append(a)
    categories = [c for c in raw.get("categories") or () if isinstance(c, dict) and "id" in c]
    return {"categories": categories}, ((i, [image, by_image.get(i, [])]) for i, image in records.items())


def _check_image(image: Any, i: int, name_key: str, path: Path) -> None:
    expected = f"id, {name_key} (text), height and width (positive integers)"
    if not isinstance(image, dict) or "id" not in image:
        raise wrong("an image record lacks a key", path, expected, f"images[{i}]: {image!r:.120}")
    sizes_ok = all(type(image.get(k)) is int and image[k] > 0 for k in ("height", "width"))
    if not sizes_ok or not isinstance(image.get(name_key), str):
        raise wrong("an image record lacks a key", path, expected, f"images[{i}], id {image['id']}: {image!r:.160}")
