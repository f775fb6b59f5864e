"""Where the files of datasets are: what `sambench data where` and `adopt` do. Nothing is printed here."""

from __future__ import annotations

import json
from pathlib import Path

from sambench import cards
from sambench.errors import DataError, UsageError
from sambench.files.writing import replacing
from sambench.loaders.open import Place, check_layout, find_place, missing, open_dataset, read_roots, roots_file


def where(name: str) -> Place:
    """The folder of a dataset and how it was found. Raises UsageError (unknown name) and DataMissingError."""
    card = cards.dataset_card(cards.split_variant(name)[0])
    place = find_place(card)
    if place is None:
        raise missing(card)
    return place


def adopt(name: str, path: Path) -> Path:
    """Record a folder as the root of a dataset, in `$SAMBENCH_HOME/roots.json`; nothing is copied. Returns the absolute path.

    Raises UsageError (unknown name, or a dataset without files) and DataError (another layout: says what was found, and
    where the layout is if that is one level up or down); nothing is recorded then.
    """
    card = cards.dataset_card(cards.split_variant(name)[0])
    if card.access.state == "embedded":
        raise UsageError(f"dataset {card.id!r} is generated and has no files to adopt")
    root = Path(path).expanduser().absolute()
    if not root.is_dir():
        raise missing(card, root)
    check_layout(card, root)
    dataset = open_dataset(card, root=root)
    if not any(r.n_masks for r in dataset.index()):
        from sambench.loaders.subsets import no_masks

        error = no_masks(dataset, card)
        error.where = root
        raise error
    record_root(card.id, root)
    return root


def record_root(dataset: str, root: Path) -> None:
    """Remember where the files of the dataset of that id are. root: absolute. Raises DataError where that cannot be written."""
    path, roots = roots_file(), {**read_roots(), dataset: str(root)}
    try:
        with replacing(path) as aside:
            aside.write_text(json.dumps(roots, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as e:
        raise DataError(
            "an adopted folder cannot be recorded",
            where=path,
            found=e.strerror or repr(e),
            remedy="make the folder writable, or set SAMBENCH_HOME to another",
        ) from e
