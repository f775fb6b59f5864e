"""What two runs of a task can be compared by: numbers that its rows give, one a row, or an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

DESCRIBING = ("area",)  # numbers of the annotation, not of a model


def _as_read(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@dataclass(frozen=True)
class ObjectMeasure:
    """columns: what must be read; values: float64 [n] of n rows, in [0, 1] or in clicks, as `unit` says.

    only: (column, value) of the rows that are of objects, where others are stored too. objects: the rows that count, made of those
    that were read. by_k: a row a click count, of which one can be asked for. of_images: a row is an
    image, not an object. refused: why the settings of the run allow no
    comparison by it, and instead: by what they do.
    """

    columns: tuple[str, ...]
    values: Callable[[pd.DataFrame], Any]
    only: tuple[str, str] | None = None
    objects: Callable[[pd.DataFrame], pd.DataFrame] = _as_read
    by_k: bool = False
    unit: Literal["fraction", "clicks"] = "fraction"
    of_images: bool = False
    refused: str = ""
    instead: str = ""


def column(name: str) -> Callable[[pd.DataFrame], Any]:
    """The values of a column."""
    return lambda frame: frame[name].to_numpy("float64")


def columns_as_measures(columns: Mapping[str, str]) -> dict[str, ObjectMeasure]:
    """A measure for every column of the type `double`, in their order; none where the rows are not of objects."""
    if "object_id" not in columns:
        return {}
    names = [name for name, kind in columns.items() if kind == "double" and name not in DESCRIBING]
    return {name: ObjectMeasure((name,), column(name), by_k="k" in columns) for name in names}
