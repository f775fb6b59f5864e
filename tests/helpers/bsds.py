"""One picture of BSDS500's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def put(data: Path, image_id: str, maps: list[np.ndarray], split: str = "test", suffix: str = ".jpg", **saved: object) -> None:
    for kind in ("images", "groundTruth"):
        (data / kind / split).mkdir(parents=True, exist_ok=True)
    noise = np.random.RandomState(len(image_id)).randint(0, 255, (*maps[0].shape, 3)).astype(np.uint8)
    Image.fromarray(noise).save(data / "images" / split / f"{image_id}{suffix}")
    cells = np.empty((1, len(maps)), object)
    for a, b in enumerate(maps):
        cells[0, a] = {"Segmentation": np.ones(b.shape, np.uint16), "Boundaries": b}
    savemat(data / "groundTruth" / split / f"{image_id}.mat", {"groundTruth": cells}, **saved)
