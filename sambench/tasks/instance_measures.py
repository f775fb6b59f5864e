"""What runs of the instance task are compared by: AP of the set, by size, frequency and category; and each object's best IoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sambench.metrics.bootstrap import Float64Array
from sambench.metrics.instances import AREAS, THRESHOLDS, AveragePrecision, Draws
from sambench.tasks.instance_scores import AP_AT, COUNTED, FREQUENCIES, Census, batch_of, columns_of, in_order, limits_of
from sambench.tasks.object_measures import ObjectMeasure, column
from sambench.tasks.set_measures import Score, SetMeasure, SetScores

if TYPE_CHECKING:
    import pandas as pd

    from sambench.tasks.settings.instances import InstanceSettings
    from sambench.tasks.task import StoredRows

IOU_BEST = "iou_best"  # the best IoU of a detection of the object's category, 0 without one
_CELLS = 1 << 24  # numbers of one step: a draw has one for every category, size and threshold


def _countable(frame: pd.DataFrame) -> pd.DataFrame:
    """Objects that are no crowds, whose area is the annotation's."""
    return frame[frame["is_crowd"] == 0].rename(columns={"area": "area_px"})


BEST = ObjectMeasure(("area", "is_crowd", IOU_BEST), column(IOU_BEST), only=("kind", "object"), objects=_countable)


def instance_sets(settings: InstanceSettings) -> dict[str, SetMeasure]:
    """AP of masks as its table has it; by category; of boxes and, where they were asked for, of boundaries."""
    named = {"ap": ("mask", False), "category_ap": ("mask", True), "box_ap": ("box", False)}
    if settings.boundary:
        named |= {"boundary_ap": ("boundary", False)}
    return {name: ApMeasure(settings, *how) for name, how in named.items()}


class Matched(NamedTuple):
    """The detections of a cell, matched. image_ids: in the evaluators' order; names: of categories by id."""

    counted: AveragePrecision
    census: Census
    image_ids: list[str]
    names: dict[int, str]


def matched(rows: StoredRows, settings: InstanceSettings, variant: str, *, by_image: bool = False) -> Matched:
    """Of a cell's rows, read twice, a shard in memory at a time. variant: `mask`, `boundary`, `box`. by_image: so that
    `AveragePrecision.draws` can be asked for."""
    census, names = Census(), dict[int, str]()
    for frame in rows.parts([*COUNTED, "category"]):
        census.add(frame)
        named = frame.dropna(subset=["category_id"]).drop_duplicates("category_id")
        names |= dict(zip(named["category_id"].astype(int), named["category"].astype(str), strict=True))
    ids = in_order(list(census.images))
    order = {image_id: i for i, image_id in enumerate(ids)}
    counted = AveragePrecision(limits_of(settings.max_dets, federated=census.federated), by_image=by_image)
    for frame in rows.parts(columns_of([variant], sized=settings.areas == "official")):
        counted.add(batch_of(frame, variant, order, federated=census.federated))
    return Matched(counted, census, ids, names)


@dataclass(frozen=True)
class ApMeasure:
    """AP of one variant, as `instance_scores.metric_rows` counts it. by_category: a score a category, instead of by size."""

    settings: InstanceSettings
    variant: str = "mask"
    by_category: bool = False
    counted = "objects"

    def scored(self, rows: StoredRows, /) -> SetScores:
        """Of a cell's rows."""
        found = matched(rows, self.settings, self.variant, by_image=True)
        if not found.census.n_objects:
            return _ApSet([], [], None, [])
        draws, clusters = found.counted.draws(), [found.census.images[i] for i in found.image_ids]
        if self.by_category:
            parts = _categories(draws, found.names, clusters)
        else:
            parts = _parts(draws, found.census.by_frequency, found.census.n_objects)
        return _ApSet(found.image_ids, clusters, draws, parts)


@dataclass(frozen=True)
class _Part:
    """A score: the mean over categories [K] (bool), at thresholds [T] (bool), of the objects of one size."""

    score: Score
    categories: Any
    thresholds: Any
    area: int = 0


def _parts(draws: Draws, by_frequency: Mapping[str, set[int]], n_objects: int) -> list[_Part]:
    every, at_all = np.ones(len(draws.category_ids), np.bool_), np.ones(len(THRESHOLDS), np.bool_)
    by_size = draws.n_objects().sum(axis=0).tolist()
    out = [_Part(Score("AP", n_objects), every, at_all)]
    out += [_Part(Score(f"AP{100 * t:.0f}", n_objects), every, np.isclose(THRESHOLDS, t)) for t in AP_AT]
    out += [_Part(Score(f"AP {a}", by_size[i]), every, at_all, i) for i, a in enumerate(AREAS) if i and by_size[i]]
    of = draws.n_objects()[:, 0]
    for letter, name in FREQUENCIES.items():
        if letter in by_frequency:
            here = np.isin(draws.category_ids, list(by_frequency[letter]))
            out.append(_Part(Score(f"AP {name}", int(of[here].sum())), here, at_all))
    return out


def _categories(draws: Draws, names: Mapping[int, str], clusters: Sequence[str]) -> list[_Part]:
    at_all, n, of = np.ones(len(THRESHOLDS), np.bool_), draws.n_objects()[:, 0].tolist(), draws.counted
    out = []
    for k, c in enumerate(draws.category_ids.tolist()):
        if n[k]:
            images = of.image[(of.category == c) & (of.n[:, 0] > 0)]
            score = Score(names.get(c, str(c)), n[k], len({clusters[i] for i in images.tolist()}))
            out.append(_Part(score, draws.category_ids == c, at_all))
    return out


@dataclass(frozen=True)
class _ApSet:
    image_ids: Sequence[str]
    cluster_ids: Sequence[str]
    draws: Draws | None
    parts: Sequence[_Part]

    @property
    def scores(self) -> Sequence[Score]:
        return [p.score for p in self.parts]

    def of_draws(self, weights: Float64Array, /) -> Float64Array:
        if self.draws is None:
            return np.zeros((len(weights), 0))
        return self._of_draws(self.draws, weights)

    def _of_draws(self, draws: Draws, weights: Float64Array) -> Float64Array:
        """As `SetScores` says. Some draws at a time: many categories would fill the memory."""
        at_once = max(1, _CELLS // max(1, len(draws.category_ids) * len(AREAS) * len(THRESHOLDS)))
        columns = np.arange(len(self.image_ids))
        out = [np.zeros((0, len(self.parts)))]
        for first in range(0, len(weights), at_once):
            found = draws.precision(weights[first : first + at_once], columns)
            out.append(np.stack([_mean(found[:, p.categories, p.area][:, :, p.thresholds]) for p in self.parts], axis=1))
        return np.concatenate(out)


def _mean(values: Float64Array) -> Float64Array:
    """Over categories and thresholds [R, K, T], those with an object; NaN of none."""
    there = ~np.isnan(values)
    n = there.sum(axis=(1, 2))
    total = np.where(there, values, 0.0).sum(axis=(1, 2))
    out: Float64Array = np.divide(total, n, out=np.full(len(values), np.nan), where=n > 0)
    return out
