"""The one rule for values over several datasets: tables, comparisons, figures, claims and reports all ask here.

The value of a suite is the unweighted mean over its datasets, and it is the suite's only where every member is complete. Its
interval is made of draws that were made within each dataset, independently.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sambench.metrics.bootstrap import Float64Array, percentile_interval


class Coverage(NamedTuple):
    """Which of the datasets that are wanted are there, in their order."""

    complete: tuple[str, ...]
    partial: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether a mean over them is the suite's."""
        return not self.partial and not self.absent

    @property
    def wanted(self) -> int:
        return len(self.complete) + len(self.partial) + len(self.absent)


def coverage(members: Iterable[str], complete: Mapping[str, bool]) -> Coverage:
    """complete: of the datasets that were measured, whether all of each was."""
    members = tuple(members)
    here = [m for m in members if m in complete]
    return Coverage(
        complete=tuple(m for m in here if complete[m]),
        partial=tuple(m for m in here if not complete[m]),
        absent=tuple(m for m in members if m not in complete),
    )


def mean_over_datasets(values: Sequence[float]) -> float:
    """The unweighted mean; NaN where one of them is."""
    return math.fsum(values) / len(values)


def interval_over_datasets(draws: Sequence[Float64Array | None], level: float) -> tuple[float, float]:
    """Percentile interval of the mean over datasets.

    draws: of every dataset the resampled means [n_resamples]; None where its clusters are too few to say how they vary, and then
    nothing is known of the mean: (NaN, NaN).
    """
    known = [d for d in draws if d is not None]
    if len(known) < len(draws) or not known:
        return math.nan, math.nan
    total = known[0]
    for drawn in known[1:]:
        total = total + drawn
    return percentile_interval(total / len(known), level=level)
