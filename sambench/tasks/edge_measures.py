"""What runs of the edge task are compared by: the benchmark's scores of the set, and each image's best F."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sambench.errors import RunError
from sambench.metrics.bootstrap import Float64Array
from sambench.metrics.edges import counts_to_draw, edge_scores, scores_of_draws
from sambench.tasks.object_measures import ObjectMeasure, column
from sambench.tasks.set_measures import Score, SetScores

if TYPE_CHECKING:
    import pandas as pd

    from sambench.tasks.task import StoredRows

COUNTS = ["cnt_r", "sum_r", "cnt_p", "sum_p"]
SCORES = ("ods", "ois", "ap", "r50")
IMAGE_F = "image_f"
BY_PEOPLE = 1.0  # the "threshold" of annotators, which no map has: theirs lie below 1


def counts_of(frame: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], list[str]]:
    """Thresholds [T], counts int64 [N, T, 4] and cluster by image of rows with status `ok`, images sorted by id.

    Raises RunError where images have different thresholds.
    """
    frame = frame.sort_values(["image_id", "t"], kind="stable")
    n_images = frame["image_id"].nunique()
    t = frame["t"].to_numpy(np.float64)
    thresholds = t[: len(t) // n_images]
    if len(t) % n_images or (t.reshape(n_images, -1) != thresholds).any():
        raise RunError(
            "the images of a set were counted at different thresholds",
            expected="maps of one kind: strengths, or families of the same number of binary maps",
            found=", ".join(f"{n} thresholds" for n in sorted(frame.groupby("image_id").size().unique().tolist())),
            remedy="give every image a map of the same kind",
        )
    counts = frame[COUNTS].to_numpy(np.int64).reshape(n_images, len(thresholds), 4)
    return thresholds, counts, frame["cluster_id"].to_numpy()[:: len(thresholds)].tolist()


@dataclass(frozen=True)
class EdgeMeasure:
    """Some of SCORES, of counts that are summed over the images of a draw."""

    names: tuple[str, ...] = SCORES
    counted = "images"
    by_category = False

    def scored(self, rows: StoredRows, /) -> SetScores:
        """Of a cell's rows. Raises RunError as `counts_of`."""
        frame = rows.frame()
        ids = sorted(frame["image_id"].unique().tolist())
        if not ids:
            return _EdgeSet([], [], self.names, np.zeros(0), np.zeros((0, 4)))
        thresholds, counts, clusters = counts_of(frame)
        if thresholds.tolist() == [BY_PEOPLE]:  # one point of recall and precision: no curve, and nothing to choose by image
            return _EdgeSet(ids, clusters, tuple(n for n in self.names if n == "ods"), thresholds, counts_to_draw(counts))
        return _EdgeSet(ids, clusters, self.names, thresholds, counts_to_draw(counts))


@dataclass(frozen=True)
class _EdgeSet:
    image_ids: Sequence[str]
    cluster_ids: Sequence[str]
    names: tuple[str, ...]
    thresholds: Float64Array
    counts: Float64Array

    @property
    def scores(self) -> Sequence[Score]:
        return [Score(name.upper()) for name in self.names]

    def of_draws(self, weights: Float64Array, /) -> Float64Array:
        found = scores_of_draws(self.counts, self.thresholds, weights)[:, [SCORES.index(n) for n in self.names]]
        found[~weights.any(axis=1)] = np.nan
        return found


def edge_sets() -> dict[str, EdgeMeasure]:
    """All four scores, and each alone."""
    return {"scores": EdgeMeasure(), **{name: EdgeMeasure((name,)) for name in SCORES}}


def _best_f(frame: pd.DataFrame) -> pd.DataFrame:
    """A row an image: its best F over thresholds (what OIS picks), and the pixels that were annotated."""
    frame = frame.sort_values(["image_id", "t"], kind="stable")
    first = frame.groupby("image_id", sort=True)[["cluster_id", "sum_r"]].first().reset_index()
    thresholds, counts, _ = counts_of(frame)
    best = edge_scores(counts, thresholds).image_f
    return first.rename(columns={"sum_r": "area_px"}).assign(object_id="", **{IMAGE_F: best})


def edge_images() -> dict[str, ObjectMeasure]:
    """Each image's best F, a number between 0 and 1."""
    read: Callable[[pd.DataFrame], Any] = column(IMAGE_F)
    return {IMAGE_F: ObjectMeasure(("t", *COUNTS), read, objects=_best_f, of_images=True)}
