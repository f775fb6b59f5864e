"""What an image encoder knows of a mask: the mean of the image's embedding over it (Segment Anything, D.6 and figure 17).

The paper embeds the crop of the image around a mask and that crop flipped from left to right, multiplies each embedding with the
mask, and averages over positions. Choices where it is silent: the crop is the mask's box with a tenth of its sides around it; a
position counts by the share of it that the mask covers; the two means are averaged and brought to unit length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sambench.errors import ModelError
from sambench.pixels.region import Region
from sambench.types import BoolArray, FloatArray, Segmenter, UInt8Array

MARGIN = 0.1  # of the box's sides, on each side


@dataclass(frozen=True)
class ImageEmbedding:
    """values float32 [C, h, w]: the features of an image's positions, in any unit. scale_xy: positions a pixel, across and down;
    positions beyond the image (padding) lie at the right and below."""

    values: FloatArray
    scale_xy: tuple[float, float]


@runtime_checkable
class Embeds(Segmenter, Protocol):
    """A segmenter whose state gives an embedding."""

    def embedding(self, state: Any) -> ImageEmbedding:
        """state: what `encode` gave."""
        ...


def embedder(segmenter: Any, name: str) -> Embeds:
    """The segmenter, if its state gives an embedding. Raises ModelError else."""
    if isinstance(segmenter, Embeds):
        return segmenter
    raise ModelError(
        "a model gives no embedding of an image",
        where=name,
        expected="a method embedding(state) that returns a sambench.models.embedding.ImageEmbedding",
        found=type(segmenter).__name__,
        remedy="choose a model of SAM's family, as sam_nano or hf:..., or add that method to yours",
    )


def mask_embedding(model: Embeds, image: UInt8Array, region: Region) -> npt.NDArray[np.float64]:
    """float64 [C] of unit length. image: uint8 [H, W, 3] RGB; region: of that frame, not empty.

    Raises ModelError where the model's embedding has another form, or values that are no numbers.
    """
    y0, x0, y1, x1 = crop_of(region)
    crop = np.ascontiguousarray(image[y0:y1, x0:x1])
    mask = region.full()[y0:y1, x0:x1]
    means = [_mean(model, np.ascontiguousarray(c), m) for c, m in ((crop, mask), (crop[:, ::-1], mask[:, ::-1]))]
    total = np.mean(means, axis=0)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length else total, np.float64)


def crop_of(region: Region) -> tuple[int, int, int, int]:
    """(y0, x0, y1, x1), half-open: the mask's box with its margin, within the image."""
    x0, y0, x1, y1 = region.box_xyxy
    across, down = round(MARGIN * (x1 - x0 + 1)), round(MARGIN * (y1 - y0 + 1))
    return max(0, y0 - down), max(0, x0 - across), min(region.height, y1 + 1 + down), min(region.width, x1 + 1 + across)


def _mean(model: Embeds, crop: UInt8Array, mask: BoolArray) -> npt.NDArray[np.float64]:
    """float64 [C]: the mean over the positions under the mask, each weighted by how many of the mask's pixels lie in it."""
    found = model.embedding(model.encode(crop))
    values = np.asarray(found.values, np.float64)
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        kind = f"{list(values.shape)}" + ("" if np.isfinite(values).all() else " with values that are no numbers")
        raise ModelError("an embedding cannot be used", expected="finite floats [channels, height, width]", found=kind)
    weights = np.zeros(values.shape[1:], np.float64)
    y, x = np.nonzero(mask)
    (sx, sy), (height, width) = found.scale_xy, values.shape[1:]
    rows = np.minimum(((y + 0.5) * sy).astype(np.intp), height - 1)
    columns = np.minimum(((x + 0.5) * sx).astype(np.intp), width - 1)
    np.add.at(weights, (rows, columns), 1.0)
    return np.asarray((values * (weights / weights.sum())).sum(axis=(1, 2)), np.float64)


def similarities(embeddings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64 [N, N]: cosines of N embeddings of unit length [N, C]."""
    return np.asarray(embeddings @ embeddings.T, np.float64)
