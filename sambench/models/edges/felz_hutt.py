"""Boundaries of Felzenszwalb and Huttenlocher's segmentations (IJCV 2004) at several scales. Frozen: other numbers are compared
with it.

The graph is the 8-neighbourhood, a weight the Euclidean distance of colours, both as in scikit-image's `felzenszwalb`, whose
segmentations these are (a test compares them). The weights are sorted once for all scales, which saves most of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sambench.errors import UsageError, unknown_name
from sambench.models.edges.gradients import check_plain
from sambench.pixels.edge_maps import seg2bdry
from sambench.types import EdgeOutput, UInt8Array

Combine = Literal["family", "mean"]


class FelzHutt:
    """scales: k of the paper, for colours from 0 to 255, ascending. sigma: blur in pixels. min_size: smallest region in pixels.

    combine: `family` gives the boundaries of every scale, each benchmarked as if it were a threshold; `mean` their mean.
    """

    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, scales: tuple[float, ...], sigma: float, min_size: int, combine: Combine) -> None:
        self.scales, self.sigma, self.min_size, self.combine = scales, sigma, min_size, combine
        self.identity: Mapping[str, Any] = {
            "model": "felz_hutt",
            "scales": list(scales),
            "sigma": sigma,
            "min_size": min_size,
            "combine": combine,
        }

    def edges(self, image: UInt8Array) -> EdgeOutput:
        """image uint8 [H, W, 3] RGB -> bool [scales, H, W], fine to coarse, or float64 [H, W] in [0, 1]."""
        family = np.stack([seg2bdry(s) for s in segmentations(image, self.scales, self.sigma, self.min_size)])
        return family if self.combine == "family" else family.mean(axis=0)


def segmentations(
    image: UInt8Array, scales: tuple[float, ...], sigma: float, min_size: int
) -> list[npt.NDArray[np.int32]]:
    """int32 [H, W], labels (not consecutive) of the segmentation at each scale; image uint8 [H, W, 3]."""
    from scipy.ndimage import gaussian_filter

    from sambench.models.edges._felz_hutt import grow_regions

    smooth = gaussian_filter(image / 255.0, (sigma, sigma, 0))
    height, width = smooth.shape[:2]
    pixel = np.arange(height * width, dtype=np.int32).reshape(height, width)
    # Each pixel with its neighbours to the right, below, below right, and above right.
    pairs = (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[1:, :-1], np.s_[:-1, 1:]),
    )
    weight = np.concatenate([np.sqrt(((smooth[a] - smooth[b]) ** 2).sum(axis=-1)).ravel() for a, b in pairs])
    one, other = (np.concatenate([pixel[pair[i]].ravel() for pair in pairs]) for i in (0, 1))
    order = np.argsort(weight, kind="stable")
    edges = weight[order], one[order], other[order]
    return [grow_regions(*edges, height * width, k / 255, min_size).reshape(height, width) for k in scales]


def felz_hutt(
    *,
    sigma: float = 0.8,
    min_size: int = 50,
    k_min: float = 5,
    k_max: float = 1e4,
    n_scales: int = 12,
    combine: str = "family",
    device: str = "cpu",
    precision: str = "fp32",
    weights: Path | None = None,
) -> FelzHutt:
    """The factory of the card: n_scales scales from k_min to k_max, each the same factor above the last."""
    check_plain("felz_hutt", device, precision, weights)
    if combine not in ("family", "mean"):
        raise unknown_name("way to combine scales", combine, ("family", "mean"), where="-M combine")
    if not (0 < k_min <= k_max and n_scales >= 1 and sigma >= 0 and min_size >= 1):
        raise UsageError(
            "options of felz_hutt do not fit",
            where="-M",
            expected="0 < k_min <= k_max, n_scales >= 1, sigma >= 0, min_size >= 1",
            found=f"k_min={k_min}, k_max={k_max}, n_scales={n_scales}, sigma={sigma}, min_size={min_size}",
        )
    scales = tuple(float(k) for k in np.geomspace(k_min, k_max, n_scales))
    return FelzHutt(scales, float(sigma), int(min_size), "mean" if combine == "mean" else "family")
