"""What two runs of a task can be compared by: numbers that its rows give, one a row, or an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DESCRIBING = ("area",)  # numbers of the annotation, not of a model


@dataclass(frozen=True)
class ObjectMeasure:
    """columns: what must be read; values: float64 [n] of n rows, in [0, 1]."""

    columns: tuple[str, ...]
    values: Callable[[pd.DataFrame], Any]


def of_column(name: str) -> ObjectMeasure:
    """The column itself."""
    return ObjectMeasure((name,), lambda frame: frame[name].to_numpy("float64"))


def columns_as_measures(columns: Mapping[str, str]) -> dict[str, ObjectMeasure]:
    """A measure for every column of the type `double`, in their order; none where the rows are not of objects."""
    if "object_id" not in columns:
        return {}
    return {name: of_column(name) for name, kind in columns.items() if kind == "double" and name not in DESCRIBING}
