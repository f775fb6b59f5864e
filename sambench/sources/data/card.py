"""Datasets that have a card: named by its id, or by the path of its file, and by a variant after a colon."""

from __future__ import annotations

from pathlib import Path

from sambench import cards
from sambench.loaders.open import open_dataset
from sambench.sources.data.base import DatasetSpec, ResolvedDataset
from sambench.types import Dataset, Holds


class CardSource:
    """A `DatasetSource`."""

    form = ""
    needs = 1

    def gives(self, name: str) -> Holds | None:
        source, _ = cards.split_variant(name)
        return cards.holding(cards.dataset_card(source).mask_kind)

    def resolve(self, name: str, *, root: str | None = None) -> ResolvedDataset:
        source, variant = cards.split_variant(name)
        folder = str(Path(root).expanduser().absolute()) if root else None
        return ResolvedDataset(DatasetSpec(cards.absolute(source), variant or "default", folder), cards.dataset_card(source))

    def build(self, dataset: ResolvedDataset) -> Dataset:
        return open_dataset(dataset.card, variant=dataset.spec.variant, root=dataset.root)

    def check(self, dataset: ResolvedDataset, opened: Dataset) -> list[str]:
        return list(dataset.notes)


SOURCE = CardSource()
