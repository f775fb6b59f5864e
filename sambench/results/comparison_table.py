"""The table of a comparison of two runs: a difference a row, with its interval and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sambench.layout import Column, Kind, Row, Table
from sambench.metrics.bootstrap import PairedDifference
from sambench.metrics.paired import PairedTests


@dataclass(frozen=True)
class Difference:
    """A minus B on one dataset. k: clicks (0 for a box); None where the metric has none (NoC).

    tests: what else is known of `paired` (see `metrics.paired`); None of a score of the whole set. p_holm: its two-sided p,
    corrected for the number of datasets at the same k. score: which of a set's scores; empty for means over objects.
    """

    dataset: str
    k: int | None
    paired: PairedDifference
    tests: PairedTests | None
    p_holm: float
    n_only_a: int
    n_only_b: int
    partial: bool
    score: str = ""


class MeanDifference(NamedTuple):
    """The mean of the differences over datasets, at one click count or of one score."""

    k: int | None
    mean: float
    low: float
    high: float
    score: str = ""


# What tables call the measures of points and boxes whose names are those of columns of rows.
_SAID = {
    "iou_top": "mIoU",
    "iou_oracle": "mIoU of the best mask",
    "iou_oracle@3": "mIoU of the best of three masks",
    "boundary_iou_2pct": "bIoU at 2 %",
    "boundary_iou_1pct": "bIoU at 1 %",
}


@dataclass(frozen=True)
class ComparisonTable:
    """Every dataset and click count that both runs have. unit: of the values. means: over datasets at the same k, with intervals.

    warnings: those of the notes that say that numbers are of a part of a set.
    """

    name_a: str
    name_b: str
    metric: str
    unit: Literal["fraction", "clicks"]
    level: float
    differences: tuple[Difference, ...]
    means: tuple[MeanDifference, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    counted: str = "objects"
    by_category: bool = False

    @property
    def table(self) -> Table:
        """As `layout` renders it."""
        clicks = self.unit == "clicks"
        value: Kind = "number" if clicks else "percent"
        signed: Kind = "signed" if clicks else "points"
        interval: Kind = "signed_interval" if clicks else "points_interval"
        scored, tested = any(d.score for d in self.differences), any(d.tests for d in self.differences)
        single = len({d.dataset for d in self.differences}) == 1 and not self.by_category
        std_error = Column("std_error", "std. error", value, hidden=True)
        columns = (
            Column("dataset", "dataset"),
            Column("k", "clicks", "count", hidden=all(d.k in (None, 0) for d in self.differences)),
            *([Column("score", "score")] if scored else []),
            Column("n", self.counted, "count"),
            Column("n_clusters", "clusters", "count", hidden=True),
            Column("mean_a", "A", value),
            Column("mean_b", "B", value),
            Column("difference", "A - B", signed),
            Column("ci", f"{100 * self.level:.0f} % CI", interval),
            Column("p_value", "p", "p"),
            Column("p_holm", "p (Holm)", "p", hidden=single),
            *(_test_columns(value, interval, std_error) if tested else [std_error]),
            Column("n_only_a", "only in A", "count", hidden=not any(d.n_only_a for d in self.differences)),
            Column("n_only_b", "only in B", "count", hidden=not any(d.n_only_b for d in self.differences)),
            Column("status", "status", hidden=not any(d.partial for d in self.differences)),
        )
        rows = [_row(d) for d in self.differences] + [_mean_row(m) for m in self.means]
        named = f"{said} ({self.metric})" if (said := _SAID.get(self.metric)) else self.metric
        title = f"{named}: A = {self.name_a}, B = {self.name_b}"
        return Table(title, columns, tuple(rows), self.notes, self.warnings)


def _test_columns(value: Kind, interval: Kind, std_error: Column) -> list[Column]:
    return [
        Column("p_wilcoxon", "p (Wilcoxon)", "p", minor=True),
        Column("cohen_dz", "d_z", "signed", minor=True),
        Column("detectable", "detectable", value, minor=True),
        Column("ci_bca", "BCa CI", interval, hidden=True),
        std_error,
        Column("t", "t", "signed", hidden=True),
        Column("df", "df", "count", hidden=True),
        Column("p_greater", "p (A > B)", "p", hidden=True),
        Column("p_less", "p (A < B)", "p", hidden=True),
        Column("t_objects", "t, objects independent", "signed", hidden=True),
        Column("p_objects", "p, objects independent", "p", hidden=True),
    ]


def _row(d: Difference) -> Row:
    p = d.paired
    values = {
        "dataset": d.dataset,
        "k": d.k,
        "score": d.score,
        "n": p.n,
        "n_clusters": p.n_clusters,
        "mean_a": p.mean_a,
        "mean_b": p.mean_b,
        "difference": p.mean,
        "ci": (p.low, p.high),
        "p_value": p.p_value,
        "p_holm": d.p_holm,
        "std_error": p.std_error,
        "n_only_a": d.n_only_a,
        "n_only_b": d.n_only_b,
        "status": "PARTIAL" if d.partial else "complete",
    }
    return Row(values | (_test_values(d.tests, d.k) if d.tests else {}))


def _test_values(tests: PairedTests, k: int | None) -> dict[str, Any]:
    return {
        "p_wilcoxon": tests.p_wilcoxon,
        "cohen_dz": tests.cohen_dz,
        "detectable": tests.detectable if k is None or tests.detectable <= 1 else None,  # IoUs differ by 1 at most
        "ci_bca": tests.bca,
        "t": tests.t.t,
        "df": tests.t.df,
        "p_greater": tests.t.p_greater,
        "p_less": tests.t.p_less,
        "t_objects": tests.t_objects.t,
        "p_objects": tests.t_objects.p_two_sided,
    }


def _mean_row(m: MeanDifference) -> Row:
    values = {"dataset": "mean over datasets", "k": m.k, "score": m.score, "difference": m.mean, "ci": (m.low, m.high)}
    return Row(values, kind="summary")
