"""What is found by its place: modules of a package, and modules that installed packages name under a group of entry points."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from types import ModuleType

from sambench.errors import PluginError, message_of


@dataclass(frozen=True)
class Place:
    """Where the things of one kind are. Looking imports none of them.

    package: its modules are ours, those with an underscore first left out. group: of entry points, `name = "package.module"`.
    kind: what such a thing is called in errors.
    """

    package: str
    group: str
    kind: str

    def names(self) -> list[str]:
        """All there are, ours first. Raises PluginError for a name that cannot be one, or that two have."""
        return [*_own(self), *_plugged(self)]

    def module(self, name: str) -> ModuleType | None:
        """The module of that name, or None. Raises PluginError where one of others cannot be imported."""
        if name in _own(self):
            return importlib.import_module(f"{self.package}.{name}")
        entry = _plugged(self).get(name)
        if entry is None:
            return None
        try:
            module: ModuleType = entry.load()
        except (Exception, SystemExit) as e:  # the module is anyone's, and may do anything while it is imported
            raise PluginError(
                f"the plug-in's {self.kind} {name!r} cannot be imported", where=entry.value, found=message_of(e)
            ) from e
        return module

    def where(self, name: str) -> str:
        """What a name leads to, for errors."""
        entry = _plugged(self).get(name)
        return entry.value if entry else f"{self.package}.{name}"


@cache
def _own(place: Place) -> tuple[str, ...]:
    folders = importlib.import_module(place.package).__path__
    return tuple(m.name for m in pkgutil.iter_modules(folders) if not m.name.startswith("_"))


@cache
def _plugged(place: Place) -> Mapping[str, metadata.EntryPoint]:
    out: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=place.group):
        if not entry.name.isidentifier():
            raise PluginError(
                f"a plug-in's {place.kind} has no fit name", where=entry.value, expected="a Python name", found=repr(entry.name)
            )
        if entry.name in _own(place) or out.get(entry.name, entry).value != entry.value:  # one installed twice is one
            other = out[entry.name].value if entry.name in out else f"{place.package}.{entry.name}"
            found = f"{other} and {entry.value}"
            raise PluginError(f"two things are the {place.kind} {entry.name!r}", where=entry.name, found=found, remedy="remove one")
        out[entry.name] = entry
    return out


def forget() -> None:
    """Look again for what is installed, as after an installation within this process."""
    _own.cache_clear()
    _plugged.cache_clear()
