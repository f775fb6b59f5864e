"""From names on the command line to datasets: an id with its variant, a card's path, a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sambench import cards, fixtures
from sambench.errors import DataMissingError, UsageError
from sambench.files import content
from sambench.loaders.open import open_dataset
from sambench.loaders.subsets import Subset, choose_subset
from sambench.types import Dataset


@dataclass(frozen=True)
class Target:
    """A dataset that is here: its card, reader and chosen images."""

    card: cards.DatasetCard
    source: str  # card id, or the absolute path of a card file
    variant: str
    root: str | None  # absolute
    dataset: Dataset
    subset: Subset

    def identity(self) -> dict[str, Any]:
        """All of the dataset that can change a number."""
        return {
            "id": self.card.id,
            "revision": self.card.revision,
            "reader": cards.entry_identity(self.card.reader, where=f"the card of dataset {self.card.id!r}"),
            "variant": self.variant,
            "options": content.by_content(self.card.options_of(self.variant), absolute=True),
            "annotation_digest": self.dataset.annotation_digest(),
            "subset_digest": self.subset.digest,
        }


@dataclass(frozen=True)
class Missing:
    """A member of a suite that cannot run here, and why."""

    name: str
    why: str


def split_names(values: Sequence[str]) -> list[str]:
    """Comma-separated and repeated options as one list, without repeats, in order."""
    names = [n.strip() for v in values for n in v.split(",")]
    return list(dict.fromkeys(n for n in names if n))


def find_targets(
    names: Sequence[str], *, subset: str, root: str | None = None, every_image: bool = False
) -> tuple[list[Target], list[Missing], list[cards.SuiteCard]]:
    """Open every dataset named (`id`, `id:variant`, a card's path, or a suite). A suite's absent members are listed, not raised.

    Members of a generated suite are read from tiny synthetic copies, all of each; their cells can never be taken for the real ones.
    every_image: images without masks too, as far as the dataset's index has them.
    """
    targets: list[Target] = []
    missing: list[Missing] = []
    suites: list[cards.SuiteCard] = []
    for name in names:
        suite = cards.suite_card(name)
        if suite is None:
            targets.append(_open(name, subset, root, every_image))
            continue
        suites.append(suite)
        for member in suite.members:
            try:
                targets.append(_generated(member, every_image) if suite.generated else _open(member, subset, None, every_image))
            except DataMissingError as e:
                missing.append(Missing(member, e.message))
            except UsageError:
                missing.append(Missing(member, "has no card in this version"))
    unique = {(t.card.id, t.variant): t for t in targets}
    if root is not None and len(unique) > 1:
        raise UsageError(
            "one root for several datasets", where="--root", remedy="give --root with one dataset, or `sambench data adopt`"
        )
    return list(unique.values()), missing, suites


def _open(name: str, subset: str, root: str | None, every_image: bool) -> Target:
    source, variant = cards.split_variant(name)
    card = cards.dataset_card(source)
    folder = Path(root).expanduser().absolute() if root else None
    dataset = open_dataset(card, variant=variant, root=folder)
    chosen = choose_subset(dataset, card, subset, every_image=every_image)
    return Target(card, cards.absolute(source), variant or "default", str(folder) if folder else None, dataset, chosen)


def _generated(name: str, every_image: bool) -> Target:
    target = _open(name, "full", str(fixtures.cached(name)), every_image)
    note = "a tiny generated copy, not the dataset: numbers say nothing of the model"
    return replace(target, subset=replace(target.subset, name="generated", is_paper_size=False, note=note))

