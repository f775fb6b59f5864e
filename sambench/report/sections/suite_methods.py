"""Means over a suite and its parts, published rows above measured ones (SAM 2's table 15); and its datasets one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sambench import cards
from sambench.layout import Column, Row, Table, Value
from sambench.paper.compare import members_of, split_notes
from sambench.paper.evidence import GENERATED, Entry, System
from sambench.paper.published import PublishedValue, of, splits
from sambench.report.definitions import Definition
from sambench.report.document import Section
from sambench.report.inputs import (
    NOT_GIVEN,
    Inputs,
    few_cluster_notes,
    mean_of_entries,
    runs_of,
    shown_name,
    unknown_training,
    value_of,
)
from sambench.text import counted

Systems = Mapping[System, Mapping[str, Entry]]
Prototypes = Mapping[str, PublishedValue]  # by column: a value that says what a measurement in it is
CLICKS = (1, 5)


def suite_methods(definition: Definition, inputs: Inputs) -> Section:
    """One row a method, one column a mean over the suite or a part of it. options: published (a source of published numbers)."""
    source = str(definition.options["published"])
    systems: Systems = inputs.point(str(definition.options.get("prompt", "center")))
    values = of(source)
    means = [v for v in values if members_of(v) is not None]
    rest = [v for v in values if v not in means]
    tables = [_means(definition, inputs, means, systems)] if means else []
    if rest:
        tables.append(_printed(definition, rest, "Also published there" if means else definition.title))
    if splits(source):
        tables.append(_datasets(definition, inputs, source, systems))
    absent = () if systems else (inputs.none("point", "the point task with the centre click"),)
    return definition.filled(tables=tuple(tables), absent=absent)


def _means(definition: Definition, inputs: Inputs, values: Sequence[PublishedValue], systems: Systems) -> Table:
    prototypes: dict[str, PublishedValue] = {}
    by_method: dict[str, list[PublishedValue]] = {}
    for value in values:
        prototypes.setdefault(value.column, value)
        by_method.setdefault(value.method, []).append(value)
    columns = [Column("method", "method"), *(_column(name, v) for name, v in prototypes.items()), Column("source", "published in")]
    rows = [_published(method, held, prototypes) for method, held in by_method.items()]
    rows += [_measured(inputs, system, by, prototypes) for system, by in systems.items()]
    here = {system.model for system in systems}
    lacking = {v.model: v.method for v in values if v.model in cards.model_cards() and v.model not in here}
    rows += [_absent(model, method, prototypes) for model, method in lacking.items()]
    entries = [e for by in systems.values() for d, e in by.items() if d in inputs.members]
    notes = [*split_notes(values), *unknown_training(systems), *few_cluster_notes(entries)]
    return Table(definition.title, tuple(columns), tuple(rows), tuple(notes), id=definition.id, runs=runs_of(entries))


def _printed(definition: Definition, values: Sequence[PublishedValue], title: str) -> Table:
    """Numbers of the same place that no run can measure, and why."""
    columns = (Column("method", "method"), *{v.column: _column(v.column, v) for v in values}.values())
    by_method: dict[str, dict[str, Value]] = {}
    for v in values:
        by_method.setdefault(v.method, {})[v.column] = Value(v.value)
    absent = {c.key: Value(reason="not published") for c in columns}
    rows = [Row({**absent, "method": method, **held}, "published") for method, held in by_method.items()]
    notes = dict.fromkeys(f"{v.name}: {text}." for v in values for text in (v.reason, v.remark) if text)
    return Table(title, columns, tuple(rows), tuple(notes), id=f"{definition.id}_also")


def _column(name: str, value: PublishedValue) -> Column:
    if value.unit != "fraction":
        return Column(name, value.metric.upper(), "number")
    members = members_of(value)
    if value.split is not None:
        group = f"{len(value.split.members)} {value.group}" + (" (inferred)" if value.split.inferred else "")
    else:
        group = f"all {len(members)}" if members else value.name.partition(", ")[2] or value.name
    return Column(name, counted(value.k, "click") if value.k else "boxes", "percent", group=group)


def _published(method: str, held: Sequence[PublishedValue], prototypes: Prototypes) -> Row:
    first, by_column = held[0], {v.column: v.value for v in held}
    row: dict[str, Value | str] = {"method": Value(method, note=first.remark), "source": first.name}
    return Row(row | {name: Value(by_column.get(name), reason="not published") for name in prototypes}, first.kind)


def _measured(inputs: Inputs, system: System, by: Mapping[str, Entry], prototypes: Prototypes) -> Row:
    row: dict[str, Value | str] = {"method": system.name, "source": "measured here" + (GENERATED if inputs.suite.generated else "")}
    return Row(row | {name: _mean(inputs, by, value) for name, value in prototypes.items()})


def _mean(inputs: Inputs, by: Mapping[str, Entry], value: PublishedValue) -> Value:
    members = members_of(value)
    if members is None:
        return Value(reason=value.reason)
    named = [m + (GENERATED if inputs.suite.generated else "") for m in members]
    return mean_of_entries(inputs, [by.get(m) for m in named], value.metric, variant=value.variant, k=value.k)


def _absent(model: str, method: str, prototypes: Prototypes) -> Row:
    """A published method that could be measured here."""
    row: dict[str, Value | str] = {"method": f"{method} ({model})", "source": "not measured"}
    return Row(row | dict.fromkeys(prototypes, Value(reason=NOT_GIVEN)))


def _datasets(definition: Definition, inputs: Inputs, source: str, systems: Systems) -> Table:
    """Every member of the suite with the part that it is counted to, and its numbers."""
    parts = {d: (name, split) for name, split in splits(source).items() for d in split.members}
    columns = [Column("dataset", "dataset"), Column("part", "part"), Column("why", "why", minor=True)]
    for system in systems:
        columns += [
            Column(f"{system.label}:{k}", counted(k, "click"), "percent", group=system.name) for k in CLICKS
        ]
    rows, entries = [], []
    for member in inputs.members:
        dataset = member.removesuffix(GENERATED)
        if dataset not in parts:  # of another suite
            continue
        name, split = parts[dataset]
        part = name + (" (inferred)" if split.inferred else "")
        row: dict[str, Value | str] = {"dataset": shown_name(member), "part": part, "why": split.members[dataset]}
        for system, by in systems.items():
            row |= {f"{system.label}:{k}": value_of(by.get(member), "miou", variant="top", k=k) for k in CLICKS}
        entries += [by[member] for by in systems.values() if member in by]
        rows.append(Row(row))
    notes = tuple(f"{name}: {' '.join(s.inferred.split())}" for name, s in splits(source).items() if s.inferred)
    title = f"The datasets of {inputs.suite.id}, by part"
    return Table(title, tuple(columns), tuple(rows), notes, id=f"{definition.id}_datasets", runs=runs_of(entries))


SECTION = suite_methods
