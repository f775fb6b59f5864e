"""Evaluation from inside a training: for plain loops here, callbacks for Lightning and for Hugging Face's Trainer beside it.

Neither framework is imported by importing sambench, nor needed by it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sambench.api import evaluate
from sambench.errors import UsageError
from sambench.store.lookup import find_cells
from sambench.store.views import CellView
from sambench.watch.checkpoints import Checkpoint
from sambench.watch.evaluate import Reference, Rule, judged
from sambench.watch.ledger import Entry

BEST = "best"


def _itself(module: Any) -> Any:
    return module


class Evaluation:
    """Evaluates a model in training, and compares it with a reference, paired by object: `evaluation(model, step)`.

    entries: what was found so far, in order; see `sambench.watch.ledger.Entry` (score, low, high, datasets, worse).
    """

    def __init__(
        self,
        task: str = "point",
        datasets: str | Sequence[str] = "demo",
        *,
        against: str = BEST,
        worse_by: float = 0.0,
        p: float = 0.05,
        metric: str = "",
        k: int | None = None,
        every: int = 1,
        as_segmenter: Callable[[Any], Any] = _itself,
        settings: Mapping[str, Any] | None = None,
        out: str | Path = "runs",
        **request: Any,
    ) -> None:
        """against: a run, by path or by name under `out`, or `best`: the best before. worse_by, p, metric, k: when a model is worse
        (`sambench.watch.evaluate.Rule`). every: steps that are multiples of it are evaluated. as_segmenter: makes a
        `sambench.types.Segmenter` of the model in training. settings, request: as for `sambench.evaluate`.

        Raises UsageError for an `every` below 1, and for a run that is not there.
        """
        if every < 1:
            raise UsageError("every does not fit", expected="a number of steps from 1 on", found=every)
        self.task, self.datasets, self.every = task, datasets, every
        self.rule = Rule(metric, k, worse_by, p)
        self.as_segmenter = as_segmenter
        self.request: dict[str, Any] = {"settings": settings, "out": str(out), **request}
        self.fixed = None if against in ("", BEST) else Reference(against, tuple(find_cells(against, Path(out))))
        self.keeps_best = against == BEST
        self.entries: list[Entry] = []
        self._best: tuple[float, Reference] | None = None

    def __call__(self, model: Any, step: int) -> Entry | None:
        """The entry of the model at this step; None at steps that are not evaluated, and in processes but the first.

        The model is left as it was. Raises SambenchError.
        """
        if step % self.every or not first_process():
            return None
        results = evaluate(self.as_segmenter(model), self.task, self.datasets, name=f"step {step}", **self.request)
        reference = self.fixed or (self._best[1] if self._best and self.keeps_best else None)
        entry = judged(self.rule, Checkpoint(Path(), f"step {step}", step, 0, 0), results.cells, reference)
        self.entries.append(entry)
        self._remember(entry, results.cells)
        return entry

    def _remember(self, entry: Entry, cells: tuple[CellView, ...]) -> None:
        if entry.score is not None and (self._best is None or entry.score > self._best[0]):
            self._best = (entry.score, Reference(entry.file, cells))


def first_process() -> bool:
    """Whether this is the first of a distributed training's processes, or the only one."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def logged(entry: Entry) -> dict[str, float]:
    """An entry as numbers for a logger: `sambench/score`, its interval, `sambench/worse`, and differences by dataset."""
    found = {"sambench/score": entry.score, "sambench/ci_low": entry.low, "sambench/ci_high": entry.high}
    found |= {f"sambench/difference/{d.dataset}": d.difference for d in entry.datasets}
    return {"sambench/worse": float(entry.worse), **{k: v for k, v in found.items() if v is not None}}
