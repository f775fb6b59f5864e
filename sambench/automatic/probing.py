"""Masks that an image encoder takes for alike: nearest neighbours by embedding (Segment Anything, D.6 and figure 17)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sambench.models.embedding import Embeds, mask_embedding, similarities
from sambench.provenance import keyed_order
from sambench.types import Instance, Sample


@dataclass(frozen=True)
class ProbedMask:
    """A mask of an image. embedding: float64 [C], of unit length."""

    sample: Sample
    instance: Instance
    embedding: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Neighbours:
    """A mask with those most alike, by falling cosine of their embeddings, in [-1, 1]."""

    query: ProbedMask
    found: tuple[tuple[ProbedMask, float], ...]


@dataclass(frozen=True)
class Agreement:
    """How often a mask's nearest neighbour is of its category. n: masks that have a category, and another mask to be near to;
    share: of these; chance: the same of a neighbour drawn at random. NaN for no mask."""

    n: int
    share: float
    chance: float


def embedded(
    model: Embeds, samples: Iterable[Sample], *, most: int, on_mask: Callable[[Sample], object] = lambda sample: None
) -> list[ProbedMask]:
    """The masks of images with their embeddings, by image; of more than `most` of an image those that a keyed hash chooses.

    on_mask: told after each. Raises ModelError.
    """
    out = []
    for sample in samples:
        by_id = {i.object_id: i for i in sample.instances}
        kept = set(keyed_order(by_id, f"{sample.dataset} {sample.image_id}")[:most])
        for object_id, instance in by_id.items():
            if object_id in kept:
                out.append(ProbedMask(sample, instance, mask_embedding(model, sample.image, instance.region)))
                on_mask(sample)
    return out


def neighbours(masks: Sequence[ProbedMask], *, n_queries: int, n: int, across: bool) -> list[Neighbours]:
    """Queries, chosen by a keyed hash, with their n nearest masks: of their own image, or of all (across).

    Images take turns in giving a query. One without another mask gives none.
    """
    order = keyed_order([_key(m) for m in masks], "figure 17")
    by_key = {_key(m): i for i, m in enumerate(masks)}
    queues: dict[str, list[int]] = {}
    for key in order:
        queues.setdefault(masks[by_key[key]].sample.image_id, []).append(by_key[key])
    turns = [q[k] for k in range(max(map(len, queues.values()), default=0)) for q in queues.values() if k < len(q)]
    near = _near(masks, across)
    out: list[Neighbours] = []
    for i in turns:
        order_of = near[i]
        if len(order_of) and len(out) < n_queries:
            out.append(Neighbours(masks[i], tuple((masks[j], cosine) for j, cosine in order_of[:n])))
    return out


def agreement(masks: Sequence[ProbedMask], *, across: bool) -> Agreement:
    """Over all masks, of categories of the dataset."""
    same, chance = [], []
    totals = Counter(_pool(m, across) for m in masks)
    of_kind = Counter((_pool(m, across), m.instance.category) for m in masks)
    for mask, found in zip(masks, _near(masks, across), strict=True):
        category, pool = mask.instance.category, _pool(mask, across)
        if category and found:
            same.append(masks[found[0][0]].instance.category == category)
            chance.append((of_kind[pool, category] - 1) / (totals[pool] - 1))
    n = len(same)
    return Agreement(n, float(np.mean(same)) if n else float("nan"), float(np.mean(chance)) if n else float("nan"))


def _near(masks: Sequence[ProbedMask], across: bool) -> list[list[tuple[int, float]]]:
    """For each mask the others of its pool with their cosines, nearest first; equal ones in order."""
    if not masks:
        return []
    cosines = similarities(np.stack([m.embedding for m in masks]))
    pools = [_pool(m, across) for m in masks]
    out = []
    for i, row in enumerate(cosines):
        order = np.argsort(-row, kind="stable").tolist()
        out.append([(j, float(row[j])) for j in order if j != i and pools[j] == pools[i]])
    return out


def _pool(mask: ProbedMask, across: bool) -> str:
    return "" if across else mask.sample.image_id


def _key(mask: ProbedMask) -> str:
    return f"{mask.sample.image_id}\0{mask.instance.object_id}"
