"""Which images the lines of a figure are of. Lines of different sets must not look as if they were of one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from sambench.store.views import CellView
from sambench.text import counted

_MOST_NAMED = 3  # datasets of one line


class _Set(NamedTuple):
    """digest: of the ids of the images that were evaluated."""

    digest: str
    text: str


def set_names(lines: Sequence[Sequence[CellView]]) -> list[str]:
    """What must stand beside each line of a figure: "" where all are of the same images, else which images it is of.

    lines: the cells of each, one a dataset. Images that failed or are not computed yet do not belong to a set.
    """
    held = [{cell.dataset: _set_of(cell) for cell in cells} for cells in lines]
    datasets = list(dict.fromkeys(d for sets in held for d in sets))
    differing = [d for d in datasets if len({s[d].digest if d in s else "" for s in held}) > 1]
    alone = len(datasets) == 1
    return [_named(sets, [d for d in differing if d in sets], held, alone) for sets in held]


def labelled(label: str, name: str) -> str:
    """A line's label with what `set_names` says of it."""
    return f"{label} ({name})" if name else label


def _named(sets: dict[str, _Set], datasets: Sequence[str], held: Sequence[dict[str, _Set]], alone: bool) -> str:
    if len(datasets) > _MOST_NAMED:
        return f"other images of {len(datasets)} datasets than its neighbours"
    said = []
    for d in datasets:
        mine = sets[d]
        same_words = any(d in s and s[d].text == mine.text and s[d].digest != mine.digest for s in held)
        text = f"{mine.text}, set {mine.digest[:4]}" if same_words else mine.text
        said.append(text if alone else f"{d}: {text}")
    return "; ".join(said)


def _set_of(cell: CellView) -> _Set:
    states = cell.states()
    done = sorted(i for i in cell.wanted if i in states and states[i].status == "ok")
    n = counted(len(done), "image")
    name = cell.record.subset.name
    if len(done) < len(cell.image_ids):
        n = f"{len(done):,} of {len(cell.image_ids):,} images"
    text = f"{name.removeprefix('file:')}: {n}" if name.startswith("file:") else n
    return _Set(hashlib.sha256("\n".join(done).encode()).hexdigest(), text)
