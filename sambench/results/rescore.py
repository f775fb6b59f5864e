"""Metrics again from stored rows, without model or dataset; by groups of objects; and the stored masks against the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.errors import UsageError, unknown_name
from sambench.results.stored_masks import stored_rows
from sambench.store.metric_rows import cell_columns, metric_rows, reduced_rows, scalar_columns, stored_metric_rows
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap
from sambench.types import Dataset

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
    columns = columns_now(cell)
    if group_by is None:
        return stored_metric_rows(cell.task, cell.store, cell.wanted, columns, bootstrap)
    frame = cell.scored(scalar_columns(cell.task), reduced_rows(cell.task))
    groups = groups_of(frame, group_by, cell)
    out = []
    for name in sorted(groups.unique()):
        named = {**columns, "group_by": group_by, "group": name}
        found = metric_rows(cell.task, frame[groups == name], named, bootstrap)
        out += [row for row in found if row["group_by"] == group_by]  # a task's own groups are not cut up further
    return out


def columns_now(cell: CellView) -> dict[str, Any]:
    """The metric columns that a cell gives as it is at this moment, which may be another than when its record was written."""
    return cell_columns(cell.record) | {"n_failed": cell.live.n_failed, "partial": bool(cell.partial_reasons())}


def groups_of(frame: pd.DataFrame, group_by: str, cell: CellView) -> pd.Series[str]:
    """The group of every row, as strings. frame: of the cell's rows, with their category and attributes. Raises UsageError."""
    import pandas as pd

    if "category" not in frame:
        raise UsageError(f"rows of the {cell.task.name} task are not of objects", where="--group-by", found=repr(group_by))
    if group_by == "category":
        named = frame["category"].fillna("").tolist()
        known: set[str] = {c for c in named if c}
        what = "categories"
    elif "attributes" not in frame:
        message = f"rows of the {cell.task.name} task have no attributes"
        raise UsageError(message, where="--group-by", expected="category", found=repr(group_by))
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
    check = MaskCheck()
    for row in stored_rows(cell, root=root, dataset=dataset):
        check = replace(check, n_rows=check.n_rows + 1)
        for candidate, mask in row.masks.items():
            difference = abs(mask.iou(row.target, row.sample.ignore) - float(row.columns["ious"][candidate]))
            check = replace(check, n_masks=check.n_masks + 1, n_differing=check.n_differing + (difference > 0))
            if difference > check.largest:
                where = (row.sample.image_id, str(row.columns["object_id"]), int(row.columns["k"]), candidate)
                check = replace(check, largest=difference, where=where)
    return check
