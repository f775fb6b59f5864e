"""The one rule for which cells may be paired object by object: comparisons, figures and claims all ask here."""

from __future__ import annotations

from typing import Any

from sambench.store.views import CellView

# Of a dataset's record: its names and places, which change no number. Other subsets share images, and those can be paired.
_NO_FACTS = {"name", "source", "root", "subset_digest"}


def unlike(a: CellView, b: CellView) -> dict[str, tuple[Any, Any]]:
    """What keeps the numbers of two cells from meaning the same, by name, with both values; nothing where they may be paired.

    Protocol and settings must agree as the identities have them (a seed that is not used does not count), and everything of the
    dataset but its subset: annotations, options, variant, how it is read, and the pictures that both evaluated.
    """
    facts_a, facts_b = _facts(a), _facts(b)
    found = {k: (facts_a.get(k), facts_b.get(k)) for k in sorted({*facts_a, *facts_b})}
    return {k: values for k, values in found.items() if values[0] != values[1]} or _other_pictures(a, b)


def _facts(cell: CellView) -> dict[str, Any]:
    dataset = {k: v for k, v in cell.record.dataset.given().items() if k not in _NO_FACTS}
    if "reader" in dataset:  # earlier records have the module too, and code may move
        dataset["reader"] = str(dataset["reader"]).rpartition(":")[2]
    return {f"task {k}": v for k, v in cell.task.identity().items()} | {f"dataset {k}": v for k, v in dataset.items()}


def _other_pictures(a: CellView, b: CellView) -> dict[str, tuple[Any, Any]]:
    """The first image that is another picture in the two; how many there are is in its name."""
    pictures_a, pictures_b = ({i: s.picture for i, s in c.states().items() if s.status == "ok"} for c in (a, b))
    both = [i for i in pictures_a if pictures_a[i] and pictures_b.get(i) and pictures_a[i] != pictures_b[i]]
    if not both:
        return {}
    more = f" (and of {len(both) - 1} more images)" if len(both) > 1 else ""
    return {f"picture of image {both[0]}{more}": (pictures_a[both[0]][:12], pictures_b[both[0]][:12])}
