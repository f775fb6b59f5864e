"""A dataset whose errors always say which dataset it is, what its files should be, and what to do next.

Readers of pictures and of formats know the file that is wrong, not whose it is; here the rest is added, once for all readers. What
they say for releases (`DataError.of_release`) is left out where a dataset is nobody's release.
"""

from __future__ import annotations

import csv
import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sambench.cards import DatasetCard
from sambench.errors import DataError, SambenchError, message_of
from sambench.loaders.eight_bit import Depth, depth_is
from sambench.notes import as_named
from sambench.types import Dataset, ImageRecord, Sample, UInt8Array

_REMEDIES = {
    errno.EACCES: "give yourself the permission to read it (chmod), or use a copy that you may read",
    errno.ENOENT: "was it moved or removed while it was read? put it back and issue the same command again",
}


@dataclass(frozen=True)
class Origin:
    """What errors say of a dataset: its id, how commands name it, what its folder holds, whether others have its release, whose
    the code of its reader is, and the name as it was given ("": the id)."""

    name: str
    named: str
    layout: tuple[str, ...] = ()
    released: bool = True
    reader: str = ""
    given: str = ""

    @classmethod
    def of(cls, card: DatasetCard) -> Origin:
        """The facts of a card."""
        return cls(card.id, card.named, card.layout, card.released, card.reader, card.given)

    @property
    def foreign(self) -> bool:
        """Whether the reader is not sambench's own."""
        return not self.reader.startswith("sambench.")

    def advice(self, error: DataError) -> str:
        """What to do about a broken file, given what its reader says to do."""
        where = f"sambench show dataset {self.named} says"
        if not self.released:
            return error.remedy or f"mend the file, or what the card says of it; {where} what is expected"
        said = error.advice()
        if said is not None and error.of_release is None:
            return said
        return f"{said or 'fetch or unpack this file again'}; {where} where it comes from"


@dataclass(eq=False)
class GuardedDataset:
    """`inner`, with every DataError completed, and what a reader of others raises or leaves out turned into one.

    What a reader offers beyond `Dataset` is asked of itself (`sambench.types.reader_of`).

    depth: how pictures of more than 8 bits are opened (`sambench.loaders.eight_bit`).
    """

    inner: Dataset
    name: str
    variant: str
    origin: Origin
    depth: Depth = "auto"

    def index(self) -> Sequence[ImageRecord]:
        with guarding(self.origin):
            records = self.inner.index()
            if self.origin.foreign and not _are_records(records):
                expected = "a list of sambench.types.ImageRecord, with a text as id and an int as n_masks"
                raise _other("index()", self.origin, expected, records)
            return records

    def load(self, image_id: str) -> Sample:
        with guarding(self.origin):
            sample = self.inner.load(image_id)
            if self.origin.foreign and not isinstance(sample, Sample):
                raise _other(f"load({image_id!r})", self.origin, "a sambench.types.Sample", sample)
        return replace(sample, read=partial(_read, sample.read, self.origin, self.depth))

    def annotation_digest(self) -> str:
        with guarding(self.origin):
            digest = self.inner.annotation_digest()
            if self.origin.foreign and not isinstance(digest, str):
                raise _other("annotation_digest()", self.origin, "a text, such as sha256 in hexadecimal digits", digest)
            return digest


def _are_records(values: Any) -> bool:
    return isinstance(values, Sequence) and all(isinstance(v, ImageRecord) and _sound(v) for v in values)


def _sound(record: ImageRecord) -> bool:
    return isinstance(record.image_id, str) and type(record.n_masks) is int and isinstance(record.cluster_id, str)


def _other(method: str, origin: Origin, expected: str, found: object) -> DataError:
    message = f"the reader of dataset {origin.name!r} does not give what it should"
    where, kind = f"{origin.reader}, {method}", type(found).__name__
    return DataError(message, where=where, expected=expected, found=kind, remedy="mend the reader")


def _read(read: Callable[[], UInt8Array], origin: Origin, depth: Depth) -> UInt8Array:
    with guarding(origin), depth_is(depth):
        return read()


@contextmanager
def guarding(origin: Origin) -> Iterator[None]:
    """Within it, a DataError gets what it lacks: the dataset's name, the expected layout, the step to take."""
    try:
        with running(origin):
            yield
    except DataError as e:
        if origin.name not in e.message:
            e.message = f"{e.message} (dataset {origin.name!r})"
            e.args = (e.message,)
        if e.expected is None and origin.layout:
            e.expected = " | ".join(origin.layout)
        e.remedy, e.of_release = as_named(origin.advice(e), origin.given), None
        raise


@contextmanager
def running(origin: Origin, error: type[SambenchError] = DataError) -> Iterator[None]:
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
        if not origin.foreign:
            raise
        at = message_of(e)
        remedy = "mend the reader; SAMBENCH_DEBUG=1 shows the line"
        raise error(f"the reader of dataset {origin.name!r} failed", where=origin.reader, found=at, remedy=remedy) from e
