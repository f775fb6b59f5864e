"""Two runs on the same objects: is the difference real? Paired by object, by dataset, clusters resampled whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.errors import UsageError
from sambench.metrics.bootstrap import PairedDifference, paired_difference, resampled_means
from sambench.results.cells import CellView, cluster_notes, partial_notes
from sambench.results.layout import Column, Kind, Row, Table
from sambench.results.measures import NOC, PAIR, object_values
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_BOOTSTRAP = Bootstrap(n_resamples=10_000)
_MAX_NAMED = 8


@dataclass(frozen=True)
class Difference:
    """A minus B on one dataset. k: clicks (0 for a box); None where the metric has none (NoC)."""

    dataset: str
    k: int | None
    paired: PairedDifference
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

    metric: one of `measures.METRICS`, or `noc@80` (clicks to an IoU, of runs whose settings have that target). k: one click count;
    None for all that both have. Means are over the paired objects alone; those in one run only are counted. p is that of
    `bootstrap.paired_difference`, not corrected for the number of datasets. Partial runs and other subsets are said in
    the notes. Raises UsageError where the runs cannot be compared: another protocol or settings, other annotations,
    another ground truth, no dataset or object in common, several cells for one dataset, an unknown metric or k.
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
        for count, rows in joined.groupby("k", sort=True):
            clicks = None if metric.startswith(NOC) else int(str(count))
            va, vb = (rows[c].to_numpy(np.float64) for c in ("value_a", "value_b"))
            clusters = rows["cluster_id"].to_numpy()
            options: dict[str, Any] = {"n_resamples": bootstrap.n_resamples}
            paired = paired_difference(va, vb, clusters, **options, level=bootstrap.level, seed=bootstrap.seed)
            n_a, n_b = only(int(str(count)))
            differences.append(Difference(cell_a.dataset, clicks, paired, n_a, n_b, partial))
            drawn = resampled_means((va - vb)[:, None], clusters, **options, seed=[bootstrap.seed, i])
            draws.setdefault(clicks, []).append((paired, drawn[:, 0]))
    notes += _notes(a, b, pairs, differences)
    means = [_mean(clicks, found, bootstrap.level) for clicks, found in draws.items() if 1 < len(pairs) == len(found)]
    names = (name_a or _name(a), name_b or _name(b))
    return ComparisonTable(*names, metric, bootstrap.level, tuple(differences), tuple(means), tuple(notes))


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
    facts_a, facts_b = _facts(a), _facts(b)
    unlike = [k for k in sorted({*facts_a, *facts_b}) if facts_a.get(k) != facts_b.get(k)]
    if unlike:
        raise UsageError(
            f"the two runs on {a.dataset} cannot be compared: they differ in {', '.join(unlike)}",
            expected="the same protocol, settings and annotations",
            found="; ".join(f"{k}: {facts_a.get(k)!r} and {facts_b.get(k)!r}" for k in unlike),
            where=f"{a.path} and {b.path}",
            remedy="run both with the same flags on the same files",
        )


def _facts(cell: CellView) -> dict[str, Any]:
    """What must agree, by name; as the identities have it (a seed that is not used does not count)."""
    dataset: Mapping[str, Any] = cell.record["dataset"]
    keys = ("annotation_digest", "options", "reader", "revision")
    return {f"task {k}": v for k, v in cell.task.identity().items()} | {f"dataset {k}": dataset.get(k) for k in keys}


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
    ours, theirs = (c.record["subset"]["digest"] for c in (a, b))
    if ours == theirs:
        return []
    return [f"{a.dataset}: the runs are on different subsets ({ours[:8]} and {theirs[:8]}); only shared images count"]


def _notes(
    a: Sequence[CellView],
    b: Sequence[CellView],
    pairs: Sequence[tuple[CellView, CellView]],
    differences: Sequence[Difference],
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
    notes.append(
        "A - B over paired objects; intervals by a bootstrap over clusters; p by a cluster-robust paired t-test, "
        "two-sided, not corrected for the number of rows."
    )
    return notes
