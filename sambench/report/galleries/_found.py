"""What the galleries of detections and proposals share: an object, and the mask that was found for it, in a window of the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.pixels.region import Region
from sambench.report import overlays
from sambench.types import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NONE = np.zeros((0, 2)), np.zeros(0, np.int8)


def panels(
    sample: Sample, truth: Region, shown: Sequence[tuple[str, Region | None]], *, around: Sequence[Region] = ()
) -> tuple[Callable[[Axes], None], ...]:
    """A panel for each caption and mask (None: the ground truth alone), all of one window: that of `around`, or of the object."""
    window = overlays.window_of(sample, around or [truth])
    return tuple(
        partial(
            overlays.draw_panel,
            image=sample.image,
            window=window,
            truth=truth,
            shown=overlays.Shown(caption, mask, *_NONE),
        )
        for caption, mask in shown
    )


def region(raw: Any, sample: Sample) -> Region:
    """A stored mask of an image."""
    return Region.from_rle({"size": [sample.height, sample.width], "counts": raw})
