"""What a watch has done: one entry a checkpoint, in a file that is written anew after each, so that a killed watch goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sambench.errors import RunError, UsageError
from sambench.files.content import regular_bytes
from sambench.files.writing import unreadable, write_json

FILE = "ledger.json"
VERSION = 1


@dataclass(frozen=True)
class OnDataset:
    """The paired difference to the reference on one dataset; p: two-sided, Holm's over the datasets."""

    dataset: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    worse: bool


@dataclass(frozen=True)
class Entry:
    """One checkpoint that was evaluated. file: below the folder; size, mtime_ns: of that file.

    cells: ids; paths: their directories. score with low, high: mean over datasets of the metric, and its interval. against: what
    the differences are to, empty where there is nothing to compare with (the first, against the best). worse: by the watch's rule,
    or not one image could be evaluated, which `error` says. warnings: what must be read with it. announced: whoever asked was told.
    """

    file: str
    step: int | None
    size: int
    mtime_ns: int
    finished: str
    model: str = ""
    cells: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    score: float | None = None
    low: float | None = None
    high: float | None = None
    against: str = ""
    datasets: tuple[OnDataset, ...] = ()
    worse: bool = False
    error: str = ""
    warnings: tuple[str, ...] = ()
    announced: bool = False

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.file, self.size, self.mtime_ns)

    @property
    def label(self) -> str:
        return self.file if self.step is None else f"step {self.step} ({self.file})"

    @property
    def verdict(self) -> str:
        """In a word or two; empty where there was nothing to compare with."""
        if self.error:
            return "failed, worse" if self.worse else "failed"
        if not self.against:
            return ""
        if self.worse:
            return "WORSE on " + ", ".join(d.dataset for d in self.datasets if d.worse)
        return "not worse"


class Ledger:
    """The entries of one watch, by checkpoint, in order. what: all that a watch is of; another one has a folder of its own."""

    def __init__(self, folder: Path, what: Mapping[str, Any]) -> None:
        """Read what is there. Raises UsageError where it is another watch's, RunError where it cannot be read."""
        self.path = folder / FILE
        self.what = json.loads(json.dumps(what, default=str))
        self.entries: list[Entry] = []
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        of, self.entries = _stored(self.path)
        if of != self.what:
            unlike = [f"{k}: {of.get(k)!r} there, {v!r} now" for k, v in self.what.items() if of.get(k) != v]
            raise UsageError(
                "that folder is of another watch",
                where=self.path,
                expected="the same task, datasets, model, options, and reference",
                found="; ".join(unlike) or "other keys",
                remedy="choose another folder with --ledger",
            )

    def add(self, entry: Entry) -> None:
        """Put it in the place of an earlier entry of the same file state, or at the end, and write all."""
        self.entries = [*(e for e in self.entries if e.key != entry.key), entry]
        self._write()

    def announced(self, entry: Entry) -> Entry:
        """Note that whoever asked was told of it."""
        told = replace(entry, announced=True)
        self.entries = [told if e.key == entry.key else e for e in self.entries]
        self._write()
        return told

    def _write(self) -> None:
        entries = [{k: _plain(v) for k, v in asdict(e).items()} for e in self.entries]
        write_json(self.path, {"version": VERSION, "watch": self.what, "entries": entries})

    def done(self, key: tuple[str, int, int]) -> bool:
        return any(e.key == key for e in self.entries)

    @property
    def best(self) -> Entry | None:
        """The entry with the highest score so far."""
        scored = [e for e in self.entries if e.score is not None]
        return max(scored, key=lambda e: e.score or 0.0, default=None)

    @property
    def in_order(self) -> list[Entry]:
        """By step, those without one last."""
        return _in_order(self.entries)


def entries_of(place: Path) -> list[Entry]:
    """The entries of a watch by step, whatever it is of. place: its folder, or the ledger itself.

    Raises UsageError where there is none, RunError where it cannot be read.
    """
    path = place / FILE if place.is_dir() else place
    if not path.is_file():
        expected = f"the folder of a watch, with {FILE}"
        raise UsageError("there is no ledger of a watch", where=path, expected=expected, found="no such file")
    return _in_order(_stored(path)[1])


def _in_order(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda e: (e.step is None, e.step or 0, e.mtime_ns))


def _stored(path: Path) -> tuple[Any, list[Entry]]:
    """(what the watch is of, its entries). Raises RunError."""
    try:
        told = json.loads(regular_bytes(path))
        of, entries, version = told["watch"], told["entries"], told["version"]
    except OSError as e:
        raise unreadable("a watch's ledger cannot be read", path, e) from e
    except (ValueError, KeyError, TypeError) as e:
        raise _damaged(path, str(e)) from e
    if version != VERSION:
        raise _damaged(path, f"version {version}")
    try:
        return of, list(TypeAdapter(tuple[Entry, ...]).validate_python(entries))
    except ValidationError as e:
        raise _damaged(path, str(e).splitlines()[0]) from e


def _damaged(path: Path, found: str) -> RunError:
    remedy = "remove it: the results stay where they are, and nothing is computed twice"
    return RunError("a watch's ledger is damaged", where=path, found=found, remedy=remedy)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
