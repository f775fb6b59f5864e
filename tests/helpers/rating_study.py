"""A rating study as `sambench rate make` leaves it, written at once: small pictures, whose bytes tell models apart."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sambench.rating.jobs import JOB_COLUMNS, KEY_COLUMNS
from sambench.rating.render import view_names

MODELS = ("sam", "ritm", "ground_truth")


def picture(seed: int, busy: bool) -> bytes:
    """A JPEG of 40 x 30 pixels; a busy one has some times the bytes of one that is not."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (30, 40, 3) if busy else (1, 1, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (30, 40, 3)))).save(out, "JPEG")
    return out.getvalue()


def write_study(
    out: Path,
    n_inputs: int = 10,
    models: Sequence[str] = MODELS,
    n_controls: int = 2,
    datasets: Sequence[str] = ("demo",),
    seed: int = 0,
    more_bytes: int = 0,
) -> Path:
    """A study in `out`; returns it. Masks of the first model alone are busy pictures, and of the second are larger files.

    more_bytes: what is added to every picture. Pictures that are alike are one file on the disk, under several names.
    """
    rng = np.random.default_rng(seed)
    jobs = []
    for dataset in datasets:
        for n in range(n_inputs):
            iou = rng.uniform(0.4, 0.95)
            for m, model in enumerate((*models, *(["control"] if n < n_controls else []))):
                truth = {"ground_truth": 1.0, "control": 0.02}.get(model, iou - 0.05 * m)
                job = f"{rng.integers(16**12):012x}"
                jobs.append([job, dataset, model, f"image{n // 2}", str(n), "point", f"{n}{model}", truth])
    jobs = [jobs[i] for i in rng.permutation(len(jobs))]
    quick = [picture(0, False), picture(0, True), picture(1, True) + b"\0" * 500]
    (out / "pictures").mkdir(parents=True)
    for n, data in enumerate(quick):
        (out / "pictures" / str(n)).write_bytes(data + b"\0" * more_bytes)
    names = view_names("jpg")
    key, shown = [], []
    for order, (job, dataset, model, image, item, prompt, digest, iou) in enumerate(jobs, 1):
        folder = out / "for_raters" / "views" / job
        folder.mkdir(parents=True)
        for view, name in names.items():
            kind = 0 if view == "image" else min(2, (*models, "control").index(model))
            (folder / name).hardlink_to(out / "pictures" / str(kind))
        control = str(model == "control").lower()
        key.append([job, dataset, model, image, item, prompt, digest, control, order, iou, 1000])
        shown.append([order, job, prompt, *(f"views/{job}/{name}" for name in names.values())])
    for path, header, rows in ((out / "key.csv", KEY_COLUMNS, key), (out / "for_raters" / "jobs.csv", JOB_COLUMNS, shown)):
        with path.open("w", newline="") as f:
            csv.writer(f).writerows([header, *rows])
    return out
