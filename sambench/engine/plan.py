"""What a run will do: cells (task, model, dataset) with their identities and directories, before anything is computed."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sambench import cards, provenance, tasks
from sambench.errors import RunError, UsageError
from sambench.files import content, mirror
from sambench.files.objects import Changed
from sambench.files.writing import storage_error
from sambench.paths import RUN_FILE
from sambench.sources.datasets import Target, gives_of
from sambench.sources.models import ResolvedModel, build
from sambench.tasks.prompted import Where
from sambench.types import Gives, Holds, SaysHolds, reader_of

SHARD_SIZE = 4  # images; fixed, so that shards are the same whatever the number of workers
MIN_FREE_BYTES = 64 << 20


@dataclass(frozen=True)
class CellSpec:
    """One cell, resolved: where it lies and what it is."""

    task: tasks.Task
    model: ResolvedModel
    target: Target
    run_dir: Path
    cell_dir: Path
    cell_id: str
    identity: dict[str, Any]
    limit: int | None

    @property
    def wanted(self) -> tuple[str, ...]:
        """The images that this command asks for, in keyed-hash order."""
        return self.target.subset.image_ids[: self.limit]


def check_model(task: tasks.Task, name: str, gives: Gives | None) -> None:
    """Raises UsageError where a model of that name gives what the task cannot take (None: not known yet)."""
    if gives is None:
        return
    if gives in task.takes:
        task.check_gives(gives)
        return
    fitting = [c.id for c in cards.model_cards().values() if c.gives in task.takes]
    composed = f"name a segmenter beside it: {name}+sam_vit_b" if gives == "boxes" and "concepts" in task.takes else ""
    raise UsageError(
        f"model {name!r} is not one for the {task.name} task",
        where="--model",
        expected=f"a model that gives {' or '.join(task.takes)}",
        found=f"one that gives {gives}",
        remedy=composed or f"choose one of: {', '.join(fitting)}",
    )


def check_target(task: tasks.Task, target: Target) -> None:
    """Raises UsageError where a dataset does not hold the ground truth that the task compares with.

    The reader says what it gives, by an attribute `holds` (one of `types.Holds`); where it has none, the dataset's
    source does.
    """
    reader = reader_of(target.dataset)
    said = reader.holds if isinstance(reader, SaysHolds) else None
    holds = said or gives_of(target.spec.name) or "masks"
    if holds != task.needs:
        fitting = [c.id for c in cards.dataset_cards().values() if _may_hold(c, task.needs)]
        remedy = f"choose one of: {', '.join(fitting)}"
        if said is None:
            kind = {"boundaries": '"boundary"', "concepts": '"concept"'}.get(task.needs, 'another one than "boundary" or "concept"')
            remedy += f"; or, if the card's reader gives {task.needs}, say so in the card: mask_kind = {kind}"
        raise UsageError(
            f"dataset {target.card.id!r} is not one for the {task.name} task",
            where="--datasets",
            expected=f"a dataset with annotated {task.needs}",
            found=f"one with {holds}",
            remedy=remedy,
        )


def _may_hold(card: cards.DatasetCard, needs: Holds) -> bool:
    return cards.holding(card.mask_kind) == needs or card.variant_holding(needs) is not None


def scored_on(device_kind: str) -> Where:
    """Where the answers of models on that kind of device are scored unless something else is asked for."""
    return "device" if device_kind == "cuda" else "host"


def scored(model: ResolvedModel, asked: str) -> ResolvedModel:
    """The model; its identity names the place of scoring where that is not its device's own: a last digit can depend on it."""
    if asked in ("auto", scored_on(str(model.identity["device_kind"]))):
        return model
    return replace(model, identity={**model.identity, "scoring": asked})


def fit_task(task: tasks.Task, model: ResolvedModel) -> tuple[tasks.Task, str]:
    """The task as it can be put to this model, and what must be said of it. Raises UsageError where it cannot be put to it.

    A model of which nothing is known, and which has no weights to load, is built and tried.
    """
    if not task.wants_logits:
        return task, ""
    logits = model.logits
    if logits is None and model.card is not None and model.card.weights is None and not model.card.uses_torch:
        from sambench.sources.describe import gives_logits

        logits = gives_logits(build(model.spec))
    if logits is not False:
        return task, ""
    return task.without_logits(model.id)


def plan_cell(
    task: tasks.Task, model: ResolvedModel, target: Target, *, out: Path, limit: int | None
) -> tuple[CellSpec, str]:
    """Identity and directories of one cell, and what must be said of them. Nothing is written."""
    run = {"task": task.identity(), "model": model.identity}
    identity = {**run, "dataset": target.identity()}
    run_dir = out / f"{task.name}-{model.id}-{provenance.digest(run)[:8]}"
    same, note = _same_run(run_dir, task, model), ""
    if same is not None:
        note = f"{model.id}: the same model has been evaluated before, under another name; its results are in {same}"
        run_dir = same
    cell_dir = run_dir / f"{target.card.id}-{provenance.digest(identity['dataset'])[:8]}"
    return CellSpec(task, model, target, run_dir, cell_dir, provenance.digest(identity)[:16], identity, limit), note


def _same_run(run_dir: Path, task: tasks.Task, model: ResolvedModel) -> Path | None:
    """The directory of the same task and model under another label, where this label has none."""
    if "id" in model.identity or run_dir.exists():
        return None
    wanted = {**model.identity, "id": None, "name": None}
    for other in sorted(run_dir.parent.glob(f"{task.name}-*-{run_dir.name[-8:]}")):
        try:
            record = json.loads(content.regular_bytes(other / RUN_FILE))
            if {**record["model"], "id": None, "name": None} == wanted:
                return other
        except (OSError, ValueError, TypeError, KeyError, RecursionError):  # of another version, or damaged: not the same
            continue
    return None


def prepare_out(out: Path) -> None:
    """Make sure that results can be written there. Raises RunError where they cannot."""
    probe = out / f".probe-{os.getpid()}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if (copy := mirror.at(out)) is not None:
            _try_store(copy, out)
        free = shutil.disk_usage(out).free
    except OSError as e:
        raise storage_error(e, out) from e
    if free < MIN_FREE_BYTES:
        raise RunError(
            "too little disk space for results",
            where=out,
            expected=f"at least {MIN_FREE_BYTES >> 20} MiB free",
            found=f"{free >> 20} MiB",
            remedy="free some space, or choose another directory with --out",
        )


def _try_store(copy: mirror.Mirror, out: Path) -> None:
    """Raise RunError where a store writes what it must refuse: two workers would then take one shard, or lose each other's rows."""
    probe = out / f".probe-{uuid.uuid4().hex}"
    key, refused = copy.key(probe), []
    first = copy.store.put(key, b"1", create=True)
    try:
        copy.store.put(key, b"2", instead=first)
        tries = {"one to be made where one is": {"create": True}, "another version than asked for": {"instead": first}}
        for what, asked in tries.items():
            with suppress(Changed):
                copy.store.put(key, b"3", **asked)  # type: ignore[arg-type]
                refused.append(what)
    finally:
        copy.store.delete(key)
    if refused:
        raise RunError(
            "that object store does not keep workers apart",
            where=mirror.named(out),
            expected="writes that are refused where somebody else was first (S3: If-None-Match and If-Match)",
            found=f"it overwrites {' and '.join(refused)}",
            remedy="choose another store, or a folder, with --out",
        )
