"""How helps name values: `RUN...` for several, `[RUN]` where it may be left out, NAME, N and X for what a flag takes; never the
types of Python."""

from __future__ import annotations

from typing import Any

from sambench.cli import variables

_KINDS = {"int": "N", "int range": "N", "float": "X", "float range": "X", "str": "NAME", "path": "PATH", "Path": "PATH"}


def give(root: Any) -> None:
    """Every argument and flag of the commands at and below `root` is named so."""
    for _, param in variables.params_of(root):
        if param.param_type_name == "argument":
            shown = _Argument(param)
            param.get_usage_pieces, param.display_type_rich, param._rich_display_name = shown.pieces, _no_type, shown.name
        elif param.metavar is None and hasattr(param, "display_type_rich"):
            param.display_type_rich = _Kind(param.display_type_rich)


def _no_type(*_: Any, **__: Any) -> None:
    return None


class _Kind:
    """What a flag takes, in place of typer's `<int>` and `<list[str]>`."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def __call__(self, *args: Any, **named: Any) -> str | None:
        said: str | None = self.plain(*args, **named)
        kind = (said or "").strip("<>").removeprefix("list[").removesuffix("]")
        return _KINDS.get(kind, said)


class _Argument:
    def __init__(self, param: Any) -> None:
        self.param = param

    def name(self) -> str:
        """`RUN...` or `[RUN...]`."""
        name = (self.param.metavar or self.param.name.upper()).strip("[]").removesuffix("...")
        name += "..." if self.param.nargs != 1 else ""
        return name if self.param.required else f"[{name}]"

    def pieces(self, *_: Any, **__: Any) -> list[str]:
        """In the line of usage."""
        return [self.name()]
