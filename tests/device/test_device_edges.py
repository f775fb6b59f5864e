"""A segmenter's edge map made on a device against the host's: the same boxes and masks, outlines equal up to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from sambench.automatic import generate as automatic
from sambench.automatic.outlines import Candidates, mask_outline, outline_map
from sambench.device.masks import LogitBatch
from sambench.device.outlines import outlines_of
from sambench.pixels.candidates import DenseMasks
from sambench.pixels.interpolation import Geometry
from sambench.tasks.edge import EdgeSettings, EdgeTask
from sambench.tasks.prompted import Context
from sambench.types import Prediction, Prompt, Sample

SIZE = (107, 160)
TWO_STEPS = Geometry(low=(64, 64), square=(256, 256), crop=(171, 256), size=SIZE)
ONE_STEP = Geometry(low=(64, 64), size=SIZE)
LINE = Geometry(low=(64, 64), size=(1, 90))  # an image of one row: nothing to reflect about
ROUNDING = 2e-6  # of derivatives that go up to 4


def answers(n: int, geometry: Geometry, seed: int = 0) -> list[Prediction]:
    """Smooth blobs on and across the frame's border, some of them empty; in two batches."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    centre, radius = rng.uniform(-4, 68, (n, 3, 2, 1, 1)), rng.uniform(1, 18, (n, 3, 1, 1))
    low = (radius - np.hypot(y - centre[:, :, 0], x - centre[:, :, 1])).astype(np.float32)
    low[::7, 0] = -5
    low[1, 1] = 5  # all of the image
    scores = rng.random((n, 3)).astype(np.float32)
    out = []
    for part in (slice(0, n // 2), slice(n // 2, n)):
        batch = LogitBatch(torch.from_numpy(low[part]), geometry)
        out += [Prediction(batch.masks(i), s) for i, s in enumerate(scores[part])]
    return out


@pytest.mark.parametrize("geometry", [TWO_STEPS, ONE_STEP, LINE], ids=["two steps", "one step", "a line"])
def test_outlines_are_those_of_the_host(geometry: Geometry) -> None:
    given = answers(12, geometry)
    asked = [(p.masks, i) for p in given for i in range(3) if p.masks.region(i).area]
    boxes = np.array([m.region(i).box_xyxy for m, i in asked])
    assert len(asked) > 10
    found = outlines_of(asked, boxes)  # type: ignore[arg-type]
    lengths = []
    for (masks, i), (pixels, grad_x, grad_y) in zip(asked, found, strict=True):
        wanted = mask_outline(masks, i)
        assert pixels.dtype == np.int32
        assert np.array_equal(pixels, wanted.pixels)
        assert np.abs(grad_x - wanted.grad_x).max(initial=0) < ROUNDING
        assert np.abs(grad_y - wanted.grad_y).max(initial=0) < ROUNDING
        lengths.append(len(pixels))
    assert min(lengths) == 0 < max(lengths)  # that of a mask which is all of the image is empty


@pytest.mark.parametrize("held", [768, 10])
def test_the_map_is_that_of_the_host(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "_MANY", 1)  # also of few boxes the device compares
    given = answers(30, TWO_STEPS)
    given[4] = Prediction(DenseMasks(np.stack([given[4].masks.array(i) for i in range(3)])), given[4].scores)
    maps = []
    for device in (None, "cpu"):
        candidates = Candidates(held, device)
        candidates.add(given[:15])
        candidates.add(given[15:])
        assert sum(c.masks is not None for c in candidates.found) <= held
        maps.append(outline_map(candidates, *SIZE, nms_iou=0.7))
    host, found = maps
    assert found.n_masks == host.n_masks < 90
    assert np.abs(found.strength - host.strength).max() < ROUNDING
    assert np.array_equal(found.strength > 0, host.strength > 0)
    same = np.abs(found.grad_x - host.grad_x) < ROUNDING
    assert same.mean() > 0.999  # where two masks are as strong but for rounding either's direction is taken


class Replayed:
    """Answers a grid of points with the same masks each time."""

    max_batch = 8

    def __init__(self, given: Sequence[Prediction]) -> None:
        self.given = given

    def encode(self, image: np.ndarray) -> Any:
        return iter(self.given)

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        return [next(state) for _ in prompts]


def test_the_task_scored_on_a_device() -> None:
    truth = np.zeros(SIZE, np.bool_)
    truth[40, 20:140] = True
    image = np.zeros((*SIZE, 3), np.uint8)
    sample = Sample("set", "one", *SIZE, (), lambda: image, boundaries=(truth,), boundary_max_dist=0.0075)
    task, model = EdgeTask(EdgeSettings(grid=4, thresholds=9)), Replayed(answers(16, TWO_STEPS))
    host, device = (task.predict(sample, model, Context(scoring=where)) for where in ("host", "device"))
    assert device.n_masks == host.n_masks
    assert np.abs(device.edge_map - host.edge_map).max() < ROUNDING
    assert host.edge_map.max() > 0
