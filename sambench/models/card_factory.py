"""The factories that model cards name: what builds a model, and what is to be said of its weights before it is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sambench.errors import CheckpointError
from sambench.types import Segmenter


@runtime_checkable
class Noting(Protocol):
    """A card's factory that looks into weights files of the user's own before anything is computed with them."""

    def notes(self, *, weights: Path | None, **options: Any) -> tuple[str, ...]:
        """What must be said of these weights and options. Raises CheckpointError where they do not fit together."""
        ...


@dataclass(frozen=True)
class CardFactory:
    """A `Noting`. build: called as a card's factory is; read: of its options those that say where the weights are -> the notes.
    packaged: the weights where none are given."""

    build: Callable[..., Segmenter]
    read: Callable[..., tuple[str, ...]]
    packaged: Path | None = None

    def __call__(self, *, weights: Path | None = None, **options: Any) -> Segmenter:
        """The model. Raises CheckpointError without weights: a builder alone would take random ones."""
        return self.build(weights=needed(weights or self.packaged), **options)

    @property
    def __signature__(self) -> inspect.Signature:
        """The options of the model, for whoever checks what a user gave."""
        return inspect.signature(self.build)

    def notes(self, *, weights: Path | None, **options: Any) -> tuple[str, ...]:
        known = inspect.signature(self.read).parameters
        return self.read(weights=weights, **{key: value for key, value in options.items() if key in known})


def needed(weights: Path | None) -> Path:
    """The checkpoint file that a card's factory must be given. Raises CheckpointError without one."""
    if weights is None:
        raise CheckpointError(
            "this model has no weights",
            expected="a checkpoint file",
            found="none",
            remedy="let the model's card download it, or give a file of your own: -M weights=FILE",
        )
    return Path(weights)
