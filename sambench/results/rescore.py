"""Metrics again from stored rows, without model or dataset; by groups of objects; and the stored masks against the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench import cards
from sambench.engine.cells import cell_columns, metric_rows, scalar_columns
from sambench.errors import DataError, UsageError, unknown_name
from sambench.loaders.open import open_dataset
from sambench.masks import Region
from sambench.results.cells import CellView
from sambench.tasks.summary import Bootstrap
from sambench.types import Dataset, Sample

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_BOOTSTRAP = Bootstrap()
ATTRIBUTE = "attribute:"
NO_GROUP = "(none)"  # objects without the attribute: shown, never dropped


def rescore(
    cell: CellView, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP, group_by: str | None = None
) -> list[dict[str, Any]]:
    """Metric rows (`schema.METRIC_COLUMNS`) of a cell's stored rows; those of a run's own settings equal its metrics.csv.

    group_by: None for one group, `category`, or `attribute:<name>`: metric rows of every group of objects, sorted by
    name, objects without the attribute as "(none)". Works on unfinished cells too; `partial` says so.
    A task that scores whole sets only has no rows where images are missing or failed.
    Raises UsageError on an unknown group, or where no row has one.
    """
    live = cell.live
    if cell.task.whole_sets_only and live.n_done < live.n_wanted:
        return []
    frame = cell.scored(scalar_columns(cell.task))
    columns = cell_columns(cell.record) | {"n_failed": live.n_failed, "partial": bool(cell.partial_reasons())}
    if group_by is None:
        return metric_rows(cell.task, frame, columns, bootstrap)
    groups = _groups(frame, group_by, cell)
    out = []
    for name in sorted(groups.unique()):
        named = {**columns, "group_by": group_by, "group": name}
        out += metric_rows(cell.task, frame[groups == name], named, bootstrap)
    return out


def _groups(frame: pd.DataFrame, group_by: str, cell: CellView) -> pd.Series[str]:
    """The group of every row, as strings."""
    import pandas as pd

    if "category" not in frame:
        raise UsageError(f"rows of the {cell.task.name} task are not of objects", where="--group-by", found=repr(group_by))
    if group_by == "category":
        named = frame["category"].fillna("").tolist()
        known: set[str] = {c for c in named if c}
        what = "categories"
    elif group_by.startswith(ATTRIBUTE):
        name = group_by.removeprefix(ATTRIBUTE)
        held = [dict(a or {}) for a in frame["attributes"]]
        names = {k for a in held for k in a}
        if names and name not in names:
            raise unknown_name(f"attribute of {cell.dataset}", name, names, where="--group-by")
        named = [a.get(name, "") for a in held]
        known, what = names, "attributes"
    else:
        near = f"{ATTRIBUTE}{group_by}"
        raise UsageError(
            "objects cannot be grouped by that",
            where="--group-by",
            expected=f"category, or {ATTRIBUTE}NAME",
            found=repr(group_by),
            remedy=f"did you mean {near!r}?" if any(group_by in dict(a or {}) for a in frame["attributes"]) else None,
        )
    if not known:
        raise UsageError(f"the objects of {cell.dataset} have no {what}", where="--group-by", found=repr(group_by))
    return pd.Series([g or NO_GROUP for g in named], index=frame.index, dtype=object)


@dataclass(frozen=True)
class MaskCheck:
    """What came of comparing stored masks with the ground truth.

    n_masks: masks compared, of n_rows rows; n_differing: those whose IoU is not exactly the stored one. largest: the
    largest absolute difference, in [0, 1], and where (image, object, k, candidate) it is.
    """

    n_rows: int = 0
    n_masks: int = 0
    n_differing: int = 0
    largest: float = 0.0
    where: tuple[str, str, int, int] | None = None


def check_masks(cell: CellView, *, root: Path | None = None, dataset: Dataset | None = None) -> MaskCheck:
    """Compute the IoU of every stored mask anew, from the dataset's files, and compare it with the stored number.

    root: the dataset's folder, where it is not the recorded or adopted one. dataset: an opened one instead. Raises
    DataError where the files are not those of the run (annotation digest, an object that is not there, another image
    size), UsageError where the run kept no masks.
    """
    if "mask_rles" not in cell.store.columns:
        raise UsageError(f"runs of the {cell.task.name} task hold no masks to check", where=cell.path)
    dataset = dataset or _open(cell, root)
    found = dataset.annotation_digest()
    expected = cell.record["dataset"]["annotation_digest"]
    if found != expected:
        raise DataError(
            f"the files of {cell.dataset} are not those of the run",
            where=cell.path,
            expected=f"annotation digest {expected}",
            found=found,
            remedy="give the folder that the run used with --root",
        )
    columns = ["image_id", "object_id", "k", "height", "width", "top_index", "ious", "mask_rles"]
    frame = cell.scored(columns)
    frame = frame[frame["mask_rles"].notna()]
    if frame.empty:
        raise UsageError(
            "the run has no stored masks",
            where=cell.path,
            remedy="run it with --save-masks scored, into another directory (--out)",
        )
    check = MaskCheck()
    for image_id, rows in frame.groupby("image_id", sort=False):
        sample = dataset.load(str(image_id))
        objects = {i.object_id: i.region for i in sample.instances}
        for row in rows.to_dict("records"):
            check = _checked(check, {str(k): v for k, v in row.items()}, sample, objects)
    return check


def _open(cell: CellView, root: Path | None) -> Dataset:
    recorded = cell.record["dataset"]
    card = cards.dataset_card(str(recorded.get("source") or recorded["id"]))
    folder = root or (Path(recorded["root"]).expanduser() if recorded.get("root") else None)
    return open_dataset(card, variant=recorded["variant"], root=folder)


def _checked(check: MaskCheck, row: dict[str, Any], sample: Sample, objects: dict[str, Region]) -> MaskCheck:
    target = objects.get(row["object_id"])
    if target is None or (row["height"], row["width"]) != (sample.height, sample.width):
        raise DataError(
            f"image {sample.image_id!r} of {sample.dataset} is not the one of the run",
            expected=f"object {row['object_id']!r} in {row['height']} x {row['width']} pixels",
            found="no such object" if target is None else f"{sample.height} x {sample.width} pixels",
        )
    check = replace(check, n_rows=check.n_rows + 1)
    for candidate, counts in _stored(row):
        mask = Region.from_rle({"size": [sample.height, sample.width], "counts": counts})
        difference = abs(mask.iou(target, sample.ignore) - float(row["ious"][candidate]))
        check = replace(check, n_masks=check.n_masks + 1, n_differing=check.n_differing + (difference > 0))
        if difference > check.largest:
            where = (sample.image_id, str(row["object_id"]), int(row["k"]), candidate)
            check = replace(check, largest=difference, where=where)
    return check


def _stored(row: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
    """(candidate, COCO counts): all candidates, or the one that goes on (see the tasks' `save_masks`)."""
    rles, ious = row["mask_rles"], np.asarray(row["ious"])
    if len(rles) == len(ious):
        yield from enumerate(rles)
    elif len(rles) == 1:
        yield int(row["top_index"]), rles[0]
    else:
        raise DataError(
            "a row's masks do not fit its candidates",
            where=f"image {row['image_id']!r}, object {row['object_id']!r}, k = {row['k']}",
            expected=f"{len(ious)} masks, or one",
            found=len(rles),
        )
