"""Boundary IoU of a mask that fills a large image with a small object's: against eroding the whole by OpenCV, as was done before.

One mask in ten answers of a threshold is the ground of the whole picture; that is what a picture of 12000 x 9000 spent its time on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import cv2
import numpy as np

from sambench.pixels.region import Region, boundary, boundary_dilation, boundary_overlap

HEIGHT, WIDTH = 4500, 6000
BAR = 3.0


def peer(a: Region, edge: Region, dilation: int) -> float:
    """The definition on whole windows."""
    square = np.ones((2 * dilation + 1,) * 2, np.uint8)
    inner = cv2.erode(a.array.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return Region.from_window(a.array & (inner == 0), a.y0, a.x0, a.height, a.width).iou(edge)


def _ms(function: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time_ns()
    value = function()
    return (time.process_time_ns() - start) / 1e6, value


def main() -> list[dict[str, object]]:
    """A row for the first use of a mask, and one for its use by another prompt."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        rng = np.random.default_rng(0)
        ground = rng.random((HEIGHT, WIDTH)) < 0.9999
        disc = np.hypot(*np.ogrid[-80:81, -80:81]) <= 80
        dilation = boundary_dilation(HEIGHT, WIDTH, 0.02)
        edge = boundary(Region.from_window(disc, 1000, 2000, HEIGHT, WIDTH), dilation)
        mask = Region.from_array(ground)
        rows: list[dict[str, object]] = []
        for name in ("first prompt", "another prompt with the same mask"):
            ours_ms, ours = _ms(lambda: boundary_overlap(mask, edge, dilation))
            peer_ms, theirs = _ms(lambda: peer(mask, edge, dilation))
            row = {"name": f"boundary IoU of a large mask, {name}", "ours_ms": ours_ms, "peer_ms": peer_ms}
            rows.append({**row, "ratio": peer_ms / ours_ms, "equal": ours == theirs, "bar": BAR})
        return rows
    finally:
        cv2.setNumThreads(before)


if __name__ == "__main__":
    for line in main():
        print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}))
