"""COCO and LVIS annotations as the detection benchmarks count them: every annotation, each by itself, with the file's own areas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sambench.errors import DataError
from sambench.loaders import values
from sambench.loaders.coco_file import FEDERATED, CocoFile, category_name
from sambench.loaders.coco_masks import why_empty
from sambench.notes import note
from sambench.pixels.region import Region
from sambench.types import NO_MASK, Annotated, Annotation


def annotated(
    image: dict[str, Any],
    regions: Sequence[tuple[dict[str, Any], Region]],
    content: CocoFile,
    categories: Mapping[int, str],
    *,
    crowds_are_objects: bool = False,
) -> Annotated:
    """The ground truth of an image: its record, and annotation records with their masks. categories: name by
    id, of all that count. crowds_are_objects: `iscrowd` says nothing.

    `iscrowd` that is absent is 0, `area` and `bbox` that are absent those of the mask, or the box's. Raises DataError: a category
    id that is no number or not in the file's list, an area or box that is none, federated lists that are no lists of numbers.
    """
    objects = tuple(_annotation(a, region, content, crowds_are_objects) for a, region in regions)
    if any(why_empty(a.get("segmentation"), a.get("bbox")) == NO_MASK for a, region in regions if not region.area):
        note("annotations without a mask count as objects that no mask finds; the AP of boxes takes their boxes")
    held = [k for k in FEDERATED if k in image]
    if not held:
        return Annotated(objects, categories)
    if len(held) < len(FEDERATED):
        raise _wrong(content, f"image {image['id']}", "both or none of " + " and ".join(FEDERATED), f"only {held[0]}")
    lists = []
    for key in FEDERATED:
        with _judging(content, f"image {image['id']}", key):
            if not isinstance(image[key], list):
                raise _wrong(content, f"image {image['id']}", f"{key}, a list of category ids", values.shown(image[key]))
            lists.append(tuple(values.whole(c, key, "") for c in image[key]))
    return Annotated(objects, categories, *lists)


def _annotation(record: dict[str, Any], region: Region, content: CocoFile, crowds_are_objects: bool) -> Annotation:
    name = f"annotation {record['id']}"
    category_id = record.get("category_id")
    if type(category_id) is not int or category_id not in content.categories:
        raise _wrong(content, name, "category_id, one of the file's categories", repr(category_id))
    with _judging(content, name, "area"):
        area = values.number(record["area"], "area", "") if record.get("area") is not None else None
        if area is not None and area < 0:
            raise _wrong(content, name, "area, a number of pixels", f"{area:g}")
    y0, x0, y1, x1 = region.window
    box = [float(v) for v in (x0, y0, x1 - x0, y1 - y0)]
    if record.get("bbox") is not None:
        with _judging(content, name, "bbox"):
            box = values.numbers(record["bbox"], "bbox", "", n=4)
    category = content.categories[category_id]
    return Annotation(
        object_id=str(record["id"]),
        category_id=category_id,
        category=category_name(category),
        frequency=str(category.get("frequency", "")),
        region=region,
        is_crowd=bool(record.get("iscrowd")) and not crowds_are_objects,
        area=area if area is not None else float(region.area) or box[2] * box[3],
        box_xywh=(box[0], box[1], box[2], box[3]),
    )


@contextmanager
def _judging(content: CocoFile, what: str, key: str) -> Iterator[None]:
    """Within it, a value that cannot be read is an error of the ground truth."""
    try:
        yield
    except DataError as e:
        if not e.where:
            raise _wrong(content, what, f"{key}, {e.expected}", str(e.found)) from e
        raise


def _wrong(content: CocoFile, what: str, expected: str, found: str) -> DataError:
    return DataError(
        "ground truth cannot be used for detection",
        where=f"{what} of {content.path}",
        expected=expected,
        found=found,
        of_release="compare the file with the official release",
        remedy="mend that record",
    )
