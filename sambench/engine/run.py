"""A whole run: plan every cell, compute what is missing, finish each. The command line and the Python API both stand on it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sambench import cards, tasks
from sambench.device.precision import computing
from sambench.engine import cells, fresh
from sambench.engine.backends import backend, check, describe, device_at, run_workers
from sambench.engine.events import OnEvent, unheard
from sambench.engine.plan import (
    CellSpec,
    check_model,
    check_target,
    fit_task,
    plan_cell,
    prepare_out,
    scored,
    scored_on,
)
from sambench.engine.request import Outcome, Plan, Request
from sambench.engine.threads import single_threaded
from sambench.engine.worker import CellJob, Job, work
from sambench.errors import DataMissingError, RunError, UsageError
from sambench.files import mirror
from sambench.files.content import progress_to
from sambench.files.places import brought
from sambench.files.writing import storage_error
from sambench.notes import advising
from sambench.sources import datasets
from sambench.sources.base import devices_elsewhere
from sambench.sources.data.base import DatasetSpec
from sambench.sources.datasets import Missing, Target, find_targets
from sambench.sources.models import ModelSpec, ResolvedModel, gives_of, notes_on, resolve
from sambench.store.labels import check_label
from sambench.store.record import CellRecord
from sambench.text import counted

if TYPE_CHECKING:
    from sambench.sources.describe import Described

READ_AHEAD = 2  # images
_Spec = TypeVar("_Spec", ModelSpec, DatasetSpec)


def plan(request: Request, on_event: OnEvent = unheard) -> Plan:
    """Resolve names, data, options and weights; raises before anything is computed or a result directory is made."""
    request.check()
    backend(request.backend, request.placement)
    if request.fresh and request.placement.get("detach"):
        where = "--fresh, --detach"
        raise UsageError("results cannot be replaced by a command that leaves", where=where, expected="one of the two")
    request = _here(request)
    if mirror.named(request.out).startswith("memory:"):
        found, remedy = mirror.named(request.out), "sambench.evaluate works in one process"
        raise UsageError("workers do not see the memory of another process", where="--out", found=found, remedy=remedy)
    request = replace(request, settings=tasks.completed(request.task, request.settings, request.datasets))
    task = tasks.build(request.task, request.settings)
    for name, _ in request.models:  # before any weights are fetched
        check_model(task, name, gives_of(name))
    with progress_to(lambda name, done, total: on_event({"event": "index", "dataset": name, "done": done, "total": total})):
        targets, missing, suites = _find(task, request)
    names = _names(request)
    models = [_resolve(name, options, request, on_event) for name, options in request.models]
    models = [replace(model, label=name or model.label) for model, name in zip(models, names, strict=True)]
    for model in models:
        check_model(task, model.id, model.gives)
    planned = _planned(task, request, models, targets, missing, suites)
    _check_names(planned)
    unnamed = [model.called for model, name in zip(models, names, strict=True) if not name] if request.names else []
    note = [f"no --name was given for {', '.join(unnamed)}: called so"] if unnamed else []
    return replace(planned, notes=(*note, *planned.notes))


def _here(request: Request) -> Request:
    """The request with the folder of results on this machine: of one in an object store the copy, in which the runs are known."""
    if mirror.at(mirror.here(request.out)) is None:
        return request
    if request.fresh:
        raise UsageError(
            "results in an object store cannot be replaced in one step",
            where="--fresh, --out",
            expected="a folder of a file system",
            found=mirror.named(mirror.here(request.out)),
            remedy="choose another --out; or remove what is there: sambench runs rm RUN --runs URL",
        )
    try:
        return replace(request, out=str(brought(Path(request.out), records_alone=True)))
    except OSError as e:
        raise storage_error(e, Path(request.out)) from e


def _names(request: Request) -> list[str]:
    """What each model is called, "" for those without a name. Raises UsageError."""
    given = list(request.names)
    if len(given) > len(request.models):
        n = len(request.models)
        found = f"{len(given)} names for {counted(n, 'model')}"
        raise UsageError("more names than models", where="--name", expected="one for each --model, in their order", found=found)
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise UsageError("two models have one name", where="--name", expected="a name for each", found=repr(twice))
    for label, (model, _) in zip(given, request.models, strict=False):
        if check_label(label) != model and label in cards.model_cards():
            remedy = "choose a name that is no other model's: tables would show its numbers as that one's"
            raise UsageError("a name is the id of another model", where="--name", found=repr(label), remedy=remedy)
    return [*given, *[""] * (len(request.models) - len(given))]


def _check_names(planned: Plan) -> None:
    """Raise UsageError where one model would have two names."""
    called: dict[Path, str] = {}
    for cell in planned.cells:
        other = called.setdefault(cell.run_dir, cell.model.label)
        if other != cell.model.label:
            found = f"{other or cell.model.id!r} and {cell.model.called!r} are one model with the same options"
            raise UsageError("one model has two names", where="--name", found=found, remedy="name it once")


def _find(task: tasks.Task, request: Request) -> tuple[list[Target], list[Missing], list[cards.SuiteCard]]:
    """The datasets of a request, fit for the task. Raises DataMissingError where none is here, UsageError."""
    targets, missing, suites = find_targets(
        request.datasets, subset=request.subset, root=request.root, every_image=task.every_image, needs=task.needs
    )
    if not targets:
        names = ", ".join(m.name for m in missing)
        raise DataMissingError(
            "none of the datasets asked for is on this machine",
            found=f"absent: {names}",
            remedy="`sambench show dataset NAME` says how to get each; SAMBENCH_DATA says where they are looked for",
        )
    for target in targets:
        check_target(task, target)
    return targets, missing, suites


def _resolve(name: str, options: Mapping[str, Any], request: Request, on_event: OnEvent) -> ResolvedModel:
    def progress(done: int, total: int | None) -> None:
        on_event({"event": "download", "model": name, "done": done, "total": total})

    at = backend(request.backend, request.placement)
    device, here = device_at(at, request.devices[0])
    with nullcontext() if here else devices_elsewhere():
        model = resolve(name, options, device=device, precision=request.precision, progress=progress)
    if model.identity:
        return model
    task = tasks.build(request.task, request.settings)
    model = replace(model, spec=replace(model.spec, probe=task.wants_logits))
    prepare_out(Path(request.out))
    try:
        return describe(at, model, Path(request.out) / ".logs", on_event)
    finally:
        cells.remove_empty(Path(request.out) / ".logs")


def execute(planned: Plan, on_event: OnEvent = unheard) -> Outcome:
    """Compute what is missing, model by model, and finish every cell. Ctrl-C keeps what is computed."""
    check(backend(planned.request.backend, planned.request.placement), planned.request.workers)
    prepare_out(Path(planned.request.out))
    records: dict[Path, CellRecord] = {}
    going = True
    for run_dir in dict.fromkeys(c.run_dir for c in planned.cells):  # one for each model with its options
        group = [c for c in planned.cells if c.run_dir == run_dir]
        going = _run_model(group, planned.request, records, on_event) and going
        if not going:
            break
    return Outcome(planned, records, not going)


def _run_model(group: Sequence[CellSpec], request: Request, records: dict[Path, CellRecord], on_event: OnEvent) -> bool:
    going = True

    def compute(todo: Sequence[CellSpec], invocation: str) -> None:
        nonlocal going
        at = backend(request.backend, request.placement)
        places = at.places(todo[0].model, request.devices, request.workers)
        going = run_workers(at, _job(todo, request, invocation), places, todo[0].run_dir / "logs", on_event)
        if going and not request.placement.get("detach"):
            cells.check_whole(todo)

    _complete(group, request, records, on_event, compute, lambda: not going)
    return going


def _complete(
    group: Sequence[CellSpec],
    request: Request,
    records: dict[Path, CellRecord],
    on_event: OnEvent,
    compute: Callable[[Sequence[CellSpec], str], None],
    interrupted: Callable[[], bool],
) -> None:
    """Compute the cells of `group` that lack images, then finish all."""
    refused: list[RunError] = []
    with fresh.staged(group) if request.fresh else nullcontext(group) as here:
        found = _finished(here, request, on_event, compute, interrupted)
        for cell, at, rec in zip(group, here, found, strict=True):
            try:
                records[cell.cell_dir] = fresh.settle(at, cell, rec) if request.fresh else rec
            except RunError as e:  # the others take their places
                refused.append(e)
    if refused:
        raise refused[0]


def _finished(
    group: Sequence[CellSpec],
    request: Request,
    on_event: OnEvent,
    compute: Callable[[Sequence[CellSpec], str], None],
    interrupted: Callable[[], bool],
) -> list[CellRecord]:
    """The records of the cells, computed and finished; after an error too they are finished, as far as they go."""
    begun, clock, invocation = cells.now(), time.monotonic(), uuid.uuid4().hex
    told = {"started": begun, "save_masks": request.save_masks, "invocation": invocation}
    try:
        todo = [c for c in group if _begin(c, request, begun, invocation, on_event)]
        if todo:
            compute(todo, invocation)
    except BaseException as e:
        for cell in group:
            cells.finish_after_error(cell, **told, wall_s=time.monotonic() - clock)
        if isinstance(e, OSError):  # a folder of results that cannot be read or entered
            raise storage_error(e, Path(e.filename or group[0].run_dir)) from e
        raise
    found = []
    for cell in group:
        rec = None if cell in todo else cells.finished_record(cell)
        if rec is None:
            rec = cells.finish(cell, **told, wall_s=time.monotonic() - clock, interrupted=interrupted())
        found.append(rec)
    return found


def _begin(cell: CellSpec, request: Request, started: str, invocation: str, on_event: OnEvent) -> bool:
    """Open the cell; True if some of its wanted images are missing."""
    fresh.recover(cell.cell_dir)
    store = cells.begin(cell)
    index = {r.image_id: r for r in cell.target.dataset.index()}
    pictures = {i: r.file for i, r in index.items()}
    n_shards = -(-len(cell.wanted) // store.size)
    missing = [i for n in range(n_shards) for i in cells.missing_images(store, n, cell.limit, pictures, invocation)]
    if missing:
        cells.mark_running(cell, store, started=started, save_masks=request.save_masks)
    on_event(
        {
            "event": "begin",
            "cell_id": cell.cell_id,
            "dataset": cell.target.card.id,
            "model": cell.model.called,
            "cell_dir": str(cell.cell_dir),
            "n_images": len(cell.wanted),
            "n_objects": sum(index[i].n_masks for i in cell.wanted),
            "missing": missing,
        }
    )
    return bool(missing)


def _job(todo: Sequence[CellSpec], request: Request, invocation: str) -> Job:
    model = todo[0].model
    jobs = tuple(cell_job(c) for c in todo)
    kind, precision = model.identity["device_kind"], model.identity["precision"]
    scoring = model.identity.get("scoring", scored_on(kind))
    ahead = READ_AHEAD if kind == "cuda" else 0  # a process a core leaves none to read with
    return Job(_travelling(model.spec), jobs, invocation, request.save_masks, request.on_error, kind, precision, scoring, ahead)


def _travelling(spec: _Spec) -> _Spec:
    """A spec for a worker, maybe of another machine: what is here as the copy of an object is named by its URL."""
    texts: dict[str, Any] = {f.name: mirror.with_urls(v) for f in fields(spec) if isinstance(v := getattr(spec, f.name), str)}
    if isinstance(spec, ModelSpec):
        texts["options"] = {k: mirror.with_urls(v) if isinstance(v, str) else v for k, v in spec.options.items()}
    return replace(spec, **texts)


def cell_job(cell: CellSpec) -> CellJob:
    """The cell as a worker needs it."""
    return CellJob(
        cell_dir=mirror.named(cell.cell_dir.resolve()),
        cell_id=cell.cell_id,
        task=cell.task.name,
        settings=tasks.settings_of(cell.task),
        dataset=_travelling(cell.target.spec),
        limit=cell.limit,
        annotations=str(cell.identity["dataset"]["annotation_digest"]),
    )


def run_cell(on_event: OnEvent, **request: Any) -> Path:
    """Plan and run a request of one dataset and one model; gives its cell's directory.

    request: fields of `Request`. Raises what `plan` and `execute` raise, and KeyboardInterrupt where it was interrupted.
    """
    outcome = execute(plan(Request(**request), on_event), on_event)
    if outcome.interrupted:
        raise KeyboardInterrupt
    (cell,) = outcome.plan.cells
    return cell.cell_dir


def execute_in_process(planned: Plan, segmenter: Any, on_event: OnEvent = unheard) -> Outcome:
    """As `execute`, for a model that is already built, in this process (`sambench.evaluate`)."""
    prepare_out(Path(planned.request.out))
    records: dict[Path, CellRecord] = {}

    def compute(todo: Sequence[CellSpec], invocation: str) -> None:
        job = _job(todo, planned.request, invocation)
        threads = single_threaded() if job.device_kind == "cpu" else nullcontext()
        with threads, computing(job.precision, job.device_kind):
            work(job, segmenter, on_event, lambda: None)

    _complete(planned.cells, planned.request, records, on_event, compute, lambda: False)
    return Outcome(planned, records, False)


def plan_object(request: Request, name: str, found: Described) -> Plan:
    """The plan for a model object. name: its label; what it is made of, and nothing else, identifies it."""
    from sambench.sources.object import resolved_object

    model = resolved_object(name, found)
    request = _here(request)
    task = tasks.build(request.task, request.settings)
    check_model(task, name, model.gives)
    targets, missing, suites = _find(task, request)
    return _planned(task, request, [model], targets, missing, suites)


def _planned(
    task: tasks.Task,
    request: Request,
    models: Sequence[ResolvedModel],
    targets: Sequence[Target],
    missing: Sequence[Missing],
    suites: Sequence[cards.SuiteCard],
) -> Plan:
    out, planned = Path(request.out), []
    notes = [n for m in models for n in m.notes]
    notes += [n for m in models for t in targets for n in notes_on(m, t.dataset, t.subset.image_ids[: request.limit])]
    for t in targets:
        with advising(t.card.given):
            said = [*datasets.notes_on(t.resolved, t.dataset), *task.check_dataset(t.dataset)]
        notes += [f"{t.card.id}: {n}" for n in said]
        notes += [f"{t.card.id}: {n}" for n in task.check_images(t.dataset, t.subset.image_ids[: request.limit])]
    for model in (scored(m, request.scoring) for m in models):
        fitted, note = fit_task(task, model)
        notes += [f"{model.id}: {note}"] if note else []
        for target in targets:
            cell, note = plan_cell(fitted, model, target, out=out, limit=request.limit)
            notes += [note] if note else []
            planned.append(cell)
    return Plan(request, tuple(planned), tuple(missing), tuple(s.id for s in suites), tuple(dict.fromkeys(notes)))
