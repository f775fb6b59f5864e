"""What a run will do: cells (task, model, dataset) with their identities and directories, before anything is computed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sambench import cards, content, fixtures, provenance, tasks
from sambench.engine.models import ResolvedModel, build
from sambench.engine.shards import storage_error
from sambench.errors import DataMissingError, RunError, UsageError
from sambench.loaders.open import open_dataset
from sambench.loaders.subsets import Subset, choose_subset
from sambench.types import Dataset

SHARD_SIZE = 4  # images; fixed, so that shards are the same whatever the number of workers
MIN_FREE_BYTES = 64 << 20


@dataclass(frozen=True)
class Target:
    """A dataset that is here: its card, reader and chosen images."""

    card: cards.DatasetCard
    source: str  # card id, or the absolute path of a card file
    variant: str
    root: str | None  # absolute
    dataset: Dataset
    subset: Subset

    def identity(self) -> dict[str, Any]:
        """All of the dataset that can change a number."""
        return {
            "id": self.card.id,
            "revision": self.card.revision,
            "reader": cards.entry_identity(self.card.reader, where=f"the card of dataset {self.card.id!r}"),
            "variant": self.variant,
            "options": content.by_content(self.card.options_of(self.variant), absolute=True),
            "annotation_digest": self.dataset.annotation_digest(),
            "subset_digest": self.subset.digest,
        }


@dataclass(frozen=True)
class Missing:
    """A member of a suite that cannot run here, and why."""

    name: str
    why: str


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


def split_names(values: Sequence[str]) -> list[str]:
    """Comma-separated and repeated options as one list, without repeats, in order."""
    names = [n.strip() for v in values for n in v.split(",")]
    return list(dict.fromkeys(n for n in names if n))


def find_targets(
    names: Sequence[str], *, subset: str, root: str | None = None, every_image: bool = False
) -> tuple[list[Target], list[Missing], list[cards.SuiteCard]]:
    """Open every dataset named (`id`, `id:variant`, a card's path, or a suite). A suite's absent members are listed, not raised.

    Members of a generated suite are read from tiny synthetic copies, all of each; their cells can never be taken for the real ones.
    every_image: images without masks too, as far as the dataset's index has them.
    """
    targets: list[Target] = []
    missing: list[Missing] = []
    suites: list[cards.SuiteCard] = []
    for name in names:
        suite = cards.suite_card(name)
        if suite is None:
            targets.append(_open(name, subset, root, every_image))
            continue
        suites.append(suite)
        for member in suite.members:
            try:
                targets.append(_generated(member, every_image) if suite.generated else _open(member, subset, None, every_image))
            except DataMissingError as e:
                missing.append(Missing(member, e.message))
            except UsageError:
                missing.append(Missing(member, "has no card in this version"))
    unique = {(t.card.id, t.variant): t for t in targets}
    if root is not None and len(unique) > 1:
        raise UsageError(
            "one root for several datasets", where="--root", remedy="give --root with one dataset, or `sambench data adopt`"
        )
    return list(unique.values()), missing, suites


def _open(name: str, subset: str, root: str | None, every_image: bool) -> Target:
    source, variant = cards.split_variant(name)
    card = cards.dataset_card(source)
    folder = Path(root).expanduser().absolute() if root else None
    dataset = open_dataset(card, variant=variant, root=folder)
    chosen = choose_subset(dataset, card, subset, every_image=every_image)
    return Target(card, cards.absolute(source), variant or "default", str(folder) if folder else None, dataset, chosen)


def _generated(name: str, every_image: bool) -> Target:
    target = _open(name, "full", str(fixtures.cached(name)), every_image)
    note = "a tiny generated copy, not the dataset: numbers say nothing of the model"
    return replace(target, subset=replace(target.subset, name="generated", is_paper_size=False, note=note))


def check_model(task: tasks.Task, name: str, gives: str | None) -> None:
    """Raises UsageError where a model of that name gives what the task cannot take (None: not known yet)."""
    if gives is None or gives in task.takes:
        return
    fitting = [c.id for c in cards.model_cards().values() if c.gives in task.takes]
    raise UsageError(
        f"model {name!r} is not one for the {task.name} task",
        where="--model",
        expected=f"a model that gives {' or '.join(task.takes)}",
        found=f"one that gives {gives}",
        remedy=f"choose one of: {', '.join(fitting)}",
    )


def check_target(task: tasks.Task, target: Target) -> None:
    """Raises UsageError where a dataset does not hold the ground truth that the task compares with.

    The reader says what it gives, by an attribute `holds` ("masks" or "boundaries"); where it has none, the card does.
    """
    said = getattr(target.dataset, "holds", None)
    holds = said or ("boundaries" if target.card.mask_kind == "boundary" else "masks")
    if holds != task.needs:
        fitting = [c.id for c in cards.dataset_cards().values() if (c.mask_kind == "boundary") == (task.needs == "boundaries")]
        remedy = f"choose one of: {', '.join(fitting)}"
        if said is None:
            kind = '"boundary"' if task.needs == "boundaries" else 'another one than "boundary"'
            remedy += f"; or, if the card's reader gives {task.needs}, say so in the card: mask_kind = {kind}"
        raise UsageError(
            f"dataset {target.card.id!r} is not one for the {task.name} task",
            where="--datasets",
            expected=f"a dataset with annotated {task.needs}",
            found=f"one with {holds}",
            remedy=remedy,
        )


def wants_logits(task: tasks.Task) -> bool:
    """Whether the task as it is set asks for more than boolean masks."""
    return bool(getattr(task, "wants_logits", False))


def fit_task(task: tasks.Task, model: ResolvedModel) -> tuple[tasks.Task, str]:
    """The task as it can be put to this model, and what must be said of it. Raises UsageError where it cannot be put to it.

    A model of which nothing is known, and which has no weights to load, is built and tried.
    """
    if not wants_logits(task):
        return task, ""
    logits = model.logits
    if logits is None and model.card is not None and model.card.weights is None and not model.card.uses_torch:
        from sambench.engine.describe import gives_logits

        logits = gives_logits(build(model.spec))
    if logits is not False:
        return task, ""
    fitted: tuple[tasks.Task, str] = task.without_logits(model.id)  # type: ignore[attr-defined]
    return fitted


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
            record = json.loads(content.regular_bytes(other / "model.json"))
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
