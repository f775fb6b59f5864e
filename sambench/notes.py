"""What must be said of an image's files beside its numbers. Readers say it while they read; whoever reads images collects it.

    with noting() as said:
        sample = dataset.load(image_id)
    said  # the notes, each once

A note is a sentence about the kind of thing that was met, without the image's name: notes are counted over images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MANY = 3  # datasets of one note from which their number is said as well

_said: ContextVar[dict[str, None] | None] = ContextVar("notes_said", default=None)


def note(text: str) -> None:
    """Say something of the image that is being read; nobody hears it outside of `noting`."""
    said = _said.get()
    if said is not None:
        said[text] = None


@contextmanager
def noting() -> Iterator[dict[str, None]]:
    """Collects what is said within it, in this thread: an ordered set, as the keys of a dict. The innermost hears."""
    said: dict[str, None] = {}
    token = _said.set(said)
    try:
        yield said
    finally:
        _said.reset(token)


def by_dataset(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """(dataset, what is to be said of it) as lines, one for each thing that is said: `a, b: text`; of many the number as well."""
    said: dict[str, dict[str, None]] = {}
    for dataset, text in pairs:
        said.setdefault(text, {})[dataset] = None
    return [f"{', '.join(names)}{f' ({len(names)})' if len(names) > MANY else ''}: {text}" for text, names in said.items()]
