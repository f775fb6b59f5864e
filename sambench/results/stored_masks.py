"""The masks that a run stored, each beside the ground truth that it was scored against, read again from the dataset's files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sambench.errors import DataError, UsageError
from sambench.files import content
from sambench.pixels.region import Region
from sambench.sources.datasets import open_recorded
from sambench.store.views import CellView
from sambench.types import Dataset, Sample

COLUMNS = ("image_id", "cluster_id", "object_id", "k", "height", "width", "top_index", "ious", "mask_rles")


@dataclass(frozen=True)
class StoredRow:
    """One row with stored masks. columns: COLUMNS; masks: by candidate, all of them or the one that goes on."""

    columns: dict[str, Any]
    sample: Sample
    target: Region
    masks: dict[int, Region]


def stored_rows(
    cell: CellView, *, root: Path | None = None, dataset: Dataset | None = None, k: int | None = None
) -> Iterator[StoredRow]:
    """Every row that has masks, of k clicks alone if given, by image in stored order.

    root: the dataset's folder, where it is not the recorded or adopted one. dataset: an opened one instead. Raises
    DataError where the files are not those of the run (annotation digest, an object that is not there, another image
    size), UsageError where the run kept no masks.
    """
    if "mask_rles" not in cell.store.columns or "object_id" not in cell.store.columns:
        raise UsageError(f"runs of the {cell.task.name} task hold no masks of objects", where=cell.path)
    dataset = dataset or dataset_of(cell, root)
    found = dataset.annotation_digest()
    expected = cell.record.dataset.annotation_digest
    if found != expected:
        raise DataError(
            f"the files of {cell.dataset} are not those of the run",
            where=cell.path,
            expected=f"annotation digest {expected}",
            found=found,
            remedy="give the folder that the run used with --root",
        )
    frame = cell.scored(COLUMNS)
    frame = frame[frame["mask_rles"].notna()]
    if frame.empty:
        raise UsageError(
            "the run has no stored masks",
            where=cell.path,
            remedy="run it with --save-masks scored, into another directory (--out)",
        )
    if k is not None:
        frame = frame[frame["k"] == k]
    states, files = cell.states(), {r.image_id: r.file for r in dataset.index()}
    for image_id, rows in frame.groupby("image_id", sort=False):
        _check_picture(cell, str(image_id), states[str(image_id)].picture, files.get(str(image_id), ""))
        sample = dataset.load(str(image_id))
        objects = {i.object_id: i.region for i in sample.instances}
        for row in rows.to_dict("records"):
            yield _row({str(name): value for name, value in row.items()}, sample, objects)


def _check_picture(cell: CellView, image_id: str, evaluated: str, file: str) -> None:
    """That the picture is still the one that was evaluated, where it is there."""
    try:
        found = content.file_sha256(Path(file)) if file and evaluated else evaluated
    except OSError:  # the masks can be compared without
        return
    if found != evaluated:
        raise DataError(
            f"the image of image {image_id!r} of {cell.dataset} is not the one of the run",
            where=file,
            expected=f"sha256 {evaluated}",
            found=found,
            remedy="issue the run's command again: that image is computed again",
        )


def dataset_of(cell: CellView, root: Path | None = None) -> Dataset:
    """The cell's dataset, from `root`, the folder that the run used, or where it is now. Raises DataMissingError."""
    return open_recorded(cell.record.dataset.given(), root)


def _row(columns: dict[str, Any], sample: Sample, objects: dict[str, Region]) -> StoredRow:
    target = objects.get(columns["object_id"])
    if target is None or (columns["height"], columns["width"]) != (sample.height, sample.width):
        raise DataError(
            f"image {sample.image_id!r} of {sample.dataset} is not the one of the run",
            expected=f"object {columns['object_id']!r} in {columns['height']} x {columns['width']} pixels",
            found="no such object" if target is None else f"{sample.height} x {sample.width} pixels",
        )
    size = [sample.height, sample.width]
    masks = {i: Region.from_rle({"size": size, "counts": counts}) for i, counts in _stored(columns)}
    return StoredRow(columns, sample, target, masks)


def _stored(columns: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
    """(candidate, COCO counts): all candidates, or the one that goes on (see the tasks' `save_masks`)."""
    rles, ious = columns["mask_rles"], np.asarray(columns["ious"])
    if len(rles) == len(ious):
        yield from enumerate(rles)
    elif len(rles) == 1:
        yield int(columns["top_index"]), rles[0]
    else:
        raise DataError(
            "a row's masks do not fit its candidates",
            where=f"image {columns['image_id']!r}, object {columns['object_id']!r}, k = {columns['k']}",
            expected=f"{len(ious)} masks, or one",
            found=len(rles),
        )
