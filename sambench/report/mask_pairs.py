"""Two masks of each object from two annotation files: automatic and corrected ones, or two annotators'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError
from sambench.loaders.coco_file import read_coco
from sambench.loaders.coco_masks import region_of
from sambench.loaders.sa1b import mask_files, read_mask_file
from sambench.pixels.region import Region
from sambench.sources.data import sniff
from sambench.text import counted


@dataclass(frozen=True)
class MaskPairs:
    """ious float64 [N] in [0, 1]; areas_px int64 [N], of the second file's masks; image_ids, object_ids: N of each, as text.

    notes: what of the files is no pair.
    """

    ious: npt.NDArray[np.float64]
    areas_px: npt.NDArray[np.int64]
    image_ids: tuple[str, ...]
    object_ids: tuple[str, ...]
    notes: tuple[str, ...]


class _Mask(NamedTuple):
    segmentation: Any
    size: tuple[int, int] | None
    where: str


def mask_pairs(first: Path, second: Path) -> MaskPairs:
    """The pairs of two files in COCO's form, or of two folders of SA-1B's: masks of one image id and one annotation id.

    A mask that stands in one of the files alone is no pair and is counted; crowds are left out. Where one of the masks has no pixel
    the IoU is 0; where both have none there is no pair. Raises DataError: a file that cannot be read, sizes that differ, no pair.
    """
    held = [dict(_masks(path)) for path in (first, second)]
    shared = [key for key in held[0] if key in held[1]]
    if not shared:
        ids = [", ".join(f"{image}/{one}" for image, one in list(of)[:3]) or "no masks" for of in held]
        raise DataError(
            "two files have no mask in common",
            where=f"{first} and {second}",
            expected="masks of the same image ids and annotation ids",
            found=f"{ids[0]} and {ids[1]}",
            remedy="give a mask and its corrected version the same ids in both files",
        )
    ious, areas, keys, empty = [], [], [], 0
    for key in shared:
        a, b = (_region(of[key], held[1 - i][key]) for i, of in enumerate(held))
        if not a.area and not b.area:
            empty += 1
            continue
        ious.append(a.iou(b))
        areas.append(b.area)
        keys.append(key)
    alone = [len(of) - len(shared) for of in held]
    of_files = zip(alone, (first, second), strict=True)
    notes = [f"{counted(n, 'mask')} of {path.name} without a partner in the other" for n, path in of_files if n]
    notes += [f"{counted(empty, 'pair')} without a pixel in either mask left out"] if empty else []
    return MaskPairs(
        np.array(ious, np.float64), np.array(areas, np.int64), tuple(k[0] for k in keys), tuple(k[1] for k in keys), tuple(notes)
    )


def _masks(path: Path) -> Iterator[tuple[tuple[str, str], _Mask]]:
    """((image id, annotation id), mask) of all but crowds."""
    if path.is_dir():
        for image_id, file in mask_files(path).items():
            masks = read_mask_file(file)
            for one in masks.annotations:
                yield (image_id, one["id"]), _Mask(one["segmentation"], masks.size, masks.where(one))
        return
    name_key = "file_name" if sniff.file_names(path) else "coco_url"  # as LVIS v1 has it
    held = read_coco(path, name_key)
    for image_id in held.image_ids():
        record, annotations = held.image(image_id)
        size = (record["height"], record["width"]) if record.get("height") and record.get("width") else None
        for one in annotations:
            if not one.get("iscrowd"):
                where = f"annotation {one['id']} of {path}"
                yield (image_id, str(one["id"])), _Mask(one.get("segmentation"), size, where)


def _region(one: _Mask, other: _Mask) -> Region:
    """A mask in its picture's frame, whose size one of the files says. Raises DataError: none does, or both and not the same."""
    size, theirs = one.size, other.size
    if size is not None and theirs is not None and size != theirs:
        raise DataError("two files have another size of one image", where=one.where, expected=f"{theirs}", found=f"{size}")
    size = size or theirs
    if size is None:
        raise DataError("an image's size is in neither file", where=one.where, expected="height and width of the image's record")
    return region_of(one.segmentation, *size, where=one.where)
