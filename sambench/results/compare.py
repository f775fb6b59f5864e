"""Two runs on the same objects: is the difference real? Paired by object, by dataset, clusters resampled whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.errors import UsageError
from sambench.layout import Column, Kind, Row, Table
from sambench.metrics.bootstrap import Float64Array, PairedDifference, resampled_means
from sambench.metrics.paired import ALPHA, POWER, PairedTests, holm, paired_tests
from sambench.results.measures import PAIR, object_values
from sambench.results.pairing import unlike
from sambench.store.views import CellView, cluster_notes, partial_notes
from sambench.tasks.prompted_measures import NOC
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_BOOTSTRAP = Bootstrap(n_resamples=10_000)
_MAX_NAMED = 8


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
    """Every dataset and click count that both runs have. mean: over datasets at the same k, with its interval."""

    name_a: str
    name_b: str
    metric: str
    level: float
    differences: tuple[Difference, ...]
    means: tuple[tuple[int | None, float, float, float], ...]
    notes: tuple[str, ...]

    @property
    def table(self) -> Table:
        """As `layout` renders it."""
        clicks = self.metric.startswith(NOC)
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
        return Table(title, columns, tuple(rows), self.notes)


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
    return Row({"dataset": "mean over datasets", "k": k, "difference": mean, "ci": (low, high)}, summary=True)


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
    target). k: one click count; None for all that both have. Means are over the paired objects alone; those in one run only are
    counted. p is that of `paired.t_test`, two-sided, alone and with Holm's correction over datasets. Partial runs and other
    subsets are said in the notes. Raises UsageError where the runs cannot be compared: another protocol or settings, other
    annotations, another ground truth, no dataset or object in common, several cells for one dataset, an unknown metric or k.
    """
    pairs = _pair_cells(a, b)
    differences: list[Difference] = []
    notes: list[str] = []
    draws: dict[int | None, list[Any]] = {}
    for i, (cell_a, cell_b) in enumerate(pairs):
        left, right = (object_values(c, metric, k) for c in (cell_a, cell_b))
        joined, only = _join(left, right, cell_a, k)
        notes += _subset_note(cell_a, cell_b)
        partial = bool(cell_a.partial_reasons() or cell_b.partial_reasons())
        for count, paired, tests, drawn in _by_clicks(joined, bootstrap, seed=[bootstrap.seed, i]):
            clicks = None if metric.startswith(NOC) else count
            differences.append(Difference(cell_a.dataset, clicks, paired, tests, math.nan, *only(count), partial))
            draws.setdefault(clicks, []).append((paired, drawn))
    differences = _corrected(differences)
    notes += _notes(a, b, pairs, differences, _measure_of(metric))
    means = [_mean(clicks, found, bootstrap.level) for clicks, found in draws.items() if 1 < len(pairs) == len(found)]
    names = (name_a or _name(a), name_b or _name(b))
    return ComparisonTable(*names, metric, bootstrap.level, tuple(differences), tuple(means), tuple(notes))


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
    mean = math.fsum(p.mean for p, _ in found) / len(found)
    if any(p.n_clusters < 2 for p, _ in found):
        return k, mean, math.nan, math.nan
    low, high = np.quantile(sum(d for _, d in found) / len(found), [(1 - level) / 2, (1 + level) / 2])
    return k, mean, float(low), float(high)


def _name(cells: Sequence[CellView]) -> str:
    return ", ".join(dict.fromkeys(c.run_name for c in cells))


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
        _refuse_unlike(*pair)
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


def _refuse_unlike(a: CellView, b: CellView) -> None:
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


def _join(
    left: pd.DataFrame, right: pd.DataFrame, cell: CellView, k: int | None
) -> tuple[pd.DataFrame, Callable[[int], tuple[int, int]]]:
    """Paired rows, and for each k how many objects only A and only B have."""
    both = left.merge(right, on=PAIR, how="outer", suffixes=("_a", "_b"), indicator=True, validate="one_to_one")
    sides = both["_merge"]
    paired = both[sides == "both"]
    if paired.empty:
        at = "" if k is None else f" at {k} clicks"
        raise UsageError(
            f"the two runs on {cell.dataset} have no object in common{at}",
            expected="rows of the same images, objects and click counts",
            found=f"{len(left)} rows in A, {len(right)} in B",
        )
    other = paired[paired["area_px_a"] != paired["area_px_b"]]
    if len(other):
        first = other.iloc[0]
        raise UsageError(
            f"the two runs on {cell.dataset} were scored against different masks",
            where=f"image {first['image_id']!r}, object {first['object_id']!r}, and {len(other) - 1} rows more",
            expected="objects of the same area",
            found=f"{first['area_px_a']:.0f} and {first['area_px_b']:.0f} px",
        )

    def only(count: int) -> tuple[int, int]:
        here = both["k"] == count
        return int((here & (sides == "left_only")).sum()), int((here & (sides == "right_only")).sum())

    return paired.rename(columns={"cluster_id_a": "cluster_id"}), only


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
    notes.append(
        "A - B over paired objects; intervals by a bootstrap over clusters; p by a cluster-robust paired t-test, two-sided"
        f"{corrected}."
    )
    notes.append(
        f"detectable: the true difference ({unit}) that such a test at {100 * ALPHA:.0f} % would find in {100 * POWER:.0f} of 100 "
        "experiments of this size (a dash: none that can exist); d_z: mean difference over the standard deviation of differences."
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


def _measure_of(metric: str) -> str:
    return "clicks" if metric.startswith(NOC) else "points of IoU"
