"""From low-resolution logits to IoU, 64 prompts x 3 masks, one thread: `LogitMasks.iou` against the official post-processing.

The peer is PyPI's `Sam.postprocess_masks` (two full-frame resizes), the threshold, and boolean IoU on whole frames, a prompt at a
time, as a loop around its predictor does. Logits are synthetic, from -25 to 25: ellipses with rough edges, three nested ones a
prompt (part, object, larger group), half-axes of 4 to 90 low-resolution pixels: compact, as SAM's masks are. One row has larger
ones, to show what size costs. Times are a mask's; the regions are computed afresh in each round.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from benchmarks.peers import interleaved_ms, official_vit_b, one_thread
from sambench.models.sam.segmenter import resized_size
from sambench.pixels.candidates import Geometry, LogitMasks
from sambench.pixels.region import Region

PROMPTS = 64
ROUNDS = 5
# height, width, largest half-axis of a prompt's object in low-resolution pixels, bar
SIZES = ((768, 1024, 45, 30.0), (768, 1024, 120, None), (1200, 1600, 45, 5.0), (375, 500, 45, 5.0), (480, 640, 45, 5.0))


def nested_ellipses(crop: tuple[int, int], largest: float, seed: int = 0) -> np.ndarray:
    """float32 [PROMPTS, 3, 256, 256], inside the part of the low-resolution square that the image takes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:256, 0:256].astype(np.float32)
    out = np.empty((PROMPTS, 3, 256, 256), np.float32)
    for prompt in out:
        cy, cx = rng.uniform(0, crop[0] / 4), rng.uniform(0, crop[1] / 4)
        angle, (a, b) = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(8), np.log(largest), 2))
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        for mask, scale in zip(prompt, (0.5, 1.0, 2.0), strict=True):
            distance = np.hypot(u / (a * scale), v / (b * scale))
            rough = rng.standard_normal((256, 256)).astype(np.float32) * 0.4
            np.clip((1 - distance) * min(a, b) * scale + rough - 0.5, -25, 25, out=mask)
    return out


def measure(postprocess: Any, height: int, width: int, largest: float, bar: float | None) -> dict[str, Any]:
    """One image size."""
    crop = resized_size(height, width, 1024)
    logits = nested_ellipses(crop, largest)
    tensors = torch.from_numpy(logits)
    geometry = Geometry(low=(256, 256), square=(1024, 1024), crop=crop, size=(height, width))
    # Ground truth: each prompt's object, moved a little.
    truth = [np.roll(LogitMasks(low, geometry).array(1), (5, -7), (0, 1)) for low in logits]
    regions = [Region.from_array(t) for t in truth]

    def ours() -> np.ndarray:
        return np.stack([LogitMasks(low, geometry).iou(r) for low, r in zip(logits, regions, strict=True)])

    def official() -> np.ndarray:
        out = []
        for low, t in zip(tensors, truth, strict=True):
            masks = (postprocess(low[None], crop, (height, width)) > 0)[0].numpy()
            inter = np.count_nonzero(masks & t, axis=(1, 2))
            union = np.count_nonzero(masks | t, axis=(1, 2))
            out.append(inter / np.maximum(union, 1))
        return np.stack(out)

    got, expected = ours(), official()
    times = interleaved_ms(ours, official, ROUNDS)
    per_mask = {k: v / logits[..., 0, 0].size if k != "ratio" else v for k, v in times.items()}
    share = float(np.mean([LogitMasks(low, geometry).area().mean() for low in logits])) / (height * width)
    name = f"logits to IoU, {width} x {height} (masks cover {share:.0%} on average)"
    maxdiff = float(np.abs(got - expected).max())
    return {"name": name, **per_mask, "maxdiff": maxdiff, "equal": bool(np.array_equal(got, expected)), "bar": bar}


@torch.inference_mode()
def main() -> list[dict[str, Any]]:
    """One row an image size."""
    with one_thread():
        postprocess = official_vit_b().postprocess_masks
        return [measure(postprocess, *size) for size in SIZES]


if __name__ == "__main__":
    for line in main():
        print(json.dumps(line))
