"""Cells as the engine leaves them, with numbers that a test chooses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sambench import tasks
from sambench.engine import cells as engine_cells
from sambench.pixels.region import Region
from sambench.store.metric_rows import cell_columns, metric_rows
from sambench.store.record import CellRecord
from sambench.store.shards import ImageState, Shard, ShardStore
from sambench.store.views import CellView, read_cell

SIZE, SHARD = 24, 8  # side of the synthetic images, images a shard
RUN = "point-grabcut-0a1b2c3d"
CLICKS = (1, 2, 3, 5, 9)  # of point cells, unless told otherwise


def _region(image: int, n: int) -> Region:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[2 + n : 12 + n, 3 + image % 5 : 13 + image % 5] = True
    return Region.from_array(mask)


def _object_rows(
    image: int, n: int, *, task: str, clicks: Sequence[int], bonus: float, seed: int, candidates: int, masks: bool
) -> list[dict[str, Any]]:
    rng = np.random.default_rng([seed, image, n])
    target, out = _region(image, n), []
    for k in clicks:
        several = candidates if k in (0, 1) else 1
        ious = np.clip(rng.beta(3, 2, several) * 0.8 + bonus + 0.02 * k, 0, 1)
        rles = None
        if masks:
            shown = [_region(image + c + k, n) for c in range(several)]
            ious, rles = np.array([m.iou(target) for m in shown]), [m.rle()["counts"] for m in shown]
        top = int(rng.integers(several))
        scores = np.eye(several)[top]
        out.append(
            {
                "image_id": f"im{image:03}", "cluster_id": f"im{image:03}", "object_id": f"o{n}", "category": "ab"[n % 2],
                "prompt": "box" if task == "box" else "center", "k": k, "height": SIZE, "width": SIZE,
                "area_px": target.area, "box_xyxy": list(target.box_xyxy), "clicks_xy": [1, 2] * k, "clicks_label": [1] * k,
                "n_candidates": several, "ious": ious.tolist(), "scores": scores.tolist(),
                "boundary_ious_2pct": (ious * 0.9).tolist(), "boundary_ious_1pct": (ious * 0.8).tolist(),
                "top_index": top, "iou_top": float(ious[top]), "iou_oracle": float(ious.max()), "encode_ms": 1.0,
                "decode_ms": 0.5, "attributes": {"group": "xyz"[image % 3]} if image % 4 else {}, "mask_rles": rles, "status": "ok",
            }
        )  # fmt: skip
    return out


@dataclasses.dataclass
class Maker:
    """Writes cells as the engine leaves them, under `out`."""

    out: Path

    def cell(
        self, dataset: str = "demo", *, run: str = RUN, model: str = "grabcut", task: str = "point",
        settings: dict[str, Any] | None = None, n_images: int = 20, n_objects: int = 3, limit: int | None = None,
        failed: Sequence[int] = (), absent: Sequence[int] = (), bonus: float = 0.0, seed: int = 0, candidates: int = 3,
        masks: bool = False, digest: str = "5" * 64, annotations: str = "a" * 64, note: str = "", finish: bool = True,
        skip_objects: Sequence[int] = (), clusters: int | None = None, options: dict[str, Any] | None = None,
        variant: str = "default",
    ) -> CellView:  # fmt: skip
        built = tasks.build(task, settings)
        ids = [f"im{i:03}" for i in range(n_images)]
        clicks = getattr(built.settings, "clicks", (0,))
        wanted = n_images if limit is None else limit
        shards = []
        for first in range(0, n_images, SHARD):
            shard = Shard({}, {})
            for image in range(first, min(first + SHARD, wanted)):
                name = ids[image]
                if image in absent:
                    continue
                if image in failed:
                    shard.images[name] = ImageState("failed", error="truncated PNG")
                    shard.rows[name] = [{"image_id": name, "dataset": dataset, "status": "failed", "error": "truncated PNG"}]
                    continue
                rows = [
                    row | {"dataset": dataset} | ({"cluster_id": f"c{image % clusters}"} if clusters else {})
                    for o in range(n_objects)
                    if o not in skip_objects
                    for row in _object_rows(
                        image, o, task=task, clicks=clicks, bonus=bonus, seed=seed, candidates=candidates, masks=masks
                    )
                ]
                shard.images[name] = ImageState("ok", n_objects - len(skip_objects), 1)
                shard.rows[name] = rows
            shards.append(shard)
        record = record_of(
            run, built, dataset, limit=limit, shard_size=SHARD, annotations=annotations, variant=variant, options=options,
            status="running" if absent else "incomplete" if failed else "partial" if limit is not None else "complete",
            title=dataset.title(), model={"id": model, "name": model.title()},
            subset={"digest": digest, "n_images": n_images, "note": note},
            counts={
                "n_images_total": n_images, "n_images_done": wanted - len(failed) - len(absent), "n_images_failed": len(failed)
            },
        )  # fmt: skip
        folder = self.out / run / f"{dataset}-{digest[:4]}{annotations[:4]}"
        return write_cell(folder, record, built.columns, ids, shards, metrics=finish and not absent)


Iou = Callable[[int, int, int], float]  # image, object, clicks -> IoU of the mask that the model ranks first
SIDE = 32


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
                        "prompt": prompt, "k": k, "height": SIDE, "width": SIDE, "area_px": 50 + n,
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


def record_of(
    run: str, task: tasks.Task, dataset: str, *, status: str, limit: int | None, shard_size: int, model: Mapping[str, Any],
    subset: Mapping[str, Any], counts: Mapping[str, int], annotations: str = "a" * 64, variant: str = "default",
    options: Mapping[str, Any] | None = None, title: str | None = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """What `cell.json` says of such a cell. subset: beside its name, digest and note, which have values of their own here."""
    return {
        "schema_version": 1, "cell_id": f"{run}/{dataset}", "status": status, "shard_size": shard_size, "limit": limit,
        "task": {"name": task.name, "protocol": task.protocol, "settings": tasks.settings_of(task)},
        "model": dict(model),
        "dataset": {
            "id": dataset, "name": title or dataset, "variant": variant, "annotation_digest": annotations,
            "options": dict(options or {}), "reader": "m:R", "revision": 1, "source": dataset, "root": None,
        },
        "subset": {"name": "paper", "digest": "5" * 64, "note": "", **subset},
        "counts": dict(counts), **more,
    }  # fmt: skip


def write_cell(
    folder: Path, record: Mapping[str, Any], columns: Mapping[str, str], ids: Sequence[str], shards: Sequence[Shard], *,
    metrics: bool = True,
) -> CellView:  # fmt: skip
    """A cell on disk as the engine leaves it: images, shards that hold anything, record, and its metrics unless told otherwise."""
    (folder / "shards").mkdir(parents=True)
    (folder / "images.txt").write_text("".join(f"{i}\n" for i in ids))
    store = ShardStore(folder, ids, record["shard_size"], columns)
    for n, shard in enumerate(shards):
        if shard.images:
            store.write(n, shard)
    (folder / "cell.json").write_text(json.dumps(record))
    cell = read_cell(folder)
    if metrics:
        rows = metric_rows(cell.task, cell.rows(), cell_columns(CellRecord.of(record)))
        engine_cells.write_metrics(folder, rows)
        cell = read_cell(folder)
    return cell


def _written(
    out: Path, task: str, dataset: str, model: str, settings: Mapping[str, Any], ids: Sequence[str], rows: Mapping[str, Any], *,
    limit: int | None, n_objects: int, subset: Mapping[str, Any] | None = None, variant: str = "default",
) -> CellView:  # fmt: skip
    built = tasks.build(task, settings)
    changed = "-".join(f"{k}{v}" for k, v in settings.items() if k in ("prompt", "nms"))
    run = f"{task}-{model}-{abs(hash((task, model, changed))) % 16**8:08x}"
    folder = out / run / f"{dataset}-{abs(hash((dataset, variant))) % 16**8:08x}"
    held = {i: [r | {"dataset": dataset} for r in found] for i, found in rows.items()}
    record = record_of(
        run, built, dataset, status="complete" if limit is None else "partial", limit=limit, shard_size=len(ids), variant=variant,
        model={"id": model, "name": model.upper(), "precision": "fp32", "device_kind": "cpu"},
        subset={"n_images": len(ids), "is_paper_size": False, **(subset or {})},
        counts={"n_images_total": len(ids), "n_images_done": len(held), "n_images_failed": 0, "n_objects": n_objects * len(held)},
        environment={"sambench": "0.1.0", "git": "c" * 40, "python": "3.11.7", "versions": {"numpy": "2.4.6", "torch": "2.13.0"}},
    )  # fmt: skip
    folder.mkdir(parents=True)
    (folder.parent / "model.json").write_text(json.dumps({"model": model}))
    return write_cell(folder, record, built.columns, ids, [Shard({i: ImageState("ok", n_objects) for i in held}, held)])


def edited(cell: CellView, **changes: Any) -> CellView:
    """The cell with another record, which nothing vouches for."""
    file = cell.path / "cell.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return read_cell(cell.path)
