"""A results file against the dataset that it is said to belong to: ids of other images or categories, boxes beside their image.

What makes every number meaningless is an error: no detections, the ids of another split or list of categories, corners taken for
sizes. The rest is counted and said, and counts as what it is: a box beside its image or a detection twice is a false positive.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError
from sambench.loaders.coco_results import ResultsFile
from sambench.text import counted

Extra = Literal["refuse", "drop"]
BoxFormat = Literal["auto", "xywh", "xyxy"]
SAMPLE = 200  # images looked at before a run; each is looked at again when it is its turn
SLACK = 2.0  # pixels that a box may reach beyond its image: rounding
SHOWN = 5
_MIN_BOXES = 3
_SUSPECT = 0.2  # share of boxes beyond the image from which their format is doubted


def check_ids(results: ResultsFile, image_ids: Collection[str], categories: Mapping[int, str] | None, *, extra: Extra) -> list[str]:
    """What must be said of a file's ids. image_ids, categories: all that the dataset has (None: whatever the categories).

    Raises DataError: no detections; none of the dataset's images; with extra `refuse`, images or categories that the dataset does
    not have; with categories, detections without one.
    """
    if not len(results):
        raise DataError(
            "a results file holds no detections",
            where=results.path,
            expected="at least one",
            found="an empty list",
            remedy="was the detector's score threshold too high, or its run cut off?",
        )
    known = set(image_ids)
    other = [i for i in results.image_ids if i not in known]
    notes = []
    if other and (extra == "refuse" or len(other) == len(results.image_ids)):
        raise DataError(
            "a results file is of other images than the dataset" if len(other) == len(results.image_ids) else
            "a results file has detections of images that the dataset does not have",
            where=results.path,
            expected=f"ids of the dataset's {len(known)} images, as {_some(sorted(known))}",
            found=f"{len(other)} other image ids of {len(results.image_ids)}, as {_some(other)}",
            remedy="give the results on this split" + ("; --extra drop leaves the others out" if len(other) < len(results.image_ids)
                                                       else ""),
        )  # fmt: skip
    if other:
        n = sum(results.count_of(i) for i in other)
        notes.append(f"{counted(n, 'detection')} of {counted(len(other), 'image')} that the dataset does not have left out")
    bare = sum(1 for i in known if not results.count_of(i))
    if bare:
        notes.append(f"{bare:,} of {counted(len(known), 'image')} without a detection in the file")
    return notes + (_check_categories(results, categories, extra) if categories is not None else [])


def _check_categories(results: ResultsFile, categories: Mapping[int, str], extra: Extra) -> list[str]:
    if results.n_categories < len(results):
        raise DataError(
            "detections have no category",
            where=results.path,
            expected="category_id in every entry",
            found=f"{len(results) - results.n_categories:,} of {len(results):,} entries without one",
            remedy="average precision is by category: write the detector's classes",
        )
    other = [c for c in results.category_ids if c not in categories]
    if not other:
        return []
    if extra == "refuse" or len(other) == len(results.category_ids):
        contiguous = results.category_ids[0] == 0 and 0 not in categories
        hint = "; they look like a network's indices from 0 on, which must be mapped to the dataset's ids" if contiguous else ""
        raise DataError(
            "a results file has categories that the dataset does not have",
            where=results.path,
            expected=f"category ids of the dataset's {len(categories)}, from {min(categories)} to {max(categories)}",
            found=f"{len(other)} other ids, as {_some(map(str, other))}{hint}",
            remedy="map them, or leave those detections out with --extra drop",
        )
    return [f"detections of {len(other)} categories that the dataset does not have are left out ({_some(map(str, other))})"]


def looks_like_corners(boxes: npt.NDArray[np.float64], sizes_hw: npt.NDArray[np.float64]) -> bool:
    """Whether boxes float64 [N, 4] that are said to be x, y, width, height are x0, y0, x1, y1: many leave their images, height and
    width sizes_hw float64 [N, 2], and all would be proper boxes if their last two numbers were corners."""
    if len(boxes) < _MIN_BOXES:
        return False
    x, y, a, b = boxes.T
    height, width = sizes_hw.T
    beyond = (x + a > width + SLACK) | (y + b > height + SLACK)
    corners = (a > x) & (b > y) & (a <= width + SLACK) & (b <= height + SLACK)
    return bool(beyond.mean() > _SUSPECT and corners.all())


def check_boxes(
    results: ResultsFile, image_ids: Iterable[str], size_of: Callable[[str], tuple[int, int]], *, box_format: BoxFormat
) -> list[str]:
    """What must be said of the boxes of the first images that have some. size_of: (height, width) by image id.

    Raises DataError where the boxes look like corners (box_format `auto`), or like shares of the image.
    """
    boxes, sizes, duplicates = [], [], 0
    chosen = [i for i in image_ids if results.count_of(i)][:SAMPLE]
    for image_id in chosen:
        found = results.of(image_id)
        given = found.box_xywh[~np.isnan(found.box_xywh[:, 0])]
        boxes.append(given)
        sizes.append(np.tile(np.array(size_of(image_id), np.float64), (len(given), 1)))
        duplicates += found.n_duplicates()
    if not boxes:
        return []
    all_boxes, all_sizes = np.concatenate(boxes), np.concatenate(sizes)
    if box_format == "auto" and looks_like_corners(all_boxes, all_sizes):
        raise DataError(
            "the boxes of a results file look like corners, x0, y0, x1, y1",
            where=results.path,
            expected="bbox as COCO has it: x, y, width, height",
            found="boxes that leave their images when read so, and fit when read as corners",
            remedy="write them as x, y, width, height, or say --box-format xyxy (or xywh, if they are what they should be)",
        )
    if len(all_boxes) >= _MIN_BOXES and all_boxes.max() <= 1.0 and all_sizes.min() > SLACK:
        raise DataError(
            "the boxes of a results file look like shares of the image",
            where=results.path,
            expected="bbox in pixels",
            found=f"no number above {all_boxes.max():g}",
            remedy="multiply by the image's width and height",
        )
    corners = as_xyxy(all_boxes, box_format)
    notes = []
    off = outside(corners, all_sizes)
    n_outside, n_beyond = int(off.sum()), int((beyond(corners, all_sizes) & ~off).sum())
    of = f"of {len(all_boxes):,} boxes in {counted(len(chosen), 'image')} looked at"
    if n_outside:
        notes.append(f"{n_outside:,} {of} lie outside their image: nothing is asked for them, and they count as false positives")
    if n_beyond:
        notes.append(f"{n_beyond:,} {of} reach beyond their image; they are used as they are")
    if duplicates:
        stand = counted(duplicates, "detection stands", "detections stand")
        notes.append(f"{stand} there twice (same category, score, box and mask); each counts as one more")
    return notes


def as_xyxy(boxes: npt.NDArray[np.float64], box_format: BoxFormat) -> npt.NDArray[np.float64]:
    """float64 [N, 4] x0, y0, x1, y1 of boxes as the file has them; `auto` is COCO's x, y, width, height."""
    if box_format == "xyxy":
        return boxes
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def outside(corners: npt.NDArray[np.float64], sizes_hw: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which boxes [N, 4] xyxy share no area with their image, or have none. sizes_hw: [N, 2], or one (height, width)."""
    height, width = np.asarray(sizes_hw, np.float64).reshape(-1, 2).T
    x0, y0, x1, y1 = corners.T
    return np.asarray((x1 <= 0) | (y1 <= 0) | (x0 >= width) | (y0 >= height) | (x1 <= x0) | (y1 <= y0))


def beyond(corners: npt.NDArray[np.float64], sizes_hw: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which boxes reach more than SLACK pixels beyond their image."""
    height, width = np.asarray(sizes_hw, np.float64).reshape(-1, 2).T
    x0, y0, x1, y1 = corners.T
    return np.asarray((x0 < -SLACK) | (y0 < -SLACK) | (x1 > width + SLACK) | (y1 > height + SLACK))


def _some(ids: Iterable[str]) -> str:
    listed = list(ids)
    return ", ".join(listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")
