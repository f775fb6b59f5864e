"""An annotation file in COCO's JSON form, checked as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench.errors import DataError
from sambench.files import content
from sambench.loaders import images, values
from sambench.loaders.pieces import Pieces, read_pieces
from sambench.notes import note
from sambench.types import UInt8Array

FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")


@dataclass(frozen=True)
class CocoFile:
    """Image records and annotations by image id (as text), category records by id."""

    path: Path
    pieces: Pieces
    categories: dict[int | str, dict[str, Any]]

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
            return category_name(self.categories[category])
        return "" if category is None else str(category)


def category_name(category: dict[str, Any]) -> str:
    """Of a category's record; its id where it has none."""
    name = category.get("name")
    return name if isinstance(name, str) else str(category["id"]) if name is None else values.shown(name)


def read_coco(path: Path, name_key: str) -> CocoFile:
    """The file, read anew when it has changed. Raises DataError on what concerns it as a whole: not JSON, lists or keys that
    are missing, an id twice, an annotation of no image. name_key: the key of an image record that holds its path."""
    pieces = read_pieces(path, split_coco, name_key)
    return CocoFile(path, pieces, {c["id"]: c for c in pieces.head["categories"]})


@contextmanager
def naming(dataset: str) -> Iterator[None]:
    """Within it, a DataError says which dataset it concerns. What to do is added by `guard`, which knows whose it is."""
    try:
        yield
    except DataError as e:
        named = any(f"{word} {dataset}" in e.message for word in ("of", "dataset"))
        message = e.message if named else f"{e.message} (dataset {dataset})"
        raise type(e)(message, expected=e.expected, found=e.found, where=e.where, remedy=e.remedy, of_release=e.of_release) from e


def read_picture(dataset: str, path: Path, size: tuple[int, int]) -> UInt8Array:
    """uint8 [H, W, 3], RGB, of a picture of (height, width) pixels. Raises DataError naming the dataset and the file."""
    with naming(dataset):
        if images.read_orientation(path) != 1:
            note("EXIF orientation is not 1: taken as stored")  # readers of user's files have a say: `sambench.loaders.turned`
        return images.read_rgb(path, size=size)


def json_object(path: Path, what: str = "an annotation file") -> dict[str, Any]:
    """The object that a JSON file holds. Raises DataError naming the file if it is damaged or holds something else."""
    try:
        raw = json.loads(content.read_bytes(path))
    except (ValueError, OSError, RecursionError) as e:
        again = "fetch or unpack this file again"
        raise wrong(f"{what} is truncated or not JSON", path, "one JSON object", str(e), of_release=again) from e
    if not isinstance(raw, dict):
        raise wrong(f"{what} is in another form", path, "an object", _described(raw), _converting(raw))
    return raw


def _described(raw: Any) -> str:
    first = raw[0] if isinstance(raw, list) and raw else None
    keys = f" of {len(raw):,} records with the keys {values.shown([*first], 120)}" if isinstance(first, dict) else ""
    return f"a JSON {type(raw).__name__}{keys}"


def _converting(raw: Any) -> str | None:
    """What to do with lists that other tools keep: detectron2's dataset dicts, and results files."""
    first = raw[0] if isinstance(raw, list) and raw and isinstance(raw[0], dict) else {}
    if isinstance(first.get("annotations"), list):
        return "write these records as an object of images, annotations and categories (detectron2: convert_to_coco_json)"
    return "these are a detector's results: name the file of the annotations" if "score" in first else None


def wrong(
    message: str, path: Path, expected: str, found: str, remedy: str | None = None, *, of_release: str | None = None
) -> DataError:
    """An error of a file."""
    if remedy is None and of_release is None:
        of_release = "compare the file with the official release, or fetch it again"
    return DataError(message, where=path, expected=expected, found=found, remedy=remedy, of_release=of_release)


def split_coco(path: Path, name_key: str) -> tuple[dict[str, Any], Iterator[tuple[str, Any]]]:
    """Checked, its ids, sizes and flags made plain, and cut into [image record, annotations]; the head has the categories."""
    raw = json_object(path)
    lacking = [k for k in ("images", "annotations") if not isinstance(raw.get(k), list)]
    if lacking:
        found = "keys " + values.shown([*raw], 200) if raw else "an empty object"
        raise wrong("an annotation file is not in COCO's form", path, "lists " + " and ".join(map(repr, lacking)), found)
    records: dict[str, dict[str, Any]] = {}
    written: dict[str, Any] = {}
    for i, image in enumerate(raw["images"]):
        given = image.get("id") if isinstance(image, dict) else None
        image_id = str(_plain_image(image, f"images[{i}] of {path}", name_key)["id"])
        if image_id in records:
            raise values.twice("images", written[image_id], given, f"images[{i}] of {path}")
        records[image_id], written[image_id] = image, given
    by_image: dict[str, list[dict[str, Any]]] = {}
    seen: dict[str, Any] = {}
    for i, a in enumerate(raw["annotations"]):
        given = a.get("id") if isinstance(a, dict) else None
        object_id, image_id = _plain_annotation(a, f"annotations[{i}] of {path}")
        if object_id in seen:
            raise values.twice("annotations", seen[object_id], given, f"annotations[{i}] of {path}")
        seen[object_id] = given
        if image_id not in records:
            found = f"annotation {object_id} belongs to image {image_id:.80}, which is not among the {len(records)} images"
            raise wrong("an annotation belongs to no image", path, "image ids of the file", found)
        by_image.setdefault(image_id, []).append(a)
    head = {"categories": plain_categories(raw.get("categories"), path)}
    return head, ((i, [image, by_image.get(i, [])]) for i, image in records.items())


def _plain_image(image: Any, where: str, name_key: str) -> dict[str, Any]:
    """The record, its id and sizes plain; a size is None where the file does not know it."""
    if not isinstance(image, dict) or "id" not in image or name_key not in image:
        expected = f"an object with id and {name_key}"
        found, named = values.shown(image, 160), isinstance(image, dict) and "id" in image
        remedy = 'file_name = "KEY" under [options] of the card says which key holds the path' if named else None
        raise DataError("an image record lacks a key", where=where, expected=expected, found=found, remedy=remedy)
    image["id"] = values.plain_id(image["id"], "id", where)
    values.text(image[name_key], name_key, where)
    for key in ("height", "width"):
        image[key] = values.side(image.get(key), key, where)
    for key in FEDERATED:
        if isinstance(image.get(key), list):
            image[key] = [values.plain_id(c, key, where) for c in image[key]]
    return image


def _plain_annotation(a: Any, where: str) -> tuple[str, str]:
    """(its id, its image's id) as texts, and the record's ids and flag made plain."""
    if not isinstance(a, dict) or "id" not in a or "image_id" not in a:
        expected = "an object with id and image_id"
        raise DataError("an annotation lacks a key", where=where, expected=expected, found=values.shown(a, 120))
    a["id"], a["image_id"] = values.plain_id(a["id"], "id", where), values.plain_id(a["image_id"], "image_id", where)
    plain_kind(a, where)
    return str(a["id"]), str(a["image_id"])


def plain_kind(a: dict[str, Any], where: str) -> None:
    """What an annotation is of: its category's id (None without one) and whether it is a crowd, made plain."""
    for key in ("category_id", "segmentation", "bbox", "area"):
        if values.absent(a.get(key)):
            a.pop(key, None)
    if "category_id" in a:
        a["category_id"] = values.plain_id(a["category_id"], "category_id", where)
    if "iscrowd" in a:
        a["iscrowd"] = values.flag(a["iscrowd"], "iscrowd", where)


def plain_categories(given: Any, path: Path) -> list[dict[str, Any]]:
    """Category records that have an id, made plain. Raises DataError: no list, or two categories of one id."""
    if not isinstance(given, list | None):
        raise wrong("an annotation file is in another form", path, "categories, a list of objects", values.shown(given))
    known: dict[int | str, dict[str, Any]] = {}
    for i, category in enumerate(given or ()):
        if isinstance(category, dict) and "id" in category:
            where = f"categories[{i}] of {path}"
            plain = {**category, "id": values.plain_id(category["id"], "id", where)}
            if known.setdefault(plain["id"], plain) != plain:
                raise values.twice("categories", known[plain["id"]]["id"], category["id"], where)
    return list(known.values())
