"""The commands of `sambench run`, one for every task there is, made of the task's settings when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from sambench.cli import examples, usage, variables
from sambench.cli.options import OF_MODELS, Shared, check_placement, models_or, typed
from sambench.cli.running import run_task
from sambench.cli.setting_flags import REQUIRED, Flag, declare, default_of, flags_of, read

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
    usage.give(command)
    variables.refuse_empty(command)
    return command


def function_of(name: str) -> Callable[..., None]:
    """`sambench run NAME` as a function from which typer reads the flags: one for every field of the task's settings and of its
    COMMAND (`sambench.tasks.command`), between those that all tasks share.

    Raises TaskError for a field of a kind that no flag can give.
    """
    from sambench import tasks

    parts = tasks.command_of(name)
    settings, added = flags_of(name, parts.settings, taken=_SHARED), flags_of(name, parts.command, taken=_SHARED)

    def command(ctx: typer.Context, **flags: Any) -> None:
        check_placement(flags["backend"], [name for name in flags if typed(ctx, name)])
        shared = Shared(**{key: value for key, value in flags.items() if key in _SHARED})
        run_task(name, parts.command(**read(added, flags)), shared, read(settings, flags))

    declare(command, {"ctx": (typer.Context, REQUIRED), **_in_order(parts.command, settings | added)})
    command.__doc__ = parts.about
    return command


def _in_order(command: Any, flags: dict[str, Flag]) -> dict[str, tuple[Any, Any]]:
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
    return {f.name: (hints[f.name], default_of(f)) for f in dataclasses.fields(Shared)}


_SHARED = _shared()
