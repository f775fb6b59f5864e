"""The tables that `sambench run` and `sambench table` print: a row a cell, and a suite's mean where there is one.

A suite's mean is that of the suite only if every member is complete; anything else is called "not comparable".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.cards import SuiteCard, suite_card, suite_cards
from sambench.errors import UsageError, unknown_name
from sambench.layout import FORMATS, Column, Kind, Row, Table, is_missing, render, render_rich, to_frame
from sambench.left_out import image_notes, sentences
from sambench.metrics.bootstrap import resampled_means
from sambench.provenance import digest
from sambench.results.instance_measures import count_notes, instance_settings
from sambench.results.proposal_measures import groups, numbers_of, settings_note
from sambench.results.rescore import DEFAULT_BOOTSTRAP, rescore
from sambench.schema import METRIC_COLUMNS
from sambench.store.views import CellView, by_dataset, cluster_notes, partial_notes, subset_notes
from sambench.tasks.point import PAPER_CLICKS
from sambench.tasks.summary import Bootstrap

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FORMATS",
    "Table",
    "box_table",
    "edge_table",
    "instance_table",
    "metrics_frame",
    "point_table",
    "proposal_table",
    "render",
    "render_rich",
    "result_table",
    "tables",
    "to_frame",
]

MAX_CLICK_COLUMNS = 9
BOUNDARY_2PCT, BOUNDARY_1PCT = 0.02, 0.01
NOT_COMPARABLE = "not comparable"
_CAUSES = {"partial": "--limit", "incomplete": "failures"}


@dataclass(frozen=True)
class Measure:
    """A column of numbers, and which metric row of a cell fills it (its value, or its interval, by `kind`)."""

    key: str
    label: str
    kind: Kind
    metric: str
    variant: str = "top"
    k: int | None = None
    threshold: float | None = None
    max_dets: int | None = None
    group: str = ""

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether this metric row holds the value."""
        threshold = None if is_missing(row["threshold"]) else row["threshold"]
        return bool(
            (row["metric"], row["variant"], threshold) == (self.metric, self.variant, self.threshold)
            and (self.k is None or row["k"] == self.k)
            and (self.max_dets is None or row["max_dets"] == self.max_dets)
            and ("" if is_missing(row["group_by"]) else row["group"]) == self.group
        )

    def value(self, rows: Iterable[Mapping[str, Any]]) -> Any:
        """The value in one cell's metric rows, in the form of this column's kind; None if it is not there."""
        row = next((r for r in rows if self.fits(r)), None)
        if row is None:
            return None
        if self.kind in ("interval", "score_interval"):
            return float(row["ci_low"]), float(row["ci_high"])
        if self.kind == "of":
            return float(row["value"]), int(row["n_candidates"])
        if self.kind == "count":
            return int(row["value"])
        return float(row["value"])


@dataclass(frozen=True)
class _Entry:
    """A cell with its metric rows."""

    cell: CellView
    metrics: list[dict[str, Any]]

    @property
    def complete(self) -> bool:
        return not self.cell.partial_reasons()


def metric_rows_of(cell: CellView, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> list[dict[str, Any]]:
    """A cell's metric rows as stored; computed from its rows where nothing says that those are of these rows."""
    stored = cell.metrics() if cell.vouched else None
    if stored is None:
        return rescore(cell, bootstrap=bootstrap)
    return [{str(k): v for k, v in row.items()} for row in stored.to_dict("records")]


def metrics_frame(cells: Iterable[CellView], bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> pd.DataFrame:
    """The metric rows of all cells: a frame with the columns `schema.METRIC_COLUMNS`."""
    import pandas as pd

    rows = [row for cell in cells for row in metric_rows_of(cell, bootstrap)]
    return pd.DataFrame(rows, columns=list(METRIC_COLUMNS))


def tables(
    cells: Sequence[CellView], *, suites: Sequence[SuiteCard] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> list[Table]:
    """One table for every protocol with its settings among the cells: numbers of different protocols never share one.

    suites: each adds its mean, a row for each run. Raises UsageError for a task without a table.
    """
    groups: dict[str, list[CellView]] = {}
    for cell in cells:
        if cell.task.name not in _TABLES:
            known = ", ".join(_TABLES)
            raise UsageError("no table for this task", where=cell.path, expected=known, found=repr(cell.task.name))
        groups.setdefault(digest(cell.task.identity()), []).append(cell)
    return [_TABLES[group[0].task.name](group, suites=suites, bootstrap=bootstrap) for group in groups.values()]


def result_table(
    cells: Sequence[CellView], *, suites: Sequence[str] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Table:
    """The one table of cells of one protocol, with the means of the suites of these ids or aliases.

    Raises UsageError for no cells, several protocols or settings (`tables` takes those), or an unknown suite.
    """
    named = []
    for name in suites:
        card = suite_card(name)
        if card is None:
            raise unknown_name("suite", name, suite_cards())
        named.append(card)
    found = tables(cells, suites=named, bootstrap=bootstrap)
    if len(found) != 1:
        raise UsageError(
            "no single table for these results",
            expected="cells of one protocol and its settings",
            found="; ".join(t.title for t in found) or "no cells",
            remedy="name one run",
        )
    return found[0]


def point_table(
    cells: Sequence[CellView], *, suites: Sequence[SuiteCard] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Table:
    """mIoU by clicks, its interval at the first count, the oracle with its number of candidates, bIoU, NoC, and counts.

    cells: of one protocol. Fractions in [0, 1]; `layout` shows percent. Where a run has more than nine counts, those of
    the paper stand in the table.
    """
    entries = [_Entry(c, metric_rows_of(c, bootstrap)) for c in cells]
    return _table(entries, _point_measures(entries), suites, bootstrap)


def box_table(
    cells: Sequence[CellView], *, suites: Sequence[SuiteCard] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Table:
    """mIoU with its interval, and mean boundary IoU at 2 % and 1 % of the diagonal; the oracle where there are candidates."""
    entries = [_Entry(c, metric_rows_of(c, bootstrap)) for c in cells]
    measures = [
        Measure("miou", "mIoU", "percent", "miou"),
        Measure("miou_ci", "CI", "interval", "miou"),
        Measure("oracle", "oracle (of)", "of", "miou", "oracle"),
        Measure("mbiou_2pct", "mBIoU 2 %", "percent", "mbiou", threshold=BOUNDARY_2PCT),
        Measure("mbiou_1pct", "mBIoU 1 %", "percent", "mbiou", threshold=BOUNDARY_1PCT),
    ]
    return _table(entries, measures, suites, bootstrap)


def edge_table(
    cells: Sequence[CellView], *, suites: Sequence[SuiteCard] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Table:
    """ODS, OIS, AP and R50 in [0, 1] with their intervals; none where images are missing or failed."""
    entries = [_Entry(c, metric_rows_of(c, bootstrap)) for c in cells]
    kinds: tuple[tuple[str, Kind], ...] = (("", "score"), ("_ci", "score_interval"))
    measures = [
        Measure(name + suffix, name.upper() if not suffix else "CI", kind, name, "")
        for name in ("ods", "ois", "ap", "r50")
        for suffix, kind in kinds
    ]
    found = _table(entries, measures, suites, bootstrap)
    notes = [
        f"{e.cell.dataset}, {e.cell.model}: no scores, for the benchmark says nothing of a part of a set; mend what is missing and "
        "issue the command again, or choose the part with --limit or --subset"
        for e in entries
        if not e.metrics
    ]
    scored = ["Intervals by a bootstrap over images."] if len(notes) < len(entries) else []
    return dataclasses.replace(found, notes=(*found.notes, *notes, *scored))


def proposal_table(
    cells: Sequence[CellView], *, suites: Sequence[SuiteCard] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Table:
    """Average recall by number of proposals, its interval at the largest, and there by the objects' area and frequency."""
    entries = [_Entry(c, metric_rows_of(c, bootstrap)) for c in cells]
    numbers = numbers_of(r for e in entries for r in e.metrics)
    measures = [Measure(f"ar@{n}", f"AR@{n}", "percent", "ar", "", max_dets=n) for n in reversed(numbers)]
    if numbers:
        most = numbers[-1]
        measures.insert(1, Measure(f"ar@{most}_ci", "CI", "interval", "ar", "", max_dets=most))
        by_group = [Measure(f"ar@{most}_{g}", g, "percent", "ar", "", max_dets=most, group=g) for g in groups()]
        measures = [*measures[:2], *by_group, *measures[2:]]
    found = _table(entries, measures, suites, bootstrap)
    said = [n.replace("IoUs in percent", "Recall in percent, over IoU thresholds .50 to .95") for n in found.notes]
    return dataclasses.replace(found, notes=(*said, settings_note(cells[0].task.settings, [c.record for c in cells])))


def instance_table(
    cells: Sequence[CellView], *, suites: Sequence[SuiteCard] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Table:
    """Mask AP, at IoU .5 and .75, by area and (federated datasets) by frequency; boundary AP where asked for; AP of the boxes."""
    entries = [_Entry(c, metric_rows_of(c, bootstrap)) for c in cells]
    measures = [
        Measure("ap", "AP", "percent", "ap", "mask"),
        *(Measure(f"ap{100 * t:.0f}", f"AP{100 * t:.0f}", "percent", "ap", "mask", threshold=t) for t in (0.5, 0.75)),
        *(Measure(f"ap_{g}", f"AP {g}", "percent", "ap", "mask", group=g) for g in groups()),
        Measure("boundary_ap", "boundary AP", "percent", "ap", "boundary"),
        Measure("box_ap", "box AP", "percent", "ap", "box"),
    ]
    found = _table(entries, measures, suites, bootstrap)
    notes = [n for n in found.notes if not n.startswith("IoUs in percent")]
    notes = [n for n in notes if not n.endswith("intervals are likely too narrow")]  # there are none
    return dataclasses.replace(found, notes=(*notes, *count_notes(cells), *instance_settings(cells)))


_TABLES: dict[str, Callable[..., Table]] = {
    "point": point_table,
    "box": box_table,
    "edge": edge_table,
    "proposals": proposal_table,
    "instances": instance_table,
}


def _point_measures(entries: Sequence[_Entry]) -> list[Measure]:
    rows = [r for e in entries for r in e.metrics]
    counts = sorted({int(r["k"]) for r in rows if r["metric"] == "miou"})
    if len(counts) > MAX_CLICK_COLUMNS:
        counts = [k for k in counts if k in PAPER_CLICKS]
    out = [Measure(f"miou@{k}", f"mIoU@{k}", "percent", "miou", k=k) for k in counts]
    if counts:
        first = counts[0]
        out.insert(1, Measure(f"miou@{first}_ci", "CI", "interval", "miou", k=first))
        out.append(Measure(f"oracle@{first}", f"oracle@{first} (of)", "of", "miou", "oracle", first))
        if any(r["n_candidates"] > 3 for r in rows):
            out.append(Measure(f"oracle3@{first}", f"oracle of 3@{first}", "percent", "miou", "oracle@3", first))
        out.append(Measure(f"biou@{first}", f"bIoU@{first}", "percent", "mbiou", k=first, threshold=BOUNDARY_2PCT))
    limits = {float(r["threshold"]): int(r["k"]) for r in rows if r["metric"] == "noc"}
    for target in sorted(limits):
        name = f"{100 * target:.0f}"
        out.append(Measure(f"noc@{name}", f"NoC@{name}", "number", "noc", threshold=target))
        out.append(Measure(f"noc_at_limit@{name}", f">={limits[target]}@{name}", "count", "noc_at_limit", threshold=target))
        out.append(Measure(f"noc_failures@{name}", f"never {name}", "percent", "noc_failures", threshold=target))
    return out


def _table(entries: Sequence[_Entry], measures: list[Measure], suites: Sequence[SuiteCard], bootstrap: Bootstrap) -> Table:
    filled = [m for m in measures if any(m.value(e.metrics) is not None for e in entries)]
    levels = {float(r["ci_level"]) for e in entries for r in e.metrics if not is_missing(r["ci_level"])}
    if len(levels) == 1:
        label = f"{100 * min(levels):g} % CI"
        filled = [dataclasses.replace(m, label=label) if m.kind in ("interval", "score_interval") else m for m in filled]
    cells = [e.cell for e in entries]
    rows = [Row({m.key: m.value(e.metrics) for m in filled} | _description(e.cell)) for e in entries]
    clusters = [(e.cell.dataset, max((int(r["n_clusters"]) for r in e.metrics), default=0)) for e in entries]
    notes = partial_notes(cells) + subset_notes(cells) + dropped_notes(cells) + cluster_notes(clusters)
    for suite in suites:
        for run in dict.fromkeys(c.run_name for c in cells):
            mean, note = _suite_mean(suite, [e for e in entries if e.cell.run_name == run], filled, bootstrap)
            rows += mean
            notes += note
    if any(m.kind == "percent" for m in filled):
        notes.append("IoUs in percent; intervals by a bootstrap over clusters.")
    return Table(_title(cells), _columns(cells, filled, rows), tuple(rows), tuple(notes))


def dropped_notes(cells: Sequence[CellView]) -> list[str]:
    """What was left out of each dataset, by kind, and what must be said of its files."""
    said = ((c.dataset, [*sentences(c.live.left_out), *image_notes(c.live.notes)]) for c in cells)
    return by_dataset((dataset, text) for dataset, texts in said for text in texts)


def _description(cell: CellView) -> dict[str, Any]:
    live = cell.live
    return {
        "dataset": cell.dataset,
        "model": cell.model,
        "run": cell.run_name,
        "status": f"PARTIAL ({_CAUSES.get(live.status, live.status)})" if cell.partial_reasons() else "complete",
        "n_images": live.n_done,
        "n_objects": live.n_objects,
        "n_failed": live.n_failed,
        "note": cell.record["subset"].get("note") or None,
    }


def _columns(cells: Sequence[CellView], measures: Sequence[Measure], rows: Sequence[Row]) -> tuple[Column, ...]:
    pairs = [(c.dataset, c.model) for c in cells]
    return (
        Column("dataset", "dataset"),
        Column("model", "model", hidden=len({c.model for c in cells}) < 2),
        Column("run", "run", hidden=len(set(pairs)) == len(pairs)),
        *(Column(m.key, m.label, m.kind) for m in measures),
        Column("n_images", "images", "count"),
        Column("n_objects", "objects", "count"),
        Column("n_failed", "failed", "count"),
        Column("status", "status", hidden=all(r.values["status"] == "complete" for r in rows)),
        Column("note", "note", hidden=True),
    )


def _title(cells: Sequence[CellView]) -> str:
    task = cells[0].task
    given = cells[0].record["task"]["settings"]
    settings = {f.name: (f.default, getattr(task.settings, f.name)) for f in dataclasses.fields(task.settings)}
    unsaid = task.unsaid
    changed = [f"{k} = {_plain(v)}" for k, (default, v) in settings.items() if v != default and k in given and k not in unsaid]
    models = list(dict.fromkeys(str(c.record["model"]["name"]) for c in cells))
    of = f", {models[0]}" if len(models) == 1 else ""
    return f"{task.protocol}{of}" + (f" ({'; '.join(changed)})" if changed else "")


def _plain(value: Any) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def _suite_mean(
    suite: SuiteCard, entries: Sequence[_Entry], measures: Sequence[Measure], bootstrap: Bootstrap
) -> tuple[list[Row], list[str]]:
    """The row of one run's mean over a suite's members, and what must be said of it."""
    here = {e.cell.dataset: e for e in entries if e.cell.dataset in suite.members}
    done = [here[m] for m in suite.members if m in here and here[m].complete]
    n, m, run = len(done), len(suite.members), entries[0].cell
    notes = []
    if n < m:
        partial = [d for d, e in here.items() if not e.complete]
        absent = [d for d in suite.members if d not in here]
        parts = [f"{text}: {', '.join(names)}" for text, names in (("PARTIAL", partial), ("absent", absent)) if names]
        notes.append(f"{suite.id}, {run.model}: {n} of {m} members complete, {NOT_COMPARABLE} ({'; '.join(parts)})")
    if not n:
        return [], notes
    label = f"mean of {suite.id}" if n == m else f"mean of {n} of {m} in {suite.id}"
    status = "complete" if n == m else f"{n} of {m}, {NOT_COMPARABLE}"
    values: dict[str, Any] = {"dataset": label, "model": run.model, "run": run.run_name, "status": status}
    for measure in measures:
        values[measure.key] = _mean_over_datasets(measure, done, bootstrap)
    for count in ("n_images", "n_objects", "n_failed"):
        values[count] = sum(_description(e.cell)[count] for e in done)
    return [Row(values, summary=True)], notes


def _mean_over_datasets(measure: Measure, entries: Sequence[_Entry], bootstrap: Bootstrap) -> Any:
    """The unweighted mean; None unless every member has the value (and, of oracles, the same number of candidates)."""
    values = [measure.value(e.metrics) for e in entries]
    if any(is_missing(v) for v in values):
        return None
    if measure.kind == "count" or (measure.kind == "interval" and measure.metric != "miou"):
        return None
    if measure.kind == "interval":
        return suite_interval([e.cell for e in entries], measure.k, bootstrap)
    if measure.kind == "of":
        candidates = {v[1] for v in values}
        return (math.fsum(v[0] for v in values) / len(values), candidates.pop()) if len(candidates) == 1 else None
    return math.fsum(values) / len(values)


def suite_interval(cells: Sequence[CellView], k: int | None, bootstrap: Bootstrap) -> tuple[float, float]:
    """Interval of the mean over datasets of mIoU at k clicks: clusters are drawn within every dataset, independently."""
    total = np.zeros(bootstrap.n_resamples)
    for i, cell in enumerate(cells):
        frame = cell.scored(["k", "iou_top", "cluster_id"])
        if k is not None:
            frame = frame[frame["k"] == k]
        values = frame["iou_top"].to_numpy(np.float64)[:, None]
        clusters = frame["cluster_id"].to_numpy()
        if len(set(clusters)) < 2:  # nothing is known of how this dataset's clusters vary
            return math.nan, math.nan
        seed = [bootstrap.seed, i]
        total += resampled_means(values, clusters, n_resamples=bootstrap.n_resamples, seed=seed)[:, 0]
    low, high = np.quantile(total / len(cells), [(1 - bootstrap.level) / 2, (1 + bootstrap.level) / 2])
    return float(low), float(high)
