"""Sources by their prefix: found by their place, or by the module that an installed package names under an entry-point group.

The prefix of a name, as in `prefix:rest`, is the name of a module. Sources of models and of datasets are found alike.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

from sambench.errors import SambenchError, message_of
from sambench.models.contract import went_wrong

S = TypeVar("S")


@dataclass(frozen=True)
class Sources(Generic[S]):
    """The sources of one kind. package: of sambench's own, one module each with an object `SOURCE`; group: the entry-point group.

    follows: whether an object has the members of the Protocol `see`, which are named in `members`. plain: modules of sources whose
    names have no prefix. kind: what they give, in the plural. error: of a source that cannot be used.
    """

    package: str
    group: str
    follows: Callable[[object], bool]
    see: str
    members: str
    plain: frozenset[str]
    kind: str
    error: type[SambenchError]

    def by_prefix(self, prefix: str) -> S | None:
        """The source of that prefix, or None. Raises `error`: two have it, or a plug-in gives none."""
        own = None if prefix in self.plain else _own(self.package, prefix)
        entries = {e.value: e for e in metadata.entry_points(group=self.group) if e.name == prefix}  # one installed twice is one
        if len(entries) + (own is not None) > 1:
            place = f"{self.package.replace('.', '/')}/{prefix}.py"
            where = " and ".join([*([place] if own else []), *entries])
            raise self.error(f"two sources of {self.kind} have the prefix {prefix!r}", where=where, remedy="uninstall one of them")
        return own or next(map(self._plugged, entries.values()), None)

    def prefixes(self) -> list[str]:
        """The names of all modules that may be sources, sorted: some of sambench's own are none."""
        folder = Path(str(importlib.import_module(self.package).__file__)).parent
        names = {m.name for m in pkgutil.iter_modules([str(folder)])}
        return sorted(names | {e.name for e in metadata.entry_points(group=self.group)})

    def every(self) -> dict[str, S]:
        """All sources by their prefix, sorted."""
        return {name: source for name in self.prefixes() if (source := self.by_prefix(name)) is not None}

    def _plugged(self, entry: metadata.EntryPoint) -> S:
        message = f"the plug-in {entry.name!r} gives no source of {self.kind}"
        try:
            source: S = entry.load().SOURCE
        except (Exception, SystemExit) as e:  # the module is anyone's
            raise self.error(message, where=entry.value, found=message_of(e)) from e
        if not self.follows(source):
            raise self.error(
                message,
                where=f"{entry.value}, SOURCE",
                expected=self.members,
                found=f"a {type(source).__name__}",
                remedy=f"see {self.see}",
            )
        return source

    @contextmanager
    def at_work(self, source: object, name: str, what: str) -> Iterator[None]:
        """Within it a source works. What one of others raises, also an exit, is an error of it, and no end of sambench."""
        try:
            yield
        except MemoryError:
            raise
        except (Exception, SystemExit) as e:
            if is_own(source):
                raise
            message = f"the source of a {self.kind.removesuffix('s')} failed to {what} it"
            raise went_wrong(message, e, where=name, kind=self.error) from e


def is_own(source: object) -> bool:
    """Whether a source comes with sambench."""
    return type(source).__module__.partition(".")[0] == __name__.partition(".")[0]


@cache
def _own(package: str, prefix: str) -> Any:
    folder = Path(str(importlib.import_module(package).__file__)).parent
    if re.fullmatch(r"[a-z]\w*", prefix, re.ASCII) is None or not (folder / f"{prefix}.py").is_file():
        return None
    return getattr(importlib.import_module(f"{package}.{prefix}"), "SOURCE", None)
