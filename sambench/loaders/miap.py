"""Open Images masks of people, and of what they wear, with the perceived attributes of MIAP's boxes.

    <root>/open_images_extended_miap_boxes_<split>.csv       boxes of people with attributes, in shares of the picture
    <root>/<split>-annotations-object-segmentation.csv       one mask a row, with the box it was drawn in
    <root>/bbox_labels_600_hierarchy.json                    which classes are clothing
    <root>/<split>-masks-<h>/<MaskPath>, or <split>-masks/   PNG, at times of another size than the picture
    <root>/<split>/<ImageID>.jpg
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from sambench.errors import DataError, unknown_name
from sambench.files import content
from sambench.loaders import images as image_files
from sambench.loaders import values
from sambench.loaders.coco_file import json_object, naming, read_picture, wrong
from sambench.loaders.file_names import Place, locate
from sambench.loaders.index_cache import Progress, cached_index
from sambench.loaders.open import unknown_image
from sambench.pixels.region import Region
from sambench.types import EMPTY, ImageRecord, Instance, Sample

_PEOPLE = {"/m/01g317": "Person", "/m/04yx4": "Man", "/m/03bt1vf": "Woman", "/m/01bl7v": "Boy", "/m/05r655": "Girl"}
_CLOTHING = "/m/09j2d"
_MARGIN = 0.01  # of the box's side: arXiv 2304.02643, appendix C
_SIDES = ("XMin", "XMax", "YMin", "YMax")


class _Person(NamedTuple):
    """A box of MIAP: x_min, x_max, y_min, y_max in shares of the picture."""

    sides: tuple[float, float, float, float]
    attributes: Mapping[str, str]


class _Mask(NamedTuple):
    """A row of the masks' file."""

    path: str
    label: str
    sides: tuple[float, float, float, float]


@dataclass(frozen=True)
class Miap:
    """what 'people': masks of people whose box agrees with one of MIAP's on all four sides, within 1 % of the latter's side; one
    mask a box and one box a mask, the closest first. what 'clothing': masks of clothing classes whose box lies inside a box of
    MIAP; where there are several, the smallest gives the attributes. Boxes of groups are left out in both.

    image_id is the ImageID, object_id the mask's name without it; category a class's name or id. Every object has the
    attributes gender_presentation and age_presentation, as MIAP writes them. Masks take the picture's size (nearest pixel).
    """

    root: Path
    name: str
    variant: str = "default"
    split: str = "test"
    what: Literal["people", "clothing"] = "people"

    def __post_init__(self) -> None:
        if self.what not in ("people", "clothing"):
            raise unknown_name(f"kind of object of dataset {self.name}", self.what, ["people", "clothing"])

    @staticmethod
    def fits(root: Path, split: str = "test", what: str = "people") -> bool:
        """Whether the tables are here."""
        return all((root / f).is_file() for f in _tables(split, what))

    def index(self) -> Sequence[ImageRecord]:
        """Pictures with at least one such mask, in the order of MIAP's file. The masks themselves are not opened; what the tables
        say is remembered."""
        files = [*map(self._table, _tables(self.split, self.what)), self.root / self.split]
        return cached_index({"dataset": self.name, "split": self.split, "what": self.what}, files, self._build)

    def _build(self, _: Progress) -> list[ImageRecord]:
        records = []
        for image_id, found in self._matches().items():
            records.append(ImageRecord(image_id, len(found), file=str(self._place(image_id).path)))
        return records

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no picture, or a missing or broken mask."""
        matches = self._matches()
        if image_id not in matches:
            raise unknown_image(self.name, image_id, list(matches))
        instances: list[Instance] = []
        with naming(self.name):
            path = self._place(image_id).checked()
            size = image_files.read_size(path)
            for mask, person in matches[image_id]:
                region = _resized(image_files.read_mask(self._mask_file(mask.path)), size)
                if region.area:
                    object_id = mask.path.removesuffix(".png").removeprefix(f"{image_id}_")
                    category = _PEOPLE.get(mask.label, mask.label)
                    instances.append(Instance(object_id, region, category=category, attributes=person.attributes))
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=size[0],
            width=size[1],
            instances=tuple(instances),
            read=partial(read_picture, self.name, path, size),
            left_out={EMPTY: len(matches[image_id]) - len(instances)},
        )

    def annotation_digest(self) -> str:
        """Over the bytes of the tables and of the masks that they name."""
        files = {f: self._table(f) for f in _tables(self.split, self.what)}
        masks = {m.path: self._mask_file(m.path) for found in self._matches().values() for m, _ in found}
        return content.files_digest(files | {n: p for n, p in masks.items() if p.is_file()}, self.name)

    def _matches(self) -> dict[str, list[tuple[_Mask, _Person]]]:
        tables = [self._table(f) for f in _tables(self.split, self.what)]
        stamps = tuple(map(content.file_sha256, tables))
        with naming(self.name):
            return _matched(tuple(tables), stamps, self.what)

    def _table(self, file: str) -> Path:
        path = self.root / file
        if not path.is_file():
            raise DataError(f"a table of {self.name} is missing", where=path, found="no such file", of_release="fetch it")
        return path

    def _place(self, image_id: str) -> Place:
        return locate([(self.root / self.split, f"{image_id}.jpg")], self.root, where=f"image {image_id}")

    def _mask_file(self, path: str) -> Path:
        folders = (f"{self.split}-masks-{path[:1].lower()}", f"{self.split}-masks-{path[:1].upper()}", f"{self.split}-masks")
        return locate([(self.root / folder, path) for folder in folders], self.root, where=f"mask {path}").checked()


def _tables(split: str, what: str) -> list[str]:
    tables = [f"open_images_extended_miap_boxes_{split}.csv", f"{split}-annotations-object-segmentation.csv"]
    return tables if what == "people" else [*tables, "bbox_labels_600_hierarchy.json"]


def _resized(mask: Any, size: tuple[int, int]) -> Region:
    if mask.shape != size:
        mask = cv2.resize(mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return Region.from_array(mask)


@lru_cache(maxsize=2)
def _matched(tables: tuple[Path, ...], _stamps: Any, what: str) -> dict[str, list[tuple[_Mask, _Person]]]:
    people = _people(tables[0])
    labels = set(_PEOPLE) if what == "people" else _clothing(tables[2])
    masks: dict[str, list[_Mask]] = {}
    for row in _rows(tables[1], ("MaskPath", "ImageID", "LabelName", *(f"Box{s}" for s in _SIDES))):
        if row["LabelName"] in labels and row["ImageID"] in people:
            mask = _Mask(row["MaskPath"], row["LabelName"], _sides(row, "Box", tables[1]))
            masks.setdefault(row["ImageID"], []).append(mask)
    pair = _same_boxes if what == "people" else _inside
    found = {i: pair(masks[i], boxes) for i, boxes in people.items() if i in masks}
    return {i: pairs for i, pairs in found.items() if pairs}


def _same_boxes(masks: list[_Mask], people: list[_Person]) -> list[tuple[_Mask, _Person]]:
    near = sorted(
        (deviation, m, p)
        for m, mask in enumerate(masks)
        for p, person in enumerate(people)
        if (deviation := _deviation(mask.sides, person.sides)) <= _MARGIN + 1e-9  # of numbers written with six digits
    )
    taken: dict[int, int] = {}
    for _, m, p in near:
        if m not in taken and p not in taken.values():
            taken[m] = p
    return [(masks[m], people[taken[m]]) for m in sorted(taken)]


def _deviation(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest difference of a side, as a share of b's width or height."""
    width, height = b[1] - b[0], b[3] - b[2]
    if width <= 0 or height <= 0:
        return float("inf")
    return max(abs(a[0] - b[0]) / width, abs(a[1] - b[1]) / width, abs(a[2] - b[2]) / height, abs(a[3] - b[3]) / height)


def _inside(masks: list[_Mask], people: list[_Person]) -> list[tuple[_Mask, _Person]]:
    by_size = sorted(people, key=lambda p: (p.sides[1] - p.sides[0]) * (p.sides[3] - p.sides[2]))
    found = ((mask, next((p for p in by_size if _lies_in(mask.sides, p.sides)), None)) for mask in masks)
    return [(mask, person) for mask, person in found if person is not None]


def _lies_in(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] >= b[0] and a[1] <= b[1] and a[2] >= b[2] and a[3] <= b[3]


def _people(path: Path) -> dict[str, list[_Person]]:
    """Boxes of single people by image, in the file's order."""
    found: dict[str, list[_Person]] = {}
    for row in _rows(path, ("ImageID", *_SIDES, "IsGroupOf", "GenderPresentation", "AgePresentation")):
        if not values.flag(row["IsGroupOf"], "IsGroupOf", f"{path}, image {row['ImageID']}"):
            words = {"gender_presentation": row["GenderPresentation"], "age_presentation": row["AgePresentation"]}
            found.setdefault(row["ImageID"], []).append(_Person(_sides(row, "", path), words))
    return found


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as f:
            reader = csv.DictReader(f)
            lacking = [c for c in columns if c not in (reader.fieldnames or ())]
            if lacking:
                found = ", ".join(reader.fieldnames or ()) or "an empty file"
                raise wrong("a table lacks a column", path, ", ".join(columns), found)
            for row in reader:
                if any(row[c] is None for c in columns):
                    raise wrong("a table is cut short", path, f"{len(columns)} columns in every row", f"line {reader.line_num}")
                yield row
    except (csv.Error, UnicodeDecodeError, OSError) as e:
        raise wrong("a table cannot be read", path, "comma-separated UTF-8 text", str(e)) from e


def _sides(row: Mapping[str, str], prefix: str, path: Path) -> tuple[float, float, float, float]:
    where = f"{path}, image {row['ImageID']}"
    x0, x1, y0, y1 = (values.number(row[prefix + side], prefix + side, where) for side in _SIDES)
    return x0, x1, y0, y1


def _clothing(path: Path) -> set[str]:
    """Labels of the clothing node and of all below it."""
    top = json_object(path, "the hierarchy of classes")
    node = next((n for n in _nodes(top, path) if n.get("LabelName") == _CLOTHING), None)
    if node is None:
        raise wrong("the hierarchy of classes has no clothing", path, f"a node with LabelName {_CLOTHING}", "none")
    return {str(n.get("LabelName")) for n in _nodes(node, path)}


def _nodes(top: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """A node and all below it."""
    waiting: list[Any] = [top]
    while waiting:
        node = waiting.pop()
        below = node.get("Subcategory") if isinstance(node, dict) else None
        if not isinstance(node, dict) or not isinstance(below, list | None):
            expected = "nodes, objects with a list Subcategory"
            raise wrong("the hierarchy of classes is in another form", path, expected, values.shown(node))
        yield node
        waiting += below or []
