"""The point task over a suite: table 7 with the numbers of the runs in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sambench import cards
from sambench.layout import Column, Row, Table, Value
from sambench.paper.evidence import GENERATED, Entry, System, subset_of
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

Systems = Mapping[System, Mapping[str, Entry]]
Cells = dict[str, Value | str | None]


def point_suite(definition: Definition, inputs: Inputs) -> Section:
    """The datasets with the paper's counts and ours, mIoU at one click by model, and the datasets outside of the suite."""
    systems: Systems = inputs.point(definition.options.get("prompt", "center"))
    datasets = [d for by in systems.values() for d in by]
    others = [d for d in dict.fromkeys(datasets) if d not in inputs.members]
    of_suite = [_counts(definition, inputs, systems), *_results(definition, inputs, systems, inputs.members, suite=True)]
    of_others = _results(definition, inputs, systems, others, suite=False) if others else []
    none = not set(inputs.members) & set(datasets)  # then the others come first, for the suite is all gaps
    absent = () if systems else (inputs.none("point", "the point task with the centre click"),)
    return definition.filled(tables=tuple(of_others + of_suite if none else of_suite + of_others), absent=absent)


def _counts(definition: Definition, inputs: Inputs, systems: Systems) -> Table:
    columns = (
        Column("dataset", "dataset"),
        Column("images_of", "images of"),
        Column("mask_kind", "masks are"),
        Column("paper_images", "images", "count", group="paper"),
        Column("paper_masks", "masks", "count", group="paper"),
        Column("here_images", "images", "count", group="here"),
        Column("here_masks", "masks", "count", group="here"),
        Column("subset", "subset"),
    )
    rows, used = [], []
    for member in inputs.members:
        card = cards.dataset_cards().get(member.removesuffix(GENERATED))
        entries = [by[member] for by in systems.values() if member in by]
        entry = max(entries, key=lambda e: (not e.partial, e.cell.live.n_done), default=None)
        used += [entry] if entry else []
        paper = card.paper if card else None
        rows.append(
            Row(
                {
                    "dataset": shown_name(member),
                    "images_of": card.image_type if card else Value(reason="no card in this version"),
                    "mask_kind": card.mask_kind if card else "",
                    "paper_images": Value(paper.images if paper else None, reason="not in the paper"),
                    "paper_masks": Value(paper.masks if paper else None, reason="not in the paper"),
                    "here_images": Value(entry.cell.live.n_done if entry else None, reason=NOT_GIVEN),
                    "here_masks": Value(entry.cell.live.n_objects if entry else None, reason=NOT_GIVEN),
                    "subset": _subset(entry),
                },
                "measured" if entry else "published",
            )
        )
    return Table(f"The suite {inputs.suite.id}", columns, tuple(rows), id=f"{definition.id}_suite", runs=runs_of(used))


def _subset(entry: Entry | None) -> Value:
    if entry is None:
        return Value(reason=NOT_GIVEN)
    if entry.generated:
        return Value("generated")
    found = subset_of(entry.cell)
    name = {"paper": "the paper's", "redrawn": "redrawn", "other": "another"}[found.kind]
    return Value(f"{name}: {found.why}" if found.why else name)


def _results(definition: Definition, inputs: Inputs, systems: Systems, datasets: Sequence[str], *, suite: bool) -> list[Table]:
    """mIoU at one click of the mask that the model ranks first, and of the best of its masks."""
    if not systems:
        return []
    columns = [Column("dataset", "dataset")]
    for system, by in systems.items():
        columns.append(Column(f"{system.label}:top", "top", "percent", group=system.name))
        if any(e.row("miou", variant="oracle", k=1) for e in by.values()):
            columns.append(Column(f"{system.label}:oracle", "oracle", "percent", group=system.name))
    rows = [Row(_of_dataset(systems, d, columns)) for d in datasets]
    entries = [by[d] for d in datasets for by in systems.values() if d in by]
    notes = unknown_training(systems) + few_cluster_notes(entries) + _candidate_notes(systems)
    if suite:
        rows += _means(inputs, systems, rows, columns, datasets)
    name = f"mIoU at one centre click, {inputs.suite.id}" if suite else "mIoU at one centre click, other datasets"
    ident = f"{definition.id}_{'miou' if suite else 'others'}"
    return [Table(name, tuple(columns), tuple(rows), tuple(notes), id=ident, runs=runs_of(entries))]


def _of_dataset(systems: Systems, dataset: str, columns: Sequence[Column]) -> Cells:
    wanted = {c.key for c in columns}
    out: Cells = {"dataset": shown_name(dataset)}
    for system, by in systems.items():
        for variant in ("top", "oracle"):
            key = f"{system.label}:{variant}"
            if key in wanted:
                out[key] = value_of(by.get(dataset), "miou", variant=variant, k=1)
    return out


def _means(
    inputs: Inputs, systems: Systems, rows: Sequence[Row], columns: Sequence[Column], datasets: Sequence[str]
) -> list[Row]:
    """The suite's mean; where a model was trained on some members, also the mean over those that none was trained on.

    rows: of the datasets, in their order.
    """
    wanted = {c.key for c in columns}

    def means(over: Sequence[str], label: str) -> Row:
        out: Cells = {"dataset": label}
        for system, by in systems.items():
            for variant in ("top", "oracle"):
                key = f"{system.label}:{variant}"
                if key in wanted:
                    out[key] = mean_of_entries(inputs, [by.get(d) for d in over], "miou", variant=variant, k=1)
        return Row(out, "summary")

    out = [means(datasets, f"mean of {inputs.suite.id}")]
    clean = [d for d, r in zip(datasets, rows, strict=True) if not any(_value(r, c.key).overlap for c in columns[1:])]
    if len(clean) < len(rows):
        out.append(means(clean, f"mean of the {len(clean)} clean members"))
    return out


def _value(row: Row, key: str) -> Value:
    found = row.values[key]
    return found if isinstance(found, Value) else Value(found)


def _candidate_notes(systems: Systems) -> list[str]:
    """How many masks the oracle chooses among: more make a higher oracle."""
    counts: dict[int, list[str]] = {}
    for system, by in systems.items():
        for entry in by.values():
            row = entry.row("miou", variant="oracle", k=1)
            if row is not None and system.name not in counts.setdefault(int(row["n_candidates"]), []):
                counts[int(row["n_candidates"])].append(system.name)
    if not counts:
        return []
    said = "; ".join(f"{n} of {', '.join(names)}" for n, names in sorted(counts.items()))
    return [f"oracle: the best of all candidate masks, chosen by looking at the annotation ({said})."]


SECTION = point_suite
