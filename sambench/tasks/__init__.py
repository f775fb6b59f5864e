"""Task runners, one module each. A task is found by its module's name; nothing is listed by hand."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sambench.errors import UsageError, unknown_name
from sambench.values import FITTING, misfit, short

if TYPE_CHECKING:
    import pandas as pd

    from sambench.tasks.prompted import Context
    from sambench.tasks.summary import Bootstrap
    from sambench.types import Dataset, Sample


class Task(Protocol):
    """What the engine needs of a task. Frozen and picklable."""

    @property
    def name(self) -> str: ...

    @property
    def protocol(self) -> str:
        """Name and version, as in `point@1`."""
        ...

    @property
    def takes(self) -> tuple[str, ...]:
        """What a model must give (`cards.ModelCard.gives`): any one of these."""
        ...

    @property
    def needs(self) -> str:
        """What a dataset must hold: `masks`, or `boundaries` (mask_kind `boundary`)."""
        ...

    @property
    def whole_sets_only(self) -> bool:
        """Whether a score says nothing where images are missing or failed: there is none then."""
        ...

    @property
    def columns(self) -> dict[str, str]:
        """Row schema: column -> type, as `schema.arrow_schema` reads it."""
        ...

    def identity(self) -> dict[str, Any]: ...

    def rows(self, sample: Sample, model: Any, context: Context, /) -> list[dict[str, Any]]:
        """All rows of one image. An exception is recorded as the image's failure."""
        ...

    def running(self, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
        """Name -> (sum, count) of one image's rows, for running means on screen; they go into no result."""
        ...

    def reduce(self, frame: pd.DataFrame, bootstrap: Bootstrap) -> list[dict[str, Any]]: ...


def names() -> list[str]:
    """The tasks there are: modules of this package that define TASK and SETTINGS."""
    return [m.name for m in pkgutil.iter_modules(__path__) if hasattr(importlib.import_module(f"{__name__}.{m.name}"), "TASK")]


def build(name: str, settings: Mapping[str, Any] | None = None, *, protocol: str = "") -> Task:
    """The task of that name with settings by field name; lists become tuples. Raises UsageError on unknown names.

    protocol: of a stored cell; a module's `OLDER` has the settings that cells of an earlier one do not write out.
    """
    if not name.isidentifier() or not any(m.name == name for m in pkgutil.iter_modules(__path__)):
        raise unknown_name("task", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    if not hasattr(module, "TASK"):
        raise unknown_name("task", name, names())
    known = {f.name for f in dataclasses.fields(module.SETTINGS)}
    given = {**getattr(module, "OLDER", {}).get(protocol, {}), **(settings or {})}
    for key in given:
        if key not in known:
            raise unknown_name(f"setting of task {name}", key, known)
    wrong = misfit(given)
    if wrong:
        raise UsageError(f"a setting of task {name} does not fit", expected=FITTING, found=wrong)
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    try:
        settings = module.SETTINGS(**frozen)
    except (TypeError, ValueError, AttributeError) as e:  # a number where a list belongs, and the like
        _check_types(name, module.SETTINGS, frozen)
        found = short(given)
        raise UsageError(f"a setting of task {name} is of another kind", expected=str(module.SETTINGS()), found=found) from e
    _check_types(name, module.SETTINGS, frozen)
    task: Task = module.TASK(settings)
    return task


def _check_types(name: str, settings: type, given: Mapping[str, Any]) -> None:
    """Raise UsageError where a setting is not of the type that the dataclass says; a whole number is a number too."""
    hints = get_type_hints(settings)
    for key, value in given.items():
        try:
            TypeAdapter(hints[key]).validate_json(json.dumps(value), strict=True)
        except ValidationError as e:
            expected = " or ".join(dict.fromkeys(w["msg"] for w in e.errors()[:3]))
            default = getattr(settings, key)
            raise UsageError(
                f"a setting of task {name} is of another kind",
                where=f"settings, {key}",
                expected=expected,
                found=short(value),
                remedy=None if default is None else f"give a value like the default, {default!r}",
            ) from e


def notes_on(task: Task, dataset: Dataset) -> list[str]:
    """What a task that brings files of its own (boxes) must say of them beside a dataset. Raises DataError if they do not fit."""
    check = getattr(task, "check_dataset", None)
    return check(dataset) if check else []


def settings_of(task: Task) -> dict[str, Any]:
    """The settings of a task as plain values, for `build`."""
    return dataclasses.asdict(task.settings)  # type: ignore[attr-defined]
