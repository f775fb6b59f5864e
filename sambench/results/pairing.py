"""The one rule for which cells may be paired object by object, and how: comparisons, figures and claims all ask here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sambench.errors import UsageError
from sambench.results.measures import PAIR, object_values
from sambench.store.views import CellView
from sambench.text import counted

if TYPE_CHECKING:
    import pandas as pd

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


def refuse_unlike(a: CellView, b: CellView) -> None:
    """Raise UsageError if the cells' numbers do not mean the same, naming all that differs."""
    found = unlike(a, b)
    if found:
        raise UsageError(
            f"the two runs on {a.dataset} cannot be compared: they differ in {', '.join(found)}",
            expected="the same protocol, settings and annotations",
            found="; ".join(f"{k}: {ours!r} and {theirs!r}" for k, (ours, theirs) in found.items()),
            where=f"{a.path} and {b.path}",
            remedy="run both with the same flags on the same files",
        )


def by_dataset(cells: Sequence[CellView], side: str) -> dict[str, CellView]:
    """The cells of one side of a comparison, each of a dataset of its own. Raises UsageError where a dataset has several."""
    out: dict[str, CellView] = {}
    for cell in cells:
        if cell.dataset in out:
            raise UsageError(
                f"{side} has several results on {cell.dataset}",
                found=f"{out[cell.dataset].path} and {cell.path}",
                remedy="name one run, or one cell as RUN/DATASET",
            )
        out[cell.dataset] = cell
    return out


class Paired(NamedTuple):
    """Objects of two cells. rows: of those in both, PAIR with value_a, value_b and cluster_id. joined: all, with `_merge` as pandas
    has it.
    """

    rows: pd.DataFrame
    joined: pd.DataFrame

    def by_image(self) -> pd.DataFrame:
        """The rows of each image as one: the means of its objects, at each click count."""
        keys = ["image_id", "k", "prompt"]
        how = {"value_a": "mean", "value_b": "mean", "cluster_id": "first"}
        means = self.rows.groupby(keys, sort=True).agg(how)
        return means.reset_index().assign(object_id="")

    def alone(self, k: int) -> tuple[int, int]:
        """How many objects only the first and only the second cell has at a click count."""
        sides = self.joined["_merge"][self.joined["k"] == k]
        return int((sides == "left_only").sum()), int((sides == "right_only").sum())


def pair_objects(a: CellView, b: CellView, metric: str, k: int | None = None) -> Paired:
    """Pair by (image, object, clicks, prompt). k: one click count, where the measure has several; None for all.

    Raises UsageError where the cells have no object in common, or were scored against other masks. Whether they may be paired at
    all is what `unlike` says.
    """
    left, right = (object_values(c, metric, k) for c in (a, b))
    joined = left.merge(right, on=PAIR, how="outer", suffixes=("_a", "_b"), indicator=True, validate="one_to_one")
    both = joined[joined["_merge"] == "both"]
    if both.empty:
        at = "" if k is None else f" at {counted(k, 'click')}"
        raise UsageError(
            f"the two runs on {a.dataset} have no object in common{at}",
            expected="rows of the same images, objects and click counts",
            found=f"{len(left)} rows in A, {len(right)} in B",
        )
    other = both[both["area_px_a"] != both["area_px_b"]]
    if len(other):
        first = other.iloc[0]
        raise UsageError(
            f"the two runs on {a.dataset} were scored against different masks",
            where=f"image {first['image_id']!r}, object {first['object_id']!r}, and {len(other) - 1} rows more",
            expected="objects of the same area",
            found=f"{first['area_px_a']:.0f} and {first['area_px_b']:.0f} px",
        )
    return Paired(both.rename(columns={"cluster_id_a": "cluster_id"}), joined)
