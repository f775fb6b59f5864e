"""Cells as the engine leaves them, with numbers that a test chooses: for reports, comparisons with the paper, and bundles."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sambench import tasks
from sambench.engine import cells as engine_cells
from sambench.store.shards import ImageState, Shard, ShardStore
from sambench.store.views import CellView, read_cell

Iou = Callable[[int, int, int], float]  # image, object, clicks -> IoU of the mask that the model ranks first
SIZE = 32


def flat(value: float, step: float = 0.0) -> Iou:
    """The same IoU everywhere, `step` more for every click after the first."""
    return lambda image, n, k: min(1.0, value + step * (k - 1))


def point_cell(
    out: Path,
    dataset: str,
    model: str,
    iou: Iou,
    *,
    n_images: int = 3,
    n_objects: int = 2,
    gap: float | None = 0.1,
    prompt: str = "center",
    limit: int | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    subset: Mapping[str, Any] | None = None,
    variant: str = "default",
    clicks: tuple[int, ...] = (1, 3),
) -> CellView:
    """A point cell. gap: the oracle's lead at one click; None: a single mask. groups: attribute -> values, by object in turn."""
    settings = {"prompt": prompt, "clicks": clicks}
    rows = {}
    for image in range(n_images if limit is None else limit):
        found = []
        for n in range(n_objects):
            for k in clicks:
                top = iou(image, n, k)
                ious = [top] if gap is None or k > 1 else [top, min(1.0, top + gap), 0.0]
                found.append(
                    {
                        "image_id": f"im{image}", "cluster_id": f"im{image}", "object_id": f"o{n}", "category": "a",
                        "prompt": prompt, "k": k, "height": SIZE, "width": SIZE, "area_px": 50 + n,
                        "box_xyxy": [1, 1, 8, 8], "clicks_xy": [4, 4] * k,
                        "clicks_label": [1] * k, "n_candidates": len(ious), "ious": ious, "scores": np.eye(len(ious))[0].tolist(),
                        "boundary_ious_2pct": ious, "boundary_ious_1pct": ious, "top_index": 0, "iou_top": top,
                        "iou_oracle": max(ious), "encode_ms": 1.0, "decode_ms": 1.0, "mask_rles": None, "status": "ok",
                        "attributes": {k: v[(image * n_objects + n) % len(v)] for k, v in (groups or {}).items()},
                    }
                )  # fmt: skip
        rows[f"im{image}"] = found
    ids = [f"im{i}" for i in range(n_images)]
    return _written(
        out, "point", dataset, model, settings, ids, rows, limit=limit, subset=subset, variant=variant, n_objects=n_objects
    )


def edge_cell(
    out: Path, model: str, counts: Sequence[Sequence[int]], *, n_images: int = 200, settings: Any = None, limit: int | None = None
) -> CellView:
    """A cell of the edge task on bsds500; every image has these (cnt_r, sum_r, cnt_p, sum_p), one for each threshold."""
    t = np.arange(1, len(counts) + 1) / (len(counts) + 1)
    ids = [f"{i:03}" for i in range(n_images)]
    rows = {
        i: [
            {
                "image_id": i, "cluster_id": i, "height": 8, "width": 8, "t": float(t[j]), "cnt_r": c[0], "sum_r": c[1],
                "cnt_p": c[2], "sum_p": c[3], "n_annotators": 5, "max_dist": 0.0075, "status": "ok",
            }
            for j, c in enumerate(counts)
        ]
        for i in ids[:limit]
    }  # fmt: skip
    settings = {"thresholds": len(counts), **(settings or {})}
    return _written(out, "edge", "bsds500", model, settings, ids, rows, limit=limit, n_objects=5)


def _written(
    out: Path, task: str, dataset: str, model: str, settings: Mapping[str, Any], ids: Sequence[str], rows: Mapping[str, Any], *,
    limit: int | None, n_objects: int, subset: Mapping[str, Any] | None = None, variant: str = "default",
) -> CellView:  # fmt: skip
    built = tasks.build(task, settings)
    changed = "-".join(f"{k}{v}" for k, v in settings.items() if k in ("prompt", "nms"))
    run = f"{task}-{model}-{abs(hash((task, model, changed))) % 16**8:08x}"
    folder = out / run / f"{dataset}-{abs(hash((dataset, variant))) % 16**8:08x}"
    (folder / "shards").mkdir(parents=True)
    (folder / "images.txt").write_text("".join(f"{i}\n" for i in ids))
    (folder.parent / "model.json").write_text(json.dumps({"model": model}))
    store = ShardStore(folder, ids, len(ids), built.columns)
    held = {i: [r | {"dataset": dataset} for r in found] for i, found in rows.items()}
    store.write(0, Shard({i: ImageState("ok", n_objects) for i in held}, held))
    record: dict[str, Any] = {
        "schema_version": 1, "cell_id": f"{run}/{dataset}", "status": "complete" if limit is None else "partial",
        "shard_size": len(ids), "limit": limit,
        "task": {"name": task, "protocol": built.protocol, "settings": tasks.settings_of(built)},
        "model": {"id": model, "name": model.upper(), "precision": "fp32", "device_kind": "cpu"},
        "dataset": {
            "id": dataset, "name": dataset, "variant": variant, "annotation_digest": "a" * 64, "options": {}, "reader": "m:R",
            "revision": 1, "source": dataset, "root": None,
        },
        "subset": {"name": "paper", "digest": "5" * 64, "n_images": len(ids), "note": "", "is_paper_size": False, **(subset or {})},
        "counts": {"n_images_total": len(ids), "n_images_done": len(held), "n_images_failed": 0,
                   "n_objects": n_objects * len(held)},
        "environment": {"sambench": "0.1.0", "git": "c" * 40, "python": "3.11.7",
                        "versions": {"numpy": "2.4.6", "torch": "2.13.0"}},
    }  # fmt: skip
    (folder / "cell.json").write_text(json.dumps(record))
    cell = read_cell(folder)
    columns = engine_cells.cell_columns(record)
    engine_cells.write_metrics(folder, engine_cells.metric_rows(cell.task, cell.rows(), columns))
    return read_cell(folder)
