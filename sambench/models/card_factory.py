"""The factories that model cards name: what builds a model, and what is to be said of its weights before it is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sambench.types import Segmenter


@runtime_checkable
class Noting(Protocol):
    """A card's factory that looks into weights files of the user's own before anything is computed with them."""

    def notes(self, *, weights: Path | None, **options: Any) -> tuple[str, ...]:
        """What must be said of these weights and options. Raises CheckpointError where they do not fit together."""
        ...


@dataclass(frozen=True)
class CardFactory:
    """A `Noting`. build: called as a card's factory is; read: of its options those that say where the weights are -> the notes."""

    build: Callable[..., Segmenter]
    read: Callable[..., tuple[str, ...]]

    def __call__(self, **options: Any) -> Segmenter:
        return self.build(**options)

    @property
    def __signature__(self) -> inspect.Signature:
        """The options of the model, for whoever checks what a user gave."""
        return inspect.signature(self.build)

    def notes(self, *, weights: Path | None, **options: Any) -> tuple[str, ...]:
        known = inspect.signature(self.read).parameters
        return self.read(weights=weights, **{key: value for key, value in options.items() if key in known})
