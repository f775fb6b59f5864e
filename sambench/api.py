"""The Python API: what the command line does, with objects. Import it as `sambench.run`, `.evaluate`, `.compare`, `.load`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.engine import run as engine
from sambench.engine.events import OnEvent, unheard
from sambench.engine.request import DEFAULT_DATASET, DEFAULT_MODEL, DEFAULT_OUT, Outcome, Request
from sambench.errors import RunError, SambenchError, UsageError, unknown_name
from sambench.sources.datasets import names_in, split_names
from sambench.sources.opened import Opened

if TYPE_CHECKING:
    import pandas as pd

    from sambench.layout import Table
    from sambench.store.views import CellView
    from sambench.types import EdgeDetector, Segmenter

Names = str | Sequence[str]
Data = str | Path | Opened | Sequence[str | Path | Opened]  # names of datasets, paths, or what `sambench.dataset` opened


@dataclass(frozen=True, repr=False)
class Results:
    """Cells on disk: what `run`, `evaluate` and `load` return.

    notes: what must be said of the run. suites: ids of those that the run was asked for; tables have their means.
    """

    cells: tuple[CellView, ...]
    notes: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()

    def metrics(self) -> pd.DataFrame:
        """One row a metric (columns of `schema.METRIC_COLUMNS`)."""
        from sambench.results.tables import metrics_frame

        return metrics_frame(self.cells)

    def rows(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per object and click count (columns of `schema.PROMPTED_COLUMNS`), failed images included with their status."""
        import pandas as pd

        frames = [cell.rows(columns) for cell in self.cells]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def table(self, suite: Names = ()) -> pd.DataFrame:
        """The table that the command line prints, as a frame of numbers in full precision (fractions, not percent).

        suite: ids of suites whose means are added, each with its interval; those that the run was asked for have theirs. Raises
        UsageError for an unknown one, and where the cells are of several protocols or settings: `tables` has one for each.
        """
        from sambench.layout import to_frame

        found = self._tables(suite)
        if len(found) != 1:
            raise UsageError(
                "no single table for these results",
                expected="cells of one protocol and its settings",
                found="; ".join(t.title for t in found) or "no cells",
                remedy="`.tables()` has one for each of them, by name",
            )
        return to_frame(found[0])

    def tables(self, suite: Names = ()) -> dict[str, pd.DataFrame]:
        """The tables of all protocols and settings among the cells, each as `table` gives it, by their titles."""
        from sambench.layout import to_frame

        found = self._tables(suite)
        titles = [t.title for t in found]
        names = [t.title if titles.count(t.title) == 1 else f"{t.title} ({i + 1})" for i, t in enumerate(found)]
        return {name: to_frame(table) for name, table in zip(names, found, strict=True)}

    def _tables(self, suite: Names = ()) -> list[Table]:
        from sambench.results.tables import suites_named, tables

        more = (suite,) if isinstance(suite, str) else tuple(suite)
        return tables(self.cells, suites=list({card.id: card for card in suites_named((*self.suites, *more))}.values()))

    def __repr__(self) -> str:
        """The tables as text; the cells' directories where they cannot be read any more."""
        from sambench.layout import as_text

        try:
            return "\n\n".join(as_text(table) for table in self._tables()) or "Results(no cells)"
        except (SambenchError, OSError) as e:
            return f"Results({', '.join(map(str, self.paths))}): {e}"

    def _repr_html_(self) -> str | None:
        """The tables in a notebook; None where they cannot be read any more, so that the text says why."""
        from sambench.layout import notebook

        try:
            return notebook(self._tables()) if self.cells else None
        except (SambenchError, OSError):
            return None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The cells' directories."""
        return tuple(cell.path for cell in self.cells)


def run(
    task: str = "point",
    datasets: Data = DEFAULT_DATASET,
    model: Names = DEFAULT_MODEL,
    *,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
    **request: Any,
) -> Results:
    """Evaluate models by name, as `sambench run TASK` does, in worker processes.

    options: of the model (with one model). settings: fields of the task's settings, as `{"clicks": (1, 3), "prompt": "random"}`.
    progress: show how far it is: bars in a notebook, lines on standard error elsewhere.
    request: more fields of `engine.request.Request` (names, subset, limit, out, devices, workers, precision, root, save_masks,
    on_error, fresh, backend). Raises SambenchError, also where every image failed; KeyboardInterrupt where Ctrl-C stopped it (what
    is computed is kept).
    """
    models = _names_of(model)
    asked = Request(
        task=task,
        datasets=_words(datasets),
        models=tuple((m, options or {}) for m in models),
        settings=settings or {},
        **_tuples(request, task),
    )
    on_event = _watched(progress)
    outcome = engine.execute(engine.plan(asked, on_event), on_event)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return _results(outcome)


def evaluate(
    model: Segmenter | EdgeDetector,
    task: str = "point",
    datasets: Data = DEFAULT_DATASET,
    *,
    name: str = "model",
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
    **request: Any,
) -> Results:
    """Evaluate a model object in this process: for a model in training.

    name: what it is called in tables and directories; it identifies nothing. What does is a hash of all that the object is made of:
    weights wherever they hang, plain attributes (a threshold), code of its classes (`engine.fingerprint`), and its own `identity`
    mapping, if it has one. So the next epoch is another run, and an unchanged model is not computed twice. Where no weights are
    found, or something cannot be looked into, and there is no `identity`, nothing is reused: the results' `notes`, and a warning,
    say so.
    The torch modules in it run in evaluation mode and without gradients, and are put back as they were, also after an error.
    progress and request: as for `run` (devices and workers do not apply). Raises as `run` does.
    """
    asked = Request(
        task=task,
        datasets=_words(datasets),
        settings=settings or {},
        **_tuples(request, task),
    )
    from sambench.engine.objects import evaluate_object

    results = _results(evaluate_object(asked, model, name, _watched(progress)))
    for note in results.notes:
        warnings.warn(note, stacklevel=2)
    return results


def load(run: str | Path | Sequence[str | Path] = (), runs: str | Path = DEFAULT_OUT) -> Results:
    """What runs left on disk.

    run: a directory, a name under `runs` (of a run, a model or a cell), or several; nothing stands for all of `runs`. Runs of
    several protocols have a table each (`Results.tables`). Raises UsageError with near names, RunError where there is nothing.
    """
    from sambench.store.lookup import find_cells

    asked = [run] if isinstance(run, str | Path) else list(run) or [Path(runs)]
    found = [cell for one in asked for cell in find_cells(str(one), Path(runs))]
    return Results(tuple({cell.path.resolve(): cell for cell in found}.values()))


def compare(a: Results | str | Path, b: Results | str | Path, **options: Any) -> pd.DataFrame:
    """Paired comparison of two runs: A minus B per dataset, with interval and p-value (`results.compare.compare_cells`)."""
    from sambench.layout import to_frame
    from sambench.results.compare import compare_cells

    left, right = (x if isinstance(x, Results) else load(x) for x in (a, b))
    return to_frame(compare_cells(left.cells, right.cells, **options).table)


def _words(given: Data) -> tuple[str, ...]:
    """Datasets as the command line names them."""
    several = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return tuple(names_in([str(g) for g in several]))


def _names_of(model: Names | Path) -> list[str]:
    names = [model] if isinstance(model, str | Path) or not isinstance(model, Iterable) else list(model)
    for name in names:
        if not isinstance(name, str | Path):
            raise UsageError(
                "run takes the names of models, not objects",
                where="model",
                expected="a name, a card's path, or python:file.py:factory",
                found=f"a {type(name).__name__}",
                remedy="sambench.evaluate(model, ...) runs an object in this process",
            )
    return [str(name) for name in names]


def _watched(progress: bool) -> OnEvent:
    """What receives the events of a run."""
    if not progress:
        return unheard
    from sambench.engine.progress import PythonProgress

    return PythonProgress().on_event


def _tuples(request: Mapping[str, Any], task: str) -> dict[str, Any]:
    out = {k: tuple(v) if isinstance(v, list) else v for k, v in request.items()}
    if isinstance(out.get("devices"), str):
        out["devices"] = tuple(split_names([str(out["devices"])]))
    if isinstance(out.get("names"), str):
        out["names"] = (out["names"],)
    if isinstance(out.get("out"), Path):
        out["out"] = str(out["out"])
    known = set(Request.__dataclass_fields__) - {"task", "datasets", "models", "settings"}
    for key in out:
        if key not in known:
            raise _unknown(key, {*known, "task", "datasets", "model", "options", "settings", "progress"}, task)
    return out


def _unknown(key: str, known: set[str], task: str) -> UsageError:
    """The error for a keyword that there is not: near names, or that it is one of the task's settings."""
    from sambench import tasks

    fields = tasks.build(task).settings.__dataclass_fields__ if task in tasks.names() else {}
    error = unknown_name("argument", key, known, where="sambench.run or sambench.evaluate")
    if key in fields:
        error.remedy = f"it is a setting of the task: settings={{{key!r}: ...}}"
    return error


def _results(outcome: Outcome) -> Results:
    from sambench.store.lookup import find_cells

    if outcome.failure is not None:
        raise outcome.failure
    out = Path(outcome.plan.request.out)
    cells = tuple(c for path in outcome.records for c in find_cells(str(path), out))
    if not cells:
        raise RunError("the run left no cells", where=out)
    return Results(cells, outcome.plan.notes, outcome.plan.suites)
