"""Metric rows of a cell, made of its stored rows: by the engine when it is finished, by the results when it is scored anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sambench import tasks
from sambench.schema import METRIC_COLUMNS
from sambench.store.record import CellRecord
from sambench.store.shards import ShardStore, ok_rows
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    import pandas as pd


def scalar_columns(task: tasks.Task) -> list[str]:
    """The columns that metrics may need: all but masks and maps."""
    return [name for name, kind in task.columns.items() if "binary" not in kind]


def reduced_rows(task: tasks.Task) -> tuple[str, str] | None:
    """(column, value) of the rows that the task's metrics are made of; None: of all. Others are never loaded for that."""
    return task.reduces


def metric_rows(
    task: tasks.Task,
    frame: pd.DataFrame,
    cell_columns: Mapping[str, Any],
    bootstrap: Bootstrap = Bootstrap(),  # noqa: B008 - frozen
) -> list[dict[str, Any]]:
    """Metric rows of a frame of rows (failed ones are dropped here), each completed with the cell's own columns.

    Empty where images failed and the task scores whole sets only.
    """
    if task.whole_sets_only and cell_columns["n_failed"]:
        return []
    return completed(task.reduce(frame[frame["status"] == "ok"], bootstrap), cell_columns)


@dataclass(frozen=True)
class StoredRows:
    """The rows of some images of a store that metrics are made of, those with status `ok`: `tasks.task.StoredRows`."""

    task: tasks.Task
    store: ShardStore
    image_ids: Sequence[str]

    def frame(self) -> pd.DataFrame:
        """All of them, every integer column as one."""
        names = scalar_columns(self.task)
        return ok_rows(self.store.table(self.image_ids, names, reduced_rows(self.task)), names)

    def parts(self, columns: Sequence[str], /) -> Iterator[pd.DataFrame]:
        """Some columns, shard by shard."""
        names = list(dict.fromkeys([*columns, "status"]))
        for table in self.store.parts(self.image_ids, names, reduced_rows(self.task)):
            yield ok_rows(table, columns)


def stored_metric_rows(
    task: tasks.Task,
    store: ShardStore,
    image_ids: Sequence[str],
    cell_columns: Mapping[str, Any],
    bootstrap: Bootstrap = Bootstrap(),  # noqa: B008 - frozen
) -> list[dict[str, Any]]:
    """As `metric_rows`, of the rows of some images of a store, which are read as the task wants them."""
    if task.whole_sets_only and cell_columns["n_failed"]:
        return []
    return completed(task.reduce_stored(StoredRows(task, store, image_ids), bootstrap), cell_columns)


def completed(rows: Iterable[Mapping[str, Any]], cell_columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Metric rows with all of METRIC_COLUMNS: the cell's own, and None for what a row does not say."""
    return [{**dict.fromkeys(METRIC_COLUMNS), **cell_columns, **row} for row in rows]


def cell_columns(record: CellRecord) -> dict[str, Any]:
    """The metric columns that a cell's record gives."""
    return {
        "cell_id": record.cell_id,
        "task": record.task.name,
        "protocol": record.task.protocol,
        "model": record.model.id,
        "dataset": record.dataset.id,
        "dataset_variant": record.dataset.variant,
        "subset": record.subset.name,
        "subset_digest": record.subset.digest,
        "prompt": record.task.settings.get("prompt", record.task.name),
        "n_failed": record.counts.n_images_failed,
        "partial": record.status != "complete",
    }

