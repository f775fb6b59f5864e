"""Code that a card names, as `module:name` or `python:FILE.py:name`: the object itself, and what of it can change a number."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from sambench.code_files import import_remedy, local_sources, module_of
from sambench.errors import CardError, message_of, near_names
from sambench.files import content

PREFIX = "python:"


def load_entry(entry: str, *, where: object) -> Any:
    """The object that `module:name` stands for. Raises CardError naming the card if there is none, or it cannot be called."""
    module, _, name = entry.removeprefix(PREFIX).rpartition(":")
    file = file_of(entry)
    try:
        holder = importlib.import_module(module) if file is None else module_of(file)
        found = getattr(holder, name, None)
    except (Exception, SystemExit) as e:  # the module is anyone's, and may do anything while it is imported
        message = f"a card names {entry!r}, which cannot be imported"
        raise CardError(message, where=where, found=message_of(e), remedy=import_remedy(e)) from e
    if found is None:
        names = [n for n, v in vars(holder).items() if callable(v) and not n.startswith("_")]
        near = near_names(name, names)
        remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else None
        there = f"no {name}, but {', '.join(names[:12]) or 'nothing that can be called'}"
        message = f"a card names {entry!r}, which cannot be imported"
        raise CardError(message, where=where, expected=f"{name} in {file or module}", found=there, remedy=remedy)
    if not callable(found):
        message = f"a card names {entry!r}, which cannot be called"
        raise CardError(message, where=where, expected="a function or a class", found=type(found).__name__)
    return found


def file_of(entry: str) -> Path | None:
    """The file of `python:FILE.py:name`; None of a module."""
    target = entry.removeprefix(PREFIX).rpartition(":")[0]
    is_file = entry.startswith(PREFIX) and (target.endswith(".py") or "/" in target or "\\" in target)
    return Path(target).expanduser() if is_file else None


def anchored(entry: str, folder: Path) -> str:
    """The same code, with the path of its file absolute. folder: absolute, which the path is relative to."""
    file = file_of(entry)
    return entry if file is None else f"{PREFIX}{folder / file}:{entry.rpartition(':')[2]}"


def entry_identity(entry: str, *, where: object) -> dict[str, str]:
    """What of `module:name` can change a number: the bare name, and where it is not sambench's own the bytes of its source.

    That is its file, and what this imports from its own folder or package. The module's path is not in it, so that code can move; a
    change of sambench's own code is told by the card's `revision`.
    """
    module, _, name = entry.removeprefix(PREFIX).rpartition(":")
    if module.partition(".")[0] == "sambench":
        return {"name": name}
    load_entry(entry, where=where)
    file = file_of(entry)
    source = str(file) if file is not None else getattr(sys.modules[module], "__file__", None)
    if not source:
        return {"name": name, "source_sha256": ""}
    out = {"name": name, "source_sha256": content.file_sha256(Path(source))}
    imported = local_sources(Path(source), module if file is None else "", loaded=False)
    return {**out, "imports_sha256": content.files_digest(imported)} if imported else out
