"""AP and AR of a simulated COCO val, against pycocotools' COCOeval. python -m benchmarks.run instances

Three rows of one run of pycocotools. Matching and accumulation: both have the IoUs already. End to end: both from an annotation
file and a results file to precision and recall of masks (pycocotools' COCO, loadRes, evaluate, accumulate, summarize; our
`metrics.average_precision`). A run: as that, of masks and boxes, with the rows that a run stores of every detection, which
pycocotools has not. Ours takes shards of images, of which it keeps what it matched alone. The rows are equal if precision and
recall are, to 1e-12, and if what is kept of a detection is under 64 bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sambench import cards
from sambench.loaders.open import open_dataset
from sambench.metrics.coco import average_precision
from sambench.metrics.instances import AveragePrecision, Group, evaluate
from sambench.models.detections import OwnMasks
from sambench.tasks.instance_scores import batch_of, in_order, metric_rows
from sambench.tasks.instances import InstanceSettings, InstanceTask
from sambench.tasks.prompted import Context

N_IMAGES, OBJECTS_EACH, DETECTIONS_EACH, N_CATEGORIES = 5000, 7.2, 100, 80
HEIGHT, WIDTH = 480, 640
PICTURE = "black.png"  # of every image: no model looks at it
SHARD = 256
BAR = 10.0
KEPT_BYTES = 64
CARD = """
id = "simulated"
name = "A simulated COCO val"
reader = "sambench.loaders.coco:CocoJson"
[options]
annotations = "truth.json"
images = "img"
all_images = true
[access]
state = "manual"
"""


def main(n_images: int = N_IMAGES) -> list[dict[str, Any]]:
    """Three rows: CPU time of one round each, after compilation."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        truth, found = simulated(n_images)
        n = f"{n_images:,} images, {len(truth['annotations']):,} objects, {len(found):,} detections"
        (root / "truth.json").write_text(json.dumps(truth, default=bytes.decode))
        (root / "found.json").write_text(json.dumps(found, default=bytes.decode))
        (root / "card.toml").write_text(CARD)
        (root / "img").mkdir()
        Image.new("L", (WIDTH, HEIGHT)).save(root / "img" / PICTURE)
        del truth, found
        evaluate({1: [Group(*(np.ones(1), np.ones(1), np.ones((1, 1)), np.ones(1), np.zeros(1, np.bool_)))]})  # compiles
        peer_all_ms, peer_ms, official = pycocotools(root)
        average_precision(*(root / name for name in ("truth.json", "found.json")))  # compiles
        start = time.process_time_ns()
        direct = average_precision(root / "truth.json", root / "found.json")
        direct_ms = (time.process_time_ns() - start) / 1e6
        ours_all_ms, frames = ours(root)
        order = {i: k for k, i in enumerate(in_order([i for f in frames for i in f["image_id"].unique()]))}
        batches = [batch_of(f, "mask", order, federated=False) for f in frames]
        start = time.process_time_ns()
        counted = AveragePrecision()
        for batch in batches:
            counted.add(batch)
        evaluation = counted.evaluation()
        ours_ms = (time.process_time_ns() - start) / 1e6
    kept = sum(values.nbytes for part in counted._parts for values in part) / sum(len(part.score) for part in counted._parts)
    at = np.array(evaluation.category_ids) - 1  # those with an object
    maxdiff = max(
        float(np.abs(getattr(found, name) - of).max())
        for found in (evaluation, direct)
        for name, of in (("precision", official["precision"][:, :, at]), ("recall", official["recall"][:, at]))
    )
    shared = {"equal": maxdiff <= 1e-12 and kept < KEPT_BYTES, "maxdiff": maxdiff}
    return [
        {"name": name, "ours_ms": a, "peer_ms": b, "ratio": b / a, "bar": bar, **shared}
        for name, a, b, bar in (
            (f"AP, matching and accumulation, {n}; {kept:.0f} bytes kept of each", ours_ms, peer_ms, BAR),
            ("AP, end to end: files to precision and recall", direct_ms, peer_all_ms, BAR),
            ("AP, a run: files to numbers of masks and boxes, with rows to store", ours_all_ms, peer_all_ms, None),
        )
    ]


def ours(root: Path) -> tuple[float, list[pd.DataFrame]]:
    """CPU milliseconds from files to metric rows, and the frames of rows by shard."""
    start = time.process_time_ns()
    task = InstanceTask.of(InstanceSettings(boxes=str(root / "found.json")))
    dataset = open_dataset(cards.dataset_card(str(root / "card.toml")), root=root)
    ids = [record.image_id for record in dataset.index()]
    frames, columns = [], [name for name, kind in task.columns.items() if kind != "binary"]
    for at in range(0, len(ids), SHARD):
        rows = [row for i in ids[at : at + SHARD] for row in task.rows(dataset.load(i), OwnMasks(), Context())]
        frames.append(pd.DataFrame(rows, columns=columns))
    metric_rows(lambda names: (f[list(names)] for f in frames), boundary=False, max_dets=None)
    return (time.process_time_ns() - start) / 1e6, frames


class _Timed(COCOeval):  # type: ignore[misc]
    """pycocotools' evaluator, which says how long its IoUs took."""

    ious_ns = 0

    def computeIoU(self, imgId: int, catId: int) -> Any:
        start = time.process_time_ns()
        found = super().computeIoU(imgId, catId)
        self.ious_ns += time.process_time_ns() - start
        return found

    def _prepare(self) -> None:
        start = time.process_time_ns()
        super()._prepare()
        self.ious_ns += time.process_time_ns() - start


def pycocotools(root: Path) -> tuple[float, float, dict[str, Any]]:
    """CPU milliseconds from files to numbers, those of them without files and IoUs, and its `eval`."""
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.process_time_ns()
        truth = COCO(root / "truth.json")
        evaluator = _Timed(truth, truth.loadRes(str(root / "found.json")), "segm")
        loaded = time.process_time_ns()
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
        end = time.process_time_ns()
    return (end - start) / 1e6, (end - loaded - evaluator.ious_ns) / 1e6, evaluator.eval


def simulated(n_images: int, seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and results in COCO's form: ellipses of about three categories an image, some crowds; of detections three of
    four are moved objects, some under another category, the others are anywhere; equal scores."""
    rng = np.random.default_rng(seed)
    images = [{"id": i, "height": HEIGHT, "width": WIDTH, "file_name": PICTURE} for i in range(1, n_images + 1)]
    categories = [{"id": c, "name": f"kind {c}"} for c in range(1, N_CATEGORIES + 1)]
    annotations: list[dict[str, Any]] = []
    found = []
    for image in images:
        present = rng.choice(N_CATEGORIES, 3, replace=False) + 1
        objects = [(anywhere(rng), int(rng.choice(present))) for _ in range(rng.poisson(OBJECTS_EACH))]
        for shape, category in objects:
            mask = ellipse(*shape)
            one = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": category, "segmentation": mask}
            box, area, crowd = coco_mask.toBbox(mask).tolist(), float(coco_mask.area(mask)), int(rng.random() < 0.01)
            annotations.append({**one, "area": area, "bbox": box, "iscrowd": crowd})
        for k in range(DETECTIONS_EACH):
            shape, category = anywhere(rng), int(rng.integers(N_CATEGORIES)) + 1
            if objects and k % 4:
                (x, y, a, b), category = objects[int(rng.integers(len(objects)))]
                dx, dy, da, db = rng.normal(0, 0.12, 4)
                shape = (x + a * dx, y + b * dy, a * np.exp(da), b * np.exp(db))
                category = category if rng.random() < 0.7 else int(rng.choice(present))
            score = round(float(rng.random()), 3)
            found.append({"image_id": image["id"], "category_id": category, "score": score, "segmentation": ellipse(*shape)})
    return {"images": images, "annotations": annotations, "categories": categories}, found


def anywhere(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Centre and half axes of an ellipse."""
    x, y = rng.uniform((0, 0), (WIDTH, HEIGHT))
    a, b = np.exp(rng.uniform(1.5, 5, 2))
    return x, y, a, b


def ellipse(x: float, y: float, a: float, b: float) -> Any:
    """COCO RLE, made of the runs of its columns."""
    columns = np.arange(max(0, int(np.ceil(x - a))), min(WIDTH, int(np.floor(x + a)) + 1))
    half = b * np.sqrt(np.maximum(0, 1 - ((columns - x) / a) ** 2))
    top, bottom = np.clip(np.ceil(y - half), 0, HEIGHT), np.clip(np.floor(y + half) + 1, 0, HEIGHT)
    ends = np.stack([columns * HEIGHT + top, columns * HEIGHT + bottom], 1)[bottom > top].astype(np.int64)
    counts = np.diff([0, *ends.ravel().tolist(), HEIGHT * WIDTH]).tolist()
    return coco_mask.frPyObjects({"size": [HEIGHT, WIDTH], "counts": counts}, HEIGHT, WIDTH)
