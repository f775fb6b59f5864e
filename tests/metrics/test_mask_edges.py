"""A segmenter's edge map: box suppression, outlines against the straightforward way, memory, and the task around them."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from sambench.automatic.generate import box_nms
from sambench.automatic.outlines import Candidates, mask_outline, outline_map
from sambench.pixels.candidates import DenseMasks, LogitMasks
from sambench.pixels.edge_maps import canny_nms, dollar_nms
from sambench.pixels.interpolation import Geometry
from sambench.tasks.edge import EdgeSettings, EdgeTask, scaled
from sambench.tasks.prompted import Context
from sambench.types import Prediction, Prompt, Sample
from tests.helpers import mask_edges_oracle as oracle

SIZE, LOW, SQUARE = (107, 160), (64, 64), (256, 256)
CROP = (171, 256)
GEOMETRY = Geometry(low=LOW, square=SQUARE, crop=CROP, size=SIZE)


def blobs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth logits float32 [n, 3, 64, 64] of nested candidates, some at the border, some empty; scores [n, 3]."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[: LOW[0], : LOW[1]]
    low = np.empty((n, 3, *LOW), np.float32)
    for i in range(n):
        cy, cx, r = rng.uniform(0, 44), rng.uniform(0, 64), rng.uniform(3, 18)
        wobble = cv2.GaussianBlur(rng.standard_normal(LOW), (0, 0), 3) * 40
        for c in range(3):
            low[i, c] = (r * (1 + c / 2) - np.hypot(y - cy, x - cx)) * 1.5 + wobble
    low[::7, 0] = -5
    return low, rng.rand(n, 3).astype(np.float32)


def collected(low: np.ndarray, scores: np.ndarray, held: int = 768) -> Candidates:
    candidates = Candidates(held)
    candidates.add([Prediction(LogitMasks(logits, GEOMETRY), s) for logits, s in zip(low, scores, strict=True)])
    return candidates


@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.9])
def test_box_nms_one_pair_at_a_time(threshold: float) -> None:
    rng = np.random.RandomState(1)
    corner = rng.randint(0, 24, (300, 2))
    boxes = np.concatenate([corner, corner + rng.randint(12, 40, (300, 2))], axis=1)
    scores = rng.randint(0, 40, 300) / 40  # with ties, which the earlier wins
    wanted = oracle.nms([tuple(b) for b in boxes.tolist()], scores.tolist(), threshold)
    assert box_nms(boxes, scores, threshold).tolist() == wanted
    assert 1 < len(wanted) < 300


def test_box_nms_at_its_edges() -> None:
    assert box_nms(np.zeros((0, 4)), np.zeros(0), 0.5).shape == (0,)
    twice = np.array([[0, 0, 9, 9], [0, 0, 9, 9], [20, 20, 20, 25]])
    assert box_nms(twice, np.array([0.1, np.nan, 0.5]), 0.5).tolist() == [2, 0]
    half = np.array([[0, 0, 10, 10], [0, 0, 10, 5]])  # IoU exactly .5 is not above .5
    assert box_nms(half, np.array([1.0, 0.9]), 0.5).tolist() == [0, 1]
    with pytest.raises(ValueError, match="2 boxes and 1 scores"):
        box_nms(half, np.array([1.0]), 0.5)


def test_boxes_from_strips_are_those_of_the_regions() -> None:
    low, _ = blobs(60, seed=4)
    for logits in low:
        quick, whole = LogitMasks(logits, GEOMETRY), LogitMasks(logits, GEOMETRY)
        assert quick.box().tolist() == [list(whole.region(i).box_xyxy) for i in range(3)]


@pytest.mark.parametrize("held", [768, 20])
def test_the_map_equals_the_straightforward_one(held: int) -> None:
    low, scores = blobs(40)
    candidates = collected(low, scores, held)
    found = outline_map(candidates, *SIZE, nms_iou=0.7)
    wanted = oracle.reference(low.reshape(-1, *LOW), scores.reshape(-1), SQUARE, CROP, SIZE)
    assert found.n_masks == len(wanted.kept) < 120
    assert np.abs(found.strength - wanted.strength).max() < 1e-4
    assert np.abs(scaled(found.strength) - wanted.normalised).max() < 1e-4
    assert sum(c.masks is not None for c in candidates.found) <= held


def test_an_outline_by_definition() -> None:
    mask = np.zeros((1, 12, 16), bool)
    mask[0, 3:9, :7] = True  # cut off by the left border
    pixels, grad_x, grad_y = mask_outline(DenseMasks(mask), 0)
    on = np.zeros(12 * 16, bool)
    on[pixels] = True
    square = np.ones((3, 3), np.uint8)
    wanted = cv2.dilate(mask[0].astype(np.uint8), square) != cv2.erode(mask[0].astype(np.uint8), square)
    assert (on.reshape(12, 16) == wanted).all()
    assert not on.reshape(12, 16)[5, 0]  # no edge along the frame
    assert (grad_x == cv2.Sobel(mask[0].astype(np.float32), cv2.CV_32F, 1, 0).ravel()[pixels]).all()
    assert (grad_y == cv2.Sobel(mask[0].astype(np.float32), cv2.CV_32F, 0, 1).ravel()[pixels]).all()


class Replayed:
    """A segmenter that answers the k-th prompt with the k-th logits, again and again."""

    max_batch = 64

    def __init__(self, low: np.ndarray, scores: np.ndarray) -> None:
        self.low, self.scores, self.asked = low, scores, []

    def encode(self, image: np.ndarray) -> None:
        self.asked = []

    def decode(self, state: None, prompts: list[Prompt]) -> list[Prediction]:
        out = []
        for p in prompts:
            k = len(self.asked) % len(self.low)
            self.asked.append(p)
            out.append(Prediction(LogitMasks(self.low[k].copy(), GEOMETRY), self.scores[k]))
        return out


def sample() -> Sample:
    truth = np.zeros(SIZE, bool)
    truth[50] = True
    image = np.zeros((*SIZE, 3), np.uint8)
    return Sample("set", "one", *SIZE, (), lambda: image, boundaries=(truth,), boundary_max_dist=0.0075)


@pytest.mark.parametrize("nms", ["canny", "dollar", "none"])
def test_the_task_asks_a_grid_and_thins(nms: str) -> None:
    low, scores = blobs(64)
    model = Replayed(low, scores)
    found = EdgeTask(EdgeSettings(grid=8, nms=nms)).predict(sample(), model, Context())
    assert len(model.asked) == 64
    assert all(p.multimask and p.labels.tolist() == [1] for p in model.asked)
    assert model.asked[1].points_xy.tolist() == [[30.0, 6.6875]]
    outline = outline_map(collected(low, scores), *SIZE, nms_iou=0.7)
    strength = scaled(outline.strength)
    wanted = {
        "canny": canny_nms(strength, outline.grad_x, outline.grad_y), "dollar": dollar_nms(strength), "none": strength
    }[nms]  # fmt: skip
    assert (found.edge_map == wanted).all()
    assert found.n_masks == outline.n_masks
    assert 0 <= found.edge_map.min() < found.edge_map.max() <= 1
    rows = EdgeTask(EdgeSettings(grid=8, nms=nms)).rows(sample(), model, Context())
    assert {row["n_masks"] for row in rows} == {outline.n_masks}


def test_a_model_that_finds_nothing_gives_an_empty_map() -> None:
    model = Replayed(np.full((1, 3, *LOW), -3, np.float32), np.zeros((1, 3), np.float32))
    found = EdgeTask(EdgeSettings(grid=2)).predict(sample(), model, Context())
    assert not found.edge_map.any()
    assert found.n_masks == 0


def test_memory_does_not_follow_the_number_of_masks() -> None:
    low, scores = blobs(64)
    peaks = []
    for grid in (16, 32):
        model = Replayed(low, scores)
        tracemalloc.start()
        EdgeTask(EdgeSettings(grid=grid)).predict(sample(), model, Context())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    full_maps = 3 * 32**2 * SIZE[0] * SIZE[1] * 4
    assert peaks[1] < full_maps / 4
    assert peaks[1] - peaks[0] < 2304 * 12_000  # bytes a further mask: its outline
