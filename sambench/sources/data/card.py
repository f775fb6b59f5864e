"""Datasets that have a card: named by its id, or by the path of its file, and by a variant after a colon."""

from __future__ import annotations

from pathlib import Path

from sambench import cards
from sambench.errors import DataMissingError
from sambench.loaders.open import find_root, open_dataset
from sambench.sources import here
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
        folder = Path(root).expanduser().absolute() if root else None
        card = cards.dataset_card(source)
        notes: tuple[str, ...] = ()
        if not cards.is_path(source) and here.exists(source):
            notes = here.notes_on(source, "dataset", released=card.released, read=folder or find_root(card))
        spec = DatasetSpec(cards.absolute(source), variant or "default", str(folder) if folder else None)
        return ResolvedDataset(spec, card, notes=notes)

    def build(self, dataset: ResolvedDataset) -> Dataset:
        try:
            return open_dataset(dataset.card, variant=dataset.spec.variant, root=dataset.root)
        except DataMissingError as e:
            e.remedy = "\n    ".join([*dataset.notes, e.remedy or ""]).rstrip()
            raise

    def check(self, dataset: ResolvedDataset, opened: Dataset) -> list[str]:
        return list(dataset.notes)


SOURCE = CardSource()
