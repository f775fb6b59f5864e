"""The tables that `sambench run` and `sambench table` print: a row a cell, and a suite's mean where there is one.

A suite's mean is that of the suite only if every member is complete; anything else is called "not comparable".
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sambench.cards import SuiteCard, suite_card, suite_cards
from sambench.errors import UsageError, unknown_name
from sambench.layout import FORMATS, Column, Row, Table, Value, is_missing, render, render_rich, to_frame
from sambench.left_out import image_notes, sentences
from sambench.metrics.bootstrap import Float64Array
from sambench.notes import as_named, by_dataset
from sambench.provenance import digest
from sambench.results.apart import apart
from sambench.results.draws import score_and_draws
from sambench.results.measures import measures_of_task
from sambench.results.model_differences import options_text, precision_text, run_texts
from sambench.results.over_datasets import coverage, interval_over_datasets, mean_over_datasets
from sambench.results.rescore import DEFAULT_BOOTSTRAP, rescore
from sambench.schema import METRIC_COLUMNS
from sambench.store.views import CellView, cluster_notes, partial_notes, subset_notes
from sambench.tasks.summary import Bootstrap
from sambench.tasks.table_columns import Measure

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FORMATS",
    "Table",
    "metrics_frame",
    "render",
    "render_rich",
    "result_table",
    "table_of",
    "tables",
    "to_frame",
]

_SAME = 1e-9
NOT_COMPARABLE = "not comparable"
_CAUSES = {"partial": "--limit", "incomplete": "failures"}


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

    suites: each adds its mean, a row for each run.
    """
    return [table_of(group, suites=suites, bootstrap=bootstrap) for group in comparable(cells)]


def comparable(cells: Sequence[CellView]) -> list[list[CellView]]:
    """The cells by protocol and its settings, in the order in which they come first."""
    groups: dict[str, list[CellView]] = {}
    for cell in cells:
        groups.setdefault(digest(cell.task.identity()), []).append(cell)
    return list(groups.values())


def suites_named(names: Iterable[str], where: str = "") -> list[SuiteCard]:
    """Suites by ids or aliases. where: they were named, for the error. Raises UsageError for an unknown one."""
    found = []
    for name in names:
        card = suite_card(name)
        if card is None:
            raise unknown_name("suite", name, suite_cards(), where=where)
        found.append(card)
    return found


def result_table(
    cells: Sequence[CellView], *, suites: Sequence[str] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Table:
    """The one table of cells of one protocol, with the means of the suites of these ids or aliases.

    Raises UsageError for no cells, several protocols or settings (`tables` takes those), or an unknown suite.
    """
    found = tables(cells, suites=suites_named(suites), bootstrap=bootstrap)
    if len(found) != 1:
        raise UsageError(
            "no single table for these results",
            expected="cells of one protocol and its settings",
            found="; ".join(t.title for t in found) or "no cells",
            remedy="name one run",
        )
    return found[0]


def table_of(
    cells: Sequence[CellView], *, suites: Sequence[SuiteCard] = (), bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Table:
    """The table of cells of one protocol and its settings: what their task says of columns and notes, counts, suites' means.

    Fractions in [0, 1]; `layout` shows percent.
    """
    entries, task = [_Entry(c, metric_rows_of(c, bootstrap)) for c in cells], cells[0].task
    found = _table(entries, task.measures([r for e in entries for r in e.metrics]), suites, bootstrap)
    notes = [*found.notes, *task.table_notes(cells)]
    if task.whole_sets_only:
        notes += [
            f"{e.cell.dataset}, {e.cell.label}: no scores, for the benchmark says nothing of a part of a set; mend what is missing "
            "and issue the command again, or choose the part with --limit or --subset"
            for e in entries
            if not e.metrics
        ]
    if any(c.kind == "score_interval" for c in found.columns):
        notes.append("Intervals by a bootstrap over images.")
    places = {precision_text(c.record.model.given()) for c in cells}
    if len(places) == 1:  # else every row says its own
        notes.append(f"Computed in {places.pop()}.")
    return dataclasses.replace(found, notes=tuple(notes))


def _table(entries: Sequence[_Entry], measures: list[Measure], suites: Sequence[SuiteCard], bootstrap: Bootstrap) -> Table:
    filled = [m for m in measures if (suites and m.drawn_by) or any(m.value(e.metrics) is not None for e in entries)]
    levels = {float(r["ci_level"]) for e in entries for r in e.metrics if not is_missing(r["ci_level"])}
    if len(levels) <= 1:
        levels = levels or {bootstrap.level}
        label = f"{100 * min(levels):g} % CI"
        filled = [dataclasses.replace(m, label=label) if m.kind in ("interval", "score_interval") else m for m in filled]
    cells = [e.cell for e in entries]
    texts = run_texts([c.record.model.given() for c in cells])
    beside = apart(cells)
    rows = [
        Row({m.key: _value(m, e, bootstrap) for m in filled} | _description(e.cell) | {"differs": text or None})
        for e, text in zip(entries, beside, strict=True)
    ]
    clusters = [(e.cell.dataset, max((int(r["n_clusters"]) for r in e.metrics), default=0)) for e in entries]
    warnings = partial_notes(cells)
    notes = warnings + subset_notes(cells) + dropped_notes(cells)
    if any("interval" in m.kind for m in filled):
        notes += cluster_notes(clusters)
    rows += _people(entries, filled)
    for suite in suites:
        for run in dict.fromkeys(c.run_name for c in cells):
            mean, note = _suite_mean(suite, [e for e in entries if e.cell.run_name == run], filled, bootstrap)
            rows += mean
            warnings, notes = warnings + note, notes + note
    columns = _columns(cells, filled, rows, differing=any(beside))
    rows, model_notes = _marked(rows, columns, texts)
    notes += model_notes
    in_percent = cells[0].task.in_percent
    if in_percent and any(m.kind == "percent" for m in filled):
        notes.append(f"{in_percent}; intervals by a bootstrap over clusters.")
    return Table(_title(cells), columns, tuple(rows), tuple(notes), tuple(warnings))


def _people(entries: Sequence[_Entry], measures: Sequence[Measure]) -> list[Row]:
    """What people themselves reach on each dataset that several annotated: a row per dataset, of a whole cell if there is one."""
    variant, out = entries[0].cell.task.people, dict[str, Row]()
    for entry in sorted(entries, key=lambda e: bool(e.cell.partial_reasons())) if variant else ():
        values = {m.key: dataclasses.replace(m, variant=variant).value(entry.metrics) for m in measures if "interval" not in m.kind}
        if any(v is not None for v in values.values()):
            about = {"dataset": entry.cell.dataset, "model": variant, "model_id": variant, "run": "", "status": _status(entry.cell)}
            out.setdefault(entry.cell.dataset, Row(values | about))
    return list(out.values())


def dropped_notes(cells: Sequence[CellView]) -> list[str]:
    """What was left out of each dataset, by kind, and what must be said of its files."""
    said = ((c, [*sentences(c.live.left_out), *image_notes(c.live.notes)]) for c in cells)
    return by_dataset((c.dataset, as_named(text, c.record.dataset.source or "")) for c, texts in said for text in texts)


def _marked(rows: Sequence[Row], columns: Sequence[Column], texts: Sequence[str]) -> tuple[list[Row], list[str]]:
    """The rows with what sets their models apart (texts, one a cell) as footnotes; as notes where no column names the models."""
    key = next((c.key for c in columns if c.key in ("model", "run") and not c.hidden), "")
    if not key:
        return list(rows), list(dict.fromkeys(f"{rows[0].values['model']}: {text}" for text in texts if text))
    notes = [*texts, *[""] * (len(rows) - len(texts))]  # rows of people and means over datasets are last
    shown = [Value(row.values[key], note=text) if text else row.values[key] for row, text in zip(rows, notes, strict=True)]
    return [dataclasses.replace(row, values={**row.values, key: value}) for row, value in zip(rows, shown, strict=True)], []


def _description(cell: CellView) -> dict[str, Any]:
    live = cell.live
    return {
        "dataset": cell.dataset,
        "model": cell.label,
        "model_id": cell.model,
        "run": cell.run_name,
        "status": _status(cell),
        "n_images": live.n_done,
        "n_objects": live.n_objects,
        "n_failed": live.n_failed,
        "note": cell.record.subset.note or None,
        "options": options_text(cell.record.model.given()) or None,
        "precision": precision_text(cell.record.model.given()),
    }


def _status(cell: CellView) -> str:
    return f"PARTIAL ({_CAUSES.get(cell.live.status, cell.live.status)})" if cell.partial_reasons() else "complete"


def _columns(
    cells: Sequence[CellView], measures: Sequence[Measure], rows: Sequence[Row], *, differing: bool
) -> tuple[Column, ...]:
    pairs = [(c.dataset, c.label) for c in cells]
    return (
        Column("dataset", "dataset"),
        Column("model", "model", hidden=len({r.values["model"] for r in rows}) < 2),
        *([Column("model_id", "id of the model", hidden=True)] if any(c.label != c.model for c in cells) else []),
        Column("run", "run", hidden=len(set(pairs)) == len(pairs) or len({c.run_name for c in cells}) < 2),
        *([Column("differs", "differs in")] if differing else []),
        *(Column(m.key, m.label, m.kind) for m in measures),
        Column("n_images", "images", "count"),
        Column("n_objects", cells[0].task.objects, "count"),
        Column("n_failed", "failed", "count"),
        Column("status", "status", hidden=all(r.values["status"] == "complete" for r in rows)),
        Column("note", "note", hidden=True),
        Column("options", "options", hidden=True),
        Column("precision", "precision", hidden=True),
    )


def _title(cells: Sequence[CellView]) -> str:
    task = cells[0].task
    given = cells[0].record.task.settings
    settings = {f.name: (f.default, getattr(task.settings, f.name)) for f in dataclasses.fields(task.settings)}
    untitled = task.untitled
    changed = [f"{k} = {_plain(v)}" for k, (default, v) in settings.items() if v != default and k in given and k not in untitled]
    models = list(dict.fromkeys(c.title for c in cells))
    of = f", {models[0]}" if len(models) == 1 else ""
    return f"{task.protocol}{of}" + (f" ({'; '.join(changed)})" if changed else "")


def _plain(value: Any) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def _suite_mean(
    suite: SuiteCard, entries: Sequence[_Entry], measures: Sequence[Measure], bootstrap: Bootstrap
) -> tuple[list[Row], list[str]]:
    """The row of one run's mean over a suite's members, and what must be said of it: there is none where two results fit."""
    results = Counter(e.cell.dataset for e in entries)
    several = [f"{results[m]} results on {m}" for m in suite.members if results[m] > 1]
    if several:
        mend = "name one result of each as RUN/DATASET, with its whole folder's name"
        return [], [f"{suite.id}, {entries[0].cell.label}: {NOT_COMPARABLE}: {', '.join(several)}; {mend}"]
    by_dataset = {e.cell.dataset: e for e in entries}
    here = coverage(suite.members, {d: e.complete for d, e in by_dataset.items()})
    done = [by_dataset[d] for d in here.complete]
    n, m, run = len(done), here.wanted, entries[0].cell
    notes = []
    if not here.whole:
        parts = [f"{text}: {', '.join(names)}" for text, names in (("PARTIAL", here.partial), ("absent", here.absent)) if names]
        notes.append(f"{suite.id}, {run.label}: {n} of {m} members complete, {NOT_COMPARABLE} ({'; '.join(parts)})")
    if not n:
        return [], notes
    label = f"mean of {suite.id}" if n == m else f"mean of {n} of {m} in {suite.id}"
    status = "complete" if n == m else f"{n} of {m}, {NOT_COMPARABLE}"
    values: dict[str, Any] = {"dataset": label, "model": run.label, "model_id": run.model, "run": run.run_name, "status": status}
    for measure in measures:
        values[measure.key] = _over_datasets(measure, done, bootstrap)
    for count in ("n_images", "n_objects", "n_failed"):
        values[count] = sum(_description(e.cell)[count] for e in done)
    return [Row(values, kind="summary")], notes


def _over_datasets(measure: Measure, entries: Sequence[_Entry], bootstrap: Bootstrap) -> Any:
    """The unweighted mean; None unless every member has the value (and, of oracles, the same number of candidates)."""
    values = [measure.value(e.metrics) for e in entries]
    if any(is_missing(v) for v in values) and not measure.drawn_by:
        return None
    if measure.kind == "count":
        return None
    if "interval" in measure.kind:
        return _interval_of_mean(measure, entries, bootstrap)
    if measure.kind == "of":
        candidates = {v[1] for v in values}
        return (mean_over_datasets([v[0] for v in values]), candidates.pop()) if len(candidates) == 1 else None
    return mean_over_datasets(values)


def _value(measure: Measure, entry: _Entry, bootstrap: Bootstrap) -> Any:
    """The cell's; of an interval that its metric rows do not have, which a suite's mean wants, one made of the cell's rows."""
    value = measure.value(entry.metrics)
    return _interval_of_mean(measure, [entry], bootstrap) if value is None and measure.drawn_by else value


def _interval_of_mean(measure: Measure, entries: Sequence[_Entry], bootstrap: Bootstrap) -> tuple[float, float] | None:
    """None where the task has no measure of that name, or one whose value is another than the table's."""
    if measure.drawn_by not in measures_of_task(entries[0].cell.task):
        return None
    draws: list[Float64Array | None] = []
    for i, entry in enumerate(entries):
        score, drawn = score_and_draws(entry.cell, measure.drawn_by, measure.k, bootstrap, [bootstrap.seed, i])
        value = dataclasses.replace(measure, kind="number").value(entry.metrics)
        if score is None or value is None or abs(score - value) > _SAME:
            return None
        draws.append(drawn)
    return interval_over_datasets(draws, bootstrap.level)


def suite_interval(
    cells: Sequence[CellView], k: int | None, bootstrap: Bootstrap, *, metric: str = "iou_top"
) -> tuple[float, float]:
    """Interval of the mean over datasets of what the cells' task is compared by: clusters are drawn within every dataset,
    independently. metric, k: as `draws.score_and_draws`."""
    draws: list[Float64Array | None] = []
    for i, cell in enumerate(cells):
        draws.append(score_and_draws(cell, metric, k, bootstrap, [bootstrap.seed, i])[1])
        if draws[-1] is None:
            break
    return interval_over_datasets(draws, bootstrap.level)
