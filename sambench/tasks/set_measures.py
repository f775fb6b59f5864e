"""What two runs of a task can be compared by beside means over objects: scores that only a set of images has (ODS, AP, F1 of sums).

Such a score has no value an object, but it has one for every draw of images, so that intervals and differences come of a bootstrap:
of two runs with the same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sambench.metrics.bootstrap import Float64Array

if TYPE_CHECKING:
    import pandas as pd

    from sambench.tasks.task import StoredRows

ORDINAL = ("image_id", "cluster_id")


@dataclass(frozen=True)
class Score:
    """One of a measure's scores: its name in a table, the objects it is made of (None: its images are what counts), and the
    clusters in which they lie (None: all)."""

    name: str
    n_objects: int | None = None
    n_clusters: int | None = None


class SetScores(Protocol):
    """The scores of N images, and of any draw of them."""

    @property
    def image_ids(self) -> Sequence[str]:
        """N, in any order."""
        ...

    @property
    def cluster_ids(self) -> Sequence[str]:
        """N: what is drawn together."""
        ...

    @property
    def scores(self) -> Sequence[Score]:
        """S, the headline first."""
        ...

    def of_draws(self, weights: Float64Array, /) -> Float64Array:
        """float64 [R, S], higher is better, in [0, 1]; NaN where a draw has none. weights float64 [R, N]: how often each image
        stands in each draw, whole numbers from 0."""
        ...


class SetMeasure(Protocol):
    """A way to score a set. counted: what a score is made of, as a table's heading. by_category: whether there is a score for every
    category, whose p-values are corrected for together. `scored` reads the rows of a cell, those with status `ok`."""

    @property
    def counted(self) -> str: ...

    @property
    def by_category(self) -> bool: ...

    def scored(self, rows: StoredRows, /) -> SetScores: ...


@dataclass(frozen=True)
class SumMeasure:
    """A score made of sums over rows.

    columns: what must be read. counts: float64 [n, K] of n rows, to be summed; zeros of a row that does not count. value: float64
    [...] of sums [..., K]; NaN where it is not defined. name: in a table.
    """

    columns: tuple[str, ...]
    counts: Callable[[pd.DataFrame], Any]
    value: Callable[[Any], Any]
    name: str = ""
    counted = "images"
    by_category = False

    def scored(self, rows: StoredRows, /) -> SetScores:
        """Of the rows of a cell, part by part."""
        ids: list[str] = []
        clusters: list[str] = []
        sums = []
        for frame in rows.parts(list(dict.fromkeys([*ORDINAL, *self.columns]))):
            counts = np.asarray(self.counts(frame), np.float64)
            images, codes = np.unique(frame["image_id"].to_numpy(), return_inverse=True)
            here = np.zeros((len(images), counts.shape[1]))
            np.add.at(here, codes.reshape(-1), counts)
            ids += images.tolist()
            clusters += frame.groupby("image_id")["cluster_id"].first().reindex(images).tolist()
            sums.append(here)
        return _Sums(ids, clusters, (Score(self.name),), np.concatenate(sums) if sums else np.zeros((0, 0)), self.value)


@dataclass(frozen=True)
class _Sums:
    image_ids: Sequence[str]
    cluster_ids: Sequence[str]
    scores: Sequence[Score]
    by_image: Float64Array
    value: Callable[[Any], Any]

    def of_draws(self, weights: Float64Array, /) -> Float64Array:
        # einsum, not a matrix product: BLAS splits sums among threads, and the last bits would follow their number.
        return np.asarray(self.value(np.einsum("rn,nk->rk", weights, self.by_image)), np.float64)[:, None]
