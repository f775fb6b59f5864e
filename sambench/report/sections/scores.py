"""Tables of methods by scores, published rows above measured ones: tables 3, 4 and 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sambench.layout import Column, Row, Table, Value
from sambench.paper.evidence import Entry, System
from sambench.paper.published import PublishedValue, published
from sambench.report.definitions import Definition
from sambench.report.document import Section
from sambench.report.inputs import (
    NOT_GIVEN,
    Inputs,
    few_cluster_notes,
    from_row,
    runs_of,
    shown_name,
    unknown_training,
)

Systems = Mapping[System, Mapping[str, Entry]]


def methods(definition: Definition, inputs: Inputs) -> Section:
    """One row a method, one column a score. options: published (ids of tables of reports/published.toml, whose columns these are),
    labels (column -> heading), value (`score` or `percent`)."""
    options = definition.options
    values = [v for name in options["published"] for v in published(name)]
    prototypes = _prototypes(values)
    systems: Systems = inputs.evidence.of(values[0].task)
    datasets = dict.fromkeys(v.dataset for v in values)
    several = len(datasets) > 1
    kind = options.get("value", "percent")
    columns = [Column("method", "method"), Column("source", "source")]
    for dataset, name in prototypes:
        label = options.get("labels", {}).get(name, name)
        columns.append(Column(f"{dataset}:{name}" if several else name, label, kind, group=shown_name(dataset) if several else ""))
    rows = [_published_row(method, held, prototypes, several) for method, held in _by_method(values).items()]
    measured = {s: by for s, by in systems.items() if any(d in by for d in datasets)}
    rows += [_measured_row(s, by, prototypes, several) for s, by in measured.items()]
    entries = [by[d] for by in measured.values() for d in datasets if d in by]
    remarks = [f"{m}: {next(v.remark for v in held if v.remark)}." for m, held in _by_method(values).items() if held[0].remark]
    notes = [*_interval_notes(entries), *unknown_training(measured), *few_cluster_notes(entries), *remarks]
    table = Table(definition.title, tuple(columns), tuple(rows), tuple(notes), id=definition.id, runs=runs_of(entries))
    task = values[0].task
    absent = () if measured else (inputs.none(task, f"the task {task} on {' or '.join(datasets)}"),)
    return definition.filled(tables=(table,), absent=absent)


def _prototypes(values: Sequence[PublishedValue]) -> dict[tuple[str, str], PublishedValue]:
    """One value for every (dataset, column), which says what a measurement of it is; ordered as the method with most has them."""
    fullest = max(_by_method(values).values(), key=len)
    out = {(v.dataset, v.column): v for v in fullest}
    for value in values:
        out.setdefault((value.dataset, value.column), value)
    return out


def _by_method(values: Sequence[PublishedValue]) -> dict[str, list[PublishedValue]]:
    out: dict[str, list[PublishedValue]] = {}
    for value in values:
        out.setdefault(value.method, []).append(value)
    return out


def _published_row(
    method: str, held: Sequence[PublishedValue], prototypes: Mapping[tuple[str, str], PublishedValue], several: bool
) -> Row:
    year = f" ({held[0].year})" if held[0].year else ""
    row: dict[str, Value | str | None] = {"method": f"{method}{year}", "source": f"{held[0].kind}, {held[0].name}"}
    for dataset, name in prototypes:
        found = next((v for v in held if (v.dataset, v.column) == (dataset, name)), None)
        row[f"{dataset}:{name}" if several else name] = Value(found.value if found else None, reason="not published")
    return Row(row, held[0].kind)


def _measured_row(
    system: System, by: Mapping[str, Entry], prototypes: Mapping[tuple[str, str], PublishedValue], several: bool
) -> Row:
    row: dict[str, Value | str | None] = {"method": system.name, "source": "measured"}
    for (dataset, name), prototype in prototypes.items():
        entry = by.get(dataset)
        value = Value(reason=NOT_GIVEN) if entry is None else from_row(entry, entry.fitting(prototype))
        row[f"{dataset}:{name}" if several else name] = value
    return Row(row)


def _interval_notes(entries: Sequence[Entry]) -> list[str]:
    """The sampling error of the measured rows: half the widest interval, over all scores of the table."""
    widths = [
        (float(r["ci_high"]) - float(r["ci_low"])) / 2
        for e in entries
        for r in e.rows
        if r["ci_low"] is not None and r["ci_low"] == r["ci_low"]
    ]
    if not widths:
        return []
    return [f"95 % intervals of the measured rows reach up to {100 * max(widths):.1f} points to either side; the CSV has each."]


SECTION = methods
