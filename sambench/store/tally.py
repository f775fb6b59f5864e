"""What was left out of a cell's images, and what was said of their files."""

from __future__ import annotations

from collections.abc import Iterable

from sambench.left_out import Tally
from sambench.store.shards import ImageState


def tally(states: Iterable[ImageState]) -> Tally:
    """What was left out of the images, and what was said of their files."""
    found = Tally()
    for state in states:
        found.add(state.left_out, state.notes)
    return found

