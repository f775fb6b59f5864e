"""What must be said of an image's files beside its numbers. Readers say it while they read; whoever reads images collects it.

    with noting() as said:
        sample = dataset.load(image_id)
    said  # the notes, each once

A note is a sentence about the kind of thing that was met, without the image's name: notes are counted over images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sambench.errors import SambenchError

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


# What is said of a card's options, and what instead where a dataset has no card but a name with options: `labels:images,labels`.
_VALUE = r"""(?P<key>\w+) = (?P<q>["']?)(?P<value>[\w.-]+)(?P=q)"""
_OF_A_NAME = (
    (re.compile(rf"set {_VALUE} under \[options\] of (?:the|its) card"), r"add `,\g<key>=\g<value>` to the name"),
    (re.compile(rf"{_VALUE} under \[options\] of (?:the|its) card"), r"`,\g<key>=\g<value>` after the name"),
    (re.compile(rf"card option {_VALUE}"), r"option `,\g<key>=\g<value>` after the name"),
    (re.compile(r",? under \[options\] of (?:the|its) card"), ", as `,key=value` after the name"),
    (re.compile(r"in `\w+` of the card's layouts"), "in the name"),
    (re.compile(r"the options of the card"), "the options after the name"),
    (re.compile(r"what the card says of it"), "the options after its name"),
)


def as_named(text: str, source: str) -> str:
    """What is said of a dataset's files, in words that fit how the dataset is named.

    source: its name on a command line, as in records: of a card (an id, or the path of its file) the text stays; of a reader, as
    `labels:images,labels`, what it says of the options of a card is said of those after the name.
    """
    if ":" not in source or source.endswith(".toml"):
        return text
    for pattern, instead in _OF_A_NAME:
        text = pattern.sub(instead, text)
    return text


@contextmanager
def advising(source: str) -> Iterator[None]:
    """Within it the errors' advice is `as_named`."""
    try:
        yield
    except SambenchError as e:
        e.remedy = e.remedy and as_named(e.remedy, source)
        raise
