"""A small dataset of one's own, exported as people's tools do: COCO, YOLO, label maps, masks, LabelMe, VIA.

Every picture shows two rectangles whose corners lie on whole pixels, so that each form of export has exactly the same masks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("a 1", "b,2", "c")
HEIGHT, WIDTH = 48, 64
BOXES = {
    "a 1": ((4, 4, 28, 20), (36, 24, 60, 44)),
    "b,2": ((8, 12, 24, 40), (32, 4, 56, 16)),
    "c": ((2, 2, 22, 22), (40, 30, 62, 46)),
}


def masks_of(name: str) -> list[np.ndarray[Any, Any]]:
    """bool [48, 64] of each object of a picture; boxes are x0, y0, x1, y1, the last ones beyond."""
    out = []
    for x0, y0, x1, y1 in BOXES[name]:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[y0:y1, x0:x1] = True
        out.append(mask)
    return out


def pictures(folder: Path, suffix: str = ".jpg") -> Path:
    """The pictures as files; gives their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(0)
    for name in NAMES:
        image = rng.randint(0, 50, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        for i, mask in enumerate(masks_of(name)):
            image[mask] = (230, 120 + 60 * i, 60)
        Image.fromarray(image).save(folder / f"{name}{suffix}")
    return folder


def polygon(box: tuple[int, int, int, int]) -> list[tuple[int, int]]:
    """The corners of a box, in order."""
    x0, y0, x1, y1 = box
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def coco(root: Path, file: str = "annotations.json", images: str = "images") -> Path:
    """An export in COCO's form; gives the annotation file."""
    pictures(root / images)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    for i, name in enumerate(NAMES, 1):
        content["images"].append({"id": i, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH})
        for box in BOXES[name]:
            x0, y0, x1, y1 = box
            flat = [c for p in polygon(box) for c in p]
            area = (x1 - x0) * (y1 - y0)
            common = {"image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": area}
            content["annotations"].append({"id": len(content["annotations"]) + 1, "segmentation": [flat], **common})
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(content), encoding="utf-8")
    return root / file


def yolo(root: Path, split: str = "val", yaml: str = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: thing\n") -> Path:
    """An export for Ultralytics' trainers; gives its data.yaml."""
    pictures(root / "images" / split)
    labels = root / "labels" / split
    labels.mkdir(parents=True)
    for name in NAMES:
        rows = ["0 " + " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in polygon(box)) for box in BOXES[name]]
        (labels / f"{name}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    return root / "data.yaml"


def labels(root: Path, images: str = "images", folder: str = "labels", form: str = "{}.png") -> Path:
    """Label maps, one a picture, objects 1 and 2; gives their folder."""
    pictures(root / images)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        values = np.zeros((HEIGHT, WIDTH), np.uint8)
        for value, mask in enumerate(masks_of(name), 1):
            values[mask] = value
        Image.fromarray(values).save(root / folder / form.format(name))
    return root / folder


def masks(root: Path, images: str = "images", folder: str = "masks", form: str = "{}.png") -> Path:
    """One mask a picture, 0 and 255, of both objects; gives their folder."""
    pictures(root / images)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        both = np.logical_or.reduce(masks_of(name))
        Image.fromarray(both.astype(np.uint8) * 255).save(root / folder / form.format(name))
    return root / folder


def objects(root: Path, image: str = "images/{id}.jpg", mask: str = "masks/{id}_{object}.png") -> Path:
    """One file an object; gives the folder."""
    for name in NAMES:
        at = root / image.format(id=name)
        pictures(at.parent)
        for other in NAMES:
            if other != name and "{id}" in image.rpartition("/")[0]:
                (at.parent / f"{other}.jpg").unlink()
        for i, one in enumerate(masks_of(name)):
            path = root / mask.format(id=name, object=i)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(one.astype(np.uint8) * 255).save(path)
    return root


def labelme(root: Path, images: str = "") -> Path:
    """A JSON beside each picture, as LabelMe writes it; gives the folder."""
    folder = pictures(root / images)
    for name in NAMES:
        shapes = [{"label": "thing", "points": polygon(b), "shape_type": "polygon", "group_id": None} for b in BOXES[name]]
        value = {"shapes": shapes, "imagePath": f"{name}.jpg", "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
        (root / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder if not images else root


def via(root: Path, file: str = "via_region_data.json", images: str = "") -> Path:
    """The annotations of all pictures in one file, as the VGG Image Annotator exports them; gives it."""
    pictures(root / images)
    records = {}
    for name in NAMES:
        regions = []
        for box in BOXES[name]:
            xs, ys = zip(*polygon(box), strict=True)
            shape = {"name": "polygon", "all_points_x": list(xs), "all_points_y": list(ys)}
            regions.append({"shape_attributes": shape, "region_attributes": {}})
        records[f"{name}.jpg-1"] = {"filename": f"{name}.jpg", "size": -1, "regions": regions, "file_attributes": {}}
    (root / file).write_text(json.dumps(records), encoding="utf-8")
    return root / file
