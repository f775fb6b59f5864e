"""Which documents were made of which cells, so that nobody removes what a report cites.

Two sources: a note that `sambench report` and `gallery` leave in the folder of the runs (`.cited/`, a file a document), and the
cell ids that stand in the documents themselves, wherever they were moved to: every page and table of runs has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sambench import paths, provenance
from sambench.errors import RunError
from sambench.files.content import regular_bytes
from sambench.files.writing import write_json
from sambench.store.views import CellView

FOLDER = ".cited"
_TEXTS = (".html", ".md", ".csv", ".json", ".tex", ".txt")
_MAX_BYTES = 64 << 20  # larger files are rows and pictures, not documents
_ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")


def cite(cells: Iterable[CellView], document: Path) -> None:
    """Note in the folder of each cell's run that a document was made of it. A folder that cannot be written is left as it is: the
    document has the ids too."""
    by_folder: dict[Path, set[str]] = {}
    for cell in cells:
        by_folder.setdefault(cell.path.resolve().parent.parent, set()).add(cell.record.cell_id)
    for folder, ids in by_folder.items():
        with suppress(RunError):
            write_json(_note_path(folder, document), {"document": str(document.resolve()), "cells": sorted(ids)})


def _note_path(folder: Path, document: Path) -> Path:
    return folder / FOLDER / f"{provenance.digest(str(document.resolve()))[:16]}.json"


def notes(out: Path) -> dict[Path, tuple[str, tuple[str, ...]]]:
    """The notes in a folder of runs: by file the document's path, and the ids of its cells. One that cannot be read is not among
    them. Raises OSError where the folder cannot be read."""
    found: dict[Path, tuple[str, tuple[str, ...]]] = {}
    for path in paths.listed(out / FOLDER, ".json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(regular_bytes(path))
            found[path] = (str(told["document"]), tuple(str(i) for i in told["cells"]))
    return found


def cited(out: Path, ids: Iterable[str], folders: Sequence[Path] = ()) -> Mapping[str, tuple[str, ...]]:
    """By cell id the documents that cite it, of those that are there: noted in `out`, or lying below `folders`.

    Raises OSError where a folder cannot be read: what cites nothing and what cannot be looked into are not the same.
    """
    wanted = set(ids)
    found: dict[str, dict[str, None]] = {i: {} for i in wanted}
    for document, cells in notes(out).values():
        if Path(document).exists():
            for i in wanted.intersection(cells):
                found[i][document] = None
    for folder in folders:
        for path in _documents(folder):
            for i in wanted.intersection(m.decode() for m in _ID.findall(regular_bytes(path))):
                found[i][str(path.resolve())] = None
    return {i: tuple(documents) for i, documents in found.items()}


def _documents(folder: Path) -> Iterable[Path]:
    for at, _, names in paths.walk(folder):
        for name in sorted(names):
            path = Path(at) / name
            if path.suffix in _TEXTS and path.is_file() and path.stat().st_size <= _MAX_BYTES:
                yield path
