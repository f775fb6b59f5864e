"""Boxes of detectors that others distribute: `--boxes NAME` for files that have a card, beside any file of one's own.

A card is a file of `datasets/` with kind = "boxes"; `sambench data get NAME` brings its file to `<SAMBENCH_DATA>/<name>/`.
"""

from __future__ import annotations

import os
from pathlib import Path

from sambench import cards, paths
from sambench.cards import BoxesCard
from sambench.errors import DataMissingError, UsageError, near_names
from sambench.getting import weights as fetch

Progress = fetch.Progress


def boxes_file(name: str) -> Path:
    """The results file that NAME stands for: a path, or the id of a card whose file is here.

    Raises UsageError where there is neither such a file nor such a card, DataMissingError where the card's file is not here.
    """
    path = Path(name).expanduser() if name.startswith("~") else Path(name)
    if os.path.isfile(path):  # False, and no error, for a name that no file system takes
        return path
    card = cards.boxes_cards().get(name)
    if card is None:
        near = near_names(name, cards.boxes_cards())
        known = ", ".join(cards.boxes_cards())
        raise UsageError(
            "the file of boxes is not there",
            where="--boxes",
            expected=f"a COCO results file, or one of: {known}",
            found=f"{name:.200} ({'a folder' if os.path.isdir(path) else 'no such file'})",
            remedy=f"did you mean {near[0]!r}?" if near else "mend the path",
        )
    place = place_of(card)
    if not place.is_file():
        raise missing(card)
    return place


def place_of(card: BoxesCard) -> Path:
    """Where the card's file is kept, whether it is there or not; one that is made on the machine is made."""
    if card.file is None:
        return Path(cards.load_entry(str(card.maker), where=f"boxes {card.id}")())
    return paths.data_root() / card.id / card.file.file


def missing(card: BoxesCard) -> DataMissingError:
    """The error for a card's file that is not here."""
    by_hand = [f"or download {card.file.url} yourself and give its path with --boxes"] if card.file else []
    steps = [*card.steps, *by_hand]
    return DataMissingError(
        f"the boxes {card.id!r} are not here",
        where=place_of(card),
        expected=f"{card.name} ({card.size})",
        found="no such file",
        remedy="\n    ".join(["", *(f"{i}. {step}" for i, step in enumerate(steps, 1))]),
    )


def get(card: BoxesCard, progress: Progress | None = None) -> Path:
    """Download the card's file, whole or not at all; gives its path. Raises DownloadError."""
    place = place_of(card)
    if card.file is None or place.is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    return fetch.download(card.file.url, place, sha256=card.file.sha256, n_bytes=card.file.bytes, progress=progress)
