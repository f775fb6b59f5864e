"""mIoU by group of people, published and measured: tables 2 and 6."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from sambench.errors import UsageError
from sambench.layout import Column, Row, Table, Value
from sambench.paper.evidence import Entry, System
from sambench.paper.published import PublishedValue, published
from sambench.report.definitions import Definition
from sambench.report.document import Section
from sambench.report.inputs import (
    Inputs,
    few_cluster_notes,
    from_row,
    runs_of,
    unknown_training,
)
from sambench.results.group_differences import GroupDifference, group_difference
from sambench.text import counted

Systems = Mapping[System, Mapping[str, Entry]]
NO_INTERVAL, NOBODY = "no interval: fewer than two clusters", "no object of this group"


def groups(definition: Definition, inputs: Inputs) -> Section:
    """mIoU by group of people, published and measured. options: published (id of a table of reports/published.toml)."""
    values = published(definition.options["published"])
    dataset, prompt = values[0].dataset, values[0].prompt
    counts = sorted({int(v.k) for v in values if v.k is not None})
    systems: Systems = inputs.evidence.of("point", prompt=prompt)
    measured = {s: by[dataset] for s, by in systems.items() if dataset in by}
    columns = [Column("attribute", "attribute"), Column("group", "group")]
    sources = [("published", f"{values[0].method}, published"), *((s.label, s.name) for s in measured)]
    for key, label in sources:
        for k in counts:
            clicks = counted(k, "click")
            columns.append(Column(f"{key}:miou_{k}", clicks, "percent", group=label))
            columns.append(Column(f"{key}:ci_{k}", "95 % CI", "interval", group=label))
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
        rows.append(Row(row, "measured" if measured else "published"))
    entries = list(measured.values())
    notes = [*unknown_training(measured), *few_cluster_notes(entries)]
    table = Table(definition.title, tuple(columns), tuple(rows), tuple(notes), id=definition.id, runs=runs_of(entries))
    absent = () if measured else (inputs.none("point", f"the point task with {prompt} clicks on {dataset}"),)
    differences = _differences(definition, values, measured, counts, inputs)
    return definition.filled(tables=(table, *differences), absent=absent)


def _differences(
    definition: Definition,
    values: Sequence[PublishedValue],
    measured: Mapping[System, Entry],
    counts: Sequence[int],
    inputs: Inputs,
) -> tuple[Table, ...]:
    """A table of how far each two groups of an attribute lie apart, where a run has both."""
    columns = [Column("attribute", "attribute"), Column("groups", "groups")]
    for k in counts:
        clicks = counted(k, "click")
        columns.append(Column(f"published:{k}", clicks, "points", group=f"{values[0].method}, published"))
    for system in measured:
        for k in counts:
            clicks = counted(k, "click")
            columns.append(Column(f"{system.label}:{k}", clicks, "points", group=system.name))
            columns.append(Column(f"{system.label}:ci_{k}", "95 % CI", "points_interval", group=system.name))
    printed = {(v.group_by, v.group, v.k): v.value for v in values}
    names: dict[str, list[str]] = {}
    for group_by, group in dict.fromkeys((v.group_by or "", v.group or "") for v in values):
        names.setdefault(group_by, []).append(group)
    rows = []
    for group_by, a, b in [(by, *pair) for by, held in names.items() for pair in combinations(held, 2)]:
        row: dict[str, Value | str | None] = {"attribute": _attribute(group_by), "groups": f"{a} minus {b}"}
        for k in counts:
            of = [printed.get((group_by, g, k)) for g in (a, b)]
            row[f"published:{k}"] = Value(of[0] - of[1] if of[0] is not None and of[1] is not None else None)
        any_here = False
        for system, entry in measured.items():
            for k in counts:
                found = _difference(entry, group_by, (a, b), k, inputs)
                any_here = any_here or found is not None
                row[f"{system.label}:{k}"], row[f"{system.label}:ci_{k}"] = _shown(found)
        if any_here:
            rows.append(Row(row))
    note = "Differences of means over objects; images are drawn again as wholes. An interval without 0 tells the groups apart."
    title, ident = f"{definition.title}: differences of groups", f"{definition.id}_differences"
    return (Table(title, tuple(columns), tuple(rows), (note,), id=ident, runs=runs_of(measured.values())),) if rows else ()


def _shown(found: GroupDifference | None) -> tuple[Value, Value]:
    """The difference and its interval."""
    if found is None:
        return Value(reason=NOBODY), Value(reason=NOBODY)
    interval = None if math.isnan(found.low) else (found.low, found.high)
    return Value(found.difference, detail=f"{found.n_a:,} and {found.n_b:,} objects"), Value(interval, reason=NO_INTERVAL)


def _difference(entry: Entry, group_by: str, groups: tuple[str, str], k: int, inputs: Inputs) -> GroupDifference | None:
    try:
        return group_difference(entry.cell, group_by, *groups, k=k, bootstrap=inputs.bootstrap)
    except UsageError:  # objects without that attribute
        return None


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


SECTION = groups
