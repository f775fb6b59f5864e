"""Tables of methods by scores, published rows above measured ones: tables 3, 4 and 5; and the groups of tables 2 and 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sambench.errors import UsageError
from sambench.paper.evidence import Entry, System
from sambench.paper.published import PublishedValue, published
from sambench.report.definitions import Definition
from sambench.report.document import Column, Row, Section, Table, Value
from sambench.report.inputs import NOT_GIVEN, Inputs, few_cluster_notes, from_row, runs_of, shown_name, unknown_training

Systems = Mapping[System, Mapping[str, Entry]]

NO_INTERVAL, NOBODY = "no interval: fewer than two clusters", "no object of this group"


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
        columns.append(Column(f"{dataset}:{name}" if several else name, label, kind, shown_name(dataset) if several else ""))
    rows = [_published_row(method, held, prototypes, several) for method, held in _by_method(values).items()]
    measured = {s: by for s, by in systems.items() if any(d in by for d in datasets)}
    rows += [_measured_row(s, by, prototypes, several) for s, by in measured.items()]
    entries = [by[d] for by in measured.values() for d in datasets if d in by]
    remarks = [f"{m}: {next(v.remark for v in held if v.remark)}." for m, held in _by_method(values).items() if held[0].remark]
    notes = [*_interval_notes(entries), *unknown_training(measured), *few_cluster_notes(entries), *remarks]
    table = Table(definition.id, definition.title, tuple(columns), tuple(rows), tuple(notes), runs_of(entries))
    task = values[0].task
    absent = () if measured else (inputs.none(task, f"the task {task} on {' or '.join(datasets)}"),)
    return Section(definition.id, definition.title, definition.source, definition.text, (table,), absent=absent)


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
    label = f"{system.name} ({system.label})" if system.name != system.label else system.label
    row: dict[str, Value | str | None] = {"method": label, "source": "measured"}
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


def groups(definition: Definition, inputs: Inputs) -> Section:
    """mIoU by group of people, published and measured. options: published (id of a table of reports/published.toml)."""
    values = published(definition.options["published"])
    dataset, prompt = values[0].dataset, values[0].prompt
    counts = sorted({int(v.k) for v in values if v.k is not None})
    systems: Systems = inputs.evidence.of("point", prompt=prompt)
    measured = {s: by[dataset] for s, by in systems.items() if dataset in by}
    columns = [Column("attribute", "attribute"), Column("group", "group")]
    sources = [("published", f"{values[0].method}, published"), *((s.label, s.label) for s in measured)]
    for key, label in sources:
        for k in counts:
            clicks = f"{k} click{'s' if k > 1 else ''}"
            columns.append(Column(f"{key}:miou_{k}", clicks, "percent", label))
            columns.append(Column(f"{key}:ci_{k}", "95 % CI", "interval", label))
    grouped = {s: _group_rows(entry, values) for s, entry in measured.items()}
    rows = []
    for attribute, group in dict.fromkeys((v.group_by or "", v.group or "") for v in values):
        row: dict[str, Value | str | None] = {"attribute": _attribute(attribute), "group": group}
        for value in (v for v in values if (v.group_by, v.group) == (attribute, group)):
            row[f"published:miou_{value.k}"] = Value(value.value)
            row[f"published:ci_{value.k}"] = Value((value.low, value.high))
            for system, entry in measured.items():
                found = next((r for r in grouped[system] if value.fits(r)), None)
                row[f"{system.label}:miou_{value.k}"] = from_row(entry, found) if found else Value(reason=NOBODY)
                interval = (found["ci_low"], found["ci_high"]) if found else None
                row[f"{system.label}:ci_{value.k}"] = Value(interval, reason=NO_INTERVAL if found else NOBODY)
        rows.append(Row(row))
    entries = list(measured.values())
    notes = [*unknown_training(measured), *few_cluster_notes(entries)]
    table = Table(definition.id, definition.title, tuple(columns), tuple(rows), tuple(notes), runs_of(entries))
    absent = () if measured else (inputs.none("point", f"the point task with {prompt} clicks on {dataset}"),)
    return Section(definition.id, definition.title, definition.source, definition.text, (table,), absent=absent)


def _group_rows(entry: Entry, values: Sequence[PublishedValue]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for group_by in dict.fromkeys(v.group_by for v in values if v.group_by):
        try:
            out += entry.groups(group_by)
        except UsageError:  # objects without that attribute: every group of it is a dash
            continue
    return out


def _attribute(group_by: str) -> str:
    return group_by.removeprefix("attribute:").replace("_", " ")
