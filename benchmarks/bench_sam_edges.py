"""SAM's edge map after the decoder: outlines on windows against every mask at full size. python -m benchmarks.run sam_edges

The logits are those of ViT-B with the tests' deterministic weights on a made-up 481 x 321 photograph, from a 6 x 6 grid of points
(108 masks; the task's 16 x 16 takes the decoder half a minute, and both sides are linear in the number of masks).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from benchmarks.peers import interleaved_ms, one_thread, our_vit_b
from sambench.automatic.outlines import Candidates, outline_map
from sambench.pixels.candidates import LogitMasks
from sambench.prompts import point_grid
from sambench.tasks.edge import scaled
from sambench.types import Prediction, Prompt
from tests.helpers.mask_edges_oracle import Reference, reference

HEIGHT, WIDTH, GRID = 321, 481, 6
BAR = 5.0


def main(rounds: int = 3) -> list[dict[str, Any]]:
    """One row: CPU time, medians of interleaved rounds on one thread."""
    with one_thread():
        low, scores, geometry = decoded()
        found: dict[str, Any] = {}

        def ours() -> None:
            candidates = Candidates()
            for logits, score in zip(low, scores, strict=True):
                candidates.add([Prediction(LogitMasks(logits, geometry), score)])
            outline = outline_map(candidates, HEIGHT, WIDTH, nms_iou=0.7)
            found["ours"] = scaled(outline.strength)

        def peer() -> None:
            flat = low.reshape(-1, *low.shape[2:])
            found["peer"] = reference(flat, scores.reshape(-1), geometry.square, geometry.crop, geometry.size)

        taken = interleaved_ms(ours, peer, rounds)
    wanted: Reference = found["peer"]
    maxdiff = float(np.abs(found["ours"] - wanted.normalised).max())
    name = f"SAM's edges after the decoder, {WIDTH} x {HEIGHT}, {scores.size} masks, against full frames"
    return [{"name": name, **taken, "maxdiff": maxdiff, "equal": maxdiff <= 1e-4, "bar": BAR}]


def decoded() -> tuple[np.ndarray, np.ndarray, Any]:
    """Low-resolution logits float32 [P, 3, 256, 256], scores [P, 3], and how they lie on the image."""
    segmenter = our_vit_b()
    rng = np.random.RandomState(0)
    image = np.clip(128 + 70 * sum(_noise(rng, s) for s in (3, 12, 40)), 0, 255).astype(np.uint8)
    state = segmenter.encode(image)
    asked = [Prompt(p[None], np.ones(1, np.int8)) for p in point_grid(GRID, HEIGHT, WIDTH)]
    answers = segmenter.decode(state, asked)
    return np.stack([a.masks.low_res for a in answers]), np.stack([a.scores for a in answers]), state.geometry


def _noise(rng: np.random.RandomState, sigma: float) -> np.ndarray:
    smooth = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH, 3)), (0, 0), sigma)
    return smooth / smooth.std()
