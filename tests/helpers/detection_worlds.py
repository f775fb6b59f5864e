"""Small detection datasets in COCO's form, with detections near the truth; and the evaluators of others on the same files."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import sambench
from sambench.store.views import CellView

SIZES = ((60, 80), (72, 64), (50, 50), (90, 70))
CARD = """
id = "{name}"
name = "A small detection dataset"
reader = "sambench.loaders.coco:CocoJson"
[options]
annotations = "truth.json"
images = "img"
all_images = true
[access]
state = "manual"
"""


def encoded(mask: np.ndarray) -> dict[str, Any]:
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


def _blob(rng: np.random.RandomState, height: int, width: int, largest: float = 0.9) -> np.ndarray:
    """An ellipse somewhere in the frame, from a few pixels to most of it."""
    mask = np.zeros((height, width), np.uint8)
    axes = (2 + int(rng.rand() ** 2 * largest * width / 2), 2 + int(rng.rand() ** 2 * largest * height / 2))
    cv2.ellipse(mask, (rng.randint(width), rng.randint(height)), axes, rng.randint(180), 0, 360, 1, -1)
    return mask


def jittered(mask: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """The mask moved by up to 15 % of its side, sometimes grown; without wrapping."""
    reach = max(1, int(0.15 * np.sqrt(mask.sum())))
    dy, dx = rng.randint(-reach, reach + 1, 2)
    out: np.ndarray = cv2.warpAffine(
        mask, np.array([[1, 0, dx], [0, 1, dy]], np.float64), mask.shape[::-1], flags=cv2.INTER_NEAREST
    )
    return cv2.dilate(out, np.ones((3, 3), np.uint8)) if rng.rand() < 0.3 else out


def truth_and_results(
    n_images: int = 12, n_categories: int = 5, *, federated: bool = False, seed: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth with crowds, empty masks and an image without objects (areas unlike the pixels', as COCO's); and results: near
    misses, other categories, equal scores, detections of what is not there."""
    rng = np.random.RandomState(seed)
    ids = list(range(1, n_categories + 1))
    categories = [{"id": c, "name": f"kind {c}", "frequency": "rcf"[c % 3]} for c in ids]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for i in range(n_images):
        height, width = SIZES[i % len(SIZES)]
        image: dict[str, Any] = {"id": 7 * (n_images - i), "height": height, "width": width, "file_name": f"{i}.png"}
        present: list[int] = []
        for _ in range(0 if i == 1 else rng.randint(1, 7)):
            mask, category = _blob(rng, height, width), int(rng.choice(ids[:-1]))
            if rng.rand() < 0.05:
                mask = np.zeros_like(mask)
            present.append(category)
            area = float(mask.sum()) * rng.uniform(0.8, 6)
            box = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask))).tolist()
            one = {"id": 100 + len(annotations), "image_id": image["id"], "category_id": category, "area": area, "bbox": box}
            crowd = {} if federated else {"iscrowd": int(rng.rand() < 0.15)}
            annotations.append({**one, **crowd, "segmentation": encoded(mask)})
            for _ in range(rng.randint(0, 4)):
                near = jittered(mask, rng)
                said = category if rng.rand() < 0.8 else int(rng.choice(ids))
                results.append({"image_id": image["id"], "category_id": said, "segmentation": encoded(near)})
        for _ in range(rng.randint(0, 5)):
            false = encoded(_blob(rng, height, width, 0.5))
            results.append({"image_id": image["id"], "category_id": int(rng.choice(ids)), "segmentation": false})
        if federated:
            absent = [c for c in ids if c not in present]
            image["neg_category_ids"] = [c for c in absent if rng.rand() < 0.5]
            image["not_exhaustive_category_ids"] = [c for c in sorted(set(present)) if rng.rand() < 0.3]
        images.append(image)
    for result in results:
        result["score"] = round(float(rng.rand()), 1)
    return {"images": images, "annotations": annotations, "categories": categories}, results


def write(root: Path, truth: dict[str, Any], results: list[dict[str, Any]], name: str = "small") -> Path:
    """The dataset, its card (which is returned) and `results.json` under root; pictures are noise of the right sizes."""
    (root / "img").mkdir(parents=True)
    rng = np.random.RandomState(0)
    for image in truth["images"]:
        pixels = rng.randint(0, 255, (image["height"] // 8 + 1, image["width"] // 8 + 1, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((image["width"], image["height"])).save(root / "img" / image["file_name"])
    (root / "truth.json").write_text(json.dumps(truth))
    (root / "results.json").write_text(json.dumps(results))
    card = root / f"{name}.toml"
    card.write_text(CARD.format(name=name))
    return card


def official(truth: dict[str, Any], results: list[dict[str, Any]], iou_type: str = "segm") -> np.ndarray:
    """pycocotools' twelve numbers."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = json.loads(json.dumps(truth))
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(json.loads(json.dumps(results))), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found: np.ndarray = np.asarray(evaluation.stats)
    return found


def perturbed_lvis(truth: dict[str, Any], seed: int = 0) -> list[dict[str, Any]]:
    """Detections made of a LVIS file's own objects: moved, some under another category, some more than once; one image has more
    than 300."""
    rng = np.random.RandomState(seed)
    images = {i["id"]: i for i in truth["images"]}
    categories = [c["id"] for c in truth["categories"]]
    out: list[dict[str, Any]] = []

    def add(image_id: int, category: int, mask: np.ndarray) -> None:
        score = round(float(rng.rand()), 2)
        out.append({"image_id": image_id, "category_id": category, "segmentation": encoded(mask), "score": score})

    for a in truth["annotations"]:
        image = images[a["image_id"]]
        height, width = image["height"], image["width"]
        mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(a["segmentation"], height, width)))
        for _ in range(rng.randint(1, 4)):
            category = a["category_id"]
            if rng.rand() < 0.25:
                pool = [*image["neg_category_ids"], *image["not_exhaustive_category_ids"], int(rng.choice(categories))]
                category = int(pool[rng.randint(len(pool))])
            add(image["id"], category, jittered(mask, rng))
    first = truth["annotations"][0]["image_id"]
    of_first = [a["category_id"] for a in truth["annotations"] if a["image_id"] == first]
    for _ in range(330):
        add(first, int(of_first[rng.randint(len(of_first))]), _blob(rng, images[first]["height"], images[first]["width"], 0.2))
    return [r for r in out if coco_mask.area({**r["segmentation"], "counts": r["segmentation"]["counts"].encode()}) > 0]


def blank_world(root: Path, detections: list[dict[str, Any]], *, federated: bool = False) -> Path:
    """One image of 40 x 60 with an object, one without; the given detections."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 10:40] = 1
    images = [{"id": i, "height": 40, "width": 60, "file_name": f"{i}.png"} for i in (1, 2)]
    if federated:
        images = [{**i, "neg_category_ids": [2], "not_exhaustive_category_ids": []} for i in images]
    one = {"id": 5, "image_id": 1, "category_id": 1, "segmentation": encoded(mask), "area": 600.0, "bbox": [10, 10, 30, 20]}
    truth = {"images": images, "annotations": [one], "categories": [{"id": c, "name": f"kind {c}"} for c in (1, 2, 3)]}
    return write(root, truth, detections)


def detection(image: int = 1, category: int = 1, box: tuple[float, ...] = (10, 10, 30, 20), score: float = 0.5) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": list(box), "score": score}


def ran(root: Path, model: str, *, out: str = "runs", card: str = "small.toml", **settings: Any) -> CellView:
    """The cell of `sambench run instances` on the world under root."""
    request = {k: settings.pop(k) for k in ("limit", "save_masks") if k in settings}
    found = sambench.run(
        "instances",
        str(root / card),
        model,
        settings={"boxes": str(root / "results.json"), **settings},
        root=str(root),
        out=root / out,
        workers=1,
        **request,
    )
    return found.cells[0]
