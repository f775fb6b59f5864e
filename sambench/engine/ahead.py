"""Reading ahead: while a worker's device is at work on one image, a thread reads and decodes the next ones.

What is read ahead is used as if it were read in its turn: hashes of files, notes and errors come out when the sample, or its
picture, is asked for. Nothing of it moves a number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sambench.files import content
from sambench.notes import note, noting
from sambench.tasks.prompted import PREPARED, Prepared
from sambench.types import Dataset, Sample

T = TypeVar("T")


@dataclass(frozen=True)
class _Made(Generic[T]):
    """A value with what was read and said for it, or what was raised instead."""

    value: T | None
    error: Exception | None
    read: Mapping[str, str]
    notes: tuple[str, ...]

    @classmethod
    def by(cls, make: Callable[[], T]) -> _Made[T]:
        value, error = None, None
        with content.reading() as read, noting() as notes:
            try:
                value = make()
            except Exception as e:  # noqa: BLE001 - raised again where it would have been raised
                error = e
        return cls(value, error, dict(read), tuple(notes))

    def given(self) -> T:
        """The value, as if it were made now."""
        content.note_read(self.read)
        for text in self.notes:
            note(text)
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class Ahead:
    """Samples of a dataset, read by a thread in the order in which they will be asked for.

    model: its `prepare`, where it has one, is called on the pictures, too. depth: how many images are read ahead; 0: none, and no
    thread is begun.
    """

    def __init__(self, dataset: Dataset, model: Any, depth: int) -> None:
        self._dataset, self._model, self._depth = dataset, model, depth
        self._prepare = getattr(model, "prepare", None)
        self._coming: deque[str] = deque()
        self._made: dict[str, Future[_Made[Sample]]] = {}
        self._reader = ThreadPoolExecutor(1, "reading-ahead") if depth else None  # one: readers are asked one thing at a time

    def expect(self, image_ids: Sequence[str]) -> None:
        """These are asked for next, in this order; what was read for others goes."""
        self._coming = deque(image_ids)
        self._made.clear()

    def load(self, image_id: str) -> Sample:
        """As `Dataset.load`. Raises what it raises."""
        if self._reader is None:
            return self._dataset.load(image_id)
        while self._coming and (passed := self._coming.popleft()) != image_id:
            self._made.pop(passed, None)
        mine = self._made.pop(image_id, None) or self._reader.submit(self._sample, image_id)
        for coming in list(self._coming)[: self._depth]:
            if coming not in self._made:
                self._made[coming] = self._reader.submit(self._sample, coming)
        return mine.result().given()

    def close(self) -> None:
        """Read no more."""
        if self._reader is not None:
            self._reader.shutdown(wait=False, cancel_futures=True)

    def _sample(self, image_id: str) -> _Made[Sample]:
        made = _Made.by(lambda: self._dataset.load(image_id))
        sample = made.value
        if sample is not None and (sample.instances or sample.boundaries or sample.concepts):  # else nobody looks at the picture
            picture = _Made.by(sample.read)
            object.__setattr__(sample, "read", picture.given)
            if picture.value is not None and (prepare := self._prepare) is not None:
                prepared = _Made.by(lambda: prepare(picture.value))
                if prepared.error is None:  # else encode meets it in its turn
                    vars(sample)[PREPARED] = Prepared(self._model, prepared.value)
        return made
