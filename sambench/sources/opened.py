"""A dataset opened from Python: to look at it, to count it, to hand it to `sambench.run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sambench.cards import DatasetCard
from sambench.cards.writing import toml_value
from sambench.errors import UsageError, shown
from sambench.pixels.contact_sheet import contact_sheet
from sambench.provenance import keyed_order
from sambench.sources import datasets
from sambench.text import counted
from sambench.types import Dataset, ImageRecord, Sample


@dataclass(frozen=True, eq=False)
class Opened:
    """A dataset that is open; `str` of it is the name that means it everywhere, as `--datasets` takes it.

    card: what is known of it. dataset: its reader, a `sambench.types.Dataset`. notes: what must be said of how it is read.
    """

    word: str
    card: DatasetCard
    dataset: Dataset
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.word

    def __repr__(self) -> str:
        records = self.index()
        size = f"{counted(len(records), 'image')}, {counted(sum(r.n_masks for r in records), 'mask')}"
        return f"<dataset {self.card.id!r}: {size}; {self.word}>"

    def __len__(self) -> int:
        return len(self.index())

    def index(self) -> Sequence[ImageRecord]:
        """Its images, each with its id and the number of its masks, without a look at the pictures. Raises DataError."""
        return self.dataset.index()

    def load(self, image_id: str) -> Sample:
        """One image with its objects: `sample.image`, uint8 [H, W, 3] RGB, and `sample.instances`. Raises DataError."""
        return self.dataset.load(image_id)

    def annotation_digest(self) -> str:
        """sha256 of its annotations, a part of every result's identity. Raises DataError."""
        return self.dataset.annotation_digest()

    def samples(self) -> Iterator[Sample]:
        """Every image with its objects, one after the other. Raises DataError."""
        return (self.load(r.image_id) for r in self.index())

    def sheet(self, n: int = 12) -> Image.Image:
        """A contact sheet of n images with their masks, the first in the order in which `limit` takes them; images without masks
        are left out. Raises UsageError where n is not 1 or more."""
        if n < 1:
            raise UsageError("a sheet needs at least one image", expected="n >= 1", found=n)
        ids = keyed_order([r.image_id for r in self.index() if r.n_masks], self.card.id)
        return contact_sheet(self.dataset, ids[:n])


def dataset(source: str | Path, *, name: str | None = None, root: str | Path | None = None, **options: Any) -> Opened:
    """Open a dataset by a path, whose format is recognised, or by any name that `--datasets` takes.

    source: "my_leaves/", "coco:annotations.json,images/", "demo". name: what it is called in results; else that follows from its
    folder. root: the folder that paths in the name are relative to, or that a dataset with a card is read from. options: of its
    reader (`sambench list readers`). Raises UsageError, DataError, DataMissingError, CardError.
    """
    (word, *more) = datasets.names_in([source]) or [""]
    if more or not word:
        raise UsageError("one dataset is wanted", where="sambench.dataset", expected="one name", found=shown(str(source)))
    given = {**({"name": name} if name is not None else {}), **options}
    word = ",".join([word, *(f"{k}={toml_value(v)}" for k, v in given.items())])
    found = datasets.resolve(word, root=str(root) if root is not None else None)
    opened = datasets.build(found)
    suffix = "" if found.spec.variant == "default" else f":{found.spec.variant}"
    own = found.card.given or f"{found.spec.name}{suffix}"
    return Opened(own, found.card, opened, tuple(datasets.notes_on(found, opened)))
