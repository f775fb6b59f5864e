"""Mask AP of an instance run by the code of others, to check the run's own evaluator.

`pycocotools` runs its `COCOeval` on the IoUs that the run stored, with LVIS's rules where annotation is federated. `hotcoco` and
`lvis` (LVIS's own package, for federated datasets) read files in COCO's form, written here from the stored masks, and compute the
IoUs anew.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sambench.errors import UsageError, unknown_name
from sambench.metrics.coco_reference import ByPycocotools
from sambench.metrics.instances import AREAS, COCO_MAX_DETS, LVIS_MAX_DETS, THRESHOLDS, Evaluation
from sambench.results.coco_file import sized_by_boxes
from sambench.results.rescore import columns_now
from sambench.store.metric_rows import StoredRows, completed
from sambench.store.views import CellView
from sambench.tasks.instance_scores import AP_AT, FREQUENCIES, in_order, metric_rows

PYCOCOTOOLS = "pycocotools"
FROM_FILES = {  # by name: what must be installed, and where it is from
    "hotcoco": "pip install hotcoco",
    "lvis": "pip install git+https://github.com/lvis-dataset/lvis-api.git (it brings opencv-python: use an environment of its own)",
}
EVALUATORS = (PYCOCOTOOLS, *FROM_FILES)


def rows_by(evaluator: str, cell: CellView) -> list[dict[str, Any]]:
    """Metric rows of the masks of a cell by another evaluator, one of EVALUATORS.

    `pycocotools` and `lvis` give the run's numbers (to 1e-12 and 1e-9), `hotcoco` to 1e-6. Raises UsageError: an unknown evaluator,
    one that is not installed, another task, a run that kept no masks where they are needed, or LVIS's on another dataset.
    """
    if evaluator not in EVALUATORS:
        raise unknown_name("evaluator", evaluator, EVALUATORS, where="--evaluator")
    if not cell.task.has_detections:
        raise UsageError("only average precision has evaluators", where=cell.path, expected="a run of the instance task")
    if evaluator == PYCOCOTOOLS:
        return _by_pycocotools(cell)
    try:
        module = importlib.import_module(evaluator)
    except ImportError as e:
        remedy = FROM_FILES[evaluator]
        raise UsageError(f"the evaluator {evaluator} is not installed", where="--evaluator", found=str(e), remedy=remedy) from e
    with tempfile.TemporaryDirectory() as folder:
        truth, found = Path(folder) / "truth.json", Path(folder) / "found.json"
        written = _Written(cell)
        written.write(truth, found)
        limits = (written.max_dets,) if written.max_dets else (LVIS_MAX_DETS if written.federated else COCO_MAX_DETS)
        by: Callable[..., Evaluation] = _by_lvis if evaluator == "lvis" else _by_hotcoco
        return _rows(by(module, truth, found, written, limits), written, cell, limits)


def _by_pycocotools(cell: CellView) -> list[dict[str, Any]]:
    settings = cell.task.settings
    rows = metric_rows(
        StoredRows(cell.task, cell.store, cell.wanted).parts,
        boundary=False,
        max_dets=settings.max_dets,
        sized=settings.areas == "official",
        evaluator=ByPycocotools,
    )
    return completed((row for row in rows if row["variant"] == "mask"), columns_now(cell))


def _by_hotcoco(hotcoco: Any, truth: Path, found: Path, written: _Written, limits: tuple[int, ...]) -> Evaluation:
    gt = hotcoco.COCO(str(truth))
    evaluation = hotcoco.COCOeval(gt, gt.load_res(str(found)), "segm", lvis_style=written.federated)
    params = evaluation.params
    params.max_dets = list(limits)
    evaluation.params = params
    evaluation.evaluate()
    evaluation.accumulate()
    of = dict(evaluation.eval or {})
    return Evaluation(np.asarray(of["precision"]), np.asarray(of["recall"]), THRESHOLDS, tuple(sorted(written.categories)), limits)


def _by_lvis(lvis: Any, truth: Path, found: Path, written: _Written, limits: tuple[int, ...]) -> Evaluation:
    if not written.federated:
        remedy = f"--evaluator {PYCOCOTOOLS}"
        raise UsageError("LVIS's evaluator takes only federated annotation", where=written.cell.path, remedy=remedy)
    gt = lvis.LVIS(str(truth))
    evaluation = lvis.LVISEval(gt, lvis.LVISResults(gt, str(found), max_dets=limits[-1]), "segm")
    evaluation.params.max_dets = limits[-1]
    evaluation.evaluate()
    evaluation.accumulate()
    # One number of detections: the last axis is missing.
    precision, recall = (np.asarray(evaluation.eval[name])[..., None] for name in ("precision", "recall"))
    return Evaluation(precision, recall, THRESHOLDS, tuple(evaluation.params.cat_ids), limits)


def _rows(values: Evaluation, written: _Written, cell: CellView, limits: tuple[int, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"value": values.ap()}]
    rows += [{"threshold": t, "value": values.ap(threshold=t)} for t in AP_AT]
    rows += [{"group_by": "area", "group": a, "value": values.ap(area=a)} for a in AREAS[1:]]
    if written.federated:
        for f, name in FREQUENCIES.items():
            of = [c for c, (_, frequency) in written.categories.items() if frequency == f]
            if of:
                rows.append({"group_by": "frequency", "group": name, "value": values.ap(categories=of)})
    shared = {"metric": "ap", "variant": "mask", "max_dets": limits[-1], "n_images": cell.live.n_done}
    shared |= {"n_objects": written.n_objects, "unit": "fraction", "aggregate": "mean_over_categories"}
    shared |= {"higher_is_better": True, "source_kind": "measured"}
    return completed(({**shared, **row} for row in rows), columns_now(cell))


def _area(row: dict[str, Any]) -> float:
    """By which the detection or object is small or large."""
    sized_by = row.get("mask_sized_by")
    return float(row["area"] if sized_by is None else sized_by)


class _Written:
    """A cell's ground truth and results as COCO files, a shard in memory at a time."""

    def __init__(self, cell: CellView) -> None:
        self.cell = cell
        self.max_dets: int | None = cell.task.settings.max_dets
        self.boxed = sized_by_boxes(cell)
        self.federated = False
        self.n_objects = 0
        self.categories: dict[int, tuple[str, str]] = {}  # name and frequency by id
        self.number = {image_id: n for n, image_id in enumerate(in_order(list(cell.wanted)), 1)}

    def write(self, truth: Path, found: Path) -> None:
        images: list[dict[str, Any]] = []
        objects = truth.with_name("objects.json")
        with objects.open("w", encoding="utf-8") as f, found.open("w", encoding="utf-8") as g:
            f.write('{"annotations": [')
            g.write("[")
            n_objects = n_found = 0
            for image_id, rows in self._images():
                size = [rows[0]["height"], rows[0]["width"]]
                images.append(self._image(image_id, rows[0]))
                for row in rows[1:]:
                    self.n_objects += row["kind"] == "object" and not row["is_crowd"]
                    if self.federated and not _area(row) > 0:  # LVIS's own evaluator leaves them out, hotcoco does not
                        continue
                    entry = self._entry(image_id, row, size)
                    if self.boxed and row["kind"] == "detection":
                        entry["bbox"] = row["box_xywh"]  # whose area it takes for the mask's, as pycocotools does
                    if row["kind"] == "object":
                        n_objects += 1
                        entry |= {"id": n_objects, "iscrowd": row["is_crowd"], "area": row["area"], "bbox": row["box_xywh"]}
                        f.write(("," if n_objects > 1 else "") + json.dumps(entry))
                    else:
                        n_found += 1
                        g.write(("," if n_found > 1 else "") + json.dumps(entry | {"score": row["score"]}))
            g.write("]")
            categories = [{"id": c, "name": n, "frequency": q or "f"} for c, (n, q) in sorted(self.categories.items())]
            f.write(f'], "images": {json.dumps(images)}, "categories": {json.dumps(categories)}}}')
        objects.rename(truth)

    def _images(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        for n in range(len(self.cell.store)):
            shard = self.cell.store.read(n)
            for image_id, rows in shard.rows.items():
                if image_id in self.number and shard.images[image_id].status == "ok":
                    yield image_id, sorted(rows, key=lambda row: row["kind"] != "image")

    def _image(self, image_id: str, row: dict[str, Any]) -> dict[str, Any]:
        out = {"id": self.number[image_id], "height": row["height"], "width": row["width"], "file_name": image_id}
        if row["negative_ids"] is not None:
            self.federated = True
            out |= {"neg_category_ids": row["negative_ids"], "not_exhaustive_category_ids": row["not_exhaustive_ids"]}
        return out

    def _entry(self, image_id: str, row: dict[str, Any], size: list[int]) -> dict[str, Any]:
        if row["mask_rle"] is None:
            remedy = "run it with --save-masks scored, into another --out"
            raise UsageError("the run kept no masks", where=self.cell.path, remedy=remedy)
        category = int(row["category_id"])
        name, frequency = self.categories.get(category, (row["category"], ""))
        self.categories[category] = (name, row["frequency"] or frequency)
        mask = {"size": size, "counts": row["mask_rle"].decode("ascii")}
        return {"image_id": self.number[image_id], "category_id": category, "segmentation": mask}
