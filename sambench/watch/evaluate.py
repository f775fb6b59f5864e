"""One checkpoint: run, scored, and compared with a reference, paired by object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sambench.engine.events import OnEvent
from sambench.engine.request import Outcome, Request
from sambench.engine.run import execute, plan
from sambench.errors import CheckpointError, ModelError, RunError
from sambench.results.compare import ComparisonTable, compare_cells
from sambench.results.draws import score_and_draws
from sambench.results.measures import default_metric, measure_of, object_values, set_measure_of
from sambench.results.over_datasets import interval_over_datasets, mean_over_datasets
from sambench.store.views import CellView, read_cell
from sambench.tasks.summary import Bootstrap
from sambench.watch.checkpoints import Checkpoint
from sambench.watch.ledger import Entry, OnDataset

DEFAULT_BOOTSTRAP = Bootstrap()


@dataclass(frozen=True)
class Rule:
    """What is compared, and when a checkpoint is worse.

    Worse: on some dataset its mean is behind the reference's by more than `by` (0.01 is a point of IoU), with a two-sided p (paired
    by object, cluster-robust, Holm's over the datasets) below `p`. metric: empty for the task's first. k: clicks, None for the
    fewest that were run.
    """

    metric: str = ""
    k: int | None = None
    by: float = 0.0
    p: float = 0.05


@dataclass(frozen=True)
class Work:
    """What is done with every checkpoint. request: with one model, whose options get the checkpoint's path as `weights_as`."""

    request: Request
    rule: Rule = field(default_factory=Rule)
    weights_as: str = "weights"

    def with_weights(self, path: Path) -> Request:
        ((name, options),) = self.request.models
        return replace(self.request, models=((name, {**options, self.weights_as: str(path.resolve())}),))


@dataclass(frozen=True)
class Reference:
    """What checkpoints are compared with."""

    name: str
    cells: tuple[CellView, ...]


def evaluate(
    work: Work, one: Checkpoint, reference: Reference | None, on_event: OnEvent
) -> Entry:
    """The entry of a checkpoint. What is wrong with the checkpoint itself is in it; raises any other SambenchError, and
    KeyboardInterrupt where it was interrupted (what is computed is kept)."""
    try:
        outcome = execute(plan(work.with_weights(one.path), on_event), on_event)
    except (CheckpointError, ModelError) as e:
        return _entry(one, error=e.one_line())
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.failure is not None:
        return _of_failed(one, outcome, outcome.failure)
    return judged(work.rule, one, [read_cell(path) for path in outcome.records], reference)


def _of_failed(one: Checkpoint, outcome: Outcome, failure: RunError) -> Entry:
    """Of a checkpoint that gave no mask at all: a model that breaks on every image is worse than any that does not."""
    if not any(r.counts.n_images_failed for r in outcome.records.values()):
        raise failure  # there is nothing to evaluate: that is the data's
    cells = [read_cell(path) for path in outcome.records]
    return _entry(one, cells, error=failure.one_line(), worse=True)


def judged(rule: Rule, one: Checkpoint, cells: Sequence[CellView], reference: Reference | None) -> Entry:
    """The entry of cells that are there."""
    metric = rule.metric or default_metric(cells)
    k = rule.k if rule.k is not None else fewest_clicks(cells, metric)
    score, low, high = score_of(cells, metric, k)
    found = _entry(one, cells, score=score, low=low, high=high, warnings=_warnings(cells))
    if reference is None:
        return found
    table = compare_cells(cells, reference.cells, metric=metric, k=k, name_a=one.name, name_b=reference.name)
    datasets = _differences(table, rule)
    return replace(found, against=reference.name, datasets=datasets, worse=any(d.worse for d in datasets))


def _warnings(cells: Sequence[CellView]) -> tuple[str, ...]:
    return tuple(f"{c.dataset}: {'; '.join(reasons)}" for c in cells if (reasons := c.partial_reasons()))


def _entry(one: Checkpoint, cells: Sequence[CellView] = (), **more: Any) -> Entry:
    return Entry(
        file=one.name,
        step=one.step,
        size=one.size,
        mtime_ns=one.mtime_ns,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        model=cells[0].model if cells else "",
        cells=tuple(c.record.cell_id for c in cells),
        paths=tuple(str(c.path.resolve()) for c in cells),
        **more,
    )


def _differences(table: ComparisonTable, rule: Rule) -> tuple[OnDataset, ...]:
    found = []
    headline = table.differences[0].score  # of a set's scores, the first
    for d in (d for d in table.differences if d.score == headline):
        worse = d.paired.mean < -rule.by and not math.isnan(d.p_holm) and d.p_holm < rule.p
        found.append(OnDataset(d.dataset, d.paired.mean, d.paired.low, d.paired.high, d.p_holm, worse))
    return tuple(found)


def fewest_clicks(cells: Sequence[CellView], metric: str) -> int | None:
    """The smallest click count of the rows; None of a measure without counts."""
    if set_measure_of(cells[0], metric) or not measure_of(cells[0], metric).by_k:
        return None
    counts = [int(k) for cell in cells for k in object_values(cell, metric)["k"].unique()]
    return min(counts, default=None)


def score_of(
    cells: Sequence[CellView], metric: str, k: int | None, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> tuple[float | None, float | None, float | None]:
    """(mean over datasets of the score, its interval), None where nothing counts; clusters are resampled within each dataset."""
    found = [score_and_draws(cell, metric, k, bootstrap, [bootstrap.seed, i]) for i, cell in enumerate(cells)]
    scores = [score for score, _ in found if score is not None]
    if len(scores) < len(found):
        return None, None, None
    low, high = interval_over_datasets([draws for _, draws in found], bootstrap.level)
    known = not (math.isnan(low) or math.isnan(high))
    return mean_over_datasets(scores), low if known else None, high if known else None
