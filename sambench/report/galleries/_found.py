"""What galleries share: which rows are shown, with their images; an object and the mask that was found for it, in a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.pixels.region import Region
from sambench.report import overlays
from sambench.report.galleries import Asked
from sambench.results.stored_masks import dataset_of
from sambench.store.views import CellView
from sambench.types import Sample

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_NONE = np.zeros((0, 2)), np.zeros(0, np.int8)


def ranked(
    rows_of: Callable[[CellView], pd.DataFrame],
    cell: CellView,
    asked: Asked,
    value: str,
    keys: Sequence[str],
    larger_first: Sequence[str] = (),
) -> pd.DataFrame:
    """The `asked.n` rows of a cell of the best, of the worst, or with a partner of the most different values.

    rows_of: rows of a cell, with `keys`, by which those of the partner are found, and `value`, a column in [0, 1]. Of equal ones
    those of larger columns `larger_first` come first, then the keys decide. The column `rank` is what they are sorted by, and
    `<value>_other` the partner's value.
    """
    frame = rows_of(cell)
    if asked.partner is not None:
        theirs = rows_of(asked.partner)[[*keys, value]]
        frame = frame.merge(theirs, on=list(keys), suffixes=("", "_other"), validate="one_to_one")
        frame["rank"] = (frame[value] - frame[f"{value}_other"]).abs()
    else:
        frame["rank"] = frame[value] if asked.kind == "best" else 1 - frame[value]
    falling = ["rank", *larger_first]
    order = [False] * len(falling) + [True] * len(keys)
    return frame.sort_values([*falling, *keys], ascending=order, kind="stable").head(asked.n)


def with_samples(chosen: pd.DataFrame, cell: CellView, asked: Asked) -> Iterator[tuple[dict[str, Any], Sample]]:
    """Every row with the sample of its image, which is loaded once. Raises DataMissingError where there is a row and no dataset."""
    if chosen.empty:
        return
    data, samples = dataset_of(cell, asked.root), dict[str, Sample]()
    for record in chosen.to_dict("records"):
        row = {str(column): value for column, value in record.items()}
        image_id = str(row["image_id"])
        if image_id not in samples:
            samples[image_id] = data.load(image_id)
        yield row, samples[image_id]


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
