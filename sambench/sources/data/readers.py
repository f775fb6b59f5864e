"""What the sources of datasets read, for people: names, readers and their options, as the code itself has them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from sambench.cards import load_entry
from sambench.sources.data.own import OwnSource
from sambench.sources.datasets import sources

_OF_ALL = ("root", "name", "variant")  # what every reader is called with


@dataclass(frozen=True)
class Option:
    """One option of a reader: its name, its type and its default, as the reader's signature has them."""

    name: str
    kind: str
    default: str


@dataclass(frozen=True)
class Reader:
    """What one kind of names of datasets leads to.

    name: its prefix. form: how a name looks. summary: what is read, in a sentence. code: of the reader, '' where the name says it.
    text: what the reader says of itself and its options.
    """

    name: str
    form: str
    summary: str
    code: str
    text: str
    options: tuple[Option, ...]


def readers() -> dict[str, Reader]:
    """By prefix, sorted; of sambench and of plug-ins."""
    out = {}
    for name, source in sources().items():
        code = source.reader if isinstance(source, OwnSource) else ""
        reader = load_entry(code, where=f"the source {name}:") if code else None
        head = inspect.getdoc(inspect.getmodule(type(source))) or ""
        text = inspect.getdoc(reader) or "" if reader is not None else head.partition("\n")[2].strip()
        summary = head.partition("\n")[0].partition(": ")[2] or head.partition("\n")[0]
        out[name] = Reader(name, source.form, summary, code, text, _options(reader) if reader is not None else ())
    return out


def _options(reader: object) -> tuple[Option, ...]:
    found = []
    for parameter in inspect.signature(reader).parameters.values():  # type: ignore[arg-type]
        if parameter.name in _OF_ALL:
            continue
        kind = parameter.annotation if isinstance(parameter.annotation, str) else getattr(parameter.annotation, "__name__", "")
        default = parameter.default
        plain = "" if default is inspect.Parameter.empty or repr(default).startswith("<") else repr(default)
        found.append(Option(parameter.name, kind, plain))
    return tuple(found)
