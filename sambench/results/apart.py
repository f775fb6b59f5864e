"""What sets apart results that would look alike: several of one model on what is called one dataset, in one run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from sambench.results.model_differences import value_text
from sambench.store.views import CellView

# Of a dataset's record: its names and places, which change no number, and what has a part of its own here.
_NOT_SHOWN = ("id", "name", "source", "root", "options", "annotation_digest", "subset_digest")
_DIGITS, _LONGEST = 8, 32  # of a digest, of a value


def apart(cells: Sequence[CellView], names: Sequence[Hashable] | None = None) -> list[str]:
    """What must stand beside each cell, `orientation = shown` or `annotations 5d1cc973`; empty where its name is its own.

    names: by what readers know each cell; None: by dataset, model and run. Named are options of the dataset, annotations, subset
    and settings that are not the same in all cells of a name; where these say too little, the cell's folder.
    """
    names = [(c.dataset, c.label, c.run_name) for c in cells] if names is None else names
    alike: dict[Hashable, list[int]] = {}
    for i, name in enumerate(names):
        alike.setdefault(name, []).append(i)
    out = [""] * len(cells)
    for places in alike.values():
        if len(places) > 1:
            for i, text in zip(places, _texts([cells[i] for i in places]), strict=True):
                out[i] = text
    return out


def _texts(cells: Sequence[CellView]) -> list[str]:
    facts = [_facts(c) for c in cells]
    unlike = [k for k in dict.fromkeys(k for f in facts for k in f) if len({value_text(f.get(k)) for f in facts}) > 1]
    if "subset" in unlike:  # its name says more than its digest
        unlike = [k for k in unlike if k != "subset digest"]
    told = ["; ".join(_text(k, f) for k in unlike) for f in facts]
    folders, paths = [c.path.resolve().name for c in cells], [str(c.path) for c in cells]
    return next((texts for texts in (told, folders) if len(set(texts)) == len(texts)), paths)


def _facts(cell: CellView) -> dict[str, Any]:
    dataset, subset = cell.record.dataset, cell.record.subset
    rest = {k: v for k, v in dataset.given().items() if k not in _NOT_SHOWN}
    digests = {"annotations": dataset.annotation_digest, "subset": subset.name, "subset digest": subset.digest}
    return {**(dataset.options or {}), **rest, **digests, **cell.record.task.settings}


def _text(key: str, facts: Mapping[str, Any]) -> str:
    if key in ("annotations", "subset digest") and key in facts:
        return f"{key.removesuffix(' digest')} {str(facts[key])[:_DIGITS]}"
    if key not in facts:
        return f"{key} not given"
    value = value_text(facts[key])
    shown = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
    return f"{key} {shown}" if key == "subset" else f"{key} = {shown}"
