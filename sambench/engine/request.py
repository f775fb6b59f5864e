"""What a run is asked for, what it will do, and what it left: plain values, for the command line and the Python API."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

from sambench.device.precision import check_precision
from sambench.engine.plan import CellSpec
from sambench.errors import RunError, UsageError, unknown_name
from sambench.left_out import remedies, sentences
from sambench.notes import as_named
from sambench.sources.datasets import Missing
from sambench.store.record import CellRecord
from sambench.tasks.prompted import SaveMasks, Where
from sambench.text import counted
from sambench.values import short

OnError = Literal["record", "stop"]
Scoring = Literal["auto"] | Where
DEFAULT_OUT = "runs"
DEFAULT_MODEL = "sam_nano"
DEFAULT_DATASET = "demo"


@dataclass(frozen=True)
class Request:
    """What a user asks for. models: (name, options) pairs. names: what tables call them, in their order; those beyond the last one
    have names of their own. None for workers: chosen by the backend (`engine.backends`), which starts them. fresh: compute anew
    (`engine.fresh`). scoring: where answers are scored (`sambench.tasks.scoring`); auto: on GPUs, and on the host for models on the
    CPU. placement: the backend's own options, by name."""

    task: str
    datasets: tuple[str, ...] = (DEFAULT_DATASET,)
    models: tuple[tuple[str, Mapping[str, Any]], ...] = ((DEFAULT_MODEL, {}),)
    names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    subset: str = "paper"
    limit: int | None = None
    out: str = DEFAULT_OUT
    devices: tuple[str, ...] = ("auto",)
    workers: int | None = None
    precision: str = "fp32"
    root: str | None = None
    save_masks: SaveMasks = "scored"
    on_error: OnError = "record"
    fresh: bool = False
    backend: str = "local"
    scoring: Scoring = "auto"
    placement: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError where a value is none that a run can be asked for; names are looked up when it is planned."""
        for flag, value, known in (
            ("--save-masks", self.save_masks, get_args(SaveMasks)),
            ("--on-error", self.on_error, get_args(OnError)),
            ("--scoring", self.scoring, ("auto", *get_args(Where))),
        ):
            if value not in known:
                raise unknown_name("value", str(value), known, where=flag)
        check_precision(self.precision)
        if not str(self.out):  # the folder at hand is not meant by nothing
            raise UsageError("no folder is named", where="--out", expected="a folder for results", found="an empty name")
        for flag, given, fits, expected in (
            ("--limit", self.limit, self.limit is None or _is_count(self.limit), "a number of images from 1 on"),
            ("--workers", self.workers, self.workers is None or _is_count(self.workers), "a number of processes from 1 on"),
            ("--datasets", self.datasets, bool(self.datasets), "a dataset at least"),
            ("--model", self.models, bool(self.models), "a model at least"),
            ("--devices", self.devices, _are_texts(self.devices), "auto, cpu, cuda, or cuda:0,cuda:1"),
            ("--subset", self.subset, isinstance(self.subset, str | Path), "paper, full, or a file of image ids"),
            ("--out", self.out, isinstance(self.out, str | Path), "a folder for results"),
            ("--root", self.root, self.root is None or isinstance(self.root, str | Path), "the dataset's folder"),
            ("--fresh", self.fresh, isinstance(self.fresh, bool), "true or false"),
            ("--backend", self.backend, isinstance(self.backend, str), "a backend's name"),
            ("placement", self.placement, isinstance(self.placement, Mapping), "options of the backend by name"),
            ("settings", self.settings, isinstance(self.settings, Mapping), "settings of the task by name"),
            ("options", self.models, all(isinstance(o, Mapping) for _, o in self.models), "options of the model by name"),
        ):
            if not fits:
                raise UsageError(f"{flag} does not fit", expected=expected, found=short(given))


def _is_count(value: object) -> bool:
    """Whether it is a whole number from 1 on."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= 1


def _are_texts(value: object) -> bool:
    """Whether it is a list of texts, one at least."""
    return isinstance(value, tuple | list) and bool(value) and all(isinstance(v, str) for v in value)


@dataclass(frozen=True)
class Plan:
    """A request, resolved: every cell of every model, the suite members that cannot run here, and what must be said of files."""

    request: Request
    cells: tuple[CellSpec, ...]
    missing: tuple[Missing, ...]
    suites: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a run left: the records (cell.json) by cell directory, in plan order."""

    plan: Plan
    records: dict[Path, CellRecord]
    interrupted: bool

    @property
    def complete(self) -> bool:
        """Every wanted image of every cell is there, and none failed."""
        return all(r.status in ("complete", "partial") for r in self.records.values()) and not self.plan.missing

    @property
    def failure(self) -> RunError | None:
        """The error of a run in which every image failed, or none has an object; None where there is a result."""
        if self._is_empty:
            return self._no_object()
        failed = [(path, r) for path, r in self.records.items() if r.counts.n_images_failed]
        if self.interrupted or not failed or any(r.counts.n_images_done for r in self.records.values()):
            return None
        path, rec = failed[0]
        n, first = sum(r.counts.n_images_failed for _, r in failed), rec.failures[0]
        which = f"{first.image_id} of {rec.dataset.id}"
        return RunError(
            "every image failed: there is no result",
            where=path,
            expected="at least one image that can be evaluated",
            found=f"{counted(n, 'image')} failed, the first is {which}: {first.error}",
            remedy="mend that, and issue the same command again: it tries the images that failed",
        )

    @property
    def _is_empty(self) -> bool:
        """Whether all images were looked at, and all of their annotations left out."""
        counts = [r.counts for r in self.records.values()]
        if self.interrupted or not counts or any(c.task.scores_annotated for c in self.plan.cells):
            return False
        return all(c.n_images_done and not c.n_objects and not c.n_images_failed for c in counts)

    def _no_object(self) -> RunError:
        left_out = sum((Counter(r.counts.left_out) for r in self.records.values()), Counter[str]())
        n = sum(r.counts.n_images_done for r in self.records.values())
        card, root = self.plan.cells[0].target.card, self.plan.request.root
        named = card.named + (f" --root {shlex.quote(root)}" if root else "")
        said = "; ".join([counted(n, "image"), *sentences(left_out)])
        remedy = "; ".join([*remedies(left_out), f"look at the annotations: sambench data verify {named}"])
        return RunError(
            "no image has an object that can be evaluated: there is no result",
            where=next(iter(self.records)),
            expected="annotations with a mask",
            found=as_named(said, card.given),
            remedy=as_named(remedy, card.given),
        )
