"""Reading weights files as they are met in real life: nested containers of tensors, and never code.

Pickles are read with `weights_only`: a file that asks for anything but tensors and plain containers is refused, by name. Classes
that some authors' files are known to mention are read as :class:`Inert` where the caller lists them.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from sambench.errors import CheckpointError, message_of

_HARMLESS = ("torch.", "collections.OrderedDict", "_codecs.encode")  # what a file of tensors asks for


class Inert:
    """What stands in for an object whose class or function is not imported: nothing of it is kept, and nothing is run."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        return


def read_content(path: Path, *, inert: Collection[str] = (), mapped: bool = False) -> Any:
    """All that a weights file holds: nested containers of tensors and plain values.

    inert: dotted names of classes and functions that the file may mention; they are not imported, objects of them become `Inert`.
    mapped: tensors stay on disk until they are used, where the file's format allows it: for looking at names and shapes.
    Raises CheckpointError as load_state_dict does.
    """
    path = Path(path)
    try:
        with path.open("rb") as f:
            head = f.read(512)
    except OSError as e:
        raise CheckpointError(
            "the checkpoint can't be read", where=path, expected="a weights file", found=e.strerror or repr(e)
        ) from e
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise _not_a_checkpoint(path, "a web page", "download the file itself, not the page that shows it")
    if text.startswith(b"version https://git-lfs"):
        raise _not_a_checkpoint(path, "a Git LFS pointer", "fetch the file's content: `git lfs pull`")
    if not head:
        raise _not_a_checkpoint(path, "an empty file", "get the file again")
    if not head.startswith((b"PK\x03\x04", b"\x80")) and head[257:262] != b"ustar":
        raise _not_a_checkpoint(path, f"a file that begins with {head[:8]!r}", "give a torch or .safetensors file")
    return _read_torch(path, inert, mapped and head.startswith(b"PK"))


def _not_a_checkpoint(path: Path, found: str, remedy: str) -> CheckpointError:
    return CheckpointError(
        "this is not a checkpoint",
        where=path,
        expected="a torch file (.pth, .pt, .bin) or .safetensors",
        found=found,
        remedy=remedy,
    )


def _truncated(path: Path, detail: BaseException) -> CheckpointError:
    return CheckpointError(
        "the checkpoint is truncated or damaged",
        where=path,
        expected="a complete file",
        found=f"{path.stat().st_size} bytes; {message_of(detail).splitlines()[0]}",
        remedy="get the file again and compare its sha256",
    )


def _read_torch(path: Path, inert: Collection[str], mapped: bool) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(Inert, name) for name in inert]):
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # refused or damaged is told below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as e:
        # torch names what it refuses, except in pickle protocols that it does not read.
        names = re.findall(r"GLOBAL ([\w.]+)", str(e)) or [n for n in _globals(path) if not n.startswith((*_HARMLESS, *inert))]
        if not names:
            raise _truncated(path, e) from e
        asked = ", ".join(dict.fromkeys(names))
        raise CheckpointError(
            "the checkpoint is refused: it asks for code to be run",
            where=path,
            expected="tensors and plain containers only",
            found=f"a pickle that asks for {asked}",
            remedy=("it looks like SimpleClick's: choose that model; else, " if all(n.startswith("isegm.") for n in names) else "")
            + "if you trust its source, save only the state dict: torch.save(model.state_dict(), file)",
        ) from e
    except MemoryError:
        raise
    except Exception as e:  # whatever a damaged file makes torch stumble over
        raise _truncated(path, e) from e


def _globals(path: Path) -> list[str]:
    """What the first pickle of a file asks to import, 'module.name', read without running it; up to where it breaks off."""
    found: list[str] = []
    strings: list[str] = []
    memo: list[str] = []
    try:
        with path.open("rb") as f:
            for op, arg, _ in pickletools.genops(f):
                if op.name == "GLOBAL":
                    found.append(str(arg).replace(" ", "."))
                elif op.name == "STACK_GLOBAL":
                    found.append(".".join(strings[-2:]))
                elif op.name == "MEMOIZE":
                    memo.append(strings[-1] if strings else "")
                elif op.name in ("BINGET", "LONG_BINGET") and isinstance(arg, int) and arg < len(memo):
                    strings.append(memo[arg])
                elif isinstance(arg, str):
                    strings.append(arg)
    except Exception:  # noqa: BLE001 - the file is damaged there: what was found until then is what can be told
        return found
    return found


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except SafetensorError as e:
        raise _truncated(path, e) from e
