"""What every source of datasets has in common: what it makes of a name, and the one Protocol that they all follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sambench.cards import DatasetCard, SuiteCard, entry_identity
from sambench.files import content
from sambench.types import Dataset, Holds


@dataclass(frozen=True)
class DatasetSpec:
    """What a process needs to open a dataset; plain values, so that it travels as JSON and stands in the records of results.

    name: as on the command line, without the variant; a card's path is absolute in it. variant: of the card, or "default".
    root: the absolute path of the folder to read instead of where the dataset is looked for, or below which the name's paths are.
    """

    name: str
    variant: str = "default"
    root: str | None = None


@dataclass(frozen=True)
class ResolvedDataset:
    """A dataset before it is opened.

    card: what is known of it: the one that it has, or one that was made of the name. generated: it is a tiny synthetic copy, whose
    results must never be taken for the real ones. notes: what must be said of it.
    """

    spec: DatasetSpec
    card: DatasetCard
    generated: bool = False
    notes: tuple[str, ...] = ()

    @property
    def root(self) -> Path | None:
        """The folder of `spec`."""
        return Path(self.spec.root).expanduser() if self.spec.root else None

    def identity(self) -> dict[str, Any]:
        """All of the dataset that can change a number, less what its annotations and its subset hold."""
        return {
            "id": self.card.id,
            "revision": self.card.revision,
            "reader": entry_identity(self.card.reader, where=f"the card of dataset {self.card.id!r}"),
            "variant": self.spec.variant,
            "options": content.by_content(self.card.options_of(self.spec.variant), absolute=True),
        }


@runtime_checkable
class DatasetSource(Protocol):
    """What names of datasets mean: the object `SOURCE` of a module (`sambench.sources.datasets`).

    form: how a name with the module's name as its prefix looks, for errors and lists, as "coco:ANNOTATIONS.json,IMAGES"; "" where
    such names have no prefix. needs: how many parts, separated by commas, such a name has at least.
    """

    form: str
    needs: int

    def gives(self, name: str) -> Holds | None:
        """What the dataset of that name holds, as far as is known before it is opened."""
        ...

    def resolve(self, name: str, *, root: str | None = None) -> ResolvedDataset:
        """Find out what the name means, without reading the dataset.

        name: as on the command line. root: as in `DatasetSpec`, from `--root`. Of the `spec` that it gives, `resolve` with its name
        and root must give the same again, in any process of this machine. Raises UsageError, CardError, DataError.
        """
        ...

    def build(self, dataset: ResolvedDataset) -> Dataset:
        """The dataset, ready to be read. Raises DataMissingError (not here), DataError (another layout), CardError."""
        ...

    def check(self, dataset: ResolvedDataset, opened: Dataset) -> list[str]:
        """What must be said of the dataset before it is evaluated. Raises DataError where it cannot be."""
        ...


@dataclass(frozen=True)
class Suite:
    """A list of datasets with a name. members: names of datasets, each again for a source."""

    card: SuiteCard
    members: tuple[str, ...] = field(default=())


@runtime_checkable
class SuiteSource(DatasetSource, Protocol):
    """A source whose names mean several datasets each."""

    def suite(self, name: str) -> Suite:
        """The suite of that name. Raises UsageError."""
        ...


@runtime_checkable
class Recogniser(DatasetSource, Protocol):
    """A source that knows its format when it sees it, so that a path is enough of a name."""

    def recognise(self, path: Path) -> Sequence[str]:
        """Names of this source, with its prefix, for what lies at an absolute path; none where it is not of the format."""
        ...
