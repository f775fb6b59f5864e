"""Two runs on the same objects: is the difference real? Paired by object, by dataset, clusters resampled whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sambench.errors import UsageError
from sambench.layout import Column, Kind, Row, Table
from sambench.metrics.bootstrap import Float64Array, PairedDifference, resampled_means
from sambench.metrics.paired import ALPHA, POWER, PairedTests, holm, paired_tests
from sambench.results.compare_sets import set_difference
from sambench.results.measures import measure_of
from sambench.results.over_datasets import interval_over_datasets, mean_over_datasets
from sambench.results.pairing import pair_objects, refuse_unlike
from sambench.store.views import CellView, cluster_notes, partial_notes
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_BOOTSTRAP = Bootstrap(n_resamples=10_000)
_MAX_NAMED = 8
_OF_OBJECTS = "A - B over paired objects; intervals by a bootstrap over clusters; p by a cluster-robust paired t-test, two-sided"
_OF_SETS = "A - B of the rows that both have, computed anew in every draw of a bootstrap over clusters; p is that of the draws"


@dataclass(frozen=True)
class Difference:
    """A minus B on one dataset. k: clicks (0 for a box); None where the metric has none (NoC).

    tests: what else is known of `paired` (see `metrics.paired`). p_holm: its two-sided p, corrected for the number of datasets at
    the same k.
    """

    dataset: str
    k: int | None
    paired: PairedDifference
    tests: PairedTests
    p_holm: float
    n_only_a: int
    n_only_b: int
    partial: bool


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
    means: tuple[tuple[int | None, float, float, float], ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def table(self) -> Table:
        """As `layout` renders it."""
        clicks = self.unit == "clicks"
        value: Kind = "number" if clicks else "percent"
        signed: Kind = "signed" if clicks else "points"
        interval: Kind = "signed_interval" if clicks else "points_interval"
        columns = (
            Column("dataset", "dataset"),
            Column("k", "clicks", "count", hidden=all(d.k in (None, 0) for d in self.differences)),
            Column("n", "objects", "count"),
            Column("n_clusters", "clusters", "count", hidden=True),
            Column("mean_a", "A", value),
            Column("mean_b", "B", value),
            Column("difference", "A - B", signed),
            Column("ci", f"{100 * self.level:.0f} % CI", interval),
            Column("p_value", "p", "p"),
            Column("p_holm", "p (Holm)", "p", hidden=len({d.dataset for d in self.differences}) == 1),
            Column("p_wilcoxon", "p (Wilcoxon)", "p", minor=True),
            Column("cohen_dz", "d_z", "signed", minor=True),
            Column("detectable", "detectable", value, minor=True),
            Column("ci_bca", "BCa CI", interval, hidden=True),
            Column("std_error", "std. error", value, hidden=True),
            Column("t", "t", "signed", hidden=True),
            Column("df", "df", "count", hidden=True),
            Column("p_greater", "p (A > B)", "p", hidden=True),
            Column("p_less", "p (A < B)", "p", hidden=True),
            Column("t_objects", "t, objects independent", "signed", hidden=True),
            Column("p_objects", "p, objects independent", "p", hidden=True),
            Column("n_only_a", "only in A", "count", hidden=not any(d.n_only_a for d in self.differences)),
            Column("n_only_b", "only in B", "count", hidden=not any(d.n_only_b for d in self.differences)),
            Column("status", "status", hidden=not any(d.partial for d in self.differences)),
        )
        rows = [_row(d) for d in self.differences] + [_mean_row(*m) for m in self.means]
        title = f"{self.metric}: A = {self.name_a}, B = {self.name_b}"
        return Table(title, columns, tuple(rows), self.notes, self.warnings)


def _row(d: Difference) -> Row:
    p = d.paired
    return Row(
        {
            "dataset": d.dataset,
            "k": d.k,
            "n": p.n,
            "n_clusters": p.n_clusters,
            "mean_a": p.mean_a,
            "mean_b": p.mean_b,
            "difference": p.mean,
            "ci": (p.low, p.high),
            "p_value": p.p_value,
            "p_holm": d.p_holm,
            "p_wilcoxon": d.tests.p_wilcoxon,
            "cohen_dz": d.tests.cohen_dz,
            "detectable": d.tests.detectable if d.k is None or d.tests.detectable <= 1 else None,  # IoUs differ by 1 at most
            "ci_bca": d.tests.bca,
            "std_error": p.std_error,
            "t": d.tests.t.t,
            "df": d.tests.t.df,
            "p_greater": d.tests.t.p_greater,
            "p_less": d.tests.t.p_less,
            "t_objects": d.tests.t_objects.t,
            "p_objects": d.tests.t_objects.p_two_sided,
            "n_only_a": d.n_only_a,
            "n_only_b": d.n_only_b,
            "status": "PARTIAL" if d.partial else "complete",
        }
    )


def _mean_row(k: int | None, mean: float, low: float, high: float) -> Row:
    return Row({"dataset": "mean over datasets", "k": k, "difference": mean, "ci": (low, high)}, kind="summary")


def compare_cells(
    a: Sequence[CellView],
    b: Sequence[CellView],
    *,
    metric: str = "iou_top",
    k: int | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    name_a: str | None = None,
    name_b: str | None = None,
) -> ComparisonTable:
    """A minus B on every dataset that both have, paired by (dataset, image, object, k, prompt).

    metric: one of the task's `object_measures`, as iou_top, or `noc@80` (clicks to an IoU, of runs whose settings have that
    target); or one of its `set_measures`, as cgf1, which is computed of the rows that both have. k: one click count; None for all
    that both have. Means are over the paired objects alone; those in one run only are counted. p is that of `paired.t_test`,
    two-sided, alone and with Holm's correction over datasets. Partial runs and other subsets are said in the notes. Raises
    UsageError where the runs cannot be compared: another protocol or settings, other annotations, another ground truth, no
    dataset or object in common, several cells for one dataset, an unknown metric or k.
    """
    pairs = _pair_cells(a, b)
    differences: list[Difference] = []
    notes: list[str] = []
    draws: dict[int | None, list[Any]] = {}
    of_set = pairs[0][0].task.set_measures().get(metric)
    unit = "fraction" if of_set else measure_of(pairs[0][0], metric).unit
    for i, (cell_a, cell_b) in enumerate(pairs):
        if of_set is not None:
            found = set_difference(cell_a, cell_b, of_set, bootstrap, seed=[bootstrap.seed, i])
            notes += _subset_note(cell_a, cell_b)
            partial = bool(cell_a.partial_reasons() or cell_b.partial_reasons())
            alone = found.rows.alone(0)
            differences.append(Difference(cell_a.dataset, None, found.paired, found.tests, math.nan, *alone, partial))
            draws.setdefault(None, []).append((found.paired, found.draws))
            continue
        both = pair_objects(cell_a, cell_b, metric, k)
        notes += _subset_note(cell_a, cell_b)
        partial = bool(cell_a.partial_reasons() or cell_b.partial_reasons())
        for count, paired, tests, drawn in _by_clicks(both.rows, bootstrap, seed=[bootstrap.seed, i]):
            clicks = None if unit == "clicks" else count
            differences.append(Difference(cell_a.dataset, clicks, paired, tests, math.nan, *both.alone(count), partial))
            draws.setdefault(clicks, []).append((paired, drawn))
    differences = _corrected(differences)
    what = "clicks" if unit == "clicks" else "points" if of_set else "points of IoU"
    notes += _notes(a, b, pairs, differences, what, how=_OF_SETS if of_set else _OF_OBJECTS)
    means = [_mean(clicks, found, bootstrap.level) for clicks, found in draws.items() if 1 < len(pairs) == len(found)]
    names = (name_a or _name(a), name_b or _name(b))
    warnings = partial_notes([c for pair in pairs for c in pair])
    return ComparisonTable(*names, metric, unit, bootstrap.level, tuple(differences), tuple(means), tuple(notes), tuple(warnings))


def _by_clicks(
    joined: pd.DataFrame, bootstrap: Bootstrap, *, seed: list[int]
) -> Iterator[tuple[int, PairedDifference, PairedTests, Float64Array]]:
    """(k, difference, tests, the bootstrap's means) of every click count, all with the same draws of clusters."""
    objects = ["image_id", "object_id"]
    wide = joined.assign(difference=joined["value_a"] - joined["value_b"]).pivot(index=objects, columns="k", values="difference")
    clusters = joined.groupby(objects)["cluster_id"].first().reindex(wide.index).to_numpy()
    drawn = resampled_means(wide.to_numpy(np.float64), clusters, n_resamples=bootstrap.n_resamples, seed=seed)
    for j, (count, rows) in enumerate(joined.groupby("k", sort=True)):
        va, vb = (rows[c].to_numpy(np.float64) for c in ("value_a", "value_b"))
        means = drawn[:, j]
        tests = paired_tests(va - vb, rows["cluster_id"].to_numpy(), level=bootstrap.level, draws=means[~np.isnan(means)])
        mean_a, mean_b = (math.fsum(v) / len(v) for v in (va, vb))
        t = tests.t
        paired = PairedDifference(
            t.mean, *tests.percentile, t.p_two_sided, mean_a, mean_b, t.std_error, n=len(rows), n_clusters=t.df + 1
        )
        yield int(str(count)), paired, tests, means


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    """With Holm's correction over the datasets at each k."""
    p = np.full(len(differences), np.nan)
    for k in {d.k for d in differences}:
        at = [i for i, d in enumerate(differences) if d.k == k]
        p[at] = holm([differences[i].paired.p_value for i in at])
    return [replace(d, p_holm=float(x)) for d, x in zip(differences, p, strict=True)]


def _mean(k: int | None, found: list[tuple[PairedDifference, Any]], level: float) -> tuple[int | None, float, float, float]:
    draws = [None if p.n_clusters < 2 else drawn for p, drawn in found]
    return k, mean_over_datasets([p.mean for p, _ in found]), *interval_over_datasets(draws, level)


def _name(cells: Sequence[CellView]) -> str:
    return ", ".join(dict.fromkeys(c.run_name if c.label == c.model else f"{c.label} ({c.run_name})" for c in cells))


def _pair_cells(a: Sequence[CellView], b: Sequence[CellView]) -> list[tuple[CellView, CellView]]:
    """Cells of one dataset in both, in A's order."""
    by_a, by_b = _by_dataset(a, "A"), _by_dataset(b, "B")
    pairs = [(by_a[d], by_b[d]) for d in by_a if d in by_b]
    if not pairs:
        raise UsageError(
            "the two runs have no dataset in common",
            expected="the same dataset (and variant) in both",
            found=f"A: {', '.join(by_a)}; B: {', '.join(by_b)}",
        )
    for pair in pairs:
        refuse_unlike(*pair)
    return pairs


def _by_dataset(cells: Sequence[CellView], side: str) -> dict[str, CellView]:
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


def _subset_note(a: CellView, b: CellView) -> list[str]:
    ours, theirs = (c.record.subset.digest for c in (a, b))
    if ours == theirs:
        return []
    return [f"{a.dataset}: the runs are on different subsets ({ours[:8]} and {theirs[:8]}); only shared images count"]


def _notes(
    a: Sequence[CellView],
    b: Sequence[CellView],
    pairs: Sequence[tuple[CellView, CellView]],
    differences: Sequence[Difference],
    unit: str,
    *,
    how: str,
) -> list[str]:
    used = [c for pair in pairs for c in pair]
    notes = partial_notes(used) + cluster_notes((d.dataset, d.paired.n_clusters) for d in differences)
    for side, cells in (("A", a), ("B", b)):
        unused = [c.dataset for c in cells if c.dataset not in {u.dataset for u in used}]
        if unused:
            more = ", ..." if len(unused) > _MAX_NAMED else ""
            notes.append(f"only in {side}, left out: {', '.join(unused[:_MAX_NAMED])}{more}")
    for dataset in dict.fromkeys(d.dataset for d in differences):
        n_a = max(d.n_only_a for d in differences if d.dataset == dataset)
        n_b = max(d.n_only_b for d in differences if d.dataset == dataset)
        if n_a or n_b:
            notes.append(f"{dataset}: objects without a partner left out, {n_a} of A and {n_b} of B")
    notes += _tallies(differences)
    corrected = "; Holm corrects it for the number of datasets" if len(pairs) > 1 else ""
    notes.append(f"{how}{corrected}.")
    notes.append(
        f"detectable: the true difference ({unit}) that such a test at {100 * ALPHA:.0f} % would find in {100 * POWER:.0f} of 100 "
        "experiments of this size (a dash: none that can exist)"
        + ("." if how == _OF_SETS else "; d_z: mean difference over the standard deviation of differences.")
    )
    return notes


def _tallies(differences: Sequence[Difference]) -> list[str]:
    """At each k: on how many datasets A is ahead, and behind, and where that is more than chance."""
    out = []
    for k in dict.fromkeys(d.k for d in differences):
        here = [d for d in differences if d.k == k]
        if len(here) < 2:
            continue
        ahead = [d for d in here if d.paired.mean > 0]
        behind = [d for d in here if d.paired.mean < 0]
        sure = [sum(d.p_holm < ALPHA for d in side) for side in (ahead, behind)]
        at = f"at {k} click{'' if k == 1 else 's'}, " if k else ""
        out.append(
            f"{at}A is ahead on {len(ahead)} of {len(here)} datasets ({sure[0]} of them with p < {ALPHA:g} after Holm), "
            f"behind on {len(behind)} ({sure[1]})"
        )
    return out
