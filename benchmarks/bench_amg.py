"""Automatic masks with ViT-B against PyPI's generator: after the decoder, and from picture to masks. python -m benchmarks.run amg

Deterministic weights (tests/golden_weights.py), 16 x 16 points, filters at .7 and .9, the tests' procedural picture: a few minutes.
The first row feeds both sides the same low-resolution logits; a finer grid has more of them, and both sides are linear in it. The
second row holds the encoder too, which weighs less with a finer grid (protocol: 32 x 32).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask

from benchmarks.peers import official_vit_b, one_thread, our_vit_b
from sambench.automatic.generate import AutomaticMask, AutomaticSettings, generate
from sambench.pixels.candidates import LogitMasks
from sambench.types import Prediction
from tests.helpers.golden_weights import procedural_image

GRID = 16
# The weights are random: at the default thresholds hardly a mask passes.
OURS = AutomaticSettings(grid=GRID, pred_iou=0.7, stability=0.9)
PEERS = {"points_per_side": GRID, "pred_iou_thresh": 0.7, "stability_score_thresh": 0.9, "output_mode": "coco_rle"}
BAR_AFTER, BAR_WHOLE = 20.0, 2.0
NEARLY = 0.999  # the encoders' sums are taken in another order: a few pixels of a mask lie so near to logit 0


def main() -> list[dict[str, Any]]:
    """Two rows: CPU time of one round on one thread; equal if both sides give the same masks."""
    image = procedural_image()
    with one_thread():
        peer = official_generator()
        segmenter = our_vit_b()
        recorded = Recording(segmenter)
        found, ours_ms = timed(lambda: generate(recorded, image, OURS))
        wanted, peer_ms = timed(lambda: peer.generate(image))
        name = f"automatic masks, {GRID} x {GRID} points, from picture to masks, ViT-B"
        whole = row(name, ours_ms, peer_ms, BAR_WHOLE, found, wanted, NEARLY)
        replayed = Replayed(recorded)
        peer.predictor.predict_torch = replayed.for_peer(peer.predictor.model)
        peer.predictor.set_image = lambda *_: None
        found, ours_ms = timed(lambda: generate(replayed, image, OURS))
        wanted, peer_ms = timed(lambda: peer.generate(image))
        name = f"automatic masks after the decoder, {3 * GRID * GRID} candidates of 800 x 600"
        after = row(name, ours_ms, peer_ms, BAR_AFTER, found, wanted, 1.0)
    return [after, whole]


def official_generator() -> Any:
    """PyPI's, with its `torchvision` from the tests' stubs where there is none."""
    model = official_vit_b()
    from segment_anything import SamAutomaticMaskGenerator

    return SamAutomaticMaskGenerator(model, **PEERS)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """(value, CPU milliseconds)."""
    start = time.process_time_ns()
    value = function()
    return value, (time.process_time_ns() - start) / 1e6


def row(
    name: str,
    ours_ms: float,
    peer_ms: float,
    bar: float,
    ours: list[AutomaticMask],
    peer: list[dict[str, Any]],
    least_iou: float,
) -> dict[str, Any]:
    """equal: as many masks, and to each its partner of the same click with an IoU of `least_iou`; maxdiff: of predicted IoUs."""
    differences = []
    for mask in ours:
        same_click = [p for p in peer if np.allclose(p["point_coords"][0], mask.point_xy, atol=1e-3)]
        ious = [float(coco_mask.iou([mask.rle], [p["segmentation"]], [0])[0, 0]) for p in same_click]
        if ious and max(ious) >= least_iou:
            differences.append(abs(mask.predicted_iou - same_click[int(np.argmax(ious))]["predicted_iou"]))
    taken = {"ours_ms": ours_ms, "peer_ms": peer_ms, "ratio": peer_ms / ours_ms}
    equal = len(differences) == len(ours) == len(peer) > 0
    return {"name": f"{name}, {len(peer)} masks", **taken, "equal": equal, "maxdiff": max(differences, default=0.0), "bar": bar}


class Recording:
    """A segmenter that keeps what the decoder answers."""

    max_batch = 64

    def __init__(self, segmenter: Any) -> None:
        self.segmenter = segmenter
        self.answers: list[list[Prediction]] = []

    def encode(self, image: np.ndarray) -> Any:
        self.state = self.segmenter.encode(image)
        return self.state

    def decode(self, state: Any, prompts: list[Any]) -> list[Prediction]:
        self.answers.append(self.segmenter.decode(state, prompts))
        return self.answers[-1]


class Replayed:
    """The recorded answers, for both sides in the form that each takes from its decoder."""

    max_batch = 64

    def __init__(self, recorded: Recording) -> None:
        self.batches = [
            (np.stack([p.masks.low_res for p in batch]), np.stack([p.scores for p in batch])) for batch in recorded.answers
        ]
        self.geometry = recorded.state.geometry

    def encode(self, image: np.ndarray) -> Any:
        return iter(self.batches)

    def decode(self, state: Any, prompts: list[Any]) -> list[Prediction]:
        low, scores = next(state)
        return [Prediction(LogitMasks(logits, self.geometry), s) for logits, s in zip(low, scores, strict=True)]

    def for_peer(self, model: Any) -> Callable[..., Any]:
        """In place of the predictor's `predict_torch`: the logits brought to the picture by the official code."""
        batches = iter(self.batches)

        def predict_torch(points: Any, labels: Any, **_: Any) -> Any:
            low, scores = (torch.from_numpy(a) for a in next(batches))
            return model.postprocess_masks(low, self.geometry.crop, self.geometry.size), scores, low

        return predict_torch
