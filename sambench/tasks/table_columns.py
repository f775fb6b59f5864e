"""The columns of a task's table, and which metric row fills each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sambench.layout import Kind, is_missing


@dataclass(frozen=True)
class Measure:
    """A column of numbers, and which metric row of a cell fills it (its value, or its interval, by `kind`).

    drawn_by: of an interval, the task's measure (`object_measures`, `set_measures`) whose value the number is, for intervals of
    means over datasets. Empty: there are none.
    """

    key: str
    label: str
    kind: Kind
    metric: str
    variant: str = "top"
    k: int | None = None
    threshold: float | None = None
    max_dets: int | None = None
    group: str = ""
    drawn_by: str = ""

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether this metric row holds the value."""
        threshold = None if is_missing(row["threshold"]) else row["threshold"]
        variant = "" if is_missing(row["variant"]) else row["variant"]
        return bool(
            (row["metric"], variant, threshold) == (self.metric, self.variant, self.threshold)
            and (self.k is None or row["k"] == self.k)
            and (self.max_dets is None or row["max_dets"] == self.max_dets)
            and ("" if is_missing(row["group_by"]) else row["group"]) == self.group
        )

    def value(self, rows: Iterable[Mapping[str, Any]]) -> Any:
        """The value in one cell's metric rows, in the form of this column's kind; None if it is not there."""
        row = next((r for r in rows if self.fits(r)), None)
        if row is None:
            return None
        if self.kind in ("interval", "score_interval", "number_interval"):
            if is_missing(row["ci_level"]):  # it has none
                return None
            return float(row["ci_low"]), float(row["ci_high"])
        if self.kind == "of":
            return float(row["value"]), int(row["n_candidates"])
        if self.kind == "count":
            return int(row["value"])
        return float(row["value"])


def measures_of_rows(rows: Sequence[Mapping[str, Any]]) -> list[Measure]:
    """A column for every kind of metric row, in their order, and after the first one its interval where it has one.

    Fractions are shown in percent, everything else as a number.
    """
    out: dict[str, Measure] = {}
    for row in rows:
        k, most, threshold = (None if is_missing(row[c]) else row[c] for c in ("k", "max_dets", "threshold"))
        variant, group = ("" if is_missing(row[c]) else str(row[c]) for c in ("variant", "group"))
        at = [f"@{n:g}" for n in (k, most, threshold) if n]
        key = "_".join(p for p in (str(row["metric"]) + "".join(at), variant, group) if p)
        if key in out:
            continue
        percent = row["unit"] == "fraction"
        of_row = (str(row["metric"]), variant, k, threshold, most, group)
        out[key] = Measure(key, key.replace("_", " "), "percent" if percent else "number", *of_row)
        if len(out) == 1 and not is_missing(row["ci_low"]):
            out[f"{key}_ci"] = Measure(f"{key}_ci", "CI", "interval" if percent else "number_interval", *of_row, str(row["metric"]))
    return list(out.values())
