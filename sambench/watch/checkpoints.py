"""Checkpoints in a training folder: which files are some, at which step, and whether they are whole."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from sambench import paths
from sambench.errors import CheckpointError, UsageError

PATTERNS = ("*.pth", "*.pt", "*.ckpt", "*.bin", "*.safetensors")
# What trainers write beside the weights.
_NO_WEIGHTS = ("optimizer*", "scheduler*", "scaler*", "rng_state*", "random_states*", "training_args*", "*tokenizer*")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Checkpoint:
    """A weights file. name: its path below the folder. step: None where neither the file nor its folder is numbered.

    size in bytes and mtime_ns tell it from another file that takes its name.
    """

    path: Path
    name: str
    step: int | None
    size: int
    mtime_ns: int

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.name, self.size, self.mtime_ns)


def step_of(name: str) -> int | None:
    """The last number in the name of the folder that a file lies in (`checkpoint-500/model.safetensors`), else of the file itself
    (`epoch=3-step=1200.ckpt`); None where there is none."""
    *folders, file = name.split("/")
    for text in (folders[-1] if folders else "", Path(file).stem):
        numbers = _NUMBER.findall(text)
        if numbers:
            return int(numbers[-1])
    return None


def checkpoints_in(folder: Path, patterns: Sequence[str] = PATTERNS) -> list[Checkpoint]:
    """By step, those without one last, in the order of their dates. Hidden and temporary files are none.

    Raises UsageError where there is no such folder, OSError where it cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(
            "there is no such folder of checkpoints", where=folder, expected="the folder into which a training saves", found="none"
        )
    found = []
    for at, below, names in paths.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if _is_one(name, patterns):
                found += _checkpoint(folder, Path(at) / name)
    return sorted(found, key=lambda c: (c.step is None, c.step or 0, c.mtime_ns, c.name))


def _is_one(name: str, patterns: Sequence[str]) -> bool:
    if name.startswith(".") or not any(fnmatchcase(name, p) for p in patterns):
        return False
    return tuple(patterns) != PATTERNS or not any(fnmatchcase(name.lower(), p) for p in _NO_WEIGHTS)


def _checkpoint(folder: Path, path: Path) -> list[Checkpoint]:
    try:
        found = path.stat()
    except FileNotFoundError:  # a trainer that keeps the last few has just removed it
        return []
    name = path.relative_to(folder).as_posix()
    return [Checkpoint(path, name, step_of(name), found.st_size, found.st_mtime_ns)]


class Completeness:
    """Which files are whole: unchanged for `settle_s` seconds while this process looked, and readable to their end."""

    def __init__(self, settle_s: float) -> None:
        self.settle_s = settle_s
        self._since: dict[tuple[str, int, int], float] = {}
        self.broken: dict[tuple[str, int, int], str] = {}  # settled, and cannot be read: why

    def settled(self, one: Checkpoint) -> bool:
        now = time.monotonic()
        return now - self._since.setdefault(one.key, now) >= self.settle_s

    def whole(self, one: Checkpoint) -> bool:
        """Whether it may be evaluated. What is settled and cannot be read is looked at again when it changes."""
        if one.key in self.broken or not self.settled(one):
            return False
        why = unreadable(one.path)
        if why:
            self.broken[one.key] = why
        return not why


def unreadable(path: Path) -> str:
    """Why a torch or safetensors file cannot be read to its end; empty where it can, and for files of other kinds."""
    if not any(fnmatchcase(path.name, p) for p in PATTERNS):
        return "" if os.access(path, os.R_OK) else "it may not be read"
    from sambench.models.weight_files import read_content

    try:
        read_content(path)
    except CheckpointError as e:
        return e.one_line()
    except OSError as e:
        return e.strerror or repr(e)
    return ""


def chosen(
    found: Sequence[Checkpoint], *, every: int | None, newest: bool, done: Collection[int] = ()
) -> list[Checkpoint]:
    """Those to be evaluated: at steps `every` apart at least, from the first on; of these the last alone, if `newest`.

    done: steps that were evaluated before; their files may be gone. Files without a step are taken whatever `every` says.
    """
    kept: list[Checkpoint] = []
    steps = set(done)
    for one in found:
        if one.step is not None:
            if every is not None and any(0 < one.step - s < every for s in steps):
                continue
            steps.add(one.step)
        kept.append(one)
    return kept[-1:] if newest else kept
