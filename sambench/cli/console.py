"""What all commands print with. Nothing of a file reaches a terminal but through here, where control characters end."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from sambench.errors import SambenchError, UsageError
from sambench.text import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.table import Table


UNBOUNDED = 100_000  # columns: what is no terminal has no width


def _console(**options: Any) -> Console:
    from rich.console import Console

    class Plain(Console):
        """Texts are shown as they are: no markup, no emoji codes, no control characters but those of the console itself."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=_shown(segment.text))

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # not rich's own exit code: how a command ends is said in one place, `sambench.cli`

    return Plain(highlight=False, markup=False, emoji=False, **options)


def out() -> Console:
    """Standard output: what was asked for. In a file or pipe lines are as long as they are: neither folded nor filled up."""
    if sys.stdout.isatty():
        return _console()
    return _console(width=UNBOUNDED, file=_Unfilled(sys.stdout))


class _Unfilled:
    """A stream that takes no spaces at the ends of lines, with which tables are filled up."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def err() -> Console:
    """Standard error: progress, notes and errors."""
    return _console(stderr=True)


def echo(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Lines on standard output (err: standard error), as they are but for control characters."""
    import typer

    typer.echo(_shown(text), nl=nl, err=err)


def echo_json(value: object, *, lines: bool = False) -> None:
    """A value as JSON on standard output, indented; lines: on one line, of several values one after the other."""
    import json

    echo(json.dumps(value, indent=None if lines else 2, ensure_ascii=False, allow_nan=False))


def columns(names: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", right: Sequence[str] = ()) -> Table:
    """A list with a header, for reading. right: columns of numbers; a row may lack its last cells."""
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def write_bytes(content: bytes) -> None:
    """Bytes of a file on standard output, as they are. Raises UsageError where it is a terminal."""
    import typer

    if sys.stdout.isatty():
        remedy = "send it to a file: ... > FILE"
        raise UsageError("a picture cannot be shown in a terminal", where="--format", remedy=remedy)
    typer.echo(content, nl=False)


def quoted(value: object) -> str:
    """A path or name as it must stand in a command that is shown."""
    return shlex.quote(_with_urls(str(value)))


def _shown(text: str) -> str:
    return printable(_with_urls(text))


def _with_urls(text: str) -> str:
    """The text, in which what is the copy of a place in an object store is called by its URL; where none was used, as it is."""
    mirror = sys.modules.get("sambench.files.mirror")
    return text if mirror is None else str(mirror.with_urls(text))


def print_error(e: SambenchError) -> None:
    """The whole report, in plain lines."""
    text = str(e)
    if sys.stderr.isatty():
        from rich.text import Text

        head, _, rest = text.partition("\n")
        err().print(
            Text("error: ", style="bold red") + Text(head, style="bold") + Text("\n" + rest if rest else ""), soft_wrap=True
        )
    else:
        echo(f"error: {text}", err=True)
