"""Flags made of the fields of a dataclass of settings, by what the fields say of them (`sambench.tasks.command.setting`)."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

REQUIRED = inspect.Parameter.empty  # the default of what has none
_PLAIN = (bool, int, float, str)


def flags_of(task: str, kind: type, *, taken: Collection[str] = ()) -> dict[str, Flag]:
    """The flags of a dataclass's fields, but for those that say they have none.

    task: whose settings they are, for errors. taken: names of other flags. Raises TaskError for a field that no flag can give.
    """
    hints = get_type_hints(kind)
    return {f.name: Flag.of(task, f, hints[f.name], taken) for f in dataclasses.fields(kind) if f.metadata.get("flag", True)}


def read(flags: Mapping[str, Flag], values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the flags' values give; those that are left open are absent. Raises UsageError as `Flag.read` does."""
    found = {name: flag.read(values[name]) for name, flag in flags.items()}
    return {name: value for name, value in found.items() if value is not None or not flags[name].left_open}


def declare(command: Callable[..., None], flags: Mapping[str, tuple[Any, Any]]) -> None:
    """Let typer read these parameters, in their order, off a function that takes any. flags: annotation and default by name."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in flags.items()
    ]
    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {name: kind for name, (kind, _) in flags.items()}


def own_flags(command: Callable[..., None]) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of a function's own parameters, but for the one that takes any, as `declare` takes them."""
    hints = get_type_hints(command, include_extras=True)
    own = inspect.signature(command).parameters.values()
    return {p.name: (hints[p.name], p.default) for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD}


def default_of(field: dataclasses.Field[Any]) -> Any:
    """A field's default, MISSING where it has none."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@dataclasses.dataclass(frozen=True)
class Flag:
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
    def of(cls, task: str, field: dataclasses.Field[Any], hint: Any, taken: Collection[str]) -> Flag:
        default = default_of(field)
        optional = False
        choices: tuple[Any, ...] = ()
        if get_origin(hint) in (Union, types.UnionType) and len(left := [a for a in get_args(hint) if a is not type(None)]) == 1:
            optional, hint = True, left[0]
        listed = get_origin(hint) is tuple and get_args(hint)[1:] == (Ellipsis,)
        inner = get_args(hint)[0] if listed else hint
        if get_origin(inner) is Literal:
            choices = get_args(inner)
            inner = type(choices[0])
        wrong = inner not in _PLAIN or (listed and inner is bool) or default is dataclasses.MISSING or field.name in taken
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
