"""Task runners, one module each, and those of installed packages. A task is found by its place; nothing is listed by hand.

A module here is a task if it assigns TASK. A package brings tasks by the entry point group `sambench.tasks`: `name = module`. The
module has TASK, a frozen class built from one of SETTINGS, a plain dataclass; OLDER, if settings were added under a new protocol;
and COMMAND (`sambench.tasks.command`), if `sambench run NAME` is to have more than a flag for every field of SETTINGS. SETTINGS and
COMMAND of a task that is heavy to import stand in `sambench.tasks.settings.NAME`, for `--help` to be quick.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import pkgutil
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from inspect import cleandoc
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

from sambench.errors import TaskError, UsageError, message_of, unknown_name
from sambench.tasks.command import Command, setting
from sambench.tasks.task import Task
from sambench.values import FITTING, misfit, short

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["GROUP", "Command", "Task", "build", "command_of", "module_of", "names", "setting", "settings_of"]

GROUP = "sambench.tasks"
_ASSIGNS = re.compile(r"^TASK\b[^\n=]*=", re.MULTILINE)


@lru_cache(maxsize=1)
def _own() -> tuple[str, ...]:
    """Modules of this package that assign TASK, by their text: looking does not import them."""
    folders = [Path(p) for p in __path__]
    found = []
    for m in pkgutil.iter_modules(__path__):
        files = [f for d in folders for f in (d / f"{m.name}.py", d / m.name / "__init__.py") if f.is_file()]
        if any(_ASSIGNS.search(f.read_text(encoding="utf-8")) for f in files):
            found.append(m.name)
    return tuple(found)


@lru_cache(maxsize=1)
def _plugins() -> Mapping[str, metadata.EntryPoint]:
    """Tasks of installed packages, by name. Raises TaskError for a name that cannot be one, or that two have."""
    out: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=GROUP):
        if not entry.name.isidentifier():
            raise TaskError("a plug-in's task has no fit name", where=entry.value, expected="a Python name", found=repr(entry.name))
        if entry.name in _own() or out.get(entry.name, entry).value != entry.value:
            other = out[entry.name].value if entry.name in out else f"{__name__}.{entry.name}"
            raise TaskError("two tasks have one name", where=entry.name, found=f"{other} and {entry.value}", remedy="remove one")
        out[entry.name] = entry
    return out


def names() -> list[str]:
    """The tasks there are. None is imported."""
    return [*_own(), *_plugins()]


def module_of(name: str) -> ModuleType:
    """The module of a task. Raises UsageError on unknown names, TaskError where a plug-in's does not give a task."""
    if name in _own():
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _plugins():
        raise unknown_name("task", name, names())
    entry = _plugins()[name]
    try:
        module: ModuleType = entry.load()
    except (Exception, SystemExit) as e:  # the module is anyone's, and may do anything while it is imported
        raise TaskError(f"the plug-in's task {name!r} cannot be imported", where=entry.value, found=message_of(e)) from e
    task, settings = getattr(module, "TASK", None), getattr(module, "SETTINGS", None)
    if not dataclasses.is_dataclass(settings) or Task not in getattr(task, "__mro__", ()):
        expected = "a module with SETTINGS, a dataclass, and TASK, a class whose base is sambench.tasks.Task"
        raise TaskError(f"plug-in {name!r} is not a task", where=entry.value, expected=expected, found=f"{settings!r}, {task!r}")
    return module


class CommandParts(NamedTuple):
    """What `sambench run NAME` is made of. about: its help."""

    settings: type
    command: type[Command]
    about: str


def command_of(name: str) -> CommandParts:
    """SETTINGS and COMMAND of a task. Raises as `module_of`, and TaskError where COMMAND is none."""
    light = f"{__name__}.settings.{name}"
    own = name in _own() and importlib.util.find_spec(light) is not None
    module = importlib.import_module(light) if own else module_of(name)
    command = getattr(module, "COMMAND", Command)
    if not (isinstance(command, type) and issubclass(command, Command)):
        expected = "a class derived from sambench.tasks.Command"
        raise TaskError(f"COMMAND of task {name!r} is no command", where=module.__name__, expected=expected, found=repr(command))
    about = command.__doc__ or ""
    if command is Command or about.startswith(f"{command.__name__}("):  # what `dataclass` writes where there is no docstring
        about = (module.__doc__ or module_of(name).TASK.__doc__ or name).strip().splitlines()[0]
    return CommandParts(module.SETTINGS, command, cleandoc(about))


def completed(name: str, settings: Mapping[str, Any], datasets: Sequence[str]) -> Mapping[str, Any]:
    """The settings of a request, with what its datasets bring to the task (`complete_settings` of its module, where there is one).
    Raises UsageError where something is missing that nobody brings."""
    complete = getattr(module_of(name), "complete_settings", None)
    return settings if complete is None else complete(settings, datasets)


def build(name: str, settings: Mapping[str, Any] | None = None, *, protocol: str = "") -> Task:
    """The task of that name with settings by field name; lists become tuples. Raises UsageError on unknown names.

    protocol: of a stored cell; a module's `OLDER` has the settings that cells of an earlier one do not write out.
    """
    module = module_of(name)
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
    from pydantic import ValidationError

    for key, value in given.items():
        try:
            _adapter(settings, key).validate_json(json.dumps(value), strict=True)
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


@lru_cache(maxsize=256)  # making one takes longer than all checks of a record
def _adapter(settings: type, field: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(get_type_hints(settings)[field])


def settings_of(task: Task) -> dict[str, Any]:
    """The settings of a task as plain values, for `build`."""
    return dataclasses.asdict(task.settings)
