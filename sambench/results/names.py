"""What models are called where several are shown: one rule for every figure, table and document.

`model_names` are for people: the name that the user gave (`--name`), else the model's full name. `model_labels` are for columns of
data and names of files: the user's name, else the id. Behind both stands what tells a model from the others that are shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sambench import cards
from sambench.results.image_sets import labelled, set_names
from sambench.results.model_differences import run_texts
from sambench.store.views import CellView

# Settings that say how long a run looks, or by what random numbers, but not what it measures.
_NEUTRAL = {"clicks", "noc", "seed", "prompt"}


def name_of(model: str) -> str:
    """The full name of the model of that id, where only the id is known; the id itself where no card has it."""
    card = cards.model_cards().get(model)
    return card.name if card is not None else model


def model_names(cells: Sequence[CellView]) -> list[str]:
    """The model of each cell that is shown, as `SAM ViT-H`, or `SAM ViT-H (squash = true)`.

    In parentheses what sets it apart from the others: its id where another model has the same name, settings that are not the
    protocol's own, and how it was run (`run_texts`). Cells of one system have one name.
    """
    ids = {title: {c.model for c in cells if c.title == title} for title in (c.title for c in cells)}
    return [
        labelled(cell.title, "; ".join([*([cell.model] if len(ids[cell.title]) > 1 else []), *apart]))
        for cell, apart in zip(cells, _apart(cells), strict=True)
    ]


def model_labels(cells: Sequence[CellView]) -> list[str]:
    """As `model_names`, with the id in place of the full name: `sam_vit_h (squash = true)`."""
    return [labelled(cell.label, "; ".join(apart)) for cell, apart in zip(cells, _apart(cells), strict=True)]


def line_names(cells: Sequence[CellView]) -> list[str]:
    """What stands beside the line of each cell in a figure: the model, of which images it is where they are not the same for all
    lines, PARTIAL where it is, and the run where nothing else tells two apart."""
    images = set_names([[cell] for cell in cells])
    names = [labelled(name, of) for name, of in zip(model_names(cells), images, strict=True)]
    apart = [n if names.count(n) == 1 else f"{n}, {cell.run_name}" for n, cell in zip(names, cells, strict=True)]
    return [name + (", PARTIAL" if cell.partial_reasons() else "") for name, cell in zip(apart, cells, strict=True)]


def changed_settings(cell: CellView) -> str:
    """Settings that are not the protocol's own, as `key = value; ...`; those that change no definition are left out."""
    task = cell.task
    fields = dataclasses.fields(task.settings)
    values = {f.name: (f.default, getattr(task.settings, f.name)) for f in fields}
    untitled = (*_NEUTRAL, *task.untitled)
    return "; ".join(f"{k} = {v}" for k, (default, v) in values.items() if v != default and k not in untitled)


def _apart(cells: Sequence[CellView]) -> list[list[str]]:
    texts = zip(map(changed_settings, cells), run_texts([c.record.model.given() for c in cells]), strict=True)
    return [[part for part in both if part] for both in texts]
