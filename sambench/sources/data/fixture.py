"""`fixture:ID`: the tiny generated copy of a dataset in its native layout, for tests and to see that everything works."""

from __future__ import annotations

from dataclasses import replace

from sambench import fixtures
from sambench.sources.data import card
from sambench.sources.data.base import ResolvedDataset
from sambench.types import Holds

PREFIX = "fixture:"


class Fixtures(card.CardSource):
    """A `DatasetSource`: a dataset with a card, read from the folder of its copy."""

    form = f"{PREFIX}ID"

    def gives(self, name: str) -> Holds | None:
        return super().gives(name.removeprefix(PREFIX))

    def resolve(self, name: str, *, root: str | None = None) -> ResolvedDataset:
        dataset = name.removeprefix(PREFIX)
        return replace(super().resolve(dataset, root=str(fixtures.cached(dataset))), generated=True)


SOURCE = Fixtures()
