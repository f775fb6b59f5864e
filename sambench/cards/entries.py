"""Code that a card names, as `module:name`: the object itself, and what of it can change a number."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from sambench.code_files import local_sources
from sambench.errors import CardError, said
from sambench.files import content


def load_entry(entry: str, *, where: object) -> Any:
    """The object that `module:name` stands for. Raises CardError naming the card if there is none, or it cannot be called."""
    module, _, name = entry.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as e:  # the module is anyone's, and may do anything while it is imported
        raise CardError(f"a card names {entry!r}, which cannot be imported", where=where, found=said(e)) from e
    if not callable(found):
        message = f"a card names {entry!r}, which cannot be called"
        raise CardError(message, where=where, expected="a function or a class", found=type(found).__name__)
    return found


def entry_identity(entry: str, *, where: object) -> dict[str, str]:
    """What of `module:name` can change a number: the bare name, and where it is not sambench's own the bytes of its source.

    That is its file, and what this imports from its own folder or package. The module's path is not in it, so that code can move; a
    change of sambench's own code is told by the card's `revision`.
    """
    module, _, name = entry.partition(":")
    if module.partition(".")[0] == "sambench":
        return {"name": name}
    load_entry(entry, where=where)
    source = getattr(sys.modules[module], "__file__", None)
    if not source:
        return {"name": name, "source_sha256": ""}
    out = {"name": name, "source_sha256": content.file_sha256(Path(source))}
    imported = local_sources(Path(source), module, loaded=False)
    return {**out, "imports_sha256": content.files_digest(imported)} if imported else out
