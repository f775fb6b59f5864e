"""Click simulation against the full-frame clicker: time a click, and whether the clicks are the same.

The peer is written from the description of RITM's clicker (Sofiiuk et al. 2021): both error regions of the whole frame, padded
with a ring of zeros, OpenCV's exact Euclidean transform in float32, clicked pixels set to zero, first maximum in row-major
order, background at equal depth. Ours starts where the point task stands, from `Region`s. Images are 1024 x 768.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from sambench.pixels.region import Region
from sambench.prompts import Click, next_click

HEIGHT, WIDTH = 768, 1024
ROUNDS = 7
BAR = 15.0


def peer_click(gt: np.ndarray, pred: np.ndarray, not_clicked: np.ndarray) -> Click | None:
    """gt, pred, not_clicked bool [H, W]."""
    misses, excesses = gt & ~pred, pred & ~gt
    depths = []
    for region in (misses, excesses):
        padded = np.pad(region, 1).astype(np.uint8)
        depths.append(cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1] * not_clicked)
    highest = [float(d.max()) for d in depths]
    if max(highest) == 0:
        return None
    positive = highest[0] > highest[1]
    y, x = np.argwhere(depths[0 if positive else 1] == max(highest))[0]
    return Click(int(x), int(y), positive)


def blob(rng: np.random.Generator, side: int) -> np.ndarray:
    """bool [HEIGHT, WIDTH]: a smooth object of about `side` pixels, wholly inside the frame."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = 1 + sum(rng.normal(0, 0.22 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(1, 7))
    centre = rng.uniform([side * 0.5, side * 0.5], [WIDTH - side * 0.5, HEIGHT - side * 0.5])
    outline = centre + 0.45 * side * radius[:, None] * np.stack([np.cos(angle), 0.8 * np.sin(angle)], 1)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [outline.round().astype(np.int32)], 1)
    return mask.view(np.bool_)


def wobble(rng: np.random.Generator, mask: np.ndarray, amount: float) -> np.ndarray:
    """The mask with its boundary moved at random by about `amount` pixels: what a good prediction gets wrong."""
    signed = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 5) - cv2.distanceTransform(
        (~mask).view(np.uint8), cv2.DIST_L2, 5
    )
    noise = cv2.GaussianBlur(rng.standard_normal(mask.shape).astype(np.float32), (0, 0), 8)
    return signed + noise / noise.std() * amount > 0


def cases(seed: int = 0) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """(target, prediction) by name: sides as in datasets of photographs, errors as of models after some clicks."""
    rng = np.random.default_rng(seed)
    sides = [24, 40, 64, 100, 150, 220, 320, 450]
    empty = np.zeros((HEIGHT, WIDTH), np.bool_)
    targets = [blob(rng, s) for s in sides]
    speckle = rng.random((HEIGHT, WIDTH)) < 0.002
    return {
        "first click (nothing predicted)": [(t, empty) for t in targets],
        "boundary errors": [(t, wobble(rng, t, 3)) for t in targets],
        "boundary errors, a part missing": [
            (t, wobble(rng, t, 3) & ~blob_at(t, rng, s // 3)) for t, s in zip(targets, sides, strict=True)
        ],
        "boundary errors, another object too": [(t, wobble(rng, t, 3) | blob(rng, 120)) for t in targets],
        "boundary errors, speckles everywhere": [(t, wobble(rng, t, 3) ^ speckle) for t in targets],
        "wholly wrong object": [(t, blob(rng, s)) for t, s in zip(targets, sides, strict=True)],
    }


def blob_at(target: np.ndarray, rng: np.random.Generator, side: int) -> np.ndarray:
    """bool, a disc of `side` pixels around a pixel of the target."""
    y, x = rng.choice(np.argwhere(target))
    return cv2.circle(np.zeros(target.shape, np.uint8), (int(x), int(y)), side // 2, 1, -1).view(np.bool_)


def _ms(function: Callable[[], Any]) -> float:
    start = time.process_time_ns()
    function()
    return (time.process_time_ns() - start) / 1e6


def measure(pairs: list[tuple[np.ndarray, np.ndarray]], clicks: int = 3) -> dict[str, Any]:
    """Three clicks with the prediction unchanged, per pair; ms a click, medians over rounds in which both take turns."""
    regions = [(Region.from_array(t), Region.from_array(p)) for t, p in pairs]

    def ours() -> list[list[Click | None]]:
        out: list[list[Click | None]] = []
        for target, prediction in regions:
            row: list[Click | None] = []
            for _ in range(clicks):
                row.append(next_click(target, prediction, clicked=[(c.x, c.y) for c in row if c is not None]))
            out.append(row)
        return out

    def peer() -> list[list[Click | None]]:
        out: list[list[Click | None]] = []
        for target, prediction in pairs:
            row: list[Click | None] = []
            not_clicked = np.ones(target.shape, np.bool_)
            for _ in range(clicks):
                row.append(peer_click(target, prediction, not_clicked))
                if row[-1] is not None:
                    not_clicked[row[-1].y, row[-1].x] = False
            out.append(row)
        return out

    equal = ours() == peer()
    times = [(_ms(ours), _ms(peer)) for _ in range(ROUNDS)]
    ours_ms, peer_ms = (statistics.median(t[i] for t in times) / (clicks * len(pairs)) for i in (0, 1))
    return {"ours_ms": ours_ms, "peer_ms": peer_ms, "ratio": peer_ms / ours_ms, "equal": equal}


def main() -> list[dict[str, Any]]:
    """One row a kind of error, and one of all together, which the bar is for."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        by_name = cases()
        rows = [{"name": f"click, {name}", **measure(pairs), "bar": None} for name, pairs in by_name.items()]
        everything = {key: statistics.mean(r[key] for r in rows) for key in ("ours_ms", "peer_ms")}
    finally:
        cv2.setNumThreads(before)
    whole = {
        "name": "click, all of these",
        **everything,
        "ratio": everything["peer_ms"] / everything["ours_ms"],
        "equal": all(r["equal"] for r in rows),
        "bar": BAR,
    }
    return [*rows, whole]


if __name__ == "__main__":
    for line in main():
        print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}))
