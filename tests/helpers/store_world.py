"""A small world for tests of what lies on disk: generated nuclei, a quick model in this process, and death at a chosen step."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import sambench
from sambench import Prediction
from sambench.results.bundle_file import MANIFEST
from sambench.results.tables import metric_rows_of
from sambench.store.views import CellView, read_cell
from tests.helpers import write_nuclei

N_IMAGES = 6  # two shards
DRIFT = "STORE_WORLD_DRIFT"  # a variable of which no identity knows: another value gives other masks under the same name


class Bright:
    """What is brighter than `level` around the last click: quick, and other pixels give other masks."""

    def __init__(self, level: int = 100) -> None:
        self.identity = {"level": level}
        self.level = level

    def encode(self, image: np.ndarray) -> np.ndarray:
        return image.max(axis=2)

    def decode(self, grey: np.ndarray, prompts: list[Any]) -> list[Prediction]:
        out = []
        for prompt in prompts:
            x, y = prompt.points_xy[-1].astype(int)
            mask = np.zeros(grey.shape, bool)
            window = (slice(max(0, y - 12), y + 12), slice(max(0, x - 12), x + 12))
            mask[window] = grey[window] > self.level + int(os.environ.get(DRIFT, "0"))
            out.append(Prediction(mask[None], np.ones(1, np.float32)))
        return out


def write_world(root: Path, n_images: int = N_IMAGES) -> Path:
    """Generated pictures under `root`, to be used as SAMBENCH_DATA."""
    write_nuclei(root, n_images=n_images, n_objects=2)
    return root


def picture(root: Path, image: int) -> Path:
    return root / f"bbbc038v1/stage1_train/image{image:03d}/images/image{image:03d}.png"


def replace_picture(root: Path, image: int) -> None:
    """A dark picture: every mask on it is empty."""
    Image.new("RGB", (128, 96), (9, 9, 9)).save(picture(root, image))


def go(out: Path, *, level: int = 100, **request: Any) -> CellView:
    """Evaluate on the world; the one cell."""
    settings = {"clicks": (1, 2)}
    found = sambench.evaluate(Bright(level), datasets="bbbc038v1", name="bright", settings=settings, out=str(out), **request)
    (cell,) = found.cells
    return cell


def cell_of(out: Path) -> Path:
    """The one cell's directory under a folder of runs."""
    (found,) = (p for p in out.glob("point-*/bbbc038v1-*") if not p.name.startswith("."))
    return found


def view(out: Path) -> CellView:
    return read_cell(cell_of(out))


def metrics_of(out: Path) -> bytes:
    return (cell_of(out) / "metrics.csv").read_bytes()


def values_of(cell: CellView) -> dict[int, float]:
    """mIoU by clicks, as tables have it."""
    return {int(r["k"]): float(r["value"]) for r in metric_rows_of(cell) if (r["metric"], r["variant"]) == ("miou", "top")}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None], *, relist: bool = False) -> None:
    """Change a bundle's members by name. relist: and its list with their digests, as a forger would."""
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    change(files)
    if relist:
        listed = [
            {"path": n, "bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in sorted(files.items()) if n != MANIFEST
        ]
        files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | {"files": listed}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


WATCHED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}


def steps(work: Callable[[], Any]) -> int:
    """How often `work`, done in a child, changes something on disk."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        seen = 0

        def count(event: str, args: tuple[Any, ...]) -> None:
            nonlocal seen
            seen += _changes(event, args)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os.write(write, seen.to_bytes(4, "big"))
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as f:
        told = int.from_bytes(f.read(), "big")
    os.waitpid(pid, 0)
    return told


def killed_at(step: int, work: Callable[[], Any]) -> bool:
    """Do `work` in a child that dies, as by kill -9, just before its `step`-th change on disk; whether it got so far."""
    pid = os.fork()
    if pid == 0:
        left = step

        def die(event: str, args: tuple[Any, ...]) -> None:
            nonlocal left
            if _changes(event, args):
                left -= 1
                if left < 0:
                    os._exit(9)

        sys.addaudithook(die)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def _changes(event: str, args: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(args[1], str) and args[1][:1] in ("w", "x", "a") and _watched(args[0])
    return event in WATCHED and _watched(args[0])


def _watched(path: object) -> bool:
    """Not what is remembered in the cache, at times that differ."""
    return not os.fsdecode(path).startswith(os.environ["SAMBENCH_CACHE"]) if isinstance(path, str | bytes | os.PathLike) else False
