"""Runs against published numbers: the difference, its interval, and what may be made of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from sambench import cards
from sambench.errors import UsageError
from sambench.layout import Column, Row, Table, is_missing
from sambench.paper.evidence import Entry, Evidence, Subset, paired, subset_of
from sambench.paper.published import PAPER, PublishedValue, everything, of
from sambench.results.over_datasets import mean_over_datasets
from sambench.results.tables import suite_interval
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap
from sambench.text import counted

# green: within the tolerance, on the paper's set. amber: beyond it. grey: says nothing of the paper, and why.
Light = Literal["green", "amber", "grey"]
DEFAULT_BOOTSTRAP = Bootstrap(n_resamples=10_000)
_REMEDIES = {PAPER: "figure 9a needs the baseline's run as well (ritm_hrnet32): name a folder with both"}
_DIFFERENCE = "miou_difference"


@dataclass(frozen=True)
class Against:
    """One published number beside one measurement of the same quantity. Values in the published one's unit.

    low, high: 95 % interval of the difference measured - published. On a redrawn set it is wider by the square root of two,
    for the paper's own draw varies as much. why: what is to be known beside the colour. entry: of a mean over a suite, its first
    member's.
    """

    published: PublishedValue
    entry: Entry
    label: str
    measured: float
    low: float
    high: float
    light: Light
    subset: Subset
    why: str
    same_model: bool

    @property
    def difference(self) -> float:
        return math.nan if self.published.value is None else self.measured - self.published.value


def compare_values(
    evidence: Evidence, values: Iterable[PublishedValue] | None = None, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> list[Against]:
    """Every published number that the evidence measures, of the same model or of another, in the order of `values`."""
    out = []
    means: dict[Any, _Mean | None] = {}  # by system and what is measured: several methods' numbers are of the same quantity
    for value in everything() if values is None else values:
        if value.metric == _DIFFERENCE:
            out += _differences(evidence, value, bootstrap)
            continue
        for system, by_dataset in evidence.of(value.task, **_settings(value)).items():
            if (members := members_of(value)) is not None:
                key = (system, members, value.metric, value.variant, value.k)
                if key not in means:
                    means[key] = _suite_mean(value, [by_dataset[m] for m in members if m in by_dataset], len(members), bootstrap)
                mean = means[key]
                if mean is not None:
                    numbers = (mean.value, mean.low, mean.high)
                    out.append(_judged(value, mean.first, system.label, *numbers, model=system.model, subset=mean.subset))
                continue
            entry = by_dataset.get(value.dataset)
            row = None if entry is None else _row_of(entry, value)
            if entry is not None and row is not None and not is_missing(row["value"]):
                interval = (float(row["ci_low"]), float(row["ci_high"])) if not is_missing(row["ci_low"]) else (math.nan, math.nan)
                out.append(_judged(value, entry, system.label, float(row["value"]), *interval, model=entry.model))
    return out


def _settings(value: PublishedValue) -> dict[str, Any]:
    return {} if value.prompt is None or value.task != "point" else {"prompt": value.prompt}


def members_of(value: PublishedValue) -> tuple[str, ...] | None:
    """The datasets over which a published number is the mean; None where it is of one dataset."""
    if value.split is not None:
        return tuple(value.split.members)
    suite = cards.suite_card(value.dataset) if value.dataset else None
    return suite.members if suite is not None and suite.id == value.dataset else None


class _Mean(NamedTuple):
    """Of a system over the members of a suite, with its interval. first: a member's entry."""

    value: float
    low: float
    high: float
    first: Entry
    subset: Subset


def _suite_mean(value: PublishedValue, here: Sequence[Entry], n_members: int, bootstrap: Bootstrap) -> _Mean | None:
    """The unweighted mean over the members; None unless every one is there, complete."""
    rows = [row for e in here if not e.partial and (row := _member_row(e, value)) is not None and not is_missing(row["value"])]
    if len(rows) < n_members:
        return None
    mean = mean_over_datasets([float(r["value"]) for r in rows])
    low, high = math.nan, math.nan
    if value.metric == "miou":
        low, high = suite_interval([e.cell for e in here], value.k, bootstrap)
    return _Mean(mean, low, high, here[0], _weakest([subset_of(e.cell) for e in here]))


def _member_row(entry: Entry, value: PublishedValue) -> Mapping[str, Any] | None:
    """The metric row of one member's part in a mean."""
    of_member = value.model_copy(update={"dataset": entry.dataset, "group_by": None, "group": None})
    return entry.fitting(of_member)


def _weakest(subsets: Sequence[Subset]) -> Subset:
    """What can be said of all of them together."""
    kinds = [s.kind for s in subsets]
    if n := kinds.count("other"):
        return Subset("other", f"{n} of the {len(kinds)} sets are not the paper's")
    if n := kinds.count("redrawn"):
        return Subset("redrawn", f"{n} of the {len(kinds)} sets are drawn again, for the paper's lists are unpublished")
    return Subset("paper", "")


def _row_of(entry: Entry, value: PublishedValue) -> dict[str, Any] | None:
    if value.group_by is None or not value.group_by.startswith("attribute:"):
        return entry.fitting(value)
    try:
        groups = entry.groups(value.group_by)
    except UsageError:
        return None
    return next((r for r in groups if value.fits(r)), None)


def _differences(evidence: Evidence, value: PublishedValue, bootstrap: Bootstrap) -> list[Against]:
    """A published difference of two models: systems of evidence that stand for them, paired by object."""
    found = evidence.of("point", prompt=value.prompt)
    bases = [d[value.dataset] for s, d in found.items() if s.model == value.baseline and value.dataset in d]
    out = []
    for system, by_dataset in found.items():
        entry = by_dataset.get(value.dataset)
        if entry is None or not bases or system.model == value.baseline:
            continue
        result, _ = paired(entry, bases[0], k=value.k or 1, bootstrap=bootstrap)
        if result is not None:
            out.append(_judged(value, entry, system.label, result.mean, result.low, result.high, model=system.model))
    return out


def _judged(
    value: PublishedValue,
    entry: Entry,
    label: str,
    measured: float,
    low: float,
    high: float,
    *,
    model: str,
    subset: Subset | None = None,
) -> Against:
    subset = subset or subset_of(entry.cell, value.n_images)
    same = model == value.model if value.model else _plain(entry.cell.label) == _plain(value.method)
    light, why = _light(value, measured, subset, same)
    target = math.nan if value.value is None else value.value
    half = math.sqrt(2) if subset.kind == "redrawn" else 1.0
    low, high = (measured + half * (edge - measured) - target for edge in (low, high))
    return Against(value, entry, label, measured, low, high, light, subset, why, same)


def _plain(name: str) -> str:
    """A method's name, however it is written: what the user calls a run tells of which method without a card it is."""
    return "".join(c for c in name.casefold() if c.isalnum())


def _light(value: PublishedValue, measured: float, subset: Subset, same: bool) -> tuple[Light, str]:
    if not same:
        return "grey", "another model"
    if subset.kind == "other":
        return "grey", f"not the paper's set: {subset.why}"
    if value.value is None or value.tolerance is None:
        return "grey", "no tolerance is set for this number"
    within = abs(measured - value.value) <= value.tolerance
    beside = f"; {subset.why}" if subset.why else ""
    return ("green", "within the tolerance" + beside) if within else ("amber", "beyond the tolerance" + beside)


def quantity(value: PublishedValue) -> str:
    """What is measured, in a few words: `mIoU at 1 click, center`, `AR@1000, small`."""
    names = {"miou": "mIoU", _DIFFERENCE: "mIoU difference", "ar": "AR", "ap": "AP", "noc": "NoC", "fps": "FPS"}
    names |= {"cgf1": "cgF1", "pmf1": "pmF1", "il_mcc": "100 x IL_MCC"}
    text = names.get(value.metric, value.metric.upper() if value.task == "edge" else value.metric.replace("_", " "))
    if value.metric == "ar" and value.max_dets:
        text += f"@{value.max_dets}"
    if value.threshold is not None:
        text += f"@{100 * value.threshold:g}"
    if value.k:
        text += f" at {counted(value.k, 'click')}"
    if value.task == "point" and value.prompt:
        text += f", {value.prompt}"
    if value.split is not None:
        return f"{text}, {value.group} sets" + (" (inferred)" if value.split.inferred else "")
    return text + (f", {value.group.lower()}" if value.group else "")


def paper_tables(cells: Sequence[CellView], what: str = PAPER, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> list[Table]:
    """One table for every task with published numbers. what: whose (`published.of`); `paper` has those on model cards too.

    Raises UsageError where nothing of the runs was ever published there.
    """
    values = everything() if what == PAPER else of(what)
    evidence = Evidence(cells)
    found = [a for a in compare_values(evidence, values, bootstrap=bootstrap) if a.same_model or a.published.headline]
    found.sort(key=lambda a: not a.same_model)
    if not found:
        raise UsageError(
            "none of these results has a published counterpart",
            expected=f"a task and dataset with published numbers: `sambench reproduce {what}` lists them",
            found="; ".join((", ".join(dict.fromkeys(f"{c.task.name} on {c.dataset}" for c in cells)), *evidence.doubtful())),
            remedy=_REMEDIES.get(what) or "a mean over a suite needs complete runs on every member",
        )
    tasks = dict.fromkeys(a.published.task for a in found)
    tables = [_table(task, [a for a in found if a.published.task == task]) for task in tasks]
    doubtful = evidence.doubtful()
    return [replace(t, notes=(*t.notes, *doubtful), warnings=(*t.warnings, *doubtful)) for t in tables]


def _table(task: str, found: Sequence[Against]) -> Table:
    columns = (
        Column("dataset", "dataset"),
        Column("quantity", "quantity"),
        Column("name", "published in"),
        Column("method", "published method"),
        Column("kind", "kind", hidden=all(a.published.kind == "published" for a in found)),
        Column("published", "published", "percent"),
        Column("model", "measured"),
        Column("measured", "value", "percent"),
        Column("difference", "difference", "points"),
        Column("ci", "95 % CI", "points_interval"),
        Column("light", "state"),
        Column("why", "why"),
        Column("source", "source", hidden=True),
        Column("run", "run", hidden=True),
    )
    rows = tuple(Row(_values(a)) for a in found)
    notes = ["Percent and points. green: within the tolerance of reports/published.toml; amber: beyond it; grey: no statement."]
    if any(a.subset.kind == "redrawn" for a in found):
        notes.append("Intervals on redrawn sets carry the variance of both draws: theirs is as large as ours.")
    notes += split_notes([a.published for a in found])
    runs = dict.fromkeys(f"{a.entry.cell.run_name}/{a.entry.cell.path.name}" for a in found)
    return Table(f"{task}: measured against published", columns, rows, tuple(notes), id=task, runs=tuple(runs))


def split_notes(values: Iterable[PublishedValue]) -> list[str]:
    """Of means over inferred parts of a suite: which members were assumed."""
    parts = {v.group: v.split for v in values if v.split is not None and v.split.inferred}
    return [f"{name} sets (inferred, {len(s.members)} of {s.of}): {', '.join(s.members)}." for name, s in parts.items()]


def _values(a: Against) -> dict[str, Any]:
    p = a.published
    return {
        "dataset": p.dataset,
        "quantity": quantity(p),
        "name": p.name,
        "method": p.method + (f" minus {p.baseline_method}" if p.baseline_method else ""),
        "kind": p.kind,
        "published": p.value,
        "model": a.label,
        "measured": a.measured,
        "difference": a.difference,
        "ci": (a.low, a.high),
        "light": a.light,
        "why": a.why,
        "source": p.source,
        "run": a.entry.cell.run_name,
    }
