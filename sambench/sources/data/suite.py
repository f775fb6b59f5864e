"""Suites: lists of datasets that have a card of their own, with a mean over their members."""

from __future__ import annotations

from typing import NoReturn

from sambench import cards
from sambench.errors import UsageError, unknown_name
from sambench.sources.data.base import ResolvedDataset, Suite
from sambench.types import Dataset, Holds


class Suites:
    """A `SuiteSource`. Members of a generated suite are names of `sambench.sources.data.fixture`."""

    form = ""
    needs = 1

    def suite(self, name: str) -> Suite:
        card = cards.suite_card(name)
        if card is None:
            raise unknown_name("suite", name, cards.suite_cards())
        return Suite(card, tuple(f"fixture:{m}" if card.generated else m for m in card.members))

    def gives(self, name: str) -> Holds | None:
        return None

    def resolve(self, name: str, *, root: str | None = None) -> NoReturn:
        n = len(self.suite(name).members)
        message, remedy = "a suite is not one dataset", "name one of its members: sambench list datasets"
        raise UsageError(message, where=name, expected="the name of a dataset", found=f"a suite of {n}", remedy=remedy)

    def build(self, dataset: ResolvedDataset) -> NoReturn:
        self.resolve(dataset.spec.name)

    def check(self, dataset: ResolvedDataset, opened: Dataset) -> list[str]:
        return []


SOURCE = Suites()
