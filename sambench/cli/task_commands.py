"""The commands of `sambench run`, one for every task there is, made of the task's settings when it is asked for."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from sambench.cli import examples, variables
from sambench.cli.running import OF_MODELS, Shared, check_placement, models_or, run_task

_PLAIN = (bool, int, float, str)
FIRST = ("point", "box", "edge", "proposals", "instances", "concepts")  # in the order of the paper; others follow


class Group(TyperGroup):
    """`sambench run`: a command for every task, those of installed packages too."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All tasks, the paper's first."""
        from sambench import tasks

        return sorted(tasks.names(), key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A task's command; None where there is no such task."""
        if cmd_name not in self.commands and cmd_name in self.list_commands(ctx):
            self.commands[cmd_name] = _made(cmd_name, str(self.name))
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As click does; near names of all tasks where there is none of that name."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from sambench.errors import unknown_name

            raise unknown_name("task", args[0], self.list_commands(ctx), where="sambench run")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """As click does; a package's task that cannot be used does not hide the others."""
        from sambench.errors import SambenchError

        for name in self.list_commands(ctx):
            try:
                self.get_command(ctx, name)
            except SambenchError as e:
                self.commands[name] = TyperCommand(name, short_help=f"(cannot be used: {e.one_line()})")
        super().format_commands(ctx, formatter)

    def steps(self) -> Iterator[None]:
        """Make the commands one after the other, those of packages last; one that cannot be made is left out."""
        from sambench.errors import SambenchError

        for name in self.list_commands(None):
            with suppress(SambenchError):
                self.get_command(None, name)
            yield


app = typer.Typer(
    cls=Group, help="Evaluate models on datasets. Re-issue a command to resume it.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _run() -> None:
    """Evaluate models on datasets. Re-issue a command to resume it."""


def _made(name: str, group: str) -> Any:
    """The command of a task, with variables for its flags as every other has them."""
    made = typer.Typer(rich_markup_mode=None, add_completion=False)
    made.command(name)(function_of(name))
    command = typer.main.get_command(made)
    variables.give(command, (group, name))
    examples.give(command, (group, name))
    variables.refuse_empty(command)
    return command


def function_of(name: str) -> Callable[..., None]:
    """`sambench run NAME` as a function from which typer reads the flags: one for every field of the task's settings and of its
    COMMAND (`sambench.tasks.command`), between those that all tasks share.

    Raises TaskError for a field of a kind that no flag can give.
    """
    from sambench import tasks

    parts = tasks.command_of(name)
    settings, added = _flags(name, parts.settings), _flags(name, parts.command)

    def command(ctx: typer.Context, **flags: Any) -> None:
        check_placement(flags["backend"], [name for name in flags if _typed(ctx, name)])
        given = {key: value for key, flag in settings.items() if (value := flag.read(flags[key])) is not None or not flag.left_open}
        more = parts.command(**{key: flag.read(flags[key]) for key, flag in added.items()})
        run_task(name, more, Shared(**{key: value for key, value in flags.items() if key in _SHARED}), given)

    declared = _in_order(parts.command, settings | added)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [inspect.Parameter(k, keyword, default=default, annotation=kind) for k, (kind, default) in declared.items()]
    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {"ctx": typer.Context, **{k: kind for k, (kind, _) in declared.items()}}
    command.__doc__ = parts.about
    return command


def _typed(ctx: typer.Context, name: str) -> bool:
    """Whether a flag stands on the command line itself, rather than in a variable or a file."""
    return getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"


def _in_order(command: Any, flags: dict[str, _Flag]) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of all flags of a command, as `--help` lists them."""
    own = sorted(flags, key=lambda name: command.order.index(name) if name in command.order else len(command.order))
    shared = dict(_SHARED)
    if command.model_forms:
        shared["model"] = (models_or(command.model_forms), shared["model"][1])
    if not command.results_file:
        del shared["results"]
    out = {name: shared.pop(name) for name in OF_MODELS}
    out |= {name: flags[name].declared() for name in own if name not in command.instead.values()}
    for name, kind in shared.items():
        other = command.instead.get(name)
        out |= {other: flags[other].declared()} if other else {name: kind}
    return out


def _shared() -> dict[str, tuple[Any, Any]]:
    hints = get_type_hints(Shared, include_extras=True)
    return {f.name: (hints[f.name], _default(f)) for f in dataclasses.fields(Shared)}


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


_SHARED = _shared()


def _flags(task: str, kind: type) -> dict[str, _Flag]:
    """The flags of a dataclass's fields, but for those that say they have none."""
    hints = get_type_hints(kind)
    return {f.name: _Flag.of(task, f, hints[f.name]) for f in dataclasses.fields(kind) if f.metadata.get("flag", True)}


@dataclasses.dataclass(frozen=True)
class _Flag:
    """A field on the command line. kind: of its values; listed: several, with commas between; choices: all there are, if few.

    What the field says of its flag (`sambench.tasks.command.setting`) is in `says`.
    """

    name: str
    kind: type
    optional: bool
    listed: bool
    choices: tuple[Any, ...]
    default: Any
    says: Any

    @classmethod
    def of(cls, task: str, field: dataclasses.Field[Any], hint: Any) -> _Flag:
        default = _default(field)
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
                remedy='give it metadata={"flag": False}, and make it of other flags in the COMMAND of the task\'s module',
            )
        return cls(field.name, inner, optional, listed, choices, default, field.metadata)

    @property
    def left_open(self) -> bool:
        """Whether it has no default, and says nothing where it is not given."""
        return bool(self.says.get("left_open"))

    def declared(self) -> tuple[Any, Any]:
        """Its annotation and default, as typer reads them."""
        optional, default = self.optional or self.left_open, None if self.left_open else self.default
        flag = "--" + self.name.replace("_", "-")
        names = [flag, self.says["letter"]] if self.says.get("letter") else [flag]
        help = str(self.says.get("help", ""))
        if self.kind is bool:
            names = names if self.says.get("switch") else [f"{flag}/--no-{flag[2:]}"]
            option = typer.Option(*names, help=help)
            return Annotated[bool | None if optional else bool, option], default
        metavar = self.says.get("metavar") or {int: "N", float: "X", str: "NAME"}[self.kind]
        metavar = f"{metavar},{metavar},..." if self.listed else metavar
        kind: Any = str if self.listed or self.choices else self.kind
        default = ",".join(map(str, default)) if self.listed and default is not None else default
        least = None if self.listed or self.kind is str else self.says.get("least")
        option = typer.Option(*names, metavar=metavar, help=help, min=least)
        return Annotated[kind | None if optional else kind, option], default

    def read(self, value: Any) -> Any:
        """The value that was given. Raises UsageError for one that is none of the choices, or not of the kind."""
        if value is None or (not self.listed and not self.choices):
            return value
        from sambench.errors import UsageError
        from sambench.tasks.command import check_choice, flag_of

        try:
            found = tuple(self.kind(p) for p in (str(value).split(",") if self.listed else [str(value)]))
        except ValueError as e:
            called = self.says.get("called") or f"values of {flag_of(self.name)}"
            expected = f"as in {self.says.get('example') or ','.join(map(str, self.default or ())) or '1,2'}"
            raise UsageError(f"{called} are not numbers", where=flag_of(self.name), expected=expected, found=str(value)) from e
        for one in found if self.choices else ():
            check_choice(self.name, self.says, one, self.choices)
        return found if self.listed else found[0]
