"""What segmenters of SAM's kind check and sort before they compute: pictures, and prompts of one shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sambench.errors import ModelError
from sambench.types import Prompt, UInt8Array


def check_image(image: UInt8Array, name: str) -> None:
    """Raises ModelError unless it is uint8 [H, W, 3] with pixels. name: the model's."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ModelError(
            f"{name} got an image that it can't read",
            expected="uint8 [H, W, 3], RGB",
            found=f"{image.dtype} {list(image.shape)}",
        )


def groups(prompts: Sequence[Prompt], max_batch: int) -> Iterator[list[int]]:
    """Indices of prompts of one shape, in order, at most max_batch each. Padding would change the answers.

    The shape: number of points, box or not, carry or not, multimask.
    """
    by_shape: dict[tuple[int, bool, bool, bool], list[int]] = {}
    for i, p in enumerate(prompts):
        shape = (len(p.labels), p.box_xyxy is not None, p.carry is not None, p.multimask)
        by_shape.setdefault(shape, []).append(i)
    for indices in by_shape.values():
        for start in range(0, len(indices), max_batch):
            yield indices[start : start + max_batch]
