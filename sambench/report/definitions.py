"""Report definitions: `reports/<id>.toml`, one a table or figure, and collections of them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sambench import cards, paths
from sambench.errors import CardError, unknown_name
from sambench.layout import Table
from sambench.report.document import Picture, Section
from sambench.values import short, toml_file


class Definition(BaseModel):
    """What one report shows.

    section: the name of what draws it, a module of `sambench.report.sections` or of a plug-in; empty for a collection.
    parts: ids of the definitions that a collection holds, in order. options: of the section. paper, and place in it: what
    is drawn again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["report"]
    id: cards.Id
    title: str
    section: str = ""
    parts: tuple[cards.Id, ...] = ()
    paper: str = ""
    place: str = ""
    text: str = ""
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def source(self) -> str:
        """The paper and the place in it."""
        return ", ".join(part for part in (self.paper, self.place) if part)

    def filled(
        self, *, tables: tuple[Table, ...] = (), pictures: tuple[Picture, ...] = (), absent: tuple[str, ...] = ()
    ) -> Section:
        """The section of this definition with what was drawn for it. absent: why there is neither, or what is not among it."""
        return Section(self.id, self.title, self.paper, self.place, self.text, tables, pictures, absent)


def definitions() -> dict[str, Definition]:
    """All definitions by id: those that ship with sambench, and those in `$SAMBENCH_HOME/cards/reports`."""
    return dict(_read((paths.packaged("reports"), paths.home() / "cards" / "reports")))


def definition(name: str) -> Definition:
    """By id, or by the path of a file. Raises UsageError with near names, CardError on a file that does not fit."""
    if name.endswith(".toml"):
        return read(Path(name).expanduser())
    known = definitions()
    if name not in known:
        raise unknown_name("report", name, known)
    return known[name]


@lru_cache(maxsize=4)
def _read(folders: tuple[Path, ...]) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    for folder in folders:
        for path in paths.listed(folder, ".toml"):
            if _kind(path) != "report":
                continue
            one = read(path)
            if one.id in found:
                raise CardError(f"two report definitions have the id {one.id!r}", where=path, remedy="rename or remove one")
            found[one.id] = one
    return found


def _kind(path: Path) -> object:
    return _toml(path).get("kind")


def _toml(path: Path) -> dict[str, Any]:
    return toml_file(path, "a report definition", CardError)


def read(path: Path) -> Definition:
    """One definition's file. Raises CardError that names the file and the key."""
    try:
        found = Definition.model_validate(_toml(path))
    except ValidationError as e:
        first = e.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise CardError(
            f"a report definition does not fit at {key!r}", where=path, expected=first["msg"], found=short(first["input"])
        ) from e
    if bool(found.section) == bool(found.parts):
        found_keys = "both" if found.section else "neither"
        raise CardError("a report definition has either `section` or `parts`", where=path, found=found_keys)
    return found


def parts_of(one: Definition) -> list[Definition]:
    """The definitions that make it up, collections resolved; itself if it is none."""
    return [part for name in one.parts for part in parts_of(definition(name))] if one.parts else [one]
