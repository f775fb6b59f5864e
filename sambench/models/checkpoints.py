"""Reading weights files, as they are met in real life, into state dicts; and state dicts into modules, strictly.

Pickles are read with `weights_only`: a file that asks for anything but tensors and plain containers is refused, by name. Classes
that some authors' files are known to mention are read as :class:`Inert` where the caller lists them.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from sambench.errors import CheckpointError

Signature: TypeAlias = Mapping[str, tuple[int, ...]]

_HARMLESS = ("torch.", "collections.OrderedDict", "_codecs.encode")  # what a file of tensors asks for
_MODULE_PREFIXES = ("module.", "_orig_mod.", "model.", "sam.")


def load_state_dict(path: Path, *, key: str | None = None, strip_prefix: str | None = None) -> dict[str, Tensor]:
    """The state dict in a torch (.pth, .pt, .bin) or .safetensors file, tensors on the CPU.

    key: where in the file it lies, dotted ('model', 'state.model'); needed if the file's top level is not itself the state dict.
    strip_prefix: taken off the names; only names that begin with it are used.
    Raises CheckpointError: no such file, truncated, not a checkpoint, code in the pickle, nested and no key given, no such key or
    prefix.
    """
    return state_dict_in(read_content(Path(path)), key=key, strip_prefix=strip_prefix, where=Path(path))


class Inert:
    """What stands in for an object whose class or function is not imported: nothing of it is kept, and nothing is run."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        return


def read_content(path: Path, *, inert: Collection[str] = ()) -> Any:
    """All that a weights file holds: nested containers of tensors and plain values.

    inert: dotted names of classes and functions that the file may mention; they are not imported, objects of them become `Inert`.
    Raises CheckpointError as load_state_dict does.
    """
    return _read(Path(path), inert)


def state_dict_in(
    content: Any, *, key: str | None = None, strip_prefix: str | None = None, where: Path
) -> dict[str, Tensor]:
    """The state dict in a file's content; see load_state_dict."""
    state = _select(content, key, where)
    if strip_prefix:
        inside = {name.removeprefix(strip_prefix): t for name, t in state.items() if name.startswith(strip_prefix)}
        if not inside:
            raise CheckpointError(
                f"no name in the checkpoint begins with {strip_prefix!r}",
                where=where,
                expected=f"names like '{strip_prefix}...'",
                found=_some(state),
                remedy="leave strip_prefix out, or give the prefix that the names have",
            )
        return inside
    return state


def load_into(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    where: object,
    architectures: Mapping[str, Signature] | None = None,
) -> None:
    """Put `state` into `module` (which may be on the meta device; it is on the CPU afterwards). Every name and shape must fit.

    architectures: name -> a few names and shapes that tell it from others, to say what the file looks like instead.
    Raises CheckpointError with the first differing names and shapes; the module is untouched then.
    """
    wanted = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in state.items()}
    if wanted != found:
        raise _mismatch(wanted, found, where, architectures or {})
    if any(t.is_meta for t in module.state_dict().values()):
        module.to_empty(device="cpu")
    module.load_state_dict(dict(state), strict=True)


def looks_like(found: Signature, architectures: Mapping[str, Signature]) -> str | None:
    """The architecture whose signature `found` (names -> shapes) contains, the most specific one; None if there is none."""
    fitting = [n for n, s in architectures.items() if all(found.get(k) == shape for k, shape in s.items())]
    return max(fitting, key=lambda n: len(architectures[n]), default=None)


def _mismatch(
    wanted: Signature, found: Signature, where: object, architectures: Mapping[str, Signature]
) -> CheckpointError:
    missing = [k for k in wanted if k not in found]
    extra = [k for k in found if k not in wanted]
    shapes = [k for k in wanted if k in found and wanted[k] != found[k]]
    facts = []
    if missing:
        facts.append(f"{len(missing)} of {len(wanted)} names missing ({_listed(missing, wanted)})")
    if extra:
        facts.append(f"{len(extra)} unknown names ({_listed(extra, found)})")
    if shapes:
        first = ", ".join(f"{k} is {list(found[k])}, not {list(wanted[k])}" for k in shapes[:3])
        facts.append(f"{len(shapes)} other shapes ({first}{', ...' if len(shapes) > 3 else ''})")
    name, remedy = looks_like(found, architectures), None
    prefix = _common_prefix(found)
    if name is None and prefix:
        stripped = {k.removeprefix(prefix): s for k, s in found.items()}
        name = looks_like(stripped, architectures)
        remedy = f"take the prefix off the names: -M strip_prefix={prefix}"
    if name is not None:
        facts.append(f"it looks like {name}")
        remedy = remedy or f"choose the model that the file is of ({name}), or the file of this model"
    return CheckpointError(
        "the checkpoint is of another architecture" if name or not prefix else "the checkpoint's names do not fit the model",
        where=where,
        expected=f"{len(wanted)} tensors of the model's names and shapes",
        found="; ".join(facts),
        remedy=remedy or "choose the model that the file is of, or the file of this model",
    )


def _listed(names: list[str], shapes: Signature) -> str:
    return ", ".join(f"{k} {list(shapes[k])}" for k in names[:3]) + (", ..." if len(names) > 3 else "")


def _some(state: Mapping[str, Any]) -> str:
    return ", ".join(list(state)[:3]) + (", ..." if len(state) > 3 else "")


def _common_prefix(names: Mapping[str, Any]) -> str:
    """The wrapper's prefix ('module.', '_orig_mod.', ...) that all names share, or ''; wrappers nest."""
    prefix = ""
    while names and (p := next((p for p in _MODULE_PREFIXES if all(n.startswith(prefix + p) for n in names)), None)):
        prefix += p
    return prefix


def _select(content: Any, key: str | None, path: Path) -> dict[str, Tensor]:
    """The mapping of names to tensors at `key` of what the file holds."""
    nested = dict(_nested(content))
    if key is not None:
        if key not in nested:
            raise CheckpointError(
                f"the checkpoint has no state dict under {key!r}",
                where=path,
                expected=f"one of: {', '.join(k for k in nested if k) or 'none found'}",
                found=_describe(content),
                remedy=_how_to_select(nested),
            )
        return nested[key]
    if "" in nested:
        return nested[""]
    raise CheckpointError(
        "the checkpoint is nested: its top level is not a state dict" if nested else "the file holds no state dict",
        where=path,
        expected="a mapping from parameter names to tensors",
        found=_describe(content),
        remedy=_how_to_select(nested),
    )


def _nested(content: Any, at: str = "", depth: int = 3) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(dotted key, state dict) for every mapping of names to tensors in `content`; optimizer states have numbers for names."""
    if not isinstance(content, Mapping) or not content or depth < 0 or not all(isinstance(k, str) for k in content):
        return
    if all(isinstance(v, Tensor) for v in content.values()):
        yield at, dict(content)
        return
    for name, value in content.items():
        yield from _nested(value, f"{at}.{name}" if at else name, depth - 1)


def _how_to_select(nested: Mapping[str, Mapping[str, Tensor]]) -> str | None:
    keyed = {k: state for k, state in nested.items() if k}
    if not keyed:
        return None
    flags = []
    for k, state in sorted(keyed.items(), key=lambda item: -len(item[1])):
        prefix = _common_prefix(state)
        flags.append(f"-M key={k}" + (f" -M strip_prefix={prefix}" if prefix else "") + f" ({len(state)} tensors)")
    return "say which part is the model's: " + ", or ".join(flags)


def _describe(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a mapping with {len(content)} keys: " + ", ".join(repr(k) for k in list(content)[:6])
    return f"a {type(content).__name__}"


def _read(path: Path, inert: Collection[str] = ()) -> Any:
    """The file's content: nested containers of tensors."""
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
    return _read_torch(path, inert)


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
        found=f"{path.stat().st_size} bytes; {str(detail).splitlines()[0] if str(detail) else type(detail).__name__}",
        remedy="get the file again and compare its sha256",
    )


def _read_torch(path: Path, inert: Collection[str]) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(Inert, name) for name in inert]):
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # refused or damaged is told below
            return torch.load(path, map_location="cpu", weights_only=True)
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
            + "if you trust its source, save the state dict alone: torch.save(model.state_dict(), file)",
        ) from e
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError, IndexError, AttributeError) as e:
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
    except ValueError:
        pass
    return found


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except SafetensorError as e:
        raise _truncated(path, e) from e
