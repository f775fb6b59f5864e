"""From rows of the instance task to metric rows: AP of masks, boxes and boundaries, by size and by frequency."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sambench.errors import RunError
from sambench.metrics.instances import (
    AREAS,
    COCO_MAX_DETS,
    LVIS_MAX_DETS,
    AveragePrecision,
    Batch,
    Evaluation,
    Evaluator,
    box_ious,
)

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}  # LVIS: up to 10 images, to 100, above
AP_AT = (0.5, 0.75)
VARIANTS = {"mask": "ious", "boundary": "boundary_ious", "box": None}  # the column of its IoUs
COUNTED = ("kind", "image_id", "cluster_id", "category_id", "frequency", "is_crowd", "n_candidates")
SCORED = ("kind", "image_id", "index", "category_id", "score", "area", "is_crowd", "judged", "exhaustive")
SIZED_BY = {"mask": "mask_sized_by", "boundary": "mask_sized_by", "box": "box_sized_by"}


def metric_rows(
    parts: Callable[[Sequence[str]], Iterable[pd.DataFrame]],
    *,
    boundary: bool,
    max_dets: int | None,
    sized: bool = True,
    evaluator: Callable[[Sequence[int]], Evaluator] = AveragePrecision,
) -> list[dict[str, Any]]:
    """Metric rows of rows (`schema.INSTANCE_COLUMNS`) with status `ok`; none where there is no object.

    `ap` by variant: `mask` (none where no detection came with a mask), `box` (the boxes of the file), `boundary`; at thresholds .5
    and .75, by area (all others at all of .5:.05:.95) and, where annotation is federated, by frequency of the category. `ar`:
    average recall with at most max_dets detections an image and category. parts: called twice with names of columns, gives the rows
    in parts, each image whole; one is in memory at a time. max_dets: as the task's settings have it. sized: whether rows have the
    columns `mask_sized_by` and `box_sized_by`. Raises RunError as `batch_of`.
    """
    census = Census()
    for frame in parts(COUNTED):
        census.add(frame)
    if not census.n_objects:
        return []
    limits = limits_of(max_dets, federated=census.federated)
    variants = [v for v in VARIANTS if v == "box" or (census.masked and (v == "mask" or boundary))]
    columns = columns_of(variants, sized=sized)
    order = {image_id: i for i, image_id in enumerate(in_order(list(census.images)))}
    counted = {variant: evaluator(limits) for variant in variants}
    for frame in parts(columns):
        for variant, of in counted.items():
            of.add(batch_of(frame, variant, order, federated=census.federated))
    out = []
    for variant in variants:
        found = counted.pop(variant).evaluation()
        rows = _ap_rows(found, census.by_frequency) + _ar_rows(found)
        out += [{**census.columns(), "variant": variant, "max_dets": limits[-1], **row} for row in rows]
    return out


def limits_of(max_dets: int | None, *, federated: bool) -> tuple[int, ...]:
    """How many detections an image and category count; the last is AP's."""
    return (max_dets,) if max_dets is not None else LVIS_MAX_DETS if federated else COCO_MAX_DETS


def columns_of(variants: Iterable[str], *, sized: bool) -> list[str]:
    """The columns that `batch_of` reads for some variants."""
    return sorted({*SCORED, *(VARIANTS[v] or "box_xywh" for v in variants), *(SIZED_BY[v] for v in variants if sized)})


@dataclass
class Census:
    """What the rows of a cell are, part by part."""

    images: dict[str, str] = field(default_factory=dict)  # the cluster of each, in the order of the rows
    here: set[str] = field(default_factory=set)
    clusters: set[str] = field(default_factory=set)
    by_frequency: dict[str, set[int]] = field(default_factory=dict)  # categories of objects
    n_objects: int = 0  # without crowds
    n_candidates: int = 0
    n_detections: int = 0
    n_answered: int = 0
    federated: bool = False

    def add(self, frame: pd.DataFrame) -> None:
        """Count a part."""
        first = frame.drop_duplicates("image_id")
        self.images |= dict(zip(first["image_id"], first["cluster_id"], strict=True))
        kinds = frame[frame["kind"].notna()]
        self.here |= set(kinds["image_id"].dropna())
        self.clusters |= set(kinds["cluster_id"].dropna())
        if kinds["n_candidates"].notna().any():
            self.n_candidates = max(self.n_candidates, int(kinds["n_candidates"].max()))
        answered = frame.loc[frame["kind"] == "detection", "n_candidates"]
        self.n_detections += len(answered)
        self.n_answered += int(answered.notna().sum())
        objects = frame[(frame["kind"] == "object") & (frame["is_crowd"] == 0)]
        self.n_objects += len(objects)
        self.federated |= bool(objects["frequency"].notna().any())
        for name, of in objects.groupby("frequency"):
            self.by_frequency.setdefault(str(name), set()).update(of["category_id"].astype(int))

    @property
    def masked(self) -> bool:
        """Whether there are masks to score: a file of boxes alone says nothing of them."""
        return self.n_answered > 0 or self.n_detections == 0

    def columns(self) -> dict[str, Any]:
        """Those that all metric rows share."""
        return {
            "n_images": len(self.here),
            "n_objects": self.n_objects,
            "n_clusters": len(self.clusters),
            "n_candidates": self.n_candidates,
            "unit": "fraction",
            "aggregate": "mean_over_categories",
            "higher_is_better": True,
            "source_kind": "measured",
        }


def _ap_rows(found: Evaluation, by_frequency: dict[str, set[int]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"metric": "ap", "value": found.ap()}]
    rows += [{"metric": "ap", "threshold": t, "value": found.ap(threshold=t)} for t in AP_AT]
    rows += [{"metric": "ap", "group_by": "area", "group": a, "value": found.ap(area=a)} for a in AREAS[1:]]
    return rows + [
        {"metric": "ap", "group_by": "frequency", "group": name, "value": found.ap(categories=by_frequency[f])}
        for f, name in FREQUENCIES.items()
        if f in by_frequency
    ]


def _ar_rows(found: Evaluation) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"metric": "ar", "max_dets": m, "value": found.ar(max_dets=m)} for m in found.max_dets]
    return rows + [{"metric": "ar", "group_by": "area", "group": a, "value": found.ar(area=a)} for a in AREAS[1:]]


class _Sorted:
    """Rows of one kind by image, category and place, with the run of their image and category that each is of."""

    def __init__(self, frame: pd.DataFrame, order: Mapping[str, int]) -> None:
        category = frame["category_id"].to_numpy(np.int64)
        image = np.array([order[i] for i in frame["image_id"]], np.int64)
        at = np.lexsort((frame["index"].to_numpy(np.int64), category, image))
        self.frame = frame.iloc[at]
        self.image, self.category = image[at], category[at]

    def __len__(self) -> int:
        return len(self.image)

    def floats(self, name: str) -> Floats:
        """A column of numbers."""
        return self.frame[name].to_numpy(np.float64)

    def boxes(self) -> Floats:
        """xywh [N, 4]."""
        values, _ = _flat(self.frame["box_xywh"])
        return values.reshape(len(self), 4)


def _flat(lists: pd.Series[Any]) -> tuple[Floats, Ints]:
    """The values of lists one after another, and how many each has; of none, 0."""
    import pyarrow as pa

    array = pa.array(lists, type=pa.list_(pa.float64()), from_pandas=True)
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return array.flatten().to_numpy(zero_copy_only=False), lengths.astype(np.int64)


def batch_of(frame: pd.DataFrame, variant: str, order: Mapping[str, int], *, federated: bool) -> Batch:
    """What the evaluator takes of rows of some images, each image whole. Detections that are not judged are left out.

    variant: one of VARIANTS. order: images by id, ascending. federated: objects and detections without area
    are left out, as LVIS's evaluator does and COCO's not. Areas are those of the columns `mask_sized_by` and `box_sized_by`;
    without these (instances@1) of masks the mask's, of boxes the box's. Raises RunError where IoUs are not those of the objects.
    """
    truth = _Sorted(frame[frame["kind"] == "object"], order)
    found = _Sorted(frame[(frame["kind"] == "detection") & (frame["judged"] == 1)], order)
    column, sized_by = VARIANTS[variant], SIZED_BY[variant]
    if column is None:
        xywh = found.boxes()
        ious, row_of, column_of = _ious_of_boxes(found, xywh, truth)
        areas = found.floats(sized_by) if sized_by in frame else xywh[:, 2] * xywh[:, 3]
    else:
        ious, row_of, column_of = _stored_ious(found, column, truth)
        areas = found.floats(sized_by if sized_by in frame else "area")
    d = areas > 0 if federated else slice(None)
    g = truth.floats("area") > 0 if federated else slice(None)
    return Batch(
        image=found.image[d],
        category=found.category[d],
        scores=found.floats("score")[d],
        areas=areas[d],
        exhaustive=found.floats("exhaustive")[d].astype(np.bool_),
        row_of=row_of[d],
        gt_image=truth.image[g],
        gt_category=truth.category[g],
        gt_areas=truth.floats("area")[g],
        gt_crowd=truth.floats("is_crowd")[g].astype(np.bool_),
        column_of=column_of[g],
        ious=ious,
    )


def _stored_ious(found: _Sorted, column: str, truth: _Sorted) -> tuple[Floats, Ints, Ints]:
    """(values, row of each detection, column of each object): a detection has one with each object of its image and category."""
    ious, lengths = _flat(found.frame[column])
    categories = np.unique(np.concatenate([found.category, truth.category]))
    key = found.image * len(categories) + np.searchsorted(categories, found.category)
    gt_key = truth.image * len(categories) + np.searchsorted(categories, truth.category)
    first = np.searchsorted(gt_key, key)
    wrong = np.flatnonzero(lengths != np.searchsorted(gt_key, key, side="right") - first)
    if len(wrong):
        row, expected = found.frame.iloc[int(wrong[0])], np.count_nonzero(gt_key == key[wrong[0]])
        raise RunError(
            "a stored detection has not one IoU with each object of its image and category",
            where=f"image {row['image_id']!r}, detection {int(row['index'])}, column {column}",
            expected=f"{expected}",
            found=f"{lengths[wrong[0]]}",
            remedy="delete the cell's folder and run it again",
        )
    return ious, np.cumsum(lengths) - lengths, np.arange(len(truth)) - np.searchsorted(gt_key, gt_key)


def _ious_of_boxes(found: _Sorted, xywh: Floats, truth: _Sorted) -> tuple[Floats, Ints, Ints]:
    """As `_stored_ious`, of all boxes of an image at once, whatever their category."""
    gt_xywh, crowd = truth.boxes(), truth.floats("is_crowd").astype(np.bool_)
    first = np.searchsorted(truth.image, found.image)
    width = np.searchsorted(truth.image, found.image, side="right") - first
    parts = [np.zeros(0)]
    for image in np.intersect1d(found.image, truth.image).tolist():
        d = slice(*np.searchsorted(found.image, [image, image + 1]))
        g = slice(*np.searchsorted(truth.image, [image, image + 1]))
        parts.append(box_ious(xywh[d], gt_xywh[g], crowd[g].tolist()).ravel())
    return np.concatenate(parts), np.cumsum(width) - width, np.arange(len(truth)) - np.searchsorted(truth.image, truth.image)


def in_order(image_ids: list[str]) -> list[str]:
    """As the official evaluators sort them."""
    return sorted(image_ids, key=int) if all(i.isdecimal() for i in image_ids) else sorted(image_ids)
