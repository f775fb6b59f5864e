"""Commands of `sambench run` that are made of a task's settings: those of tasks that have none written by hand."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperGroup

from sambench.cli import running, variables

_BEFORE: dict[str, tuple[Any, Any]] = {
    "datasets": (running.Datasets, []),
    "model": (running.Models, []),
    "option": (running.Options, []),
}
_AFTER: dict[str, tuple[Any, Any]] = {
    "subset": (running.SubsetOpt, "paper"),
    "limit": (running.Limit, None),
    "out": (running.Out, "runs"),
    "devices": (running.Devices, "auto"),
    "workers": (running.Workers, None),
    "precision": (running.Precision, "fp32"),
    "root": (running.Root, None),
    "save_masks": (running.SaveMasks, "scored"),
    "on_error": (running.OnError, "record"),
    "fresh": (running.Fresh, False),
    "dry_run": (running.DryRun, False),
    "quiet": (running.Quiet, False),
    "config": (running.Config, None),
}
_PLAIN = (bool, int, float, str)


class Group(TyperGroup):
    """Commands written by hand, and one of every other task there is: made when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The tasks with a command of their own, then the others."""
        from sambench import tasks

        return list(dict.fromkeys([*self.commands, *tasks.names()]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A task's command; None where there is no such task."""
        from sambench import tasks

        if cmd_name not in self.commands and cmd_name in tasks.names():
            self.commands[cmd_name] = _made(cmd_name, str(self.name))
        return self.commands.get(cmd_name)

    def complete(self) -> None:
        """Make the commands of all tasks, to know all flags."""
        for name in self.list_commands(None):
            self.get_command(None, name)


def _made(name: str, group: str) -> Any:
    """The command of a task, with variables for its flags as every other has them."""
    from sambench import tasks

    function = getattr(tasks.module_of(name), "command", None) or command_of(name)
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(name)(function)
    command = typer.main.get_command(app)
    variables.give(command, (group, name))
    variables.refuse_empty(command)
    return command


def command_of(name: str) -> Callable[..., None]:
    """`sambench run NAME` with a flag for every field of the task's settings, between those that all tasks share.

    A field's flag has its name, its default, and its help from `field(metadata={"help": ...})`. Raises TaskError for a field of a
    kind that no flag can give: such a task writes its `command` itself.
    """
    from sambench import tasks

    module = tasks.module_of(name)
    hints = get_type_hints(module.SETTINGS)
    fields = {f.name: _Flag.of(name, f, hints[f.name]) for f in dataclasses.fields(module.SETTINGS)}

    def command(**flags: Any) -> None:
        settings = {key: flag.read(flags[key]) for key, flag in fields.items()}
        request = running.request_of(name, flags, settings)
        running.run(request, flags["model"], dry_run=flags["dry_run"], quiet=flags["quiet"])

    flags = _BEFORE | {key: flag.declared() for key, flag in fields.items()} | _AFTER
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(k, keyword, default=default, annotation=kind) for k, (kind, default) in flags.items()]
    vars(command)["__signature__"] = inspect.Signature(parameters)  # what typer reads the flags from
    command.__annotations__ = {k: kind for k, (kind, _) in flags.items()}
    command.__doc__ = (module.__doc__ or module.TASK.__doc__ or name).strip().splitlines()[0]
    return command


@dataclasses.dataclass(frozen=True)
class _Flag:
    """A setting on the command line. kind: of its values; listed: several, with commas between; choices: all there are, if few."""

    name: str
    kind: type
    optional: bool
    listed: bool
    choices: tuple[Any, ...]
    default: Any
    help: str

    @classmethod
    def of(cls, task: str, field: dataclasses.Field[Any], hint: Any) -> _Flag:
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        optional = False
        choices: tuple[Any, ...] = ()
        if get_origin(hint) in (Union, types.UnionType) and len(left := [a for a in get_args(hint) if a is not type(None)]) == 1:
            optional, hint = True, left[0]
        listed = get_origin(hint) is tuple and get_args(hint)[1:] == (Ellipsis,)
        inner = get_args(hint)[0] if listed else hint
        if get_origin(inner) is Literal:
            choices = get_args(inner)
            inner = type(choices[0])
        wrong = inner not in _PLAIN or (listed and inner is bool) or default is dataclasses.MISSING or field.name in _SHARED
        if wrong:
            from sambench.errors import TaskError

            raise TaskError(
                f"no flag can be made of a setting of task {task}",
                where=field.name,
                expected="bool, int, float, str or a Literal, one or a tuple[..., ...] of them, with a default and no flag's name",
                found=str(field.type),
                remedy="write the function `command` of the task's module",
            )
        return cls(field.name, inner, optional, listed, choices, default, str(field.metadata.get("help", "")))

    def declared(self) -> tuple[Any, Any]:
        """Its annotation and default, as typer reads them."""
        if self.kind is bool:
            return Annotated[bool | None if self.optional else bool, typer.Option(help=self.help)], self.default
        metavar = {int: "N", float: "X", str: "NAME"}[self.kind]
        metavar = f"{metavar},{metavar},..." if self.listed else metavar
        text = self.listed or bool(self.choices)
        kind: Any = str if text else self.kind
        default = ",".join(map(str, self.default)) if self.listed and self.default is not None else self.default
        flag = typer.Option("--" + self.name.replace("_", "-"), metavar=metavar, help=self.help)
        return Annotated[kind | None if self.optional else kind, flag], default

    def read(self, value: Any) -> Any:
        """The setting that was given. Raises UsageError for one that is none of the choices, or not of the kind."""
        if value is None or (not self.listed and not self.choices):
            return value
        from sambench.errors import UsageError, unknown_name

        where = "--" + self.name.replace("_", "-")
        parts = str(value).split(",") if self.listed else [str(value)]
        try:
            found = tuple(self.kind(p) for p in parts if p or not self.listed)
        except ValueError as e:
            expected = f"{self.kind.__name__} values, with commas between" if self.listed else self.kind.__name__
            raise UsageError("a setting does not fit", where=where, expected=expected, found=str(value)) from e
        for one in found if self.choices else ():
            if one not in self.choices:
                raise unknown_name(self.name.replace("_", " "), str(one), [str(c) for c in self.choices], where=where)
        return found if self.listed else found[0]


_SHARED = frozenset((*_BEFORE, *_AFTER))
