"""What the commands of `sambench run` do, and what is printed while and after a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sambench.cli.options import Shared
from sambench.cli.requests import request_of
from sambench.text import counted

if TYPE_CHECKING:
    from sambench.engine.request import Outcome, Plan, Request
    from sambench.tasks.command import Command

SHOWN_CELLS = 4  # of a run, by path


def run_task(task: str, command: Command, flags: Shared, given: Mapping[str, Any]) -> None:
    """What a command of `sambench run` does. given: the task's settings that its flags gave. Raises SambenchError."""
    settings = command.settings(given)
    flags = replace(flags, **command.shared())
    if flags.results is not None and flags.save_masks == "none":
        from sambench.errors import UsageError

        raise UsageError("a results file needs masks", where="--results", found="--save-masks none", remedy="leave that out")
    request = request_of(task, command, flags, settings)
    if flags.results is not None:
        _check_one_cell(request)
    after = None if flags.results is None else partial(_write_results, path=flags.results)
    run(request, flags.model, dry_run=flags.dry_run, quiet=flags.quiet, after=after)


def _check_one_cell(request: Request) -> None:
    """Raise UsageError where one results file would be that of several cells."""
    from sambench.errors import UsageError

    if len(request.models) > 1 or len(request.datasets) > 1:
        found = f"{len(request.datasets)} datasets, {len(request.models)} models"
        raise UsageError("one results file for several runs", where="--results", expected="one dataset and one model", found=found)


def _write_results(outcome: Outcome, path: Path) -> None:
    """The masks of a run's one cell as a results file, and what must be said of it."""
    from sambench.cli.console import err
    from sambench.results.coco_file import write_results
    from sambench.store.views import read_cell

    for cell_dir in outcome.records:
        cell = read_cell(cell_dir)
        n = write_results(cell, path)
        err().print(f"results: {counted(n, 'mask')} in {path}", soft_wrap=True)
        for reason in cell.partial_reasons():
            err().print(f"results: PARTIAL: {reason}", soft_wrap=True)


def run(
    request: Request,
    named: list[str],
    *,
    dry_run: bool,
    quiet: bool,
    after: Callable[[Outcome], None] | None = None,
    alone: bool = True,
) -> None:
    """Run and print. named: the models that the user gave, none if the default one runs. after: what is to be done with the outcome
    of a run that was not interrupted. alone: it is all that a command does, which then says what to do next."""
    from sambench.cli.console import echo
    from sambench.cli.progress import Reporter
    from sambench.engine.run import execute, plan

    try:
        with Reporter(quiet=quiet, defaulted="" if named else request.models[0][0]) as reporter:
            planned = plan(request, reporter.on_event)
            if not dry_run:
                reporter.announce(planned)
                outcome = execute(planned, reporter.on_event)
    except KeyboardInterrupt:  # before or after the images: while they are computed the engine heeds it
        echo("interrupted: what is computed is kept; issue the same command again to go on", err=True)
        raise typer.Exit(130) from None
    if dry_run:
        _print_plan(planned)
        return
    _print_outcome(outcome, alone)
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failure is not None:
        raise outcome.failure
    if after is not None:
        after(outcome)
    if any(r.status == "incomplete" for r in outcome.records.values()):
        raise typer.Exit(1)


def _print_plan(planned: Plan) -> None:
    from sambench.cli.console import columns, out
    from sambench.engine.cells import finished_record
    from sambench.provenance import canonical_json

    console = out()
    rows = []
    for cell in planned.cells:
        subset = cell.target.subset
        counts = {r.image_id: r.n_masks for r in cell.target.dataset.index()}
        state = "done: would be reused" if finished_record(cell) else ("begun" if cell.cell_dir.exists() else "new")
        if planned.request.fresh and state != "new":
            state = "would be replaced"
        masks = sum(counts[i] for i in cell.wanted)
        where = (cell.model.spec.device, cell.target.card.id, subset.name)
        rows.append((cell.model.called, *where, str(len(cell.wanted)), str(masks), str(cell.cell_dir), state))
    names = ("model", "device", "dataset", "subset", "images", "masks", "cell", "state")
    title = f"would run {planned.cells[0].task.protocol}"
    console.print(columns(names, rows, title=title, right=("images", "masks")))
    console.print(f"settings: {canonical_json(planned.cells[0].task.identity())}", soft_wrap=True)
    for line in (*planned.notes, *_left_out(planned), *_missing(planned)):
        console.print(line, soft_wrap=True)


def _print_outcome(outcome: Outcome, alone: bool) -> None:
    from sambench.cli.console import err, out, quoted
    from sambench.layout import render_rich
    from sambench.results.tables import result_table
    from sambench.store.lookup import find_cells

    cells = [c for path in outcome.records for c in find_cells(str(path), Path(outcome.plan.request.out))]
    console = out()
    if cells and outcome.failure is None:
        console.print(render_rich(result_table(cells, suites=outcome.plan.suites)))
    notes = err()
    for line in _missing(outcome.plan):
        notes.print(line, soft_wrap=True)
    for rec in outcome.records.values():
        for failure in rec.failures[:5]:
            notes.print(
                f"failed: {rec.dataset.id} image {failure.image_id}: {failure.error}", soft_wrap=True
            )
        if n := rec.counts.n_images_failed:
            one = "image failed and is in no number; the same command tries it again"
            many = "images failed and are in no number; the same command tries them again"
            notes.print(counted(n, one, many), soft_wrap=True)
    for line in _cells_by_run(outcome):
        notes.print(line, soft_wrap=True)
    if outcome.interrupted:
        fresh = "results from before stay; the same command starts over, and without --fresh it goes on with what is there"
        kept = "what is computed is kept; issue the same command again to go on"
        notes.print(f"interrupted: {fresh if outcome.plan.request.fresh else kept}")
    elif alone and outcome.records and outcome.failure is None:
        first = next(iter(outcome.records)).parent
        notes.print(f"next: sambench table {quoted(first)}", soft_wrap=True)


def _cells_by_run(outcome: Outcome) -> list[str]:
    """`complete: DIR`, a line a cell; one for all of a run's that ended alike, where they are many."""
    ended: dict[tuple[str, Path], list[Path]] = {}
    for path, rec in outcome.records.items():
        ended.setdefault((rec.status, path.parent), []).append(path)
    out = []
    for (status, run), paths in ended.items():
        out += [f"{status}: {p}" for p in paths] if len(paths) <= SHOWN_CELLS else [f"{status}: {len(paths)} datasets in {run}"]
    return out


def _left_out(planned: Plan) -> list[str]:
    """What a look at the first images of each dataset shows: what is left out by kind, and what must be said of the files."""
    from sambench.loaders.survey import survey
    from sambench.notes import as_named

    said = []
    for c in {c.target.spec: c for c in planned.cells}.values():
        subset, records = c.target.subset, c.target.dataset.index()
        lines = [*filter(None, [subset.note]), *survey(c.target.dataset, c.wanted).sentences()]
        if subset.name in ("paper", "full"):
            chosen = set(subset.image_ids)
            empty = survey(c.target.dataset, [r.image_id for r in records if not r.n_masks and r.image_id not in chosen])
            lines += [f"in images without masks: {text}" for text in empty.sentences()]
        said += [f"{c.target.card.id}: {as_named(text, c.target.card.given)}" for text in lines]
    return said


def _missing(planned: Plan) -> list[str]:
    """Members of a suite that are not here, a line for each way of getting them."""
    from sambench.errors import SambenchError
    from sambench.getting.datasets import offer

    ways: dict[str, list[str]] = {}
    for missing in planned.missing:
        try:
            wanted = offer(missing.name)
            verb = "data get" if wanted.automatic else "show dataset"
            way = f"{wanted.how} (sambench {verb} NAME)"
        except SambenchError:
            way = missing.why
        ways.setdefault(way, []).append(missing.name)
    return [f"not here: {', '.join(names)}: {way}" for way, names in ways.items()]
