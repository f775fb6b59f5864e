"""A dataset whose errors always say which dataset it is, what its files should be, and what to do next.

Readers of pictures and of formats know the file that is wrong, not whose it is; here the rest is added, once for all readers.
They are written for releases: of a card that is nobody's release, what they say of unpacking or comparing one is left out here.
"""

from __future__ import annotations

import csv
import errno
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sambench.cards import DatasetCard
from sambench.errors import DataError, SambenchError, said
from sambench.loaders.eight_bit import Depth, depth_is
from sambench.types import Dataset, ImageRecord, Sample, UInt8Array

_REMEDIES = {
    errno.EACCES: "give yourself the permission to read it (chmod), or use a copy that you may read",
    errno.ENOENT: "was it moved or removed while it was read? put it back and issue the same command again",
}
_OF_RELEASES = re.compile(r"\b(release[ds]?|unpack(ed)?|archives?|download(ed)?|fetch)\b")
_CLAUSE = re.compile(r"; |, or |(?<=again), ")


@dataclass(frozen=True)
class Whose:
    """What errors say of a dataset: its id, how commands name it, what its folder holds, whether others have its release, and whose
    the code of its reader is."""

    name: str
    named: str
    layout: tuple[str, ...] = ()
    released: bool = True
    reader: str = ""

    @classmethod
    def of(cls, card: DatasetCard) -> Whose:
        """The facts of a card."""
        return cls(card.id, card.named, card.layout, card.released, card.reader)

    @property
    def foreign(self) -> bool:
        """Whether the reader is not sambench's own."""
        return not self.reader.startswith("sambench.")

    def remedy(self, said: str | None) -> str:
        """What to do about a broken file, given what its reader says to do."""
        where = f"sambench show dataset {self.named} says"
        if self.released:
            return self._named_in(said or f"fetch or unpack this file again; {where} where it comes from")
        every = [c for c in _CLAUSE.split(said or "") if c]
        clauses = [c for c in every if not _OF_RELEASES.search(c) and "says where" not in c]
        kept = said if said and clauses == every else "; ".join(clauses)
        return self._named_in(kept) or f"mend the file, or what the card says of it; {where} what is expected"

    def _named_in(self, text: str) -> str:
        """Commands with the name that they understand: the id of a card that lies anywhere is none."""
        command = rf"(sambench (?:show dataset|data [a-z]+)) {re.escape(self.name)}(?![\w.-])"
        return re.sub(command, lambda m: f"{m.group(1)} {self.named}", text)


@dataclass(eq=False)
class ToldDataset:
    """`inner`, with every DataError completed, and what a reader of others raises or leaves out turned into one.

    What a reader offers beyond `Dataset` is asked of itself (`sambench.types.reader_of`).

    depth: how pictures of more than 8 bits are opened (`sambench.loaders.eight_bit`).
    """

    inner: Dataset
    name: str
    variant: str
    whose: Whose
    depth: Depth = "auto"

    def index(self) -> Sequence[ImageRecord]:
        with telling_of(self.whose):
            records = self.inner.index()
            if self.whose.foreign and not _are_records(records):
                expected = "a list of sambench.types.ImageRecord, with a text as id and an int as n_masks"
                raise _other("index()", self.whose, expected, records)
            return records

    def load(self, image_id: str) -> Sample:
        with telling_of(self.whose):
            sample = self.inner.load(image_id)
            if self.whose.foreign and not isinstance(sample, Sample):
                raise _other(f"load({image_id!r})", self.whose, "a sambench.types.Sample", sample)
        return replace(sample, read=partial(_read, sample.read, self.whose, self.depth))

    def annotation_digest(self) -> str:
        with telling_of(self.whose):
            digest = self.inner.annotation_digest()
            if self.whose.foreign and not isinstance(digest, str):
                raise _other("annotation_digest()", self.whose, "a text, such as sha256 in hexadecimal digits", digest)
            return digest


def _are_records(values: Any) -> bool:
    return isinstance(values, Sequence) and all(isinstance(v, ImageRecord) and _sound(v) for v in values)


def _sound(record: ImageRecord) -> bool:
    return isinstance(record.image_id, str) and type(record.n_masks) is int and isinstance(record.cluster_id, str)


def _other(method: str, whose: Whose, expected: str, found: object) -> DataError:
    message = f"the reader of dataset {whose.name!r} does not give what it should"
    where, kind = f"{whose.reader}, {method}", type(found).__name__
    return DataError(message, where=where, expected=expected, found=kind, remedy="mend the reader")


def _read(read: Callable[[], UInt8Array], whose: Whose, depth: Depth) -> UInt8Array:
    with telling_of(whose), depth_is(depth):
        return read()


@contextmanager
def telling_of(whose: Whose) -> Iterator[None]:
    """Within it, a DataError gets what it lacks: the dataset's name, the expected layout, the step to take."""
    try:
        with running(whose):
            yield
    except DataError as e:
        if whose.name not in e.message:
            e.message = f"{e.message} (dataset {whose.name!r})"
            e.args = (e.message,)
        if e.expected is None and whose.layout:
            e.expected = " | ".join(whose.layout)
        e.remedy = whose.remedy(e.remedy)
        raise


@contextmanager
def running(whose: Whose, error: type[SambenchError] = DataError) -> Iterator[None]:
    """Within it a reader runs. What one of others raises, also an exit, is an error of it, and no end of the run."""
    try:
        yield
    except SambenchError:
        raise
    except OSError as e:
        remedy = _REMEDIES.get(e.errno or 0)
        found = e.strerror or repr(e)
        raise DataError("a file or folder of a dataset cannot be read", where=e.filename, found=found, remedy=remedy) from e
    except csv.Error as e:
        expected = f"fields of up to {csv.field_size_limit():,} characters, each quote closed"
        raise DataError("a table of a dataset cannot be read", expected=expected, found=str(e)) from e
    except (Exception, SystemExit) as e:
        if not whose.foreign:
            raise
        at = said(e)
        remedy = "mend the reader; SAMBENCH_DEBUG=1 shows the line"
        raise error(f"the reader of dataset {whose.name!r} failed", where=whose.reader, found=at, remedy=remedy) from e
