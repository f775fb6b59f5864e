"""Which images of a dataset a run uses. (placeholder until the full module lands)"""

from __future__ import annotations

from dataclasses import dataclass

from sambench import provenance
from sambench.cards import DatasetCard
from sambench.types import Dataset


@dataclass(frozen=True)
class Subset:
    name: str
    image_ids: tuple[str, ...]
    n_masks: int
    digest: str
    is_paper_size: bool
    note: str


def choose_subset(dataset: Dataset, card: DatasetCard, subset: str) -> Subset:
    records = {r.image_id: r for r in dataset.index() if r.n_masks}
    ids = tuple(provenance.keyed_order(records, card.id))
    return Subset(subset, ids, sum(r.n_masks for r in records.values()), provenance.digest(sorted(ids)), False, "")
