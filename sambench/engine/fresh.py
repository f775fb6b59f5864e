"""`--fresh`: cells computed anew in hidden folders beside them, each of which takes its cell's place when it is whole.

Until then the results from before stay what they are. An interrupted one starts over: its rows would be mixed with those of
whatever has changed since, and that is what it is asked for to avoid.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sambench.engine.plan import CellSpec
from sambench.errors import RunError, SambenchError, UsageError
from sambench.files.writing import storage_error
from sambench.store.leases import holder, try_lease
from sambench.store.record import CellRecord, read_record

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def staged(group: Sequence[CellSpec]) -> Iterator[list[CellSpec]]:
    """The cells with empty folders of their own to be computed in; what is left there at the end is removed.

    Where there was nothing before, what was computed is kept, whole or not. Raises UsageError where another command computes one of
    them anew, or a part would replace the whole.
    """
    here = [replace(cell, cell_dir=_beside(cell.cell_dir, "fresh")) for cell in group]
    with ExitStack() as held:
        for cell, at in zip(group, here, strict=True):
            recover(cell.cell_dir)
            if _status(cell) == "complete" and len(cell.wanted) < len(cell.target.subset.image_ids):
                raise UsageError(
                    "a part would replace results of the whole",
                    where=cell.cell_dir,
                    expected="--fresh without --limit",
                    found=f"--limit {cell.limit}",
                    remedy="choose another directory with --out",
                )
            held.enter_context(_alone(cell))
            shutil.rmtree(at.cell_dir, ignore_errors=True)
        try:
            yield here
        finally:
            for cell, at in zip(group, here, strict=True):
                if at.cell_dir.exists() and not cell.cell_dir.exists():
                    take_place(at.cell_dir, cell.cell_dir)
                shutil.rmtree(at.cell_dir, ignore_errors=True)


def _alone(cell: CellSpec) -> Any:
    path = cell.run_dir.with_name(f".{cell.run_dir.name}.{cell.cell_dir.name}.fresh")
    try:
        lease = try_lease(path)
    except OSError as e:
        raise storage_error(e, path) from e
    if lease is None:
        raise UsageError("another command computes that cell again", where=cell.cell_dir, found=holder(path), remedy="wait for it")
    return lease


def settle(at: CellSpec, cell: CellSpec, rec: CellRecord) -> CellRecord:
    """Put the cell computed at `at` in the place of `cell` if it is whole, or better than what is there; gives what stands there.

    rec: its record. Raises RunError where images failed, and earlier results without failures stay.
    """
    before = _status(cell)
    failed = rec.status == "incomplete"
    nothing = before in (None, "damaged") or (failed and before not in ("complete", "partial"))
    if rec.status in ("complete", "partial") or nothing:
        take_place(at.cell_dir, cell.cell_dir)
        return rec
    if failed:
        first = rec.failures[0]
        raise RunError(
            "the results from before stay: computed again, images failed",
            where=cell.cell_dir,
            found=f"{rec.counts.n_images_failed} failed images, the first {first.image_id}: {first.error}",
            remedy="mend them and issue the command again: it starts over",
        )
    return read_record(cell.cell_dir)


def _status(cell: CellSpec) -> str | None:
    """As the record has it; "damaged" of one that cannot be read, None where there is no cell."""
    try:
        return read_record(cell.cell_dir).status
    except SambenchError:
        return "damaged" if cell.cell_dir.exists() else None


def take_place(new: Path, old: Path) -> None:
    """Put a folder in another one's place, at once where the system can, and remove the other. Raises RunError."""
    aside = _beside(old, "old")
    try:
        if not old.exists():
            os.rename(new, old)
            return
        if _exchange(new, old):
            aside = new
        else:
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(old, aside)
            os.rename(new, old)
    except OSError as e:
        raise storage_error(e, old) from e
    shutil.rmtree(aside, ignore_errors=True)


def recover(cell_dir: Path) -> None:
    """Put back a cell that a killed command had moved aside and not replaced."""
    aside = _beside(cell_dir, "old")
    if aside.exists() and not cell_dir.exists():
        with suppress(OSError):
            os.rename(aside, cell_dir)


def _beside(cell_dir: Path, what: str) -> Path:
    return cell_dir.with_name(f".{cell_dir.name}.{what}")


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two folders in one step, which Linux can on most file systems; whether that was done."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0)
