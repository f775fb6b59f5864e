"""Names of datasets as they are written: `prefix:PLACE,PLACE,option=value`, and several of them in one text, separated by commas.

A path that has a comma in it stands in double quotes, as in CSV: `coco:"a, b.json",images`; a double quote in it is doubled. Values
of options are TOML, with lists in brackets. Backslashes are nothing special, so that paths of Windows can be written as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sambench.errors import UsageError, shown
from sambench.sources.options import parse_options

_OPTION = re.compile(r"\s*[A-Za-z_]\w*\s*=")


def is_option(piece: str) -> bool:
    """Whether a piece of a name is `key=value`, not a path."""
    return _OPTION.match(piece) is not None


def split(text: str) -> list[str]:
    """The pieces of a text between commas, stripped of blanks, as they are written; empty ones are left out.

    Commas in quotes, and in the brackets of an option's value, do not separate. Raises UsageError: a quote that is not closed.
    """
    return [p for p in (piece.strip() for piece in _pieces(text)) if p]


def _pieces(text: str) -> Iterator[str]:
    start, depth, quoted = 0, 0, False
    for at, c in enumerate(text):
        if c == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif c in "[{" and is_option(text[start:at]):
            depth += 1
        elif c in "]}" and depth:
            depth -= 1
        elif c == "," and not depth:
            yield text[start:at]
            start = at + 1
    if quoted:
        raise UsageError("a quote is not closed", where="--datasets", expected='"a path, with a comma"', found=shown(text))
    yield text[start:]


def unquoted(piece: str) -> str:
    """A path as a piece stands for it."""
    return re.sub(r'"((?:[^"]|"")*)"', lambda found: found[1].replace('""', '"'), piece)


def quoted(path: str) -> str:
    """A path as a piece of a name, in quotes where it needs them."""
    needs = "," in path or '"' in path or path != path.strip() or is_option(path) or not path
    return '"{}"'.format(path.replace('"', '""')) if needs else path


@dataclass(frozen=True)
class Word:
    """A name, taken apart. places: its paths, or whatever the source takes. options: by key; written: the same as in the name."""

    prefix: str
    places: tuple[str, ...]
    options: dict[str, Any]
    written: tuple[str, ...] = ()

    def text(self, places: Sequence[str] | None = None) -> str:
        """The name again, with other places if given."""
        parts = [quoted(p) for p in (self.places if places is None else places)]
        return ",".join([f"{self.prefix}:{parts[0]}" if parts else f"{self.prefix}:", *parts[1:], *self.written])


def parse(name: str, form: str, *, least: int = 1, most: int = 1) -> Word:
    """A name with a prefix, taken apart. form: how such a name looks; least, most: numbers of places.

    Raises UsageError: too few or too many places, an option twice, a value that cannot be read.
    """
    prefix, _, rest = name.partition(":")
    given = split(rest)
    places = tuple(unquoted(p) for p in given if not is_option(p))
    written = tuple(p for p in given if is_option(p))
    keys = [p.partition("=")[0].strip() for p in written]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError("an option is given twice", where=shown(name), expected="each option once", found=key)
    if not least <= len(places) <= most:
        raise UsageError(
            f"a dataset's name has too {'few' if len(places) < least else 'many'} parts",
            where=shown(name),
            expected=form,
            found=f"{len(places)}: {', '.join(map(repr, places)) or 'nothing'}",
            remedy='a path with a comma stands in "quotes"; several datasets: give --datasets several times',
        )
    stripped = [re.sub(r"\s*=\s*", "=", p, count=1) for p in written]
    return Word(prefix, places, parse_options(stripped, what="an option of a dataset", where=shown(name)), written)
