"""How long a dataset of 100,000 files takes to be recognised: opened, indexed and hashed, the first time and in later processes.

python benchmarks/bench_identity.py [PAIRS]

Two datasets of 50,000 pictures: with as many label maps, and with one file in COCO's form. The first time every annotation is
read; later only the files' times are looked at, and the limit is 2 s. The last rows are a run of 2,000 images, and the same again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

LIMIT_MS = 2000.0
SIDE = 24  # pixels
LABELS_CARD = """
id = "many_maps"
name = "Many maps"
reader = "sambench.loaders.label_png:LabelPng"
access = { state = "manual" }
[options]
layouts = [{ images = "pictures/{id}.png", labels = "maps/{id}.png" }]
"""
COCO_CARD = """
id = "many_coco"
name = "Many in COCO's form"
reader = "sambench.loaders.coco:CocoJson"
access = { state = "manual" }
[options]
annotations = "coco.json"
images = "pictures"
"""
IDENTITY = """
import sys, time
from pathlib import Path
from sambench import cards
from sambench.loaders.open import open_dataset
start = time.perf_counter()
dataset = open_dataset(cards.dataset_card(sys.argv[1]), root=Path(sys.argv[2]))
n = len(dataset.index())
print(n, dataset.annotation_digest(), (time.perf_counter() - start) * 1e3)
"""


def make(root: Path, n: int) -> None:
    """n pictures with two squares each, their label maps, and the same squares as polygons in COCO's form."""
    rng = np.random.default_rng(0)
    (root / "pictures").mkdir(parents=True)
    (root / "maps").mkdir()
    images, annotations = [], []
    for i in range(n):
        picture, labels = np.full((SIDE, SIDE), 40, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
        for value, left in ((1, 2), (2, 14)):
            x, y, side = left, int(rng.integers(1, 14)), int(rng.integers(4, 9))
            picture[y : y + side, x : x + side] = 120 + 60 * value
            labels[y : y + side, x : x + side] = value
            polygon = [x, y, x + side, y, x + side, y + side, x, y + side]
            about = {"id": 2 * i + value, "image_id": i, "category_id": 1, "iscrowd": 0, "area": side * side}
            annotations.append({**about, "bbox": [x, y, side, side], "segmentation": [polygon]})
        for folder, pixels in (("pictures", picture), ("maps", labels)):
            (root / folder / f"{i:06d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        images.append({"id": i, "file_name": f"{i:06d}.png", "height": SIDE, "width": SIDE})
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (root / "coco.json").write_text(json.dumps(whole))
    (root / "many_maps.toml").write_text(LABELS_CARD)
    (root / "many_coco.toml").write_text(COCO_CARD)


def _identity(card: Path, root: Path) -> tuple[str, float]:
    """(number of images and digest, milliseconds without Python's start)."""
    command = [sys.executable, "-c", IDENTITY, str(card), str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return " ".join(done[:2]), float(done[2])


def _run(card: Path, root: Path, limit: int) -> float:
    """Milliseconds of the whole command, Python's start with it."""
    command = [sys.executable, "-m", "sambench", "run", "point", "--datasets", str(card), "--root", str(root), "--model", "otsu"]
    start = time.perf_counter()
    subprocess.run([*command, "--limit", str(limit), "--out", str(root / "runs")], check=True, capture_output=True)
    return (time.perf_counter() - start) * 1e3


def main(n: int = 50_000, limit: int = 2000) -> list[dict[str, Any]]:
    """Rows (name, ours_ms, peer_ms, ratio, equal, bar). Of the first time the peer is the limit, too, but no bar."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        make(root, n)
        os.environ.update(SAMBENCH_HOME=f"{folder}/home", SAMBENCH_CACHE=f"{folder}/cache")
        time.sleep(2.5)  # files changed just now are never remembered
        for card in ("many_maps", "many_coco"):
            (first, cold), *later = [_identity(root / f"{card}.toml", root) for _ in range(4)]
            equal, warm = all(found == first for found, _ in later), min(ms for _, ms in later)
            rows.append({"name": f"{card}, {n:,} pictures: first time", **_against(cold), "equal": equal, "bar": None})
            rows.append({"name": f"{card}: later", **_against(warm), "equal": equal, "bar": 1.0})
        for card in ("many_maps", "many_coco"):
            computed = _run(root / f"{card}.toml", root, limit)
            again = _run(root / f"{card}.toml", root, limit)
            rows.append({"name": f"run point --limit {limit:,} of {card}", **_against(computed), "equal": None, "bar": None})
            rows.append({"name": f"the same again, whole command, of {card}", **_against(again), "equal": None, "bar": None})
    return rows


def _against(ms: float) -> dict[str, Any]:
    return {"ours_ms": ms, "peer_ms": LIMIT_MS, "ratio": LIMIT_MS / ms}


if __name__ == "__main__":
    for line in main(*map(int, sys.argv[1:])):
        print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}), flush=True)
