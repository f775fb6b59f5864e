"""What the command `sambench run NAME` is made of: a flag for every setting of the task, as the setting's field says, and what a
task adds to that.

Read by `sambench.cli.task_commands`, and for `--help` too: nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from sambench.errors import unknown_name


def setting(
    default: Any,
    help: str = "",
    *,
    metavar: str = "",
    letter: str = "",
    called: str = "",
    example: str = "",
    least: int | None = None,
    switch: bool = False,
    left_open: bool = False,
    flag: bool = True,
) -> Any:
    """A field of settings, with what its flag says. `field(metadata={...})` with these keys is the same.

    default: of the setting. help: the flag's line in `--help`. metavar: what stands for its value there (N, X or NAME by the type).
    letter: a short form, as "-b". called: what an error calls its value ("first click"); the field's name otherwise. example: of a
    list, for the error of one that cannot be read; the default otherwise. least: the smallest number. switch: of a bool, no
    `--no-...` form. left_open: the flag has no default, and a setting that is not given is absent from what `Command.settings`
    gets. flag: whether there is one.
    """
    metadata = {
        "help": help,
        "metavar": metavar,
        "letter": letter,
        "called": called,
        "example": example,
        "least": least,
        "switch": switch,
        "left_open": left_open,
        "flag": flag,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Command:
    """What `sambench run NAME` has beyond the flags of the settings and those of all tasks. A task that wants more derives a frozen
    dataclass from this one and names it COMMAND, beside SETTINGS; its docstring is the command's help.

    The fields that it adds (made with `setting`) are flags too, and no settings. The others say, for the class: order, the flags
    that come first, of settings and added ones; dataset and model, what is evaluated where none is named ("": as of every task);
    model_forms, what `--model` takes beside names, cards and python files; instead, added flags by the shared one whose place they
    take; results_file, whether `--results FILE` writes the masks as a COCO results file.
    """

    order: ClassVar[tuple[str, ...]] = ()
    dataset: ClassVar[str] = ""
    model: ClassVar[str] = ""
    model_forms: ClassVar[str] = ""
    instead: ClassVar[Mapping[str, str]] = {}
    results_file: ClassVar[bool] = False

    def settings(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The task's settings by field, of those that the flags gave. Raises UsageError where they do not go together."""
        return given

    def shared(self) -> Mapping[str, Any]:
        """Values of the shared flags that `instead` replaces."""
        return {}


def check_choices(settings: Any) -> None:
    """Raise UsageError, with near names, where a field whose type is a Literal of texts holds another value."""
    hints = get_type_hints(type(settings))
    for f in fields(settings):
        if get_origin(hints[f.name]) is Literal:
            check_choice(f.name, f.metadata, getattr(settings, f.name), get_args(hints[f.name]))


def check_choice(name: str, metadata: Mapping[str, Any], value: object, choices: tuple[Any, ...]) -> None:
    """As `check_choices`, of one field's value."""
    if value not in choices:
        called = metadata.get("called") or name.replace("_", " ")
        raise unknown_name(called, str(value), [str(c) for c in choices], where=flag_of(name))


def flag_of(name: str) -> str:
    """The flag of a field: `--max-dets` of max_dets."""
    return "--" + name.replace("_", "-")
