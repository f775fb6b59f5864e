"""What can be compared object by object: the measures that a task's rows give, one value a row, or an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sambench.errors import UsageError, unknown_name
from sambench.store.views import CellView
from sambench.tasks import Task
from sambench.tasks.object_measures import ObjectMeasure
from sambench.tasks.set_measures import SetMeasure

if TYPE_CHECKING:
    import pandas as pd

PAIR = ["image_id", "object_id", "k", "prompt"]
_ABSENT: dict[str, Any] = {"object_id": "", "k": 0, "prompt": "", "area_px": 0}  # of rows that have no such column


def object_values(cell: CellView, metric: str, k: int | None = None) -> pd.DataFrame:
    """A frame of PAIR, cluster_id, area_px and `value`: a row an object and click count, failed images left out.

    metric: one of the task's `object_measures`. k: this count alone, where the measure has several. Raises UsageError on a metric
    or k that the cell does not have.
    """
    stored, measure = cell.store.columns, measure_of(cell, metric)
    described = [c for c in (*PAIR, "cluster_id", "area_px") if c in stored]
    frame = measure.objects(cell.scored(list(dict.fromkeys([*described, *measure.columns])), measure.only))
    if measure.by_k and k is not None:
        frame = _at(frame, k)
    frame = frame.assign(**{name: value for name, value in _ABSENT.items() if name not in frame})
    return frame[[*PAIR, "cluster_id", "area_px"]].assign(value=measure.values(frame))


def measure_of(cell: CellView, metric: str) -> ObjectMeasure:
    """The measure of that name. Raises UsageError where the cell's task has none, or its settings refuse it."""
    measures = cell.task.object_measures()
    if not measures_of_task(cell.task):
        raise UsageError(f"runs of the {cell.task.name} task have nothing to be compared by", where=cell.path)
    if metric not in measures:
        raise unknown_name("metric", metric, measures_of_task(cell.task), where="--metric")
    measure = measures[metric]
    if measure.refused:
        raise UsageError(measure.refused, where=cell.path, expected=measure.instead, found=f"--metric {metric}")
    return measure


def _at(frame: pd.DataFrame, k: int) -> pd.DataFrame:
    """The rows at one click count."""
    counts = click_counts(frame)
    if counts:
        check_clicks(k, counts)
    return frame[frame["k"] == k]


def click_counts(frame: pd.DataFrame) -> list[int]:
    """The click counts of a frame's rows, ascending."""
    return sorted({int(c) for c in frame["k"]})


def check_clicks(k: int, counts: Sequence[int]) -> None:
    """Raise UsageError unless there are rows at that click count. counts: those that there are."""
    if k not in counts:
        known = ", ".join(map(str, counts)) or "none"
        raise UsageError("no rows at that click count", where="-k", expected=f"one of {known}", found=k)


def measures_of_task(task: Task) -> list[str]:
    """The names of all measures, the default first."""
    return [*task.set_measures(), *task.object_measures()]


def set_measure_of(cell: CellView, metric: str) -> SetMeasure | None:
    """The measure of the set of that name, None where that is a measure by object."""
    return cell.task.set_measures().get(metric)


def default_metric(cells: Sequence[CellView]) -> str:
    """What is compared where nobody says what: the first of the task's measures; empty where it has none."""
    return next(iter(measures_of_task(cells[0].task)), "") if cells else ""
