"""The masks of an instance run as a COCO results file, to submit elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sambench.errors import RunError, UsageError
from sambench.files.writing import replacing, storage_error
from sambench.store.views import CellView


def write_results(cell: CellView, path: Path) -> int:
    """Write every detection of the cell's wanted images with its mask, a shard in memory at a time; gives their number.

    Entries have image_id (a number where the id is one), category_id, segmentation (compressed RLE) and score. With a bbox, COCO's
    and LVIS's evaluators take the box's area for the mask's when they tell small objects from large ones: there is one only where
    the run took the areas of a file's own boxes in that way, so that those evaluators give the run's numbers. Written aside
    and renamed. Raises UsageError (another task, no masks kept), RunError (images missing or failed, a folder that cannot be
    written).
    """
    if not cell.task.has_detections:
        expected = "a run of detections (the instance task)"
        raise UsageError("no results file for this task", where=cell.path, expected=expected, found=cell.task.name)
    live = cell.live
    if live.n_done < live.n_wanted:
        raise RunError(
            "a results file of a part of the images would look whole",
            where=cell.path,
            expected=f"{live.n_wanted} images",
            found="; ".join(cell.partial_reasons()),
            remedy="issue the run's command again first",
        )
    wanted, n, boxed = set(cell.wanted), 0, sized_by_boxes(cell)
    try:
        with replacing(path) as aside, aside.open("w", encoding="ascii") as f:
            f.write("[")
            for shard in range(len(cell.store)):
                for image_id, rows in cell.store.read(shard).rows.items():
                    if image_id not in wanted:
                        continue
                    for entry in _entries(image_id, rows, cell.path, boxed):
                        f.write(("," if n else "") + "\n" + json.dumps(entry, separators=(",", ":")))
                        n += 1
            f.write("\n]\n")
    except OSError as e:
        raise storage_error(e, path) from e
    return n


def sized_by_boxes(cell: CellView) -> bool:
    """Whether the masks of a run were small or large by the area of their boxes."""
    if "mask_sized_by" not in cell.task.columns:
        return False
    areas = cell.store.table(cell.wanted, ["area", "mask_sized_by"], ("kind", "detection"))
    return bool(areas["area"].to_pylist() != areas["mask_sized_by"].to_pylist())


def _entries(image_id: str, rows: list[dict[str, Any]], where: Path, boxed: bool) -> list[dict[str, Any]]:
    size = next(([r["height"], r["width"]] for r in rows if r["kind"] == "image"), None)
    out = []
    for row in rows:
        if row["kind"] != "detection":
            continue
        if row["mask_rle"] is None:
            raise UsageError("the run kept no masks", where=where, remedy="run it with --save-masks scored, into another --out")
        out.append(
            {
                "image_id": int(image_id) if image_id.isdecimal() and str(int(image_id)) == image_id else image_id,
                "category_id": row["category_id"],
                **({"bbox": row["box_xywh"]} if boxed else {}),
                "segmentation": {"size": size, "counts": row["mask_rle"].decode("ascii")},
                "score": row["score"],
            }
        )
    return out
