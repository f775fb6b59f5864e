"""Environment variables of the flags: every flag has one, by one rule.

`SAMBENCH_<COMMAND>_<FLAG>`, as SAMBENCH_RATE_STATS_SEED, for the flag of one command; a flag of `run` also without the command, as
SAMBENCH_CLICKS, after the one for a single task (SAMBENCH_RUN_BOX_LIMIT). Flags that mean the same elsewhere (--devices, and --out
where it is the folder of runs) follow run's variable too.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from typing import Any

PREFIX = "SAMBENCH_"
SHORT = ("run",)  # the commands whose flags need no command in their variable
OTHERS = ("SAMBENCH_HOME", "SAMBENCH_DATA", "SAMBENCH_CACHE", "SAMBENCH_SHARED", "SAMBENCH_DEBUG")  # that belong to no flag
RULE = (
    "Every flag has an environment variable: SAMBENCH_ and its name in capitals for the flags of run (SAMBENCH_MAX_CLICKS), "
    "with the command before it for others (SAMBENCH_TABLE_FORMAT). Separate several values with spaces, quoted as in a shell."
)


def named_for(*words: str) -> str:
    """The variable of a flag: `named_for("rate", "stats", "--seed")` is SAMBENCH_RATE_STATS_SEED."""
    return PREFIX + "_".join(w.lstrip("-").replace("-", "_").upper() for w in words)


def flags_of(root: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path of the command, option) of every flag in the tree of commands below `at`, but --help and --version."""
    for path, param in params_of(root, at):
        if path and param.param_type_name == "option" and not {"--help", "--version"} & set(param.opts):
            yield path, param


def params_of(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path of the command, flag or argument) of all in the tree of commands below `path`."""
    for name, below in getattr(command, "commands", {}).items():
        yield from params_of(below, (*path, name))
    yield from ((path, param) for param in command.params)


def give(root: Any, at: tuple[str, ...] = ()) -> None:
    """Every flag gets its variables, those for one command alone first. at: the path of `root` in the whole tree."""
    for path, option in flags_of(root, at):
        given = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
        flag = next((o for o in option.opts if o.startswith("--")), option.opts[0])
        if path[0] in SHORT:
            given.append(named_for(flag))
        option.envvar = list(dict.fromkeys([named_for(*path, flag), *given]))
        option.show_envvar = False  # the rule is said once; `--help` has one line a flag
        if option.multiple:
            option.value_from_envvar = _Split(option)
        option.get_error_hint = _Hint(option, option.get_error_hint)


def refuse_empty(root: Any) -> None:
    """No flag or argument takes an empty text: a script's unset variable must not stand for the default, or the folder at hand."""
    for _, param in params_of(root):
        param.consume_value = _Given(param, param.consume_value)


def set_in(option: Any) -> tuple[str, str] | None:
    """(variable, text) that gives an option its value where no flag does; an empty one counts as not set."""
    return next(((name, os.environ[name]) for name in option.envvar or () if os.environ.get(name)), None)


class _Split:
    """The values of a flag that may be repeated, in one variable."""

    def __init__(self, option: Any) -> None:
        self.option = option

    def __call__(self, ctx: Any) -> list[str] | None:
        from sambench.errors import UsageError

        found = set_in(self.option)
        if found is None:
            return None
        try:
            return shlex.split(found[1])
        except ValueError as e:
            expected = "values separated by spaces; one with spaces in quotes"
            raise UsageError("a variable cannot be read", where=found[0], expected=expected, found=f"{found[1]!r}: {e}") from e


class _Given:
    """The value of a flag or argument from where it was given."""

    def __init__(self, param: Any, plain: Any) -> None:
        self.param, self.plain = param, plain

    def __call__(self, ctx: Any, opts: Any) -> Any:
        from sambench.errors import UsageError

        value, source = self.plain(ctx, opts)
        values = value if isinstance(value, list | tuple) else [value]
        if getattr(source, "name", "") in ("COMMANDLINE", "DEFAULT_MAP") and any(v == "" for v in values):
            name = self.param.opts[0] if self.param.param_type_name == "option" else self.param.metavar or self.param.name
            raise UsageError("a flag or argument is empty", where=name, expected="a value", remedy="give one, or leave it out")
        return value, source


class _Hint:
    """What an error calls a flag: with the variable, if one is set."""

    def __init__(self, option: Any, plain: Any) -> None:
        self.option, self.plain = option, plain

    def __call__(self, *args: Any) -> str:
        found = set_in(self.option)
        return f"{self.plain(*args)}" + (f" (or {found[0]}={found[1]!r})" if found else "")


def warn_of_unknown(root: Any) -> None:
    """Name the SAMBENCH_ variables that nothing reads, with the nearest ones: a misspelt one would be ignored in silence."""
    from sambench.errors import near_names

    known = _known(root)
    for group in root.commands.values():  # it may belong to a command that was not made yet
        for _ in group.steps() if hasattr(group, "steps") else ():
            if not _unknown(known):
                break
            known = _known(root)
    for name in _unknown(known):
        near = near_names(name, known, n=1)
        hint = f"did you mean {' or '.join(near)}?" if near else "`sambench --help` says how they are named"
        sys.stderr.write(f"note: nothing reads the variable {name}; {hint}\n")


def _unknown(known: list[str]) -> list[str]:
    return sorted(n for n in os.environ if n.startswith(PREFIX) and n not in known)


def _known(root: Any) -> list[str]:
    return [*OTHERS, *(name for _, option in flags_of(root) for name in option.envvar)]
