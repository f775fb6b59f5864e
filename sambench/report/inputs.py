"""What every section of a report may draw on: the results, the suite, and what was chosen on the command line.

Sections ask for the runs of a task by its name: which task a table or figure of the paper is of is a fact of the paper.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sambench import cards
from sambench.cards import SuiteCard
from sambench.errors import unknown_name
from sambench.layout import Value, is_missing
from sambench.paper.evidence import GENERATED, Entry, Evidence, System
from sambench.report.document import mean_of
from sambench.results.tables import suite_interval
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap

PAPER_SUITE = "sa23"
NOT_GIVEN = "not among the runs given"
DEFAULT_BOOTSTRAP = Bootstrap()


@dataclass(frozen=True)
class Inputs:
    """evidence: the cells. suite: whose mean is the top line. baseline: id of the model that differences are taken to.

    series: model ids in the order of figure 13, empty for the definition's; checkpoints: in their place the checkpoints of one
    training, in order, each with its name and cells. ratings: files or databases of the human study; key:
    what their job ids stand for, where the jobs were blinded; rated: the models of table 8 (one, and one or two that it is compared
    with). masks: datasets whose properties are drawn. automatic, corrected: files of pairs of masks.
    root: the folder of a dataset, for pictures. n_shown: images on a sheet.
    """

    evidence: Evidence
    suite: SuiteCard
    baseline: str = ""
    series: tuple[str, ...] = ()
    checkpoints: tuple[tuple[str, tuple[CellView, ...]], ...] = ()
    ratings: tuple[str, ...] = ()
    key: Path | None = None
    rated: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    root: Path | None = None
    automatic: Path | None = None
    corrected: Path | None = None
    n_shown: int = 6
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
    cache: dict[str, Any] = field(default_factory=dict, compare=False)

    def point(self, prompt: str) -> dict[System, dict[str, Entry]]:
        """Entries of the point task by system and dataset: real datasets, or the generated copies where the suite is of those."""
        found = self.evidence.of("point", prompt=prompt)
        kept = {s: {d: e for d, e in by.items() if e.generated == self.suite.generated} for s, by in found.items()}
        return {s: by for s, by in kept.items() if by}

    def none(self, task: str, what: str) -> str:
        """Why nothing is shown of `what`, runs of a task: none is among the runs given, or only runs on generated copies are."""
        copies = sum(e.generated and e.cell.task.name == task for e in self.evidence.entries)
        said = f"Not measured: no run of {what} is among the runs given"
        if copies and not self.suite.generated:
            said += f"; {copies} on generated copies are, which measure nothing (--suite {_generated_suite()} shows them)"
        return f"{said}."

    @property
    def members(self) -> list[str]:
        """The suite's datasets as entries name them: generated copies have names of their own."""
        return [m + (GENERATED if self.suite.generated else "") for m in self.suite.members]


def suite_of(name: str, evidence: Evidence) -> SuiteCard:
    """The suite of that name; of none, the one that the runs are of: generated copies, if all are, or the paper's.

    Raises UsageError with near names.
    """
    copies = bool(evidence.entries) and all(e.generated for e in evidence.entries)
    name = name or (_generated_suite() if copies else PAPER_SUITE)
    found = cards.suite_card(name)
    if found is None:
        raise unknown_name("suite", name, cards.suite_cards(), where="--suite")
    return found


def _generated_suite() -> str:
    return next((s.id for s in cards.suite_cards().values() if s.generated), "")


def shown_name(dataset: str) -> str:
    """A dataset as tables name it: the paper's name, or the card's, or the id; variants and generated copies say so."""
    base, _, rest = dataset.partition(":") if ":" in dataset else dataset.partition(" ")
    card = cards.dataset_cards().get(base)
    if card is None:
        return dataset
    name = card.paper.name if card.paper else base
    return f"{name} {rest}".strip()


def value_of(entry: Entry | None, metric: str, *, reason: str = NOT_GIVEN, **wanted: Any) -> Value:
    """A metric of an entry as a table's value: with its daggers, or the reason why it is not there."""
    if entry is None:
        return Value(reason=reason)
    row = entry.row(metric, **wanted)
    return from_row(entry, row)


def from_row(entry: Entry, row: Mapping[str, Any] | None) -> Value:
    """As `value_of`, of a metric row that was found already."""
    if row is None:
        return Value(reason=why_without(entry))
    if is_missing(row["value"]):
        return Value(reason="no objects of that kind")
    low, high = (None if is_missing(row[c]) else float(row[c]) for c in ("ci_low", "ci_high"))
    partial = f"{entry.dataset}: {entry.partial}" if entry.partial else ""
    detail = f"{row['n_objects']:,} objects in {row['n_images']:,} images"
    return Value(float(row["value"]), overlap=entry.overlaps, partial=partial, low=low, high=high, detail=detail)


def mean_of_entries(inputs: Inputs, entries: Sequence[Entry | None], metric: str, *, variant: str | None, k: int | None) -> Value:
    """The unweighted mean of a metric over datasets, with its interval; a gap with its reason unless every entry is there, whole.

    Intervals are of the IoU of the mask ranked first and of the best one.
    """
    mean = mean_of([value_of(e, metric, variant=variant, k=k) for e in entries], wanted=len(entries))
    if mean.missing or metric != "miou":
        return mean
    low, high = suite_interval([e.cell for e in entries if e is not None], k, inputs.bootstrap, metric=f"iou_{variant}")
    return mean if math.isnan(low) else dataclasses.replace(mean, low=low, high=high)


def why_without(entry: Entry) -> str:
    """Why a cell that is there does not have a number."""
    if not entry.rows:
        return f"no scores of a part of a set ({entry.partial})" if entry.partial else "no objects were scored"
    return "no objects of that kind, or not measured (the run's settings; a model of a single mask)"


def unknown_training(systems: Iterable[System]) -> list[str]:
    """A note on models without a card, whose training data is not known."""
    known = cards.model_cards()
    lacking = list(dict.fromkeys(s.called or s.model for s in systems if s.model not in known))
    if not lacking:
        return []
    have = "have no card" if len(lacking) > 1 else "has no card"
    return [f"{', '.join(lacking)} {have}: what it was trained on is not known, and no training overlap is marked."]


def few_cluster_notes(entries: Sequence[Entry]) -> list[str]:
    """Which datasets have too few independent images for an interval to be trusted."""
    from sambench.store.views import cluster_notes

    counts = {(e.dataset, max((int(r["n_clusters"] or 0) for r in e.rows), default=0)) for e in entries}
    return cluster_notes(sorted(counts))


def runs_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Cells as `run/dataset`, in order, each once: what a table or figure was made of."""
    return tuple(dict.fromkeys(f"{e.cell.run_name}/{e.cell.path.name}" for e in entries))
