"""A small file must not take a machine: sizes and outlines that no picture has are refused before anything is drawn.

Each reads its input in a process of its own, with a limit on its memory: pycocotools would end the process, or take gigabytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sambench.errors import DataError
from sambench.loaders.coco_masks import MOST_STEPS, has_pixels, region_of
from sambench.loaders.polygons import MOST_CROSSING, fill_even_odd
from sambench.pixels.region import MAX_PIXELS, check_pixels

MEMORY = 1 << 30
SQUARE = [[2, 2, 10, 2, 10, 8, 2, 8]]
READ = """
import json, resource, sys
from pathlib import Path
from sambench.errors import SambenchError
from sambench.loaders.coco import CocoJson
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
for root in sys.argv[1:]:
    out = []
    for exact in (False, True):
        reader = CocoJson(Path(root), "mine", annotations="ann.json", exact=exact)
        index = [r.n_masks for r in reader.index()]
        try:
            out.append([index, [i.region.area for i in reader.load("1").instances]])
        except SambenchError as e:
            out.append([index, e.message])
    print(json.dumps(out), flush=True)
"""


def zigzag(n: int, height: float, width: float) -> list[float]:
    """An outline of n points that runs up and down across the picture."""
    return [v for i in range(n) for v in (width * i / n, height * (i % 2))]


def read(tmp_path: Path, inputs: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """Per input, and way of counting: the index's counts, and the objects' areas or the message of the error.

    inputs: by name the segmentation, height and width, of a picture of 50 x 40 that has all that is not said.
    """
    roots = []
    for i, given in enumerate(inputs.values()):
        roots.append(tmp_path / f"{i}")
        roots[-1].mkdir()
        Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(roots[-1] / "a.png")
        image = {"id": 1, "file_name": "a.png", "height": given.get("height", 40), "width": given.get("width", 50)}
        annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": given.get("segmentation", SQUARE)}
        (roots[-1] / "ann.json").write_text(json.dumps({"images": [image], "annotations": [annotation], "categories": []}))
    ran = subprocess.run(
        [sys.executable, "-c", READ.format(memory=MEMORY), *map(str, roots)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0, f"{list(inputs)[len(lines)]}: {ran.stderr[-2000:]}"
    return dict(zip(inputs, map(json.loads, lines), strict=True))


SIZES = [(10**9, 64), (10**9, 10**9), (65536, 65536), (40000, 40000), (10**30, 1), (20, 20)]


def test_sizes_that_the_picture_does_not_have(tmp_path: Path) -> None:
    """Segmentation faults from products beyond 32 bits, and minutes of drawing, before."""
    message = "an image of mine has another size than its annotations"
    found = read(tmp_path, {f"{h} x {w}": {"height": h, "width": w} for h, w in SIZES})
    assert found == {f"{h} x {w}": [[[1], message]] * 2 for h, w in SIZES}


HUGE = {
    "an RLE of a huge frame": {"size": [50000, 50000], "counts": [1250000000, 1250000000]},
    "an RLE of a frame beyond 32 bits": {"size": [10**9, 10**9], "counts": [0, 10**18]},
    "runs beyond the frame": {"size": [40, 50], "counts": [0, 10**18]},
    "runs that add up beyond 32 bits": {"size": [40, 50], "counts": [2**32, 2000]},
    "a compressed run beyond 32 bits": {"size": [40, 50], "counts": "oooooo" * 9 + "0"},
    "a coordinate far away": [[1, 1, 1e9, 1, 9, 9]],
    "an outline that runs up and down": [zigzag(100_000, 1600, 50)],
    "many outlines of that kind": [zigzag(4_000, 1600, 50)] * 40,
}


def round_outline() -> list[list[float]]:
    """A hundred thousand points on a circle, with teeth of half a pixel."""
    angles = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    radius = 15 + 0.5 * (np.arange(len(angles)) % 2)
    return [np.stack([25 + radius * np.cos(angles), 20 + radius * np.sin(angles)], 1).ravel().tolist()]


def test_masks_that_no_picture_has(tmp_path: Path) -> None:
    found = read(tmp_path, {name: {"segmentation": s} for name, s in {**HUGE, "a long one": round_outline()}.items()})
    (index, areas), again = found.pop("a long one")
    assert [index, areas] == again
    assert areas[0] == pytest.approx(np.pi * 15.25**2, rel=0.05)
    for name, ways in found.items():
        for index, said in ways:
            assert index == [1], name
            assert "broken" in said, name


def test_the_limits() -> None:
    check_pixels(1 << 15, 1 << 15, "")
    for size in ((0, 5), (5, 0), (-1, 5), ((1 << 15) + 1, 1 << 15), (10**9, 10**9)):
        with pytest.raises(DataError, match="not one of an image") as e:
            check_pixels(*size, "image 1")
        assert f"{MAX_PIXELS:,}" in str(e.value)
        for call in (region_of, has_pixels):
            with pytest.raises(DataError):
                call(SQUARE, *size, where="image 1")
    steps = zigzag(MOST_STEPS // (5 * 40) + 1000, 40, 50)
    with pytest.raises(DataError, match="broken polygon") as e:
        region_of([steps], 40, 50, where="annotation 1")
    assert "pixels of outline" in str(e.value)
    assert region_of([steps[: len(steps) // 10 * 2]], 40, 50, where="annotation 1").area > 0


def test_ragged_outlines_of_opencv() -> None:
    """OpenCV sorts the edges of a row by exchange: a hundred thousand of them took it more than two minutes."""
    rng = np.random.default_rng(0)

    def edges(n: int) -> np.ndarray:
        return np.stack([rng.integers(-100, 400, n), np.where(np.arange(n) % 2, -50, 250)], 1).astype(np.int32)

    assert fill_even_odd([edges(2000)], 200, 300).area > 0
    for polygons in ([edges(100_000)], [edges(MOST_CROSSING // 2 + 100)] * 2):
        with pytest.raises(DataError, match="too ragged") as e:
            fill_even_odd(polygons, 200, 300, where="entity 1")
        assert "entity 1" in str(e.value)
    flat = np.stack([rng.integers(0, 300, 50_000), rng.integers(0, 2, 50_000) + 100], 1).astype(np.int32)
    flat[:, 1] = np.sort(flat[:, 1])
    assert fill_even_odd([flat], 200, 300).area > 0
