"""A card for a dataset of one's own, made of any name of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sambench import cards, paths
from sambench.cards.writing import own_card_text
from sambench.errors import UsageError, shown
from sambench.files.writing import write_file
from sambench.getting.data import record_root
from sambench.sources import datasets

_HINTS = """# What people should know of it; fill in what you can.
# one_mask = "what one mask is, in a few words"
# licence = "..."
# citation = "..."
# homepage = "..."
"""


@dataclass(frozen=True)
class Written:
    """path: of the card. root: where its files are, None where they are fetched. notes: what must be said of how they are read."""

    path: Path
    root: Path | None
    notes: tuple[str, ...]


def write_card(name: str, source: str, to: Path | None = None) -> Written:
    """Write a card with the reader and the options that a name of a dataset stands for, and record its folder as the dataset's.

    name: the id of the card. source: a path, or a name with a prefix. to: the file; None: the folder of cards of one's own.
    Raises UsageError: no such name, one that is taken, data that has a card, a file that is there or cannot be written; DataError:
    no such data, or none that can be read.
    """
    cards.check_id(name)
    (word, *more) = datasets.names_in([source]) or [""]
    if more or not word:
        raise UsageError("one dataset is wanted", where="--from", expected="one path or name", found=shown(source))
    found = datasets.resolve(word)
    if not found.card.given or cards.is_path(word):
        raise UsageError("a dataset has a card already", where="--from", expected="the path of data of your own", found=shown(word))
    path = to.expanduser().absolute() if to is not None else paths.home() / "cards" / "datasets" / f"{name}.toml"
    taken = name in cards.dataset_cards() or cards.suite_card(name) is not None
    if path.exists() or taken:
        where = path if path.exists() else "the cards that there are"
        remedy = "choose another name, or remove that file"
        raise UsageError("there is a dataset of that name" if taken else "there is a file of that name", where=where, remedy=remedy)
    if not any(r.n_masks for r in datasets.build(found).index()):
        datasets.open_target(found, "full")  # raises what is wrong
    text = own_card_text(found.card, name)
    head, _, rest = text.partition("\n\n")
    if found.root is not None:
        record_root(name, found.root)
    remedy = "name another file with --out, or set SAMBENCH_HOME to a folder that can be written"
    write_file(path, f"{head}\n{_HINTS}\n{rest}", remedy)
    cards.forget()
    return Written(path, found.root, found.notes)
