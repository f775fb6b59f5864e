"""COCO and LVIS annotations as the detection benchmarks count them: every annotation, each by itself, with the file's own areas."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sambench.errors import DataError
from sambench.loaders.coco_file import CocoFile
from sambench.masks import Region
from sambench.types import Annotated, Annotation

FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")


def annotated(
    image: dict[str, Any], regions: Sequence[tuple[dict[str, Any], Region]], content: CocoFile, categories: Mapping[int, str]
) -> Annotated:
    """The ground truth of an image: its record, and annotation records with their masks. categories: name by
    id, of all that count.

    `iscrowd` that is absent is 0, `area` and `bbox` that are absent those of the mask. Raises DataError: a category id that is no
    number or not in the file's list, an area or box that is none, federated lists that are no lists of numbers.
    """
    objects = tuple(_annotation(a, region, content) for a, region in regions)
    held = [k for k in FEDERATED if k in image]
    if not held:
        return Annotated(objects, categories)
    if len(held) < len(FEDERATED):
        raise _wrong(content, f"image {image['id']}", "both or none of " + " and ".join(FEDERATED), f"only {held[0]}")
    lists = []
    for key in FEDERATED:
        if not isinstance(image[key], list) or not all(type(c) is int for c in image[key]):
            raise _wrong(content, f"image {image['id']}", f"{key}, a list of category ids", f"{image[key]!r:.80}")
        lists.append(tuple(image[key]))
    return Annotated(objects, categories, *lists)


def _annotation(record: dict[str, Any], region: Region, content: CocoFile) -> Annotation:
    where = f"annotation {record['id']}"
    category_id = record.get("category_id")
    if type(category_id) is not int or category_id not in content.categories:
        raise _wrong(content, where, "category_id, one of the file's categories", repr(category_id))
    area = record.get("area", region.area)
    if not _is_number(area) or area < 0:
        raise _wrong(content, where, "area, a number of pixels", f"{area!r:.60}")
    box = record.get("bbox")
    if box is None:
        y0, x0, y1, x1 = region.window
        box = [x0, y0, x1 - x0, y1 - y0]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise _wrong(content, where, "bbox, four numbers x, y, width, height", f"{box!r:.80}")
    category = content.categories[category_id]
    return Annotation(
        object_id=str(record["id"]),
        category_id=category_id,
        category=str(category.get("name", category_id)),
        frequency=str(category.get("frequency", "")),
        region=region,
        is_crowd=bool(record.get("iscrowd")),
        area=float(area),
        box_xywh=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _wrong(content: CocoFile, what: str, expected: str, found: str) -> DataError:
    return DataError(
        "ground truth cannot be used for detection",
        where=f"{what} of {content.path}",
        expected=expected,
        found=found,
        remedy="compare the file with the official release, or mend that record",
    )
