"""A dataset whose errors always say which dataset it is, what its files should be, and what to do next.

Readers of pictures and of formats know the file that is wrong, not whose it is; here the rest is added, once for all readers.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sambench.errors import DataError
from sambench.loaders.eight_bit import Depth, depth_is
from sambench.types import Dataset, ImageRecord, Sample, UInt8Array

_REMEDIES = {
    errno.EACCES: "give yourself the permission to read it (chmod), or use a copy that you may read",
    errno.ENOENT: "was it moved or removed while it was read? put it back and issue the same command again",
}


@dataclass(eq=False)
class ToldDataset:
    """`inner`, with every DataError completed. layout: lines of the card, for errors that do not say what they expected.

    depth: how pictures of more than 8 bits are opened (`sambench.loaders.eight_bit`).
    """

    inner: Dataset
    name: str
    variant: str
    layout: tuple[str, ...] = ()
    depth: Depth = "auto"

    def index(self) -> Sequence[ImageRecord]:
        with telling_of(self.name, self.layout):
            return self.inner.index()

    def load(self, image_id: str) -> Sample:
        with telling_of(self.name, self.layout):
            sample = self.inner.load(image_id)
        return replace(sample, read=partial(_read, sample.read, self.name, self.layout, self.depth))

    def annotation_digest(self) -> str:
        with telling_of(self.name, self.layout):
            return self.inner.annotation_digest()

    def __getattr__(self, attribute: str) -> Any:
        # What a reader offers beyond the protocol. Not while it is unpickled, when there is no inner one yet.
        if attribute.startswith("__") or attribute == "inner":
            raise AttributeError(attribute)
        return getattr(self.inner, attribute)


def _read(read: Callable[[], UInt8Array], name: str, layout: tuple[str, ...], depth: Depth) -> UInt8Array:
    with telling_of(name, layout), depth_is(depth):
        return read()


@contextmanager
def telling_of(name: str, layout: tuple[str, ...]) -> Iterator[None]:
    """Within it, a DataError gets what it lacks: the dataset's name, the expected layout, the step to take."""
    try:
        try:
            yield
        except OSError as e:
            remedy = _REMEDIES.get(e.errno or 0)
            raise DataError(
                "a file or folder of a dataset cannot be read", where=e.filename, found=e.strerror or repr(e), remedy=remedy
            ) from e
    except DataError as e:
        if name not in e.message:
            e.message = f"{e.message} (dataset {name!r})"
            e.args = (e.message,)
        if e.expected is None and layout:
            e.expected = " | ".join(layout)
        if e.remedy is None:
            e.remedy = f"fetch or unpack this file again; sambench show dataset {name} says where it comes from"
        raise
