"""Small worlds for tests: generated datasets in native layouts, and models that are quick and predictable."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
CASES = ROOT / "tests" / "cases"
TOY_MODEL = f"python:{Path(__file__).parent / 'toy_model.py'}:toy"


def write_nuclei(root: Path, n_images: int = 20, n_objects: int = 4, seed: int = 0) -> Path:
    """A dataset in BBBC038v1's layout under `root`/bbbc038v1: bright discs on dark noise, one mask file each."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:96, 0:128]
    for i in range(n_images):
        folder = root / "bbbc038v1" / "stage1_train" / f"image{i:03d}"
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        image = rng.randint(0, 40, (96, 128, 3)).astype(np.uint8)
        for j in range(n_objects):
            cy, cx, r = 20 + 56 * (j // 2) + rng.randint(-4, 5), 30 + 60 * (j % 2) + rng.randint(-4, 5), rng.randint(6, 14)
            disc = (y - cy) ** 2 + (x - cx) ** 2 <= r * r
            image[disc] = rng.randint(150, 256, 3)
            Image.fromarray(disc.astype(np.uint8) * 255).save(folder / "masks" / f"mask{j}.png")
        Image.fromarray(image).save(folder / "images" / f"image{i:03d}.png")
    return root


def sambench(*args: str, env: Mapping[str, str] | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "sambench", *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        cwd=ROOT,
    )
